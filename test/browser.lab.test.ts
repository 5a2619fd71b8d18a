import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { browser, screenshot, type Window } from './lab/chromium.ts'
import { singleuser } from './lab/jupyter.ts'
import { noLab } from './lab/lab.ts'
import { type RunningHub, startHub } from './running-hub.ts'

/**
 * A hub whose starts and stops can be held: while the file `say` is in its folder, a start tells what is in it and waits.
 * The profile "broken" ends with 1 until there is a file `mended`.
 */
const config = (authenticator: string, profiles: string, more = '') => `
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, local, process } from 'swarmhub/plugins'
const [say, mended] = ['say', 'mended'].map(name => join(globalThis.process.cwd(), name))
const hold = async (subject, ctx) => {
  for (;;) {
    const text = await readFile(say, 'utf8').catch(() => undefined)
    if (text === undefined) return
    if (text) ctx.progress(text)
    await sleep(50, undefined, { signal: ctx.signal })
  }
}
const held = {
  name: 'held',
  hooks: { 'before:spawn': hold, 'before:stop': (stop, ctx) => (stop.reason === 'user' ? hold(stop, ctx) : undefined) },
}
const profiles = {
  notebook: { name: 'notebook', label: 'Notebook', description: 'Python, for courses and small data', cpus: 1, memory: '1G' },
  large: {
    name: 'large', label: 'Large notebook', description: 'For training and large data. Please stop it when you are done.', cpus: 8, memory: '32G',
    choices: [
      { name: 'python', label: 'Python', options: [{ name: 'new', label: '3.14' }, { name: 'old', label: '3.12', description: 'for the course of 2024' }] },
      { name: 'dataset', label: 'Data set', description: 'Small letters, at most 20', pattern: /[a-z]{0,20}/, env: 'DATASET' },
    ],
  },
  broken: {
    name: 'broken',
    label: 'Notebook',
    // A shell is no notebook server to the spawner, so it does not find out the app.
    env: { JUPYTERHUB_SINGLEUSER_APP: 'notebook.notebookapp.NotebookApp' },
    command: ['/bin/sh', '-c', \`[ -e \${mended} ] && exec jupyterhub-singleuser --allow-root
      echo "reading the course material"; echo "OSError: [Errno 5] Input/output error: /srv/course" >&2; exit 1\`],
  },
}
export default defineConfig({
  authenticators: [${authenticator}],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  profiles: [${profiles}].map(profile => profiles[profile]),
  timeouts: { poll: '2s' },
  plugins: [held],
  ${more}
})
`

