import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { type HttpProxyOptions, httpProxy } from 'swarmhub/plugins/http-proxy'
import { WebSocket, WebSocketServer } from 'ws'
import { context, startFront, temporaryFolder, token } from './http-proxy-front.ts'
import { ask, echo, serveHttp, serveName, until, upgrade } from './roles/loopback.ts'
import { testProxy } from './roles/proxy.ts'

testProxy('http-proxy', () => ({ proxy: httpProxy({ host: '127.0.0.1', port: 0 }).proxy }))

/** A server that answers with the headers it saw. */
const serveHeaders = (t: TestContext) => serveHttp(t, (req, res) => res.end(JSON.stringify(req.headers)))

// ---------------------------------------------------------------------------------------------------------------------
// The hub behind the front

test('while the hub is away requests for it wait, and are answered when it is back, each once', async t => {
  const hub = await serveName(t, 'old hub')
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port }, patience: 20_000 })
  assert.equal((await front.get('/hub/')).body, 'old hub /hub/')
  await hub.stop()
  const waiting = Promise.all([
    front.get('/hub/home'),
    front.get('/hub/spawn', { method: 'POST', body: 'profile=x' }),
    front.get('/hub/api/x', { method: 'DELETE' }),
  ])
  await front.route('/user/alice/', (await serveName(t, 'alice')).target)
  assert.equal((await front.get('/user/alice/')).body, 'alice /user/alice/', 'a notebook needs no hub')
  const seen: string[] = []
  const answer = async (req: IncomingMessage) => {
    seen.push(`${req.method} ${req.url} ${await text(req)}`)
    return 'new hub'
  }
  await serveHttp(t, async (req, res) => res.end(await answer(req)), undefined, hub.port)
  assert.deepEqual(
    (await waiting).map(({ status, body }) => `${status} ${body}`),
    Array(3).fill('200 new hub'),
  )
  assert.deepEqual(seen.sort(), ['DELETE /hub/api/x ', 'GET /hub/home ', 'POST /hub/spawn profile=x'])
})

test('a hub that dies over a GET is asked again when it is back; over a POST it is not', async t => {
  let asked = 0
  const dying = await serveHttp(t, async req => {
    asked++
    req.socket.resetAndDestroy()
    if (asked === 3) await dying.stop()
  })
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: dying.port }, patience: 20_000 })
  assert.equal((await front.get('/hub/spawn', { method: 'POST', body: 'x' })).status, 503)
  assert.equal(asked, 1)
  const waiting = front.get('/hub/home')
  await until(() => asked === 3)
  await serveHttp(t, (_, res) => res.end('new hub'), undefined, dying.port)
  assert.equal((await waiting).body, 'new hub')
})

test('a hub that stays away is a 503 after the patience, as a page for people and in words for programs', async t => {
  const hub = await serveName(t, 'hub')
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port }, patience: 100 })
  await hub.stop()
  const page = await front.get('/hub/home', { headers: { accept: 'text/html,*/*' } })
  assert.equal(page.status, 503)
  assert.equal(page.headers['retry-after'], '5')
  assert.match(page.headers['content-type']!, /^text\/html/)
  assert.match((await front.get('/hub/api/users', { method: 'POST', body: '{}' })).headers['content-type']!, /^text\/plain/)
})

test('a client that leaves while the hub is away is not waited for, and its request not made', async t => {
  const hub = await serveName(t, 'hub')
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port }, patience: 20_000 })
  await hub.stop()
  const outgoing = request({
    host: '127.0.0.1',
    port: front.port,
    path: '/hub/spawn',
    method: 'POST',
    headers: { 'Content-Length': 1 },
  })
  outgoing.on('error', () => {})
  outgoing.write('x')
  await new Promise(resolve => setTimeout(resolve, 50))
  outgoing.destroy()
  await new Promise(resolve => outgoing.once('close', resolve))
  const seen: string[] = []
  await serveHttp(t, (req, res) => res.end(String(seen.push(req.url!))), undefined, hub.port)
  await front.get('/hub/later')
  assert.deepEqual(seen, ['/hub/later'])
})

