import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { type Kernel, kernel } from './lab/jupyter.ts'
import { noLab } from './lab/lab.ts'
import { type RunningHub, startHub } from './running-hub.ts'
import { type Visitor, visitor } from './visitor.ts'

/*
 * The traps that only a real notebook falls into: Debian's jupyterhub-singleuser behind hub and proxy.
 */

const config = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { poll: '2s', slow: '200ms' },
})
`

const base = '/user/alice/'
const ends: (() => unknown)[] = []
let hub: RunningHub
let alice: Visitor
let token: string
/** Open from the first test on, and silent. */
let idle: Kernel
let silentSince: number

/** A WebSocket to a kernel: open, or the status that it was refused with. */
async function channels(more: string, headers: Record<string, string>): Promise<number> {
  const id = await kernelId()
  const url = `${hub.origin.replace('http', 'ws')}${base}api/kernels/${id}/channels?session_id=${randomUUID()}${more}`
  const socket = new WebSocket(url, { headers, handshakeTimeout: 10_000 })
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(101))
    socket.on('unexpected-response', (_, reply) => resolve(reply.statusCode ?? 0))
    socket.on('error', reject)
  }).finally(() => socket.terminate()) as Promise<number>
}

async function kernelId(): Promise<string> {
  const reply = await fetch(`${hub.origin}${base}api/kernels`, { headers: { authorization: `token ${token}` } })
  return ((await reply.json()) as { id: string }[])[0]!.id
}

before(async () => {
  if (noLab) return
  hub = await startHub({ name: 'a real notebook and the traps', after: end => void ends.push(end) }, config)
  await hub.healthy()
  const body = JSON.stringify({ auth: { username: 'alice', password: 'a good password' } })
  const made = await fetch(`${hub.origin}/hub/api/users/alice/tokens`, { method: 'POST', body })
  token = ((await made.json()) as { token: string }).token
  alice = visitor(hub.origin)
  await alice.signIn('alice', 'a good password', '/hub/home')
})

after(async () => {
  for (const end of ends.reverse()) await end()
})

test('trap 07: a browser that follows `ready` comes to the notebook without a detour over the hub', { skip: noLab }, async () => {
  const headers = { authorization: `token ${token}` }
  assert.equal((await fetch(`${hub.origin}/hub/api/users/alice/server`, { method: 'POST', headers })).status, 202)
  const stream = await fetch(`${hub.origin}/hub/api/users/alice/server/progress`, { headers })
  let text = ''
  for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.includes('"ready"')) break
  }
  const { url } = JSON.parse(/data: (.*"ready".*)/.exec(text)![1]!)
  const { reply, trail } = await alice.open(url)
  assert.equal(reply.status, 200, trail.join(' → '))
  assert.ok(!trail.some(path => path.startsWith('/hub/user/') || path.includes('redirects=')), trail.join(' → '))
  idle = await kernel({ url: hub.origin + base, headers: { cookie: alice.cookieFor(base) } })
  ends.push(() => idle.socket.terminate())
  assert.equal(await idle.run('x = 6; print(x)'), '6\n')
  silentSince = performance.now()
})

test('trap 31: a WebSocket is refused from another origin, and taken from the address that people type', {
  skip: noLab,
}, async () => {
  const cookie = alice.cookieFor(base)
  assert.equal(await channels('', { cookie, origin: hub.origin }), 101)
  assert.equal(await channels('', { cookie, origin: 'http://evil.example' }), 403)
  assert.equal(await channels('', { cookie, origin: hub.origin.replace(/:\d+$/, '') }), 403, 'the port counts')
  assert.equal(await channels('', { cookie, origin: 'http://localhost:1234', host: 'localhost:1234' }), 101)
})

test('trap 33: a script’s WebSocket gets in with its token in the address or the header', { skip: noLab }, async () => {
  assert.equal(await channels('', { authorization: `token ${token}` }), 101)
  assert.equal(await channels(`&token=${token}`, { 'sec-fetch-mode': 'websocket' }), 101)
  assert.equal(await channels('', {}), 403)
  assert.equal(await channels('&token=wrong', {}), 403)
})

test('trap 34: a WebSocket by cookie has it from the path of the server', { skip: noLab }, async () => {
  assert.match(alice.cookieFor(`${base}api/kernels/1/channels`), /jupyterhub-user-alice=/)
  assert.doesNotMatch(alice.cookieFor('/user/other/'), /jupyterhub-user-alice=/)
  assert.equal(await channels('', { cookie: alice.cookieFor(base), origin: hub.origin }), 101)
  assert.equal(await channels('', { cookie: alice.cookieFor('/user/other/'), origin: hub.origin }), 403)
})

test('trap 46: what was refused to somebody is not remembered against a token that they get after the grant', {
  skip: noLab,
}, async () => {
  const bob = visitor(hub.origin)
  await bob.signIn('bob', 'a good password', '/hub/home')
  assert.equal((await bob.open(`${base}tree`)).reply.status, 403)
  const root = visitor(hub.origin)
  await root.signIn('root', 'a good password', '/hub/home')
  const _xsrf = await root.xsrf()
  const send = (method: string, path: string, body: object) =>
    root.ask(`/hub/api${path}?_xsrf=${_xsrf}`, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  assert.equal((await send('PATCH', '/users/bob', { admin: true })).status, 200)
  const asked = await bob.open(`${base}tree`)
  assert.match(asked.path, /oauth2\/authorize/)
  assert.equal((await bob.submit(asked.path, 'authorize', {})).reply.status, 200)
  assert.equal((await bob.open(`${base}api/contents`)).reply.status, 200)
})

test('trap 35: a kernel’s WebSocket on which nobody says anything lives through the server’s pings', {
  skip: noLab,
}, async () => {
  // The server pings each 30 seconds; before, there has been nothing.
  await sleep(Math.max(0, 35_000 - (performance.now() - silentSince)))
  assert.equal(idle.socket.readyState, WebSocket.OPEN)
  assert.equal(await idle.run('print(x * 7)'), '42\n')
})
