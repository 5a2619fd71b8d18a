import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { browser, screenshot } from './lab/chromium.ts'
import { noLab } from './lab/lab.ts'
import { clientId, issuerOf, listening, openProvider } from './oidc-provider.ts'
import { startHub } from './running-hub.ts'

test('oidc: Chromium signs in at the provider, comes back, and signs out of both', { skip: noLab }, async t => {
  const server = createServer()
  await listening(server)
  const hub = await startHub(
    t,
    `
import { defineConfig } from 'swarmhub'
import { httpProxy, oidc, process } from 'swarmhub/plugins'
export default defineConfig({
  access: { everyone: true },
  authState: { keys: ['${'cd'.repeat(32)}'] },
  authenticators: [oidc({ label: 'Sign in with your work account', issuer: '${issuerOf(server)}', clientId: '${clientId}',
    clientSecret: 'the-secret-of-the-client' })],
  spawner: process(),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
})`,
  )
  const there = await openProvider(t, { callbacks: [`${hub.origin}/hub/login/oidc/callback`] }, server)
  there.people.set('7', { preferred_username: 'Dora', name: 'Dora D.' })
  await hub.healthy()

  const { page } = await browser(t)
  await page.goto(`${hub.origin}/hub/token`)
  await page.getByRole('link', { name: 'Sign in with your work account' }).click()
  await page.waitForURL(url => url.origin === there.issuer)
  await page.getByRole('button', { name: '7' }).click()
  await page.waitForURL(`${hub.origin}/hub/token`)
  await screenshot(page, 'oidc-signed-in')
  assert.match(await page.locator('body').innerText(), /dora/)

  await page.goto(`${hub.origin}/hub/logout`)
  assert.equal(new URL(page.url()).origin, there.issuer)
  await page.evaluate(
    'document.forms[0].append(Object.assign(document.createElement("input"), { name: "logout", value: "yes" }))',
  )
  await page.evaluate('document.forms[0].submit()')
  await page.waitForURL(`${hub.origin}/hub/login`)
  await page.goto(`${hub.origin}/hub/home`)
  assert.equal(new URL(page.url()).pathname, '/hub/login')
})