test('the hub may be on a unix socket', async t => {
  const folder = await temporaryFolder(t)
  const hub = createServer((req, res) => res.end(`hub ${req.headers.host} ${req.url}`)).listen(join(folder, 'hub.sock'))
  t.after(() => hub.close().closeAllConnections())
  const front = await startFront(t, { hub: { socket: join(folder, 'hub.sock') } })
  assert.equal((await front.get('/hub/a?b', { headers: { host: 'example.org' } })).body, 'hub example.org /hub/a?b')
})

test('for a server that does not answer the hub draws the page, under its own rules for scripts', async t => {
  const hub = await serveHttp(t, (req, res) => {
    res.setHeader('Content-Security-Policy', "default-src 'none'")
    res.setHeader('Set-Cookie', 'x=y')
    res.setHeader('Content-Type', 'text/html')
    res.end(`drawn for ${req.url}`)
  })
  const gone = await serveName(t, 'gone')
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port }, base: '/prefix/' })
  await front.route('/prefix/user/alice/', gone.target)
  await gone.stop()
  const page = await front.get('/prefix/user/alice/lab?x=1&y')
  assert.equal(page.status, 503)
  assert.equal(page.body, 'drawn for /prefix/hub/error/503?url=%2Fprefix%2Fuser%2Falice%2Flab%3Fx%3D1%26y')
  assert.equal(page.headers['content-security-policy'], "default-src 'none'")
  assert.equal(page.headers['set-cookie'], undefined)
  await hub.stop()
  assert.match((await front.get('/prefix/user/alice/')).body, /does not answer/)
})

// ---------------------------------------------------------------------------------------------------------------------
// Who the client is

test('what a client says about itself in X-Forwarded headers is replaced', async t => {
  const front = await startFront(t)
  await front.route('/user/alice/', (await serveHeaders(t)).target)
  const lies = {
    'X-Forwarded-For': '6.6.6.6, 7.7.7.7',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'evil.example',
    'X-Forwarded-Port': '666',
    'X-Forwarded-Prefix': '/evil',
    'X-Forwarded-User': 'root',
    X_Forwarded_For: '6.6.6.6',
    Forwarded: 'for=6.6.6.6;proto=https',
    'X-Real-IP': '6.6.6.6',
    'X-Scheme': 'https',
  }
  const seen = JSON.parse(
    (await front.get('/user/alice/', { headers: { host: 'hub.example.org:8000', ...lies } })).body,
  ) as object
  assert.deepEqual(Object.fromEntries(Object.entries(seen).filter(([name]) => /forward|real|scheme/.test(name))), {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'hub.example.org:8000',
    'x-forwarded-port': '8000',
    'x-real-ip': '127.0.0.1',
  })
})

test('proxies that are trusted, by number or by address, are believed as far as they are', async t => {
  const { target } = await serveHeaders(t)
  const seenBy = async (trustedProxies: HttpProxyOptions['trustedProxies'], headers: Record<string, string>) => {
    const front = await startFront(t, { options: { trustedProxies } })
    await front.route('/user/alice/', target)
    const seen = JSON.parse((await front.get('/user/alice/', { headers: { host: 'h', ...headers } })).body) as Record<
      string,
      string
    >
    return ['for', 'proto', 'host', 'port'].map(name => seen[`x-forwarded-${name}`]).join(' ')
  }
  const said = { 'X-Forwarded-For': '6.6.6.6, 10.0.0.1', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'hub.example.org' }
  assert.equal(await seenBy(0, said), '127.0.0.1 http h 80')
  assert.equal(await seenBy(1, said), '10.0.0.1 https hub.example.org 443')
  assert.equal(await seenBy(2, said), '6.6.6.6 https hub.example.org 443')
  assert.equal(await seenBy(9, said), '6.6.6.6 https hub.example.org 443')
  assert.equal(await seenBy(['127.0.0.0/8'], said), '10.0.0.1 https hub.example.org 443')
  assert.equal(await seenBy(['127.0.0.1', '10.0.0.0/8'], said), '6.6.6.6 https hub.example.org 443')
  assert.equal(await seenBy(['10.0.0.0/8'], said), '127.0.0.1 http h 80')
  assert.equal(await seenBy([], said), '127.0.0.1 http h 80')
  assert.equal(await seenBy(1, {}), '127.0.0.1 http h 80')
  const odd = { 'X-Forwarded-For': 'unknown', 'X-Forwarded-Proto': 'gopher', 'X-Forwarded-Host': 'a b', 'X-Forwarded-Port': '<' }
  assert.equal(await seenBy(1, odd), '127.0.0.1 http h 80')
})

