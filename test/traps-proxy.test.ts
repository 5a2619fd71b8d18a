import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { context, startFront } from './http-proxy-front.ts'
import { ask, echo, sendRaw, serveHttp, upgrade } from './roles/loopback.ts'
import { trapHub } from './trap-hub.ts'
import { visitor } from './visitor.ts'

/*
 * JupyterHub's clients fail silently when a hub gets one of these wrong: its proxy. One test for each. What takes a real
 * notebook is in traps.lab.test.ts.
 */

const its = trapHub()

/** A request of which only the head of the answer is awaited. */
async function begin(port: number, path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const [answer] = (await once(request({ port, path, headers, host: '127.0.0.1', agent: false }).end(), 'response')) as [
    IncomingMessage,
  ]
  return answer
}

test('trap 31: Host and Origin reach the server as the client sent them, with the port', async t => {
  const notebook = await serveHttp(t, (req, res) => res.end(`${req.headers.host} ${req.headers.origin}`), echo)
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  for (const host of [`hub.example.org:${front.port}`, 'hub.example.org', `127.0.0.1:${front.port}`]) {
    const headers = { host, origin: `http://${host}` }
    assert.equal((await front.get('/user/alice/', { headers })).body, `${host} http://${host}`)
    const { headers: seen } = await upgrade(t, front.port, '/user/alice/ws', headers)
    assert.equal(seen['x-seen'], `/user/alice/ws ${host} http://${host}`)
  }
})

test('trap 32: the subprotocol and the Sec-Fetch headers pass both ways, and a stream of events neither waits nor is packed', async t => {
  let seen: IncomingMessage['headers'] = {}
  let stream: ServerResponse | undefined
  const notebook = await serveHttp(
    t,
    (req, res) => {
      seen = req.headers
      stream = res.writeHead(200, { 'Content-Type': 'text/event-stream' })
      res.write('data: 1\n\n')
    },
    echo,
  )
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  const sent = { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'empty' }
  const answer = await begin(front.port, '/user/alice/events', { ...sent, 'accept-encoding': 'gzip, br' })
  // The second is written only when the first has come.
  assert.equal(String((await once(answer, 'data'))[0]), 'data: 1\n\n')
  stream!.write('data: 2\n\n')
  assert.equal(String((await once(answer, 'data'))[0]), 'data: 2\n\n')
  assert.equal(answer.headers['content-encoding'], undefined)
  assert.deepEqual({ ...seen, ...sent }, seen)
  answer.destroy()
  const protocol = 'v1.kernel.websocket.jupyter.org'
  const { headers } = await upgrade(t, front.port, '/user/alice/ws', { 'Sec-WebSocket-Protocol': protocol })
  assert.equal(headers['sec-websocket-protocol'], protocol)
})

test('trap 33: a token in the address or in the Authorization header of a WebSocket reaches the server, as does Sec-Fetch-Mode', async t => {
  let seen: IncomingMessage['headers'] = {}
  const notebook = await serveHttp(
    t,
    (_, res) => res.end(),
    (req, socket) => {
      seen = req.headers
      echo(req, socket)
    },
  )
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  const path = '/user/alice/api/kernels/1/channels?session_id=2&token=abc'
  const { headers } = await upgrade(t, front.port, path, { authorization: 'token abc', 'sec-fetch-mode': 'websocket' })
  assert.ok(String(headers['x-seen']).startsWith(`${path} `))
  assert.deepEqual([seen.authorization, seen['sec-fetch-mode']], ['token abc', 'websocket'])
})

test('trap 34: a WebSocket below the server’s path carries the cookies of that path', async () => {
  const hub = its()
  const { base } = await hub.run('a34')
  const alice = await hub.enter('a34')
  const set = encodeURIComponent(JSON.stringify(['Set-Cookie', 'jupyterhub-user-a34=secret; Path=/user/a34/; HttpOnly']))
  await alice.ask(`${base}say?headers=${set}`)
  const outgoing = request({
    host: '127.0.0.1',
    port: hub.port,
    path: `${base}api/kernels/1/channels`,
    headers: { connection: 'Upgrade', upgrade: 'websocket', cookie: alice.cookieFor(`${base}api/kernels/1/channels`) },
    agent: false,
  }).end()
  const [answer, socket] = (await once(outgoing, 'upgrade')) as [IncomingMessage, Socket]
  socket.destroy()
  const cookie = JSON.parse(String(answer.headers['x-seen'])).cookie
  assert.match(cookie, /jupyterhub-user-a34=secret/)
  assert.match(cookie, /jupyterhub-session-id=/)
})

