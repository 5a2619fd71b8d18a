import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Awaitable, type Close, type Context, type FrontOptions, type Proxy as ProxyRole, silent } from 'swarmhub'
import { type Answer, type Ask, ask, echo, serveHttp, serveName, upgrade } from './loopback.ts'

/** A proxy that listens on the loopback address, on a port that is free. */
export interface ProxyCase {
  proxy: ProxyRole
  /** Start what serves. Left out: `proxy.serve`, after which `proxy.listens` says the port. */
  start?(front: FrontOptions): Promise<{ port: number; close: Close }>
}

/**
 * What every proxy has to keep: registers one test for each promise. `make` is called once for each test; clean up with
 * `t.after`.
 *
 *     testProxy('http-proxy', () => ({ proxy: httpProxy({ host: '127.0.0.1', port: 0 }).proxy }))
 */
export function testProxy(name: string, make: (t: TestContext) => Awaitable<ProxyCase>): void {
  const promise = (what: string, check: (t: TestContext, front: Front) => Promise<void>) =>
    test(`${name}: ${what}`, async t => check(t, await start(t, await make(t))))

  promise('a route is live when add resolves, and gone when remove does', async (t, { proxy, get }) => {
    const alice = await serveName(t, 'alice')
    await proxy.add({ path: '/user/alice/', target: alice.target, data: {} }, context())
    assert.equal((await get('/user/alice/lab?x=1')).body, 'alice /user/alice/lab?x=1')
    assert.equal((await get('/user/alice')).body, 'alice /user/alice')
    await proxy.remove('/user/alice/', context())
    assert.equal((await get('/user/alice/lab')).body, 'hub /user/alice/lab')
  })

  promise('adding replaces; removing what is not there is fine', async (t, { proxy, get }) => {
    await proxy.add({ path: '/user/alice/', target: (await serveName(t, 'old')).target, data: { generation: '1' } }, context())
    await proxy.add({ path: '/user/alice/', target: (await serveName(t, 'new')).target, data: { generation: '2' } }, context())
    assert.equal((await get('/user/alice/')).body, 'new /user/alice/')
    assert.deepEqual(
      (await proxy.list(context())).map(route => route.data),
      [{ generation: '2' }],
    )
    for (const _ of [1, 2]) await proxy.remove('/user/alice/', context())
    await proxy.remove('/user/nobody/', context())
    assert.deepEqual(await proxy.list(context()), [])
  })

  promise('the longest route wins, by whole segments; the rest is the hub’s', async (t, { proxy, get }) => {
    for (const path of ['/user/al/', '/user/alice/', '/user/alice/lab/', '/services/x/']) {
      await proxy.add({ path, target: (await serveName(t, path)).target, data: {} }, context())
    }
    const served = async (path: string) => (await get(path)).body.split(' ')[0]
    assert.equal(await served('/user/al/x'), '/user/al/')
    assert.equal(await served('/user/alice/labx'), '/user/alice/')
    assert.equal(await served('/user/alice/lab'), '/user/alice/lab/')
    assert.equal(await served('/user/alice/lab/tree'), '/user/alice/lab/')
    assert.equal(await served('/services/x/'), '/services/x/')
    for (const path of ['/', '/user/', '/user/ali', '/user/alicex/', '/user/Alice/', '/hub/home', '/api/routes']) {
      assert.equal(await served(path), 'hub', path)
    }
  })

  promise('list tells each route as it was added, with any name in its path', async (t, { proxy, get }) => {
    const { target } = await serveName(t, 'notebook')
    const names = [
      'bob',
      'bob@example.org',
      'a%2Bb',
      'a%20b',
      '%C3%A9',
      '%25',
      'a.b',
      'a%27b%28c%29',
      '__proto__',
      'x'.repeat(200),
    ]
    const routes = names.map(name => ({
      path: `/user/${name}/`,
      target,
      data: { jupyterhub: true, user: name, list: [1, null] },
    }))
    for (const route of routes) await proxy.add(route, context())
    const listed = await proxy.list(context())
    const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1)
    assert.deepEqual(listed.map(({ active: _, ...route }) => route).sort(byPath), routes.toSorted(byPath))
    for (const { path } of routes) assert.equal((await get(`${path}x`)).body, `notebook ${path}x`)
    assert.equal((await get('/user/bob%40example.org/x')).body, 'notebook /user/bob%40example.org/x')
  })

  promise('the server sees the request as the client sent it, and who sent it', async (t, { proxy, get }) => {
    const { target } = await serveHttp(t, (req, res) =>
      req.pipe(res.setHeader('X-Seen', JSON.stringify([req.method, req.headers]))),
    )
    await proxy.add({ path: '/user/alice/', target, data: {} }, context())
    const headers = {
      host: 'hub.example.org:8443',
      cookie: 'a=1; b=2',
      authorization: 'token x',
      'sec-fetch-mode': 'cors',
      origin: 'http://x',
    }
    const answer = await get('/user/alice/api', { method: 'PUT', headers, body: 'some content' })
    assert.equal(answer.body, 'some content')
    const [method, seen] = JSON.parse(String(answer.headers['x-seen'])) as [string, IncomingHttpHeaders]
    assert.equal(method, 'PUT')
    for (const [name, value] of Object.entries(headers)) assert.equal(seen[name], value, name)
    assert.equal(seen['x-forwarded-for'], '127.0.0.1')
    assert.equal(seen['x-forwarded-proto'], 'http')
  })

  promise(
    'what the hub knows its front by goes to the hub alone, and no client can say it',
    async (t, { proxy, get, hubSaw }) => {
      // Where something else listens the hub knows no front.
      if (!proxy.serve) return
      const { target } = await serveHttp(t, (req, res) => res.end(JSON.stringify(req.headers)))
      await proxy.add({ path: '/user/alice/', target, data: {} }, context())
      const forged = { headers: { 'x-front': 'the client', 'X-FRONT': 'the client' } }
      await get('/hub/home', forged)
      assert.equal(hubSaw()['x-front'], 'the front')
      assert.doesNotMatch((await get('/user/alice/', forged)).body, /x-front/i)
    },
  )

  promise('answers are passed on as they come', async (t, { proxy, port }) => {
    const sent: ((line: string) => void)[] = []
    const { target } = await serveHttp(t, (_, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
      sent.push(line => res.write(line))
    })
    await proxy.add({ path: '/user/alice/', target, data: {} }, context())
    const outgoing = request({ hostname: '127.0.0.1', port, path: '/user/alice/events', agent: false }).end()
    t.after(() => outgoing.destroy())
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    assert.equal(answer.headers['content-type'], 'text/event-stream')
    for (const line of ['data: 1\n\n', 'data: 2\n\n']) {
      sent[0]!(line)
      assert.equal(String((await once(answer, 'data'))[0]), line)
    }
    outgoing.destroy()
  })

  promise('a WebSocket gets through, with its protocol, its path and its host', async (t, { proxy, port }) => {
    const { target } = await serveHttp(t, (_, res) => res.end(), echo)
    await proxy.add({ path: '/user/alice/', target, data: {} }, context())
    const { headers, socket } = await upgrade(t, port, '/user/alice/api/kernels/1/channels?session_id=2', {
      Host: 'hub.example.org',
      'Sec-WebSocket-Protocol': 'v1.kernel.websocket.jupyter.org',
      Origin: 'http://hub.example.org',
    })
    assert.equal(headers['sec-websocket-protocol'], 'v1.kernel.websocket.jupyter.org')
    assert.equal(headers['x-seen'], '/user/alice/api/kernels/1/channels?session_id=2 hub.example.org http://hub.example.org')
    for (const message of ['one', 'two']) {
      socket.write(message)
      assert.equal(String((await once(socket, 'data'))[0]), message)
    }
  })

  promise('a browser session that ends takes its WebSockets along, and no others', async (t, { proxy, port }) => {
    if (!proxy.endSession) return
    const { target } = await serveHttp(t, (_, res) => res.end(), echo)
    await proxy.add({ path: '/user/alice/', target, data: {} }, context())
    const open = async (id: string) =>
      (await upgrade(t, port, '/user/alice/ws', { Cookie: `jupyterhub-session-id=${id.repeat(32)}` })).socket
    const [ended, other] = [await open('a'), await open('b')]
    const closed = once(ended, 'close')
    for (const _ of [1, 2]) await proxy.endSession('a'.repeat(32), context())
    await closed
    other.write('still here')
    assert.equal(String((await once(other, 'data'))[0]), 'still here')
  })

  promise('a server that is not there is a 503, and no harm to others', async (t, { proxy, get }) => {
    const gone = await serveName(t, 'gone')
    await gone.stop()
    await proxy.add({ path: '/user/alice/', target: gone.target, data: {} }, context())
    await proxy.add({ path: '/user/bob/', target: (await serveName(t, 'bob')).target, data: {} }, context())
    assert.equal((await get('/user/alice/')).status, 503)
    assert.equal((await get('/user/bob/')).status, 200)
  })

  promise('what is served to a user is activity; redirects and errors are not', async (t, { proxy, get }) => {
    const { target } = await serveHttp(t, (req, res) =>
      res.writeHead(Number(req.url!.split('/').at(-1)), { Location: '/' }).end(),
    )
    const activity = async () => (await proxy.list(context())).find(route => route.path === '/user/alice/')!.active.getTime()
    await proxy.add({ path: '/user/alice/', target, data: {} }, context())
    await new Promise(resolve => setTimeout(resolve, 5))
    const added = await activity()
    for (const status of [302, 304, 403, 404, 500]) await get(`/user/alice/${status}`)
    assert.equal(await activity(), added)
    await get('/user/alice/200')
    assert.ok((await activity()) > added)
  })
}