// ---------------------------------------------------------------------------------------------------------------------
// One origin

test('a server cannot speak for the whole origin; the hub can', async t => {
  const strong = {
    'Service-Worker-Allowed': '/',
    'Clear-Site-Data': '"*"',
    'Strict-Transport-Security': 'max-age=1',
    'Alt-Svc': 'h3=":443"',
    NEL: '{}',
    'Report-To': '{}',
    'Reporting-Endpoints': 'x="/"',
    'X-Accel-Redirect': '/secret',
    'X-Accel-Buffering': 'no',
    'X-Sendfile': '/secret',
  }
  const speak = () =>
    serveHttp(t, (_, res) => res.writeHead(200, { ...strong, 'X-Own': 'kept', 'Content-Security-Policy': 'x' }).end())
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: (await speak()).port } })
  await front.route('/user/alice/', (await speak()).target)
  const [hub, alice] = [await front.get('/hub/'), await front.get('/user/alice/')]
  for (const [name, value] of Object.entries(strong)) {
    assert.equal(hub.headers[name.toLowerCase()], value, name)
    assert.equal(alice.headers[name.toLowerCase()], undefined, name)
  }
  assert.equal(alice.headers['x-own'], 'kept')
  assert.equal(alice.headers['content-security-policy'], 'x')
})

test('a server sets cookies on its own path only, and none of the hub’s', async t => {
  let cookies: string[] = []
  const speak = () =>
    serveHttp(
      t,
      (_, res) => res.setHeader('Set-Cookie', cookies).end(),
      (_, socket) => {
        const lines = cookies.map(cookie => `Set-Cookie: ${cookie}\r\n`).join('')
        socket.write(`HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`)
      },
    )
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: (await speak()).port } })
  await front.route('/user/al@x.org/', (await speak()).target)
  const own = '/user/al@x.org/'
  const cases: [string, string | undefined][] = [
    [`a=1; Path=${own}`, `a=1; Path=${own}`],
    ['a=1; path=/user/al%40x.org/lab; HttpOnly; Secure', 'a=1; path=/user/al%40x.org/lab; HttpOnly; Secure'],
    ['a=1; Path=/user/al@x.org', 'a=1; Path=/user/al@x.org'],
    ['a=1', 'a=1'],
    ['a=1; Path=', 'a=1; Path='],
    ['a=1; Path=lab', 'a=1; Path=lab'],
    ['a=1; Path=/', undefined],
    ['a=1; Path=/hub/', undefined],
    ['a=1; Path=/user/', undefined],
    ['a=1; Path=/user/al@x.orgx', undefined],
    [`a=1; Path=${own}../bob`, undefined],
    [`a=1; Path=${own}; Path=/`, undefined],
    [`a=1; Path=/; Path=${own}`, undefined],
    [`a=1; Domain=example.org; Path=${own}`, undefined],
    [`a=1; domain =; Path=${own}`, undefined],
    [`jupyterhub-hub-login=x; Path=${own}`, undefined],
    [`JupyterHub-Session-Id=x; Path=${own}`, undefined],
    ['=jupyterhub-hub-login=x', undefined],
    ['jupyterhub-hub-login', undefined],
    [`_xsrf=2|a; expires=Fri, 01 Jan 2027 00:00:00 GMT; Path=/`, `_xsrf=2|a; expires=Fri, 01 Jan 2027 00:00:00 GMT; Path=${own}`],
    ['_xsrf=2|a; Path=/hub/; HttpOnly', `_xsrf=2|a; HttpOnly; Path=${own}`],
    [`_xsrf=2|a; Path=${own}`, `_xsrf=2|a; Path=${own}`],
    [`jupyterhub-user-al%40x.org="2|x"; HttpOnly; Path=${own}`, `jupyterhub-user-al%40x.org="2|x"; HttpOnly; Path=${own}`],
  ]
  cookies = cases.map(([cookie]) => cookie)
  const passed = cases.flatMap(([, cookie]) => cookie ?? [])
  assert.deepEqual((await front.get(`${own}lab`)).headers['set-cookie'], passed)
  assert.deepEqual((await upgrade(t, front.port, `${own}lab`)).headers['set-cookie'], passed)
  assert.deepEqual((await front.get('/hub/')).headers['set-cookie'], cookies)
  cookies = ['a=1']
  assert.deepEqual(
    (await front.get('/user/al@x.org')).headers['set-cookie'],
    [`a=1; Path=${own}`],
    'its default path would be /user',
  )
})

