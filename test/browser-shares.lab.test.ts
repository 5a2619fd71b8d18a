import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { browser, screenshot } from './lab/chromium.ts'
import { noLab } from './lab/lab.ts'
import { startHub } from './running-hub.ts'

const config = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'the shared one' })],
  access: { everyone: true, admins: ['root'] },
  roles: [{ name: 'user', scopes: ['self', 'shares!user', 'read:users:name', 'read:groups:name'], groups: ['course-physics'] }],
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  limits: { namedServers: 3 },
})
`

test('a server is shared by name and by a link, accepted, and left, in the browser at both widths and in both schemes', {
  skip: noLab,
}, async t => {
  const hub = await startHub(t, config)
  await hub.healthy()
  const enter = async (name: string) => {
    const { page } = await browser(t)
    await page.goto(`${hub.origin}/hub/login`)
    await page.getByLabel(/name/i).fill(name)
    await page.getByLabel(/password/i).fill('the shared one')
    await page.keyboard.press('Enter')
    await page.waitForURL(url => !url.pathname.endsWith('/login'))
    return page
  }
  const [root, bob, alice] = [await enter('root'), await enter('bob'), await enter('alice')]

  await alice.goto(`${hub.origin}/hub/home`)
  await alice.getByRole('link', { name: 'Share My server' }).click()
  await alice.getByLabel('Name').fill('bobby')
  await alice.keyboard.press('Enter')
  await alice.getByRole('alert').waitFor()
  await look(alice, 'share-refused')
  await alice.getByLabel('Name').fill('bob')
  await alice.getByRole('button', { name: 'Share', exact: true }).click()
  await alice.getByRole('rowheader', { name: 'bob' }).waitFor()
  await alice.getByRole('combobox', { name: 'With' }).selectOption('group')
  await alice.getByLabel('Name').fill('course-physics')
  await alice.getByLabel('They may').first().selectOption('start')
  await alice.getByRole('button', { name: 'Share', exact: true }).click()
  await alice.getByRole('rowheader', { name: 'course-physics' }).waitFor()
  await alice.getByRole('button', { name: 'Make a link' }).click()
  const link = await alice.getByLabel('The link').inputValue()
  await look(alice, 'share')

  await bob.goto(link)
  await look(bob, 'accept-share')
  await bob.getByRole('button', { name: 'Accept' }).click()
  await bob.waitForURL('**/hub/user/alice/**')
  await look(bob, 'shared-stopped')
  await bob.goto(`${hub.origin}/hub/home`)
  await look(bob, 'shared-with-me')
  await root.goto(`${hub.origin}/hub/admin/shares`)
  await look(root, 'admin-shares')

  // By keyboard alone.
  await bob.getByLabel('Leave alice’s server').focus()
  await bob.keyboard.press('Enter')
  await look(bob, 'leave')
  await bob.keyboard.press('Tab')
  await bob.keyboard.press('Enter')
  await bob.getByText('Shared with you').waitFor({ state: 'detached' })
  await alice.goto(`${hub.origin}/hub/share/alice`)
  assert.equal(await alice.getByRole('rowheader', { name: 'bob' }).count(), 0)
  await alice.getByLabel(/^Revoke link/).click()
  await alice.getByRole('button', { name: 'Yes, revoke' }).click()
  await alice.getByText('None that can still be used.').waitFor()
  assert.equal((await bob.goto(link))?.status(), 404)
})

/** Nothing is wider than the window, at either width; kept as pictures in both schemes. */
async function look(page: Page, name: string): Promise<void> {
  for (const [width, scheme] of [
    [1280, 'light'],
    [390, 'dark'],
  ] as const) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: scheme })
    await screenshot(page, `shares-${name}-${width}-${scheme}`, { fullPage: true })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.ok(wide <= 0, `${name} is ${wide} px too wide at ${width}`)
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.emulateMedia({ colorScheme: 'light' })
}
