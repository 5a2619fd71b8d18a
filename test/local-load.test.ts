import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPasswords } from '../plugins/local/passwords.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const password = 'a horse, a battery'
const count = 1000

const config = `
import { defineConfig } from 'swarmhub'
import { httpProxy, local, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [local()],
  access: { everyone: true },
  spawner: process({ command: ['true'] }),
  proxy: httpProxy({ host: '127.0.0.1', port: $PORT, trustedProxies: 1 }),
  hub: { port: $HUB_PORT },
})
`

test('load: 1,000 people with local accounts sign in at once: each is let in or told when to come back, and the hub goes on answering', async t => {
  const hub = await startHub(t, config, {}, async folder => {
    const accounts = join(folder, 'data/plugins/local')
    await mkdir(accounts, { recursive: true, mode: 0o700 })
    // One hash for all: making a thousand would take minutes.
    const kept = await createPasswords().keep(password, 'nobody')
    const state = { version: 1, accounts: Array.from({ length: count }, (_, n) => account(n, kept)), setup: null }
    await writeFile(join(accounts, 'accounts.json'), JSON.stringify(state), { mode: 0o600 })
  })
  await hub.healthy()
  const host = new URL(hub.origin)

  /** As from a network of one's own for each ten people, through a proxy in front. */
  const send = (n: number, form: { cookie: string; body: string }) =>
    new Promise<{ status: number; retryAfter: string | undefined }>((resolve, reject) => {
      const headers = {
        'Content-Type': 'application/x-www-form-urlencoded',
        'X-Forwarded-For': `10.0.${(n / 10) | 0}.${n % 250}`,
        Cookie: form.cookie,
      }
      const sent = request({ host: host.hostname, port: host.port, method: 'POST', path: '/hub/login', headers, timeout: 60_000 })
      sent.once('timeout', () => sent.destroy(new Error('no answer')))
      sent.once('error', reject)
      sent.once('response', answer => {
        answer.resume()
        resolve({ status: answer.statusCode!, retryAfter: answer.headers['retry-after'] })
      })
      sent.end(form.body)
    })

  const page = visitor(hub.origin)
  const { text } = await page.open('/hub/login')
  const xsrf = /name="_xsrf" value="([^"]+)"/.exec(text)![1]!
  const form = (n: number) => ({
    cookie: page.cookieFor('/hub/login'),
    body: new URLSearchParams({ _xsrf: xsrf, method: 'local', username: `user${n}`, password }).toString(),
  })

  let over = false
  const beats: number[] = []
  const heartbeat = (async () => {
    while (!over) {
      const began = performance.now()
      const reply = await fetch(`${hub.origin}/hub/health`)
      await reply.arrayBuffer()
      beats.push(performance.now() - began)
      await sleep(20)
    }
  })()
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => send(n, form(n))))
  over = true
  await heartbeat
  beats.sort((a, b) => a - b)
  const at = (share: number) => `${beats[Math.floor(beats.length * share)]?.toFixed(0)} ms`
  const entered = answers.filter(({ status }) => status === 302).length
  t.diagnostic(
    `${entered} entered, ${count - entered} told to come back; health: p50 ${at(0.5)}, p99 ${at(0.99)}, of ${beats.length}`,
  )
  for (const { status, retryAfter } of answers)
    assert.ok(status === 302 || (status === 429 && Number(retryAfter) > 0), `${status} ${retryAfter}`)
  assert.ok(entered >= 10)
  assert.equal((await fetch(`${hub.origin}/hub/health`)).status, 200)
})

const account = (n: number, kept: object) => ({
  id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
  name: `user${n}`,
  admin: false,
  created: new Date().toISOString(),
  password: kept,
  link: null,
})