test('the hub’s login is not shown to servers', async t => {
  const hub = await serveHeaders(t)
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port } })
  await front.route('/user/alice/', (await serveHeaders(t)).target)
  const cookie = 'a=1; jupyterhub-hub-login="x"; jupyterhub-session-id=y;jupyterhub-hub-login =z; _xsrf=2'
  const seen = async (path: string, cookie: string) =>
    (JSON.parse((await front.get(path, { headers: { cookie } })).body) as { cookie?: string }).cookie
  assert.equal(await seen('/user/alice/', cookie), 'a=1; jupyterhub-session-id=y; _xsrf=2')
  assert.equal(await seen('/user/alice/', 'jupyterhub-hub-login=x'), undefined)
  assert.equal(await seen('/hub/', cookie), cookie)
})

// ---------------------------------------------------------------------------------------------------------------------
// WebSockets and routes

test('a WebSocket client and server understand each other through the proxy', async t => {
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: offered => [...offered].at(-1)! })
  sockets.on('connection', socket => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })))
  const notebook = await serveHttp(
    t,
    (_, res) => res.end(),
    (req, socket) => sockets.handleUpgrade(req, socket, Buffer.alloc(0), client => sockets.emit('connection', client)),
  )
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  const client = new WebSocket(`ws://127.0.0.1:${front.port}/user/alice/api`, ['one', 'two'])
  await once(client, 'open')
  assert.equal(client.protocol, 'two')
  const big = 'x'.repeat(2_000_000)
  client.send('hello')
  assert.equal(String((await once(client, 'message'))[0]), 'hello')
  client.send(big)
  assert.equal(String((await once(client, 'message'))[0]), big)
  client.close(4001, 'done')
  assert.equal((await once(client, 'close'))[0], 4001)
})

test('what a client says on a WebSocket is activity, what it hears is not', async t => {
  const sockets: Socket[] = []
  const notebook = await serveHttp(
    t,
    (_, res) => res.end(),
    (req, socket) => {
      echo(req, socket)
      sockets.push(socket)
    },
  )
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  const activity = async () => (await front.proxy.list(context()))[0]!.active.getTime()
  const { socket } = await upgrade(t, front.port, '/user/alice/')
  const opened = await activity()
  await new Promise(resolve => setTimeout(resolve, 5))
  sockets[0]!.write('news')
  await once(socket, 'data')
  assert.equal(await activity(), opened)
  socket.write('hello')
  await once(socket, 'data')
  assert.ok((await activity()) > opened)
})

test('a route that is removed, or that leads elsewhere, takes all its connections with it', async t => {
  const front = await startFront(t)
  const open = async (path: string) => {
    const { socket } = await upgrade(t, front.port, path)
    const outgoing = request({ host: '127.0.0.1', port: front.port, path: `${path}stream`, agent: false }).end()
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { closed: Promise.all([once(socket, 'close'), assert.rejects(text(answer), { code: 'ECONNRESET' })]) }
  }
  const stream = () => serveHttp(t, (_, res) => res.flushHeaders(), echo)
  const [one, two] = [await stream(), await stream()]
  await front.route('/user/alice/', one.target, { generation: '1' })
  const first = await open('/user/alice/')
  await front.route('/user/alice/', one.target, { generation: '1' })
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(one.open(), 2, 'the same again changes nothing')
  await front.route('/user/alice/', two.target, { generation: '1' })
  await first.closed
  await until(() => one.open() === 0)

  // the same address, but another server
  const second = await open('/user/alice/')
  await front.route('/user/alice/', two.target, { generation: '2' })
  await second.closed
  await until(() => two.open() === 0)

  const third = await open('/user/alice/')
  await front.proxy.remove('/user/alice/', context())
  await third.closed
  await until(() => two.open() === 0)
})

