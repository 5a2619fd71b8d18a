import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret, TOTP } from 'otpauth'
import { browser, screenshot } from './lab/chromium.ts'
import { localHub, pathIn } from './local-hub.ts'

const good = 'a horse, a battery'

test('local in a browser: set-up, second factor by keyboard, sign-in with a code, the accounts on a phone', async t => {
  const hub = await localHub(t, { signUp: 'approval' })
  const { page } = await browser(t)
  const complaints: string[] = []
  page.on('console', message => void (message.type() === 'error' && complaints.push(message.text())))
  const typeInto = async (fields: Record<string, string>) => {
    for (const [name, text] of Object.entries(fields)) await page.fill(`input[name="${name}"]`, text)
    await page.keyboard.press('Enter')
    await page.waitForLoadState('load')
  }
  await page.goto(hub.origin + hub.setupPath())
  await typeInto({ username: 'ada', password: good, repeated: good })
  await page.waitForURL(/\/hub\/login/)
  await screenshot(page, 'local-sign-in', { fullPage: true })
  await typeInto({ username: 'ada', password: good })
  await page.waitForURL(/\/hub\/home/)

  await page.goto(`${hub.origin}/hub/x/local/second-factor`)
  await screenshot(page, 'local-second-factor', { fullPage: true })
  assert.ok((await page.locator('svg[role="img"]').boundingBox())!.width >= 200, 'the QR code is large enough to be read')
  const secret = (await page.locator('code').first().innerText()).replaceAll(' ', '')
  const code = (step: number) => TOTP.generate({ secret: Secret.fromBase32(secret), timestamp: Date.now() + step * 30_000 })
  await typeInto({ current: good, code: code(-1) })
  await page.waitForURL(/\/hub\/login/)
  await typeInto({ username: 'ada', password: good })
  await page.getByText('Code from your app').waitFor()
  await screenshot(page, 'local-question', { fullPage: true })
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('name')), 'answer')
  await page.keyboard.type(code(0))
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/hub\/home/)

  await hub.plugin.commands.add.run(['bob'])
  await page.setViewportSize({ width: 390, height: 800 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.goto(`${hub.origin}/hub/x/local/accounts`)
  await page.getByRole('button', { name: 'Make an invitation link' }).click()
  assert.ok(pathIn(await page.locator('[role="status"] code').innerText()))
  await page.getByText('Change', { exact: true }).last().click()
  await screenshot(page, 'local-accounts-phone', { fullPage: true })
  const width = await page.evaluate(() => document.documentElement.scrollWidth)
  assert.ok(width <= 390, `the page is ${width} wide`)
  assert.deepEqual(complaints, [])
})
