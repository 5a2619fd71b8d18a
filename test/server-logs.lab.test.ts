import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attackedHub, config, password } from './hostile.ts'
import { browser, screenshot } from './lab/chromium.ts'
import { noLab } from './lab/lab.ts'

const notebook = `
const { createServer } = require('node:http')
const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL)
for (let i = 0; i < 60; i++) console.log('[I ' + i + '] a line of the log, <b>not bold</b>, ' + 'long '.repeat(i % 7 * 8))
createServer((req, res) => { console.log('asked for ' + req.url); res.end('notebook') }).listen(Number(port), hostname)
`
const text = config().replace(/command: \[.*?\], grace/, `command: ${JSON.stringify([process.execPath, '-e', notebook])}, grace`)

test('in a browser a server’s log grows by itself, and says when the server is gone', { skip: noLab }, async t => {
  const hub = await attackedHub(t, text)
  const token = await hub.token('alice')
  for (const window of [
    { width: 1280, height: 800, colorScheme: 'light' },
    { width: 390, height: 780, colorScheme: 'dark' },
  ] as const) {
    const { page } = await browser(t, window)
    await page.goto(`${hub.origin}/hub/login?next=%2Fhub%2Fspawn`)
    await page.fill('[name=username]', 'alice')
    await page.fill('[name=password]', password)
    await page.click('form button')
    await page.waitForURL(/\/user\/alice\//)
    await page.goto(`${hub.origin}/hub/home`)
    await page.getByRole('link', { name: 'Log of My server' }).click()
    await page.getByText('New lines appear as they are written').waitFor()
    await fetch(`${hub.origin}/user/alice/marker-${window.width}`)
    await page.locator('#server-log', { hasText: `marker-${window.width}` }).waitFor()
    const atEnd = await page.locator('#server-log').evaluate(log => log.scrollHeight - log.scrollTop - log.clientHeight < 40)
    assert.ok(atEnd, 'the newest line is in view')
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)
    assert.ok(!wide, 'nothing stands out to the side')
    await screenshot(page, `server-log-${window.width}`)
    await hub.api(token, 'DELETE', '/users/alice/server')
    await page.getByText('The server is not running any more').waitFor()
  }
})