interface Front {
  proxy: ProxyRole
  port: number
  get(path: string, options?: Ask): Promise<Answer>
  /** The headers of the last request that came to the hub. */
  hubSaw(): IncomingHttpHeaders
}

async function start(t: TestContext, { proxy, start: open }: ProxyCase): Promise<Front> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-proxy-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let saw: IncomingHttpHeaders = {}
  const hub = await serveHttp(t, (req, res) => {
    saw = req.headers
    res.end(`hub ${req.url}`)
  })
  const front: FrontOptions = {
    hub: { host: '127.0.0.1', port: hub.port },
    hubHeaders: { 'x-front': 'the front' },
    peerHeader: 'x-peer',
    guarded: [{ headers: ['Remote-User'], from: ['192.0.2.0/24'] }],
    api: { at: { socket: join(folder, 'routes.sock') }, token: 'the-secret-of-the-route-api' },
    base: '/',
    folder,
    patience: 200,
  }
  const { port, close } = await (open ? open(front) : serve(proxy, front))
  t.after(close)
  proxy.connect?.(front.api)
  return { proxy, port, get: (path, options) => ask(port, path, options), hubSaw: () => saw }
}

async function serve(proxy: ProxyRole, front: FrontOptions) {
  assert.ok(proxy.serve, 'a proxy that does not serve needs `start` in its case')
  const close = await proxy.serve(front, context())
  assert.ok(proxy.listens, 'a proxy that serves says where')
  return { port: proxy.listens.port, close }
}

const context = (signal: AbortSignal = AbortSignal.timeout(60_000)): Context => ({ log: silent, signal, progress() {} })