test('a newcomer: the set-up link, sign-in, start, a notebook that computes, stop, tokens, users, sign-out', {
  skip: noLab,
}, async t => {
  const hub = await startHub(t, config('local()', `'notebook', 'large'`))
  const { page, context } = await visit(t, hub)

  // The first account, by the link that the hub printed
  const [link] = await hub.printed(/http:\S+\/setup\?code=\S+/)
  await page.goto(link)
  await look(page, 'setup')
  await page.getByLabel('User name').fill('Ada')
  await page.getByLabel('at least 8').fill('a horse, a battery')
  await page.getByLabel('Repeat').fill('another horse')
  await page.getByRole('button').click()
  await page.getByRole('alert').waitFor()
  await look(page, 'setup-refused')
  for (const label of ['at least 8', 'Repeat']) await page.getByLabel(label).fill('a horse, a battery')
  await page.getByRole('button').click()

  // In
  await page.waitForURL('**/hub/login')
  await look(page, 'login')
  await signIn(page, 'ada', 'not this one')
  await page.getByRole('alert').waitFor()
  await look(page, 'login-wrong')
  await signIn(page, 'ada', 'a horse, a battery')
  await page.waitForURL('**/hub/home')
  await look(page, 'home-new')

  // Up
  await page.getByRole('link', { name: 'Start' }).click()
  await page.waitForURL('**/hub/spawn/ada')
  await look(page, 'start')
  await page.getByRole('radio', { name: /^Large notebook/ }).check()
  await page.getByLabel('Python', { exact: true }).selectOption('3.12 – for the course of 2024')
  await page.getByLabel('Data set').fill('birds')
  await look(page, 'start-choices')
  await page.getByRole('radio', { name: 'Notebook Python' }).check()
  await say(hub, 'Your files are being fetched')
  await page.getByRole('radio', { name: 'Large notebook' }).check()
  await page.getByRole('button', { name: 'Start' }).click()
  await page.waitForURL('**/hub/spawn-pending/ada')
  await page.getByText('Your files are being fetched').first().waitFor()
  await page.evaluate(() => Object.assign(window, { same: true }))
  await say(hub, 'Your files are being unpacked, 40 of 96')
  await page.locator('[data-message]', { hasText: '40 of 96' }).waitFor()
  assert.ok(await page.evaluate(() => 'same' in window), 'the line came by the event stream, not by loading the page anew')
  assert.equal(await page.locator('[aria-current=step]').getAttribute('data-step'), 'preparing')
  await page.getByText('Everything that happened').click()
  await look(page, 'progress')
  const home = await context.newPage()
  await home.goto(new URL('/hub/home', page.url()).href)
  await look(home, 'home-starting')
  await say(hub, undefined)

  // The notebook
  await page.waitForURL('**/user/ada/tree**')
  await page.getByText('The notebook list is empty.').waitFor()
  await screenshot(page, 'notebook-files')
  await home.locator('.state', { hasText: 'Running' }).waitFor()
  await look(home, 'home-running')
  await home.close()
  await page.getByRole('button', { name: 'New' }).click()
  const [notebook] = await Promise.all([context.waitForEvent('page'), page.locator('#kernel-python3 a').click()])
  // Without a kernel the notebook runs nothing, and does not do so later.
  await notebook.locator('.kernel_idle_icon').waitFor()
  await notebook.locator('.cell .CodeMirror').first().click()
  await notebook.keyboard.type('print(6*7)')
  await notebook.keyboard.press('Shift+Enter')
  await notebook.locator('.output_stdout', { hasText: '42' }).waitFor()
  await screenshot(notebook, 'notebook-42')
  await notebook.close()

  // Down
  await page.getByRole('link', { name: 'Control Panel' }).click()
  const control = context.pages().at(-1)!
  await control.waitForURL('**/hub/home')
  await control.getByRole('button', { name: 'Stop' }).click()
  await control.locator('.state', { hasText: 'Stopped' }).waitFor()
  await look(control, 'home-stopped')
  const gone = await control.goto(new URL('/user/ada/notebooks/Untitled.ipynb#here', control.url()).href)
  assert.equal(gone?.status(), 424)
  await look(control, 'stopped')
  assert.match((await control.getByRole('link', { name: 'Start' }).getAttribute('href')) ?? '', /next=.*Untitled\.ipynb%23here$/)

  // Tokens
  await control.getByRole('link', { name: 'Tokens' }).click()
  await look(control, 'tokens-none')
  await control.getByLabel('What it is for').fill('backup at night')
  await control.getByRole('button', { name: 'Create token' }).click()
  const secret = await control.getByLabel('The new token').inputValue()
  await control.getByRole('button', { name: 'Copy' }).click()
  await control.getByText('Copied.').waitFor()
  assert.equal(await control.evaluate(() => navigator.clipboard.readText()), secret)
  await look(control, 'tokens-made')
  const works = () => fetch(`${hub.origin}/hub/api/user`, { headers: { authorization: `token ${secret}` } })
  assert.equal((await works()).status, 200)
  const row = control.getByRole('row', { name: 'backup at night' })
  await row.getByText('Revoke', { exact: true }).click()
  await look(control, 'tokens-revoke')
  await row.getByRole('button', { name: 'Yes, revoke' }).click()
  await row.waitFor({ state: 'detached' })
  assert.equal((await works()).status, 403)

  // Users
  await control.getByRole('link', { name: 'Admin' }).click()
  await control.getByLabel('Names, one a line').fill('bob\ncarol')
  await control.getByRole('button', { name: 'Add' }).click()
  await control.getByRole('row', { name: 'carol' }).waitFor()
  await look(control, 'admin')
  await control.getByLabel('Find a user').fill('nobody at all')
  await control.getByRole('button', { name: 'Find' }).click()
  await control.getByText('Nobody found.').waitFor()
  await look(control, 'admin-nobody')
  await control.getByLabel('Find a user').fill('bo')
  await control.getByRole('button', { name: 'Find' }).click()
  const bob = control.getByRole('row', { name: 'bob' })
  await control.getByRole('row', { name: 'carol' }).waitFor({ state: 'detached' })
  await bob.getByRole('link', { name: 'Start' }).click()
  await look(control, 'start-for-another')
  await control.getByRole('button', { name: 'Start' }).click()
  await control.waitForURL('**/hub/api/oauth2/authorize**')
  await look(control, 'allow')
  await control.goto(new URL('/hub/admin?q=bo', control.url()).href)
  await look(control, 'admin-running')
  await bob.getByRole('button', { name: 'Stop' }).click()
  await bob.locator('.state', { hasText: 'Stopped' }).waitFor()
  await bob.getByRole('link', { name: 'bob', exact: true }).click()
  await control.getByLabel('Type bob').fill('carol')
  await control.getByRole('button', { name: 'Delete' }).click()
  await control.getByText('Nobody was deleted').waitFor()
  await look(control, 'admin-refused')
  await control.getByLabel('Type bob').fill('bob')
  await control.getByRole('button', { name: 'Delete' }).click()
  await control.waitForURL('**/hub/admin')
  await bob.waitFor({ state: 'detached' })

  // Out
  await control.goto(new URL('/hub/x/local/password', control.url()).href)
  await look(control, 'password')
  await control.goto(new URL('/hub/nothing-here', control.url()).href)
  await look(control, 'nothing-here')
  await control.getByRole('link', { name: 'Sign out' }).click()
  await control.waitForURL('**/hub/login')
  await control.goto(new URL('/hub/home', control.url()).href)
  await control.waitForURL('**/hub/login?next=**')
})

