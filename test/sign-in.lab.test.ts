import assert from 'node:assert/strict'
import { test } from 'node:test'
import { githubServer } from './github-server.ts'
import { browser, screenshot } from './lab/chromium.ts'
import { nginx } from './lab/nginx.ts'
import { startHub } from './running-hub.ts'

const config = (githubUrl: string) => `
import { defineConfig, prefixed } from 'swarmhub'
import { dummy, github, header, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [
    prefixed('gh-', github({ url: ${JSON.stringify(githubUrl)}, clientId: 'the-client', clientSecret: 'the secret of the client', organizations: ['acme'] })),
    dummy({ allowPublic: true }),
    prefixed('uni-', header({ from: ['127.0.0.2'], label: 'Sign in with your university account' })),
  ],
  access: { everyone: true },
  spawner: process(),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1', trustedProxies: ['127.0.0.2'] }),
  hub: { port: $HUB_PORT },
  timeouts: { grace: '2s' },
})
`

test('in a browser: one form or button each, in order; by GitHub and back, by what nginx says, and each is somebody else', async t => {
  const server = await githubServer(t)
  server.state.visitor = { id: 7, login: 'Alice', organizations: [{ login: 'acme', state: 'active' }] }
  const hub = await startHub(t, config(server.url), { SWARMHUB_ALLOW_DUMMY: '1' })
  await hub.printed(/swarmhub is at/)
  const origin = await nginx(
    t,
    `location / {
      proxy_bind 127.0.0.2;
      proxy_set_header Remote-User alice;
      proxy_set_header Host $http_host;
      proxy_pass ${hub.origin};
    }`,
  )
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 390],
  ] as const) {
    const { page, context } = await browser(t, { colorScheme, width })
    const inAs = async (name: string) => {
      await page.waitForURL(/\/hub\/home/)
      assert.match(await page.content(), new RegExp(`>\\s*${name}\\s*<`))
      await context.clearCookies()
      await page.goto(`${origin}/hub/login`)
    }
    await page.goto(`${origin}/hub/login`)
    const ways = await page.locator('form button, a.button').allInnerTexts()
    assert.deepEqual(ways, ['Sign in with GitHub', 'Sign in', 'Sign in with your university account'])
    for (const way of await page.locator('form button, a.button').all())
      assert.equal(await way.evaluate(button => getComputedStyle(button).textAlign), 'center')
    await screenshot(page, `sign-in-several-${colorScheme}`, { fullPage: true })
    await page.getByRole('link', { name: 'Sign in with GitHub' }).press('Enter')
    await inAs('gh-alice')
    await page.getByRole('link', { name: 'university' }).click()
    await inAs('uni-alice')
    await page.getByLabel('User name').fill('Alice')
    await page.getByLabel('Password').fill('any')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await inAs('alice')
    await page.getByLabel('User name').fill('gh-bob')
    await page.getByLabel('Password').fill('any')
    await page.getByRole('button', { name: 'Sign in' }).click()
    assert.match(await page.getByRole('alert').innerText(), /sign in another way/)
    await context.close()
  }
})