test('after a route is gone nothing more is sent to its address, not even the second try of a request under way', async t => {
  const seen: string[] = []
  const notebook = await serveHttp(t, (req, res) => {
    seen.push(req.url!)
    if (!req.url!.endsWith('held')) res.end()
  })
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  await front.get('/user/alice/first')
  const held = front.get('/user/alice/held')
  await until(() => seen.length === 2)
  await front.proxy.remove('/user/alice/', context())
  assert.equal((await held).status, 503)
  assert.deepEqual(seen, ['/user/alice/first', '/user/alice/held'])
})

// ---------------------------------------------------------------------------------------------------------------------
// The front's own life

test('a front that is started again knows its routes', async t => {
  const folder = await temporaryFolder(t)
  const alice = await serveName(t, 'alice')
  const first = await startFront(t, { folder })
  await first.route('/user/alice/', alice.target, { jupyterhub: true, user: 'alice', generation: 'x' })
  await first.route('/user/bob@x/', alice.target)
  await first.proxy.remove('/user/bob@x/', context())
  await first.get('/user/alice/')
  const before = await first.proxy.list(context())
  await first.close()
  assert.equal((await stat(join(folder, 'routes.json'))).mode & 0o777, 0o600)
  const second = await startFront(t, { folder })
  assert.equal((await second.get('/user/alice/x')).body, 'alice /user/alice/x')
  assert.deepEqual(
    (await second.proxy.list(context())).map(({ active: _, ...route }) => route),
    before.map(({ active: _, ...route }) => route),
  )
})

test('routes are on disk when add resolves, also when many are added at once', async t => {
  const front = await startFront(t)
  await Promise.all(Array.from({ length: 50 }, (_, i) => front.route(`/user/u${i}/`, 'http://127.0.0.1:1')))
  const saved = JSON.parse(await readFile(join(front.front.folder, 'routes.json'), 'utf8')) as { routes: unknown[] }
  assert.equal(saved.routes.length, 50)
})

test('a damaged file of routes is put aside, and the front starts without', async t => {
  const good = { version: 1, routes: [{ path: ['user', 'a'], target: 'http://127.0.0.1:1', data: {}, active: 0 }] }
  const damaged = [
    '',
    'null',
    '[]',
    '{"version":1,"rou',
    JSON.stringify({ ...good, version: 2 }),
    JSON.stringify(good).replace('http:', 'file:'),
  ]
  for (const content of damaged) {
    const folder = await temporaryFolder(t)
    await writeFile(join(folder, 'routes.json'), content)
    const front = await startFront(t, { folder })
    assert.equal((await front.get('/user/a')).body, 'hub /user/a')
    assert.equal(await readFile(join(folder, 'routes.json.damaged'), 'utf8'), content)
    await front.close()
  }
})