test('without a script: sign in, start, progress that renews itself, the notebook, stop', { skip: noLab }, async t => {
  const hub = await startHub(t, config(dummy, `'notebook'`))
  await hub.healthy()
  const { page } = await visit(t, hub, { more: { javaScriptEnabled: false } })
  await page.goto(`${hub.origin}/hub/home`)
  await signIn(page, 'alice', 'a good password')
  await say(hub, 'Your files are being fetched')
  await page.getByRole('button', { name: 'Start' }).click()
  await page.waitForURL('**/hub/spawn-pending/alice')
  await look(page, 'plain-progress')
  await say(hub, undefined)
  await page.waitForURL('**/user/alice/tree**')
  await page.goto(`${hub.origin}/hub/home`)
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.locator('.state', { hasText: 'Stopped' }).waitFor()
  await look(page, 'plain-stopped')
})

test('by the keyboard alone: sign in, choose and start, always seeing where one is', { skip: noLab }, async t => {
  const hub = await startHub(t, config(dummy, `'notebook', 'large'`))
  await hub.healthy()
  const { page } = await visit(t, hub)
  await page.goto(`${hub.origin}/hub/login`)
  // Chromium gives an autofocus with its next frame, which may come after "load".
  await page.locator('input[name=username]:focus').waitFor()
  await page.keyboard.type('alice')
  await page.keyboard.press('Tab')
  await page.keyboard.type('a good password')
  await tabTo(page, 'Sign in')
  await screenshot(page, 'keyboard-login')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/hub/home')
  await tabTo(page, 'Skip to the content')
  await screenshot(page, 'keyboard-skip')
  await page.keyboard.press('Enter')
  await tabTo(page, 'Start')
  await screenshot(page, 'keyboard-home')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/hub/spawn/alice')
  await page.keyboard.press('Tab')
  for (let i = 0; i < 20 && !(await page.evaluate(() => document.activeElement?.matches('input[type=radio]'))); i++)
    await page.keyboard.press('Tab')
  await page.keyboard.press('ArrowDown')
  assert.ok(await page.getByRole('radio', { name: 'Large notebook' }).isChecked())
  await screenshot(page, 'keyboard-start')
  await tabTo(page, 'Start')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/user/alice/tree**')
})