test('trap 35: an answer may be as late and a body as large as it likes: the front has no limit of its own for either', async t => {
  const notebook = await serveHttp(t, async (req, res) => {
    let size = 0
    for await (const chunk of req) size += chunk.length
    // Longer than the front waits for a hub that is away.
    await sleep(500)
    res.end(String(size))
  })
  const front = await startFront(t, { patience: 50 })
  await front.route('/user/alice/', notebook.target)
  const body = 'x'.repeat(20 * 2 ** 20)
  const { status, body: size } = await front.get('/user/alice/upload', { method: 'POST', body })
  assert.deepEqual([status, size], [200, String(body.length)])
})

test('trap 36: addresses with broken percents are refused, and harm nobody', async () => {
  const hub = its()
  const before = await hub.pids()
  for (const path of ['/user/%zz/', '/user/%', '/%', '/user/a%2', '/user/%ff%fe/', '/hub/%c0%80', '/user/%E0%A4%A/x'])
    for (const more of ['', 'Upgrade: websocket\r\nConnection: Upgrade\r\n']) {
      const answer = await sendRaw(hub.port, `GET ${path} HTTP/1.1\r\nHost: x\r\n${more || 'Connection: close\r\n'}\r\n`)
      assert.match(answer, /^HTTP\/1\.1 (302|40[0-9])/, path)
    }
  assert.deepEqual(await hub.pids(), before)
  await hub.healthy()
})

test('trap 37: what polls a server that was stopped ends at 424 in JSON by its cookies; signed out, at the sign-in page', async () => {
  const hub = its()
  const { base, token } = await hub.run('a37')
  const alice = await hub.enter('a37')
  await hub.stop('a37', token)
  for (const mode of ['cors', 'same-origin'])
    for (const path of ['api/kernels', 'api/sessions?1', 'api/terminals']) {
      // As JupyterLab asks: fetch follows the redirect with its headers.
      const headers = { accept: '*/*', 'sec-fetch-mode': mode, 'sec-fetch-site': 'same-origin' }
      const moved = await alice.ask(base + path, { headers })
      assert.equal(moved.headers.get('location'), `/hub${base}${path}`)
      const reply = await alice.ask(`/hub${base}${path}`, { headers })
      assert.equal(reply.status, 424, path)
      assert.match(((await reply.json()) as { message: string }).message, /no longer running.*\/hub\/spawn\/a37/)
    }
  const post = await alice.ask(`/hub${base}api/kernels`, {
    method: 'POST',
    headers: { 'x-xsrftoken': await alice.xsrf(), 'content-type': 'application/json' },
    body: '{}',
  })
  assert.equal(post.status, 424)
  const stranger = await visitor(hub.origin).open(`${base}api/kernels`)
  assert.match(stranger.path, /^\/hub\/login\?next=/)
  assert.equal(stranger.reply.status, 200)
})

test('trap 38: redirects, errors, and what a server says by itself are no activity of its route', async t => {
  let status = 200
  let talk: Socket | undefined
  const notebook = await serveHttp(
    t,
    (_, res) => res.writeHead(status, { Location: '/x' }).end(),
    (req, socket) => {
      echo(req, socket)
      talk = socket
    },
  )
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  const activity = async () => {
    await sleep(5)
    return (await front.proxy.list(context()))[0]!.active.getTime()
  }
  const { socket } = await upgrade(t, front.port, '/user/alice/ws')
  let last = await activity()
  for (const [answered, isActivity] of [
    [302, false],
    [404, false],
    [500, false],
    [200, true],
    [403, false],
  ] as const) {
    status = answered
    await front.get('/user/alice/')
    const now = await activity()
    assert.equal(now > last, isActivity, `${answered}`)
    last = now
  }
  talk!.write('an execution goes on')
  await once(socket, 'data')
  assert.equal(await activity(), last)
  socket.write('a person types')
  await once(socket, 'data')
  assert.ok((await activity()) > last)
})

test('trap 38: the hub’s own looks at a server are no activity of it', async () => {
  const hub = its()
  await hub.run('a38')
  const before = (await hub.model('a38')).servers[''].last_activity
  // The hub looks each second, and a page that was left open is sent here again and again.
  for (let i = 0; i < 3; i++) {
    await sleep(500)
    await ask(hub.port, '/hub/user/a38/api/kernels')
  }
  assert.equal((await hub.model('a38')).servers[''].last_activity, before)
})
