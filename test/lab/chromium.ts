import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { installed } from './debian.ts'
import { artefacts } from './lab.ts'

/** What the visitor's window is like. */
export interface Window {
  width?: number
  height?: number
  colorScheme?: 'light' | 'dark'
  /** Further options of playwright's launchPersistentContext: reducedMotion, locale, ignoreHTTPSErrors … */
  more?: Parameters<typeof chromium.launchPersistentContext>[1]
}

/** Debian's Chromium with a fresh profile: a visitor who was never here. Closed at the end of the test. */
export async function browser(t: TestContext, window: Window = {}): Promise<{ context: BrowserContext; page: Page }> {
  await installed('chromium')
  const profile = await mkdtemp(join(tmpdir(), 'swarmhub-chromium-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
    viewport: { width: window.width ?? 1280, height: window.height ?? 800 },
    colorScheme: window.colorScheme ?? 'light',
    // Playwright's handlers would keep a test process alive that is told to end; Chromium ends with its pipe.
    handleSIGTERM: false,
    handleSIGINT: false,
    handleSIGHUP: false,
    ...window.more,
  })
  t.after(async () => {
    await context.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  })
  context.setDefaultTimeout(20_000)
  return { context, page: context.pages()[0] ?? (await context.newPage()) }
}

/** Keeps what the visitor sees in the artefacts; gives the picture's path. */
export async function screenshot(page: Page, name: string, options: { fullPage?: boolean } = {}): Promise<string> {
  const folder = join(artefacts, 'screenshots')
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${name}.png`)
  await page.screenshot({ path, ...options })
  return path
}