test('the administration: a user with everything about them, services, roles, the trail, one’s own browsers; by keyboard too', {
  skip: noLab,
}, async t => {
  const hub = await startHub(
    t,
    config(
      dummy,
      `'notebook'`,
      `roles: [
        { name: 'tutor', description: 'Helps the students of the course', scopes: ['list:users!group=statistics', 'servers!group=statistics'], users: ['carol'], groups: ['tutors'] },
      ],
      scopes: { 'custom:grades:read': { description: 'Read the grades of a course' } },
      services: [
        { name: 'grades', url: 'http://127.0.0.1:9', token: 'a token of twenty letters'.replaceAll(' ', '-'), access: { groups: ['tutors'] } },
        { name: 'idle-culler', command: ['/bin/sleep', '3600'], scopes: ['list:users', 'read:servers', 'delete:servers'] },
        { name: 'nightly', token: 'another token of letters'.replaceAll(' ', '-'), admin: true },
      ],`,
    ),
  )
  await hub.healthy()
  const there = (path: string) => `${hub.origin}/hub/${path}`
  const other = await visit(t, hub)
  await other.page.goto(there('home'))
  await signIn(other.page, 'carol', 'a good password')
  await other.page.waitForURL('**/hub/home')
  await other.page.getByRole('link', { name: 'Tokens' }).click()
  await other.page.getByLabel('What it is for').fill('the nightly backup of all my notebooks')
  await other.page.getByText('Choose its rights one by one').click()
  await other.page.getByRole('checkbox', { name: 'start:servers!user' }).check()
  await look(other.page, 'tokens-picks')
  await other.page.getByRole('button', { name: 'Create token' }).click()
  const secret = await other.page.getByLabel('The new token').inputValue()
  const works = () => fetch(`${hub.origin}/hub/api/user`, { headers: { authorization: `token ${secret}` } })
  assert.equal((await works()).status, 200)
  await other.page.getByRole('link', { name: 'carol' }).click()
  await other.page.getByRole('row', { name: 'this one' }).waitFor()
  await look(other.page, 'sessions')

  const { page } = await visit(t, hub)
  await page.goto(there('admin'))
  await signIn(page, 'root', 'a good password')
  await page.waitForURL('**/hub/admin')
  await page.goto(there('admin/groups'))
  await page.getByRole('link', { name: 'tutors' }).click()
  await page.getByLabel('Names, one a line').fill('carol')
  await page.getByRole('button', { name: 'Add' }).click()
  await page.getByRole('row', { name: 'carol' }).waitFor()
  for (const section of ['Services', 'Roles', 'Audit trail']) {
    await page.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name: section, exact: true }).click()
    await page.getByRole('heading', { name: section, level: 1 }).waitFor()
    for (const rights of await page.locator('details.scopes').all()) await rights.evaluate(item => item.setAttribute('open', ''))
    await look(page, `admin-${section.toLowerCase().replace(' ', '-')}`)
  }

  // One user, by the keyboard: from the list to the rights, and to the question before a token is revoked
  await page.goto(there('admin?sort=-activity'))
  await look(page, 'admin-sorted')
  await tabTo(page, 'carol')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/hub/admin/users/carol')
  await look(page, 'admin-user')
  await tabTo(page, /^\d+ rights$/)
  await page.keyboard.press('Enter')
  await page.getByText('For carol alone').first().waitFor()
  await look(page, 'admin-user-rights')
  await tabTo(page, 'Revoke')
  await page.keyboard.press('Enter')
  await look(page, 'admin-user-revoke')
  await tabTo(page, 'Yes, revoke')
  await page.keyboard.press('Enter')
  await page.getByText('No tokens.').waitFor()
  assert.equal((await works()).status, 403)

  // Servers of several, ticked and stopped
  await page.getByRole('button', { name: 'Start carol’s server' }).click()
  await page.waitForURL('**/hub/api/oauth2/authorize**')
  await page.goto(there('admin'))
  await page.getByRole('checkbox', { name: 'Tick carol’s default server' }).check()
  await page.getByText('Stop the ticked servers').click()
  await look(page, 'admin-stop-several')
  await page.getByRole('button', { name: 'Yes, stop the ticked ones' }).click()
  await page.waitForURL('**/hub/admin')
  await page.getByRole('row', { name: 'carol' }).locator('.state', { hasText: 'Stopped' }).waitFor()

  // Out, in the other browser
  await page.goto(there('admin/users/carol'))
  await page.getByText('Sign out everywhere', { exact: true }).click()
  await look(page, 'admin-user-sign-out')
  await page.getByRole('button', { name: 'Yes, sign out everywhere' }).click()
  await page.getByText('No browser is signed in.').waitFor()
  await other.page.goto(there('home'))
  await other.page.waitForURL('**/hub/login?next=**')
})