test('closing finishes what is under way, cuts the rest after the grace, and frees the port', async t => {
  const answers: (() => void)[] = []
  const notebook = await serveHttp(t, (req, res) => void answers.push(() => res.end(`late ${req.url}`)), echo)
  const front = await startFront(t, { options: { grace: '1h' } })
  await front.route('/user/alice/', notebook.target)
  const { socket } = await upgrade(t, front.port, '/user/alice/ws')
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const outgoing = request({ host: '127.0.0.1', port: front.port, path: '/user/alice/x', agent }).end()
  await until(() => answers.length > 0)
  const closed = front.close()
  await once(socket, 'close')
  await assert.rejects(once(connect(front.port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
  answers[0]!()
  const [late] = (await once(outgoing, 'response')) as [IncomingMessage]
  assert.equal(await text(late), 'late /user/alice/x')
  await closed
  await until(() => notebook.open() === 0)

  const hasty = await startFront(t, { options: { grace: '1ms' } })
  await hasty.route('/user/alice/', notebook.target)
  const cut = assert.rejects(hasty.get('/user/alice/x'), { code: 'ECONNRESET' })
  await until(() => answers.length > 1)
  await hasty.close()
  await cut
})

test('a port that is taken is said so, and nothing stays open', async t => {
  const taken = await serveName(t, 'taken')
  const folder = await temporaryFolder(t)
  await assert.rejects(startFront(t, { folder, options: { port: taken.port } }), {
    name: 'HubError',
    message: /cannot listen on 127\.0\.0\.1 port \d+/,
  })
  await startFront(t, { folder })
})

test('with a certificate the front speaks TLS, and says so to the servers', async t => {
  const folder = await temporaryFolder(t)
  const tls = { key: join(folder, 'key.pem'), cert: join(folder, 'cert.pem') }
  await assert.rejects(startFront(t, { options: { tls } }), {
    name: 'HubError',
    message: /cannot read its key or certificate.*key\.pem/,
  })
  const args = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout ${tls.key} -out ${tls.cert}`
  await promisify(execFile)('openssl', args.split(' '))
  const front = await startFront(t, { options: { tls } })
  assert.equal(front.proxy.listens.tls, true)
  await front.route('/user/alice/', (await serveHeaders(t)).target)
  const outgoing = tlsRequest({
    host: '127.0.0.1',
    port: front.port,
    path: '/user/alice/',
    ca: await readFile(tls.cert),
    servername: 'localhost',
    agent: false,
  }).end()
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  const seen = JSON.parse(await text(answer)) as Record<string, string>
  assert.equal(`${seen['x-forwarded-proto']} ${seen['x-forwarded-port']}`, `https ${front.port}`)
})

test('the health of the front needs no hub', async t => {
  const hub = await serveName(t, 'hub')
  const front = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port } })
  await hub.stop()
  const { status, body } = await front.get('/_chp_healthz')
  assert.deepEqual([status, JSON.parse(body)], [200, { status: 'OK' }])
})

test('options are checked', () => {
  const wrong: [unknown, RegExp][] = [
    [{ prot: 1 }, /httpProxy.*prot/],
    [{ port: -1 }, /port/],
    [{ tls: { key: 'x' } }, /tls\.cert/],
    [{ trustedProxies: ['10.0.0.0/33'] }, /trustedProxies/],
    [{ trustedProxies: ['proxy.example.org'] }, /trustedProxies/],
    [{ grace: 5 }, /grace/],
  ]
  for (const [options, message] of wrong)
    assert.throws(() => httpProxy(options as HttpProxyOptions), { name: 'HubError', code: 'config', message })
  assert.deepEqual(httpProxy().proxy.listens, { host: '0.0.0.0', port: 8000, tls: false, proxied: false })
})

// ---------------------------------------------------------------------------------------------------------------------
// The route API

/** A request to the route API, as JupyterHub's own hub would make it. */
function callApi(socketPath: string, method: string, path: string, { body = '', authorization = `token ${token}` } = {}) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const headers = { Authorization: authorization, 'Content-Length': Buffer.byteLength(body) }
    const outgoing = request({ socketPath, method, path, headers, agent: false }, async res =>
      resolve({ status: res.statusCode!, body: await text(res) }),
    )
    outgoing.once('error', reject).end(body)
  })
}

test('the route API is open to this user with the token only, and never on the public port', async t => {
  const front = await startFront(t)
  const path = join(front.front.folder, 'routes.sock')
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  for (const authorization of [
    '',
    'token',
    'token ',
    'token x',
    `Token ${token}`,
    `Bearer ${token}`,
    token,
    `token ${token}x`,
    `token ${token.slice(1)}`,
  ]) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      assert.deepEqual(
        await callApi(path, method, '/api/routes/user/a', { authorization }),
        { status: 403, body: '' },
        authorization,
      )
    }
  }
  assert.equal((await callApi(path, 'GET', '/api/routes')).body, '{}')
  assert.equal((await ask(front.port, '/api/routes', { headers: { authorization: `token ${token}` } })).body, 'hub /api/routes')
})

test('the route API speaks as configurable-http-proxy does', async t => {
  const front = await startFront(t)
  const call = (method: string, path: string, body?: unknown) =>
    callApi(join(front.front.folder, 'routes.sock'), method, path, {
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  const target = 'http://127.0.0.1:1234'
  assert.deepEqual(await call('POST', '/api/routes/user/a%40b', { target, user: 'a@b', jupyterhub: true }), {
    status: 201,
    body: '',
  })
  assert.deepEqual(await call('POST', '/api/routes/', { target }), { status: 201, body: '' })
  const all = JSON.parse((await call('GET', '/api/routes/')).body) as Record<string, { last_activity: string }>
  assert.deepEqual(Object.keys(all).sort(), ['/', '/user/a@b'])
  const { last_activity, ...rest } = JSON.parse((await call('GET', '/api/routes/user/a@b/')).body) as { last_activity: string }
  assert.deepEqual(rest, { target, user: 'a@b', jupyterhub: true })
  assert.match(last_activity, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.equal((await call('GET', '/api/routes?inactiveSince=2020-01-01T00:00:00Z')).body, '{}')
  assert.equal(
    Object.keys(JSON.parse((await call('GET', '/api/routes?inactive_since=2999-01-01T00:00:00Z')).body) as object).length,
    2,
  )
  for (const [method, path, body, status] of [
    ['GET', '/api/routes?inactiveSince=yesterday', undefined, 400],
    ['GET', '/api/routes/user/nobody', undefined, 404],
    ['GET', '/api/routesx', undefined, 404],
    ['GET', '/', undefined, 404],
    ['PUT', '/api/routes/x', { target }, 405],
    ['POST', '/api/routes/x', '{', 400],
    ['POST', '/api/routes/x', 'null', 400],
    ['POST', '/api/routes/x', {}, 400],
    ['POST', '/api/routes/x', { target: 1 }, 400],
    ['POST', '/api/routes/x', { target: 'x' }, 400],
    ['POST', '/api/routes/x', { target: 'https://127.0.0.1:1' }, 400],
    ['POST', '/api/routes/x', { target: 'http://127.0.0.1:1/path' }, 400],
    ['POST', '/api/routes/x', { target: 'http://u:p@127.0.0.1:1' }, 400],
    ['POST', '/api/routes/x%2fy', { target }, 400],
    ['POST', '/api/routes/x//y', { target }, 400],
    ['POST', '/api/routes/../x', { target }, 400],
    ['POST', '/api/routes/%zz', { target }, 400],
    ['POST', '/api/routes/x', { target, more: 'x'.repeat(70_000) }, 413],
    ['DELETE', '/api/routes/user/nobody', undefined, 404],
    ['DELETE', '/api/routes/user/a@b', undefined, 204],
    ['DELETE', '/api/routes', undefined, 204],
  ] as const) {
    assert.deepEqual(
      await call(method, path, body),
      { status, body: '' },
      `${method} ${path} ${JSON.stringify(body)?.slice(0, 60)}`,
    )
  }
  assert.equal((await call('GET', '/api/routes')).body, '{}')
})

test('a route API may be on TCP', async t => {
  const free = await serveName(t, 'free')
  await free.stop()
  const front = await startFront(t, { api: { at: { host: '127.0.0.1', port: free.port }, token } })
  await front.route('/user/alice/', (await serveName(t, 'alice')).target)
  assert.equal((await front.get('/user/alice/')).body, 'alice /user/alice/')
})

test('the socket of a front that was killed is taken over, that of one that lives is not', async t => {
  const folder = await temporaryFolder(t)
  // a unix socket stays behind when its process is killed
  const left = createServer().listen(join(folder, 'left.sock'))
  await once(left, 'listening')
  await rename(join(folder, 'left.sock'), join(folder, 'routes.sock'))
  left.close()
  const front = await startFront(t, { folder })
  assert.deepEqual(await front.proxy.list(context()), [])
  await assert.rejects(startFront(t, { folder }), { name: 'HubError', code: 'conflict', message: /Another front listens/ })
  assert.deepEqual(await front.proxy.list(context()), [], 'the living one is unharmed')
})

test('the hub waits for a route API that is not there yet, and no longer than it is told to', async t => {
  const folder = await temporaryFolder(t)
  const api = { at: { socket: join(folder, 'routes.sock') }, token }
  const { proxy } = httpProxy({ host: '127.0.0.1', port: 0 })
  proxy.connect(api)
  const added = proxy.add({ path: '/user/alice/', target: 'http://127.0.0.1:1', data: { user: 'alice' } }, context())
  const left = new AbortController()
  const listed = assert.rejects(proxy.list(context(left.signal)), { name: 'AbortError' })
  left.abort()
  await listed
  const front = await startFront(t, { folder })
  await added
  assert.deepEqual(
    (await front.proxy.list(context())).map(({ path, data }) => [path, data]),
    [['/user/alice/', { user: 'alice' }]],
  )
})

test('what the route API refuses or mangles is an error at once, in words', async t => {
  const answers: Record<string, [number, string, RegExp]> = {
    refused: [403, '', /refuses the token/],
    odd: [400, '', /answered GET \/api\/routes with 400/],
    html: [200, '<html>', /something else than routes/],
    list: [200, '[]', /something else than routes/],
    routes: [200, '{"/a":{"target":1}}', /something else than routes/],
  }
  for (const [what, [status, body, message]] of Object.entries(answers)) {
    const { port } = await serveHttp(t, (_, res) => res.writeHead(status).end(body))
    const { proxy } = httpProxy()
    proxy.connect({ at: { host: '127.0.0.1', port }, token })
    await assert.rejects(proxy.list(context()), { name: 'HubError', code: 'failed', message }, what)
  }
  await assert.rejects(httpProxy().proxy.list(context()), { message: /has not been told/ })
})

test('a 5xx of the route API is tried again', async t => {
  let asked = 0
  const { port } = await serveHttp(t, (_, res) => res.writeHead(asked++ < 2 ? 503 : 204).end())
  const { proxy } = httpProxy()
  proxy.connect({ at: { host: '127.0.0.1', port }, token })
  await proxy.remove('/user/alice/', context())
  assert.equal(asked, 3)
})

test('headers of an answer may be as large as those of a request', async t => {
  const { route, port } = await startFront(t)
  const large = 'x'.repeat(40_000)
  const server = createServer((_, res) => res.setHeader('X-Large', large).end('whole'))
  server.on('upgrade', (_, socket) => socket.end(`HTTP/1.1 403 No\r\nX-Large: ${large}\r\nContent-Length: 0\r\n\r\n`))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  await route('/user/large/', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const handshake = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'x' }
  for (const [method, headers, status] of [
    ['GET', {}, 200],
    ['POST', {}, 200],
    ['GET', handshake, 403],
  ] as const) {
    const sent = request({ host: '127.0.0.1', port, method, path: '/user/large/x', headers, maxHeaderSize: 65_536 }).end()
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    assert.equal(answer.statusCode, status)
    assert.equal(answer.headers['x-large'], large)
    answer.resume()
  }
})

test('one address has so many connections and no more; one that is closed makes room; trusted proxies are not counted', async t => {
  const come = async (port: number) => {
    const socket = connect({ host: '127.0.0.1', port }).on('error', () => {})
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    socket.write('GET /_chp_healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    const answered = await Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)])
    return { socket, answered }
  }
  const { port } = await startFront(t, { options: { connections: 2 } })
  const [first, second] = [await come(port), await come(port)]
  assert.ok(first.answered && second.answered)
  assert.equal((await come(port)).answered, false)
  first.socket.destroy()
  await once(first.socket, 'close')
  let again = await come(port)
  for (let n = 0; n < 50 && !again.answered; n++) again = await come(port)
  assert.ok(again.answered)
  const behind = await startFront(t, { options: { connections: 2, trustedProxies: ['127.0.0.1'] } })
  for (let n = 0; n < 5; n++) assert.ok((await come(behind.port)).answered)
})