test('a start that fails says why, one can be cancelled, and both can be tried again', { skip: noLab }, async t => {
  const long = 'Maximiliane-Wilhelmina.von-und-zu-'.repeat(6).slice(0, 200).toLowerCase()
  const hub = await startHub(t, config(dummy, `'broken'`, `branding: { name: 'University of Somewhere' },`))
  await hub.healthy()
  const { page } = await visit(t, hub)
  await page.goto(`${hub.origin}/hub/home`)
  await signIn(page, long, 'a good password')
  await page.waitForURL('**/hub/home')
  await page.getByRole('button', { name: 'Start' }).click()
  await page.getByRole('heading', { name: 'could not start' }).waitFor()
  await page.getByRole('alert').getByText('ended with exit code 1').waitFor()
  await page.getByText('OSError: [Errno 5]').waitFor()
  await look(page, 'failed')
  await page.getByRole('link', { name: 'My servers' }).click()
  await page.getByLabel('Name of another server').fill('course-2 Statistics in the second half of the year')
  await say(hub, 'Your files are being fetched')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.waitForURL('**/hub/home')
  await page.locator('.state', { hasText: 'Stopped' }).waitFor()
  await page.getByText('Delete', { exact: true }).click()
  await look(page, 'home-failed')
  await say(hub, undefined)
  await writeFile(join(hub.folder, 'mended'), '')
  await page.getByRole('link', { name: 'Details' }).click()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForURL('**/user/*/tree**')

  // A stop that takes its time is followed to its end
  await page.goto(`${hub.origin}/hub/home`)
  await say(hub, 'Your files are being stored')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.locator('.state', { hasText: 'Stopping' }).waitFor()
  await look(page, 'home-stopping')
  await page.goto(`${hub.origin}/hub/spawn-pending/${long}`)
  await look(page, 'stopping')
  await say(hub, undefined)
  await page.getByRole('heading', { name: 'My server is not running' }).waitFor()
  await look(page, 'not-running')

  await page.goto(`${hub.origin}/hub/logout`)
  await signIn(page, 'root', 'a good password')
  await page.getByRole('link', { name: 'Admin' }).click()
  await look(page, 'admin-long')
})

/** Tab on to what reads so; what has the focus is always seen. */
async function tabTo(page: Page, wanted: string | RegExp): Promise<void> {
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '')
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab')
    const outline = await page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement!)
      return outlineStyle === 'none' ? 0 : Number.parseFloat(outlineWidth)
    })
    assert.ok(outline >= 2, `the focus is not seen on "${await focused()}"`)
    const now = await focused()
    if (typeof wanted === 'string' ? now === wanted : wanted.test(now)) return
  }
  assert.fail(`Tab never comes to "${wanted}"`)
}

const dummy = `dummy({ password: 'a good password' })`

/** A visitor who was never here. At the end of the test no page of the hub may have complained. */
async function visit(t: TestContext, hub: RunningHub, window: Window = {}): Promise<{ page: Page; context: BrowserContext }> {
  await singleuser()
  const { page, context } = await browser(t, window)
  const complaints: string[] = []
  const listen = (page: Page) => {
    const ours = () => URL.canParse(page.url()) && new URL(page.url()).pathname.startsWith('/hub/')
    page.on('pageerror', error => ours() && complaints.push(`${page.url()}: ${error}`))
    page.on('console', message => {
      // Chromium also complains that a page was answered with 403, 424 or 500: these pages are meant.
      const isAnswer = message.text().startsWith('Failed to load resource') && message.location().url === page.url()
      if (ours() && ['error', 'warning'].includes(message.type()) && !isAnswer)
        complaints.push(`${page.url()}: ${message.text()}`)
    })
  }
  context.on('page', listen)
  listen(page)
  for (const origin of [hub.origin, hub.origin.replace('127.0.0.1', 'localhost')])
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin })
  t.after(() => assert.deepEqual(complaints, []))
  return { page, context }
}

async function signIn(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel('User name').fill(name)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** What starts tell while they are held; undefined: they go on. */
async function say(hub: RunningHub, text: string | undefined): Promise<void> {
  const file = join(hub.folder, 'say')
  await (text === undefined ? rm(file, { force: true }) : writeFile(file, text))
}

/** Keeps what the page looks like on a desk and in a hand, by day and by night; it never scrolls sideways. */
async function look(page: Page, name: string): Promise<void> {
  for (const [width, height] of [
    [1280, 800],
    [390, 844],
  ] as const) {
    await page.setViewportSize({ width, height })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(excess <= 0, `${name} is ${excess} px too wide at ${width}`)
      await screenshot(page, `${name}-${width}-${colorScheme}`, { fullPage: true })
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.emulateMedia({ colorScheme: 'light' })
}
