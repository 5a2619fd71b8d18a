import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { context, startFront } from './http-proxy-front.ts'
import { ask, echo, sendRaw, serveHttp, serveTcp, until, upgradeRequest } from './roles/loopback.ts'

/*
 * What is known to kill, fool or leak proxies. Each test ends with a front that still serves and holds no connection; a crash
 * of the front is a crash of this file.
 */

/** A front with one route, `/user/alice/`, that leads here. */
async function before(t: TestContext, upstream: { target: string; open(): number }) {
  const front = await startFront(t)
  await front.route('/user/alice/', upstream.target)
  await front.get('/hub/')
  const idle = connections()
  return {
    ...front,
    async assertUnharmed() {
      assert.equal((await front.get('/hub/')).body, 'hub /hub/')
      // what is kept for the next request is no leak; it goes with its route
      await front.proxy.remove('/user/alice/', context())
      await until(() => upstream.open() === 0 && connections() <= idle)
    },
  }
}

/** TCP connections that are open in this process: those of the clients, of the front and of the servers. */
const connections = () => process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length

test('a body stays a body: a chunked DELETE or OPTIONS smuggles no request', async t => {
  const seen: string[] = []
  const notebook = await serveHttp(t, async (req, res) => {
    seen.push(`${req.method} ${req.url} ${await text(req)}`)
    res.end()
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const inner = 'GET /user/alice/SMUGGLED HTTP/1.1\r\nHost: x\r\n\r\n'
  const chunked = (method: string, more = '') =>
    `${method} /user/alice/x HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n${more}\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
  for (const method of ['DELETE', 'OPTIONS', 'GET', 'POST']) {
    const answers = await sendRaw(port, chunked(method) + chunked(method, 'Connection: close\r\n'))
    assert.equal(answers.match(/HTTP\/1\.1 200 OK/g)?.length, 2, method)
    assert.deepEqual(seen.splice(0), Array(2).fill(`${method} /user/alice/x ${inner}`))
  }
  await until(() => notebook.open() === 0)
  await assertUnharmed()
})

test('a request that can be read in two ways is refused, and reaches nobody', async t => {
  const seen: string[] = []
  const notebook = await serveHttp(t, (req, res) => {
    seen.push(req.url!)
    res.end()
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const requests = {
    'two lengths': 'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'length and chunks':
      'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'chunks and length':
      'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
    'an unknown encoding': 'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'an encoding twice':
      'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'an encoding that is none': 'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'a space before the colon': 'POST /user/alice/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'a folded header': 'GET /user/alice/x HTTP/1.1\r\nHost: h\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n',
    'chunks in HTTP/1.0': 'POST /user/alice/x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a bare line feed': 'GET /user/alice/x HTTP/1.1\nHost: h\n\n',
    'two hosts': 'GET /user/alice/x HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n',
    'no host': 'GET /user/alice/x HTTP/1.1\r\n\r\n',
    'an upgrade with a body': upgradeRequest('/user/alice/x', 'Content-Length: 5\r\n').concat('GET /'),
    'an upgrade to something else': 'GET /user/alice/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'an upgrade by POST': upgradeRequest('/user/alice/x').replace('GET', 'POST'),
  }
  for (const [what, bytes] of Object.entries(requests)) {
    assert.match(await sendRaw(port, bytes), /^HTTP\/1\.1 400 Bad Request\r\n/, what)
  }
  assert.deepEqual(seen, [])
  await assertUnharmed()
})

test('a bad request line is refused and harms nobody', async t => {
  const notebook = await serveHttp(t, (_, res) => res.end(), echo)
  const { port, assertUnharmed } = await before(t, notebook)
  const targets = [
    'http://[',
    'http://[::1',
    '//[',
    '/%',
    '/%zz',
    '/%ff%fe',
    '/user/alice/%c0%ae',
    '*',
    'x',
    '?',
    'javascript:alert(1)',
    '/a b',
    '/\x7f',
    '/\\',
    '/\xc3\xa9',
  ]
  for (const target of targets) {
    assert.match(
      await sendRaw(port, `GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`),
      /^HTTP\/1\.1 400 /,
      target,
    )
    assert.match(await sendRaw(port, upgradeRequest(target)), /^HTTP\/1\.1 400 /, target)
  }
  await sendRaw(port, 'CONNECT evil.example:443 HTTP/1.1\r\nHost: h\r\n\r\n')
  for (const bytes of ['\0\0\0\0\r\n\r\n', '\x16\x03\x01\x02\x00', 'GET\r\n\r\n', `GET /${'x'.repeat(70_000)} HTTP/1.1\r\n\r\n`])
    await sendRaw(port, bytes)
  await assertUnharmed()
})

test('routing and the forwarded path come from one reading, for requests and for upgrades', async t => {
  const named = (name: string) =>
    serveHttp(
      t,
      (req, res) => res.end(`${name} ${req.url}`),
      (req, socket) => socket.end(`HTTP/1.1 101 x\r\nX-Seen: ${name} ${req.url}\r\n\r\n`),
    )
  const [hub, alice, bob] = [await named('hub'), await named('alice'), await named('bob')]
  const { port, route } = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port } })
  await route('/user/alice/', alice.target)
  await route('/user/bob/', bob.target)
  const paths: Record<string, 'alice' | 'bob' | 'hub' | 400> = {
    '/user/alice/../bob/x': 400,
    '/user/alice/./x': 400,
    '/user/alice/..': 400,
    '/user/alice/%2e%2e/bob/x': 400,
    '/user/alice/%2E%2e/bob/x': 400,
    '/user/alice/.%2e/bob/x': 400,
    '/user/alice/..%2fbob/x': 400,
    '/user/alice/%2e%2e%2fbob/x': 400,
    '/user/alice/x%2f..%2f..%2fbob': 400,
    '/user/alice/..%5cbob/x': 400,
    '/user/alice\\..\\bob/x': 400,
    '/user/alice/%00': 400,
    '/user/alice%00/x': 400,
    '//user/alice/x': 400,
    '/user/alice/x#y': 400,
    'http://hub/user/alice/x': 400,
    'http://bob/user/alice/x': 400,
    '/user//alice/x': 'hub',
    '/user/alice;/x': 'hub',
    '/user/alice;x=1/': 'hub',
    '/user;/alice/x': 'hub',
    '/user/alice%2fx': 'hub',
    '/user%2falice/x': 'hub',
    '/user/alice%252f..%252fbob': 'hub',
    '/USER/alice/x': 'hub',
    '/user/alice./x': 'hub',
    '/user/alice%20/x': 'hub',
    '/user/%61lice/x': 'alice',
    '/user/alice/a//b/http://c': 'alice',
    '/user/alice/%252e%252e/bob': 'alice',
    '/user/alice/...': 'alice',
    '/user/alice/a%2fb%20{c}|"<>^`': 'alice',
    '/user/alice/x?/../../bob/&u=http://y//z': 'alice',
    '/user/alice?x': 'alice',
    '/user/bob/;/..;/alice': 'bob',
  }
  for (const [path, wanted] of Object.entries(paths)) {
    const answer = await sendRaw(port, `GET ${path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n`)
    const upgraded = await sendRaw(port, upgradeRequest(path))
    if (wanted === 400) {
      for (const bytes of [answer, upgraded]) assert.match(bytes, /^HTTP\/1\.1 400 /, path)
    } else {
      assert.ok(answer.endsWith(`\r\n\r\n${wanted} ${path}`), `${path}: ${answer}`)
      assert.ok(upgraded.includes(`x-seen: ${wanted} ${path}\r\n`), `${path}: ${upgraded}`)
    }
  }
})

test('a client that lists headers in Connection takes nothing away that the proxy says', async t => {
  const notebook = await serveHttp(t, (req, res) => res.end(JSON.stringify(req.headers)))
  const { port, assertUnharmed } = await before(t, notebook)
  const listed = 'close, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Cookie, Host'
  const answer = await sendRaw(
    port,
    `GET /user/alice/ HTTP/1.1\r\nHost: hub\r\nCookie: a=1\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: ${listed}\r\nKeep-Alive: timeout=1\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n`,
  )
  const seen = JSON.parse(answer.slice(answer.indexOf('{'))) as Record<string, string>
  for (const [name, value] of Object.entries({
    host: 'hub',
    cookie: 'a=1',
    'x-forwarded-for': '127.0.0.1',
    'x-real-ip': '127.0.0.1',
  })) {
    assert.equal(seen[name], value, name)
  }
  for (const name of ['te', 'upgrade', 'keep-alive']) assert.equal(seen[name], undefined, name)
  assert.equal(seen.connection, 'keep-alive')
  await assertUnharmed()
})

test('clients that vanish leave nothing behind, in the middle of an answer or before it', async t => {
  const content = Buffer.alloc(10_000_000)
  let waiting = 0
  const notebook = await serveHttp(t, (req, res) => {
    if (req.url!.endsWith('big')) return res.end(content)
    waiting++
    res.once('close', () => waiting--)
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const vanish = async (path: string, method: string, i: number) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: hub\r\nContent-Length: ${method === 'GET' ? 0 : 10}\r\n\r\n`)
    if (path.endsWith('big')) await once(socket, 'data')
    else await until(() => waiting > 0)
    if (i % 2) socket.resetAndDestroy()
    else socket.destroy()
  }
  for (let i = 0; i < 200; i++) await vanish('/user/alice/big', 'GET', i)
  for (let i = 0; i < 50; i++) await vanish('/user/alice/slow', i % 3 ? 'GET' : 'POST', i)
  await until(() => waiting === 0)
  await until(() => notebook.open() <= 1)
  await assertUnharmed()
})

test('a server that dies in the middle of an answer ends it for the client too, by reset and by FIN', async t => {
  const starts = {
    length: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome',
    chunks: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n',
    headers: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
  }
  for (const [what, start] of Object.entries(starts)) {
    for (const end of ['reset', 'fin'] as const) {
      let served: Socket | undefined
      const notebook = await serveTcp(t, socket => socket.once('data', () => socket.write(start, () => (served = socket))))
      const { port, assertUnharmed } = await before(t, notebook)
      const outgoing = request({ port, host: '127.0.0.1', path: '/user/alice/' }).end()
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
      if (end === 'reset') served!.resetAndDestroy()
      else served!.end()
      await assert.rejects(text(answer), { code: 'ECONNRESET' }, `${what}, ${end}`)
      await assertUnharmed()
    }
  }
})

test('an answer that ends with its connection is complete', async t => {
  const notebook = await serveTcp(t, socket => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it')))
  const { get, assertUnharmed } = await before(t, notebook)
  assert.equal((await get('/user/alice/')).body, 'all of it')
  await assertUnharmed()
})

test('no request is lost to a server that closes a kept connection in the moment it is used', async t => {
  const uses = new WeakMap<Socket, number>()
  let closed = 0
  const notebook = await serveHttp(t, async (req, res) => {
    const used = (uses.get(req.socket) ?? 0) + 1
    uses.set(req.socket, used)
    if (used > 1) {
      closed++
      return req.socket.resetAndDestroy()
    }
    res.end(`${req.method} ${await text(req)}`)
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const agent = new Agent({ keepAlive: true, maxSockets: 10 })
  t.after(() => agent.destroy())
  const send = async (method: string) => {
    const outgoing = request({ host: '127.0.0.1', port, path: '/user/alice/', method, agent }).end(
      method === 'POST' ? 'content' : undefined,
    )
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    return `${answer.statusCode} ${await text(answer)}`
  }
  const methods = Array.from({ length: 300 }, (_, i) => ['GET', 'GET', 'POST', 'DELETE'][i % 4]!)
  const answers = await Promise.all(methods.map(send))
  assert.deepEqual(
    answers,
    methods.map(method => `200 ${method} ${method === 'POST' ? 'content' : ''}`),
  )
  assert.ok(closed > 10, 'some were closed')
  agent.destroy()
  await assertUnharmed()
})

test('what must not be done twice is not sent twice', async t => {
  let times = 0
  const notebook = await serveHttp(t, req => {
    times++
    req.socket.resetAndDestroy()
  })
  const { get, assertUnharmed } = await before(t, notebook)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    times = 0
    assert.equal((await get('/user/alice/', { method, body: 'x' })).status, 503)
    assert.equal(times, 1, method)
  }
  await assertUnharmed()
})

test('a big POST with Expect: 100-continue to a server that is not there is a 503', async t => {
  const notebook = await serveHttp(t, (_, res) => res.end())
  const { port, assertUnharmed } = await before(t, notebook)
  await notebook.stop()
  const outgoing = request({
    host: '127.0.0.1',
    port,
    path: '/user/alice/',
    method: 'POST',
    headers: { Expect: '100-continue', 'Content-Length': 1_000_000 },
  })
  outgoing.flushHeaders()
  outgoing.on('error', () => {})
  outgoing.once('continue', () => outgoing.end(Buffer.alloc(1_000_000)))
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 503)
  await text(answer)
  await assertUnharmed()
})

test('a client that is refused in the middle of its upload sees the answer, and may go on', async t => {
  const notebook = await serveHttp(t, (req, res) => res.writeHead(req.method === 'PUT' ? 413 : 200).end(`answer to ${req.url}`))
  const { port, assertUnharmed } = await before(t, notebook)
  const socket = connect(port, '127.0.0.1')
  socket.write('PUT /user/alice/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n')
  socket.write(Buffer.alloc(1_000_000))
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 413 .*answer to \/user\/alice\/1\r\n/s)
  socket.write(Buffer.alloc(4_000_000))
  socket.write('GET /user/alice/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
  assert.match(await text(socket), /^HTTP\/1\.1 200 .*answer to \/user\/alice\/2\r\n/s)
  await assertUnharmed()
})

test('200 MB go up and down in small memory, at the pace of whoever is slower', async t => {
  const piece = randomBytes(1_000_000)
  let sent = 0
  async function* content() {
    for (; sent < 200; sent++) yield piece
  }
  const stalled = async (count: () => number) => {
    for (let [last, same] = [-1, 0]; same < 10; [last, same] = [count(), count() === last ? same + 1 : 0]) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  const notebook = await serveHttp(t, async (req, res) => {
    await stalled(() => sent)
    assert.ok(sent < 20, `${sent} MB are on their way to a server that reads nothing`)
    const hash = createHash('sha256')
    for await (const chunk of req) hash.update(chunk)
    sent = 0
    const answer = Readable.from(content())
    res.writeHead(200, { 'X-Digest': hash.digest('hex') })
    answer.pipe(res)
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const outgoing = request({ host: '127.0.0.1', port, path: '/user/alice/', method: 'PUT' })
  const used = () => process.memoryUsage().rss
  const start = used()
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, used() - start)
  }, 10)
  t.after(() => clearInterval(watch))
  Readable.from(content()).pipe(outgoing)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  await stalled(() => sent)
  assert.ok(sent < 20, `${sent} MB are on their way to a client that reads nothing`)
  const hash = createHash('sha256')
  for await (const chunk of answer) hash.update(chunk)
  assert.equal(hash.digest('hex'), answer.headers['x-digest'])
  assert.equal(sent, 200)
  assert.ok(most < 100_000_000, `${most} bytes more in use`)
  await assertUnharmed()
})

test('answers that are no HTTP crash nobody', async t => {
  const answers = [
    '',
    'garbage\r\n\r\n',
    'HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 O\xe9\x7f\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 000 x\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 999 x\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nok',
    'HTTP/1.1 101 Switching Protocols\r\n\r\nok',
    'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\x01b\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\xff\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX y: a\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n: a\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: x\r\nConnection: x, close\r\nSet-Cookie: \r\nSet-Cookie: =\r\n\r\nok',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\nok`,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  ]
  for (const bytes of answers) {
    const notebook = await serveTcp(t, socket => socket.once('data', () => socket.end(bytes, 'latin1')))
    const { port, assertUnharmed } = await before(t, notebook)
    for (const method of ['GET', 'HEAD', 'POST']) {
      await sendRaw(port, `${method} /user/alice/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
    }
    const upgraded = await sendRaw(port, upgradeRequest('/user/alice/'))
    assert.equal(upgraded.split('HTTP/1.1 ').length, 2, `one answer to an upgrade: ${upgraded}`)
    await assertUnharmed()
    await notebook.stop()
  }
})

test('WebSockets that are reset before, during and after the 101 leave nothing behind', async t => {
  const asked: Socket[] = []
  const speak = (req: IncomingMessage, socket: Socket) => {
    if (req.url!.endsWith('silent')) return void asked.push(socket)
    echo(req, socket)
    if (req.url!.endsWith('flood')) socket.write(Buffer.alloc(5_000_000))
  }
  const notebook = await serveHttp(t, (_, res) => res.end(), speak)
  const { port, assertUnharmed } = await before(t, notebook)
  const open = (path: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(upgradeRequest(path))
    return socket
  }
  for (let i = 0; i < 100; i++) {
    const silent = open('/user/alice/silent')
    await until(() => asked.length > i)
    if (i % 2) silent.resetAndDestroy()
    else silent.end()
    open('/user/alice/').resetAndDestroy()
    const during = open('/user/alice/')
    setImmediate(() => during.resetAndDestroy())
    const after = open(i % 4 < 2 ? '/user/alice/flood' : '/user/alice/')
    await once(after, 'data')
    after.pause().write(randomBytes(100_000))
    if (i % 2) after.resetAndDestroy()
    else after.destroy()
  }
  await until(() => notebook.open() === 0)
  await assertUnharmed()
})

test('a WebSocket whose server ends or dies ends for the client, after all that was said', async t => {
  const sockets: Socket[] = []
  const notebook = await serveHttp(
    t,
    (_, res) => res.end(),
    (_, socket) => void sockets.push(socket),
  )
  const { port, assertUnharmed } = await before(t, notebook)
  for (const end of ['fin', 'reset'] as const) {
    const socket = connect(port, '127.0.0.1')
    socket.write(upgradeRequest('/user/alice/'))
    await until(() => sockets.length > 0)
    const server = sockets.pop()!
    server.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    await once(socket, 'data')
    if (end === 'fin') server.end('x'.repeat(1_000_000))
    else server.resetAndDestroy()
    assert.equal((await text(socket)).length, end === 'fin' ? 1_000_000 : 0)
  }
  await assertUnharmed()
})

test('a refused upgrade is passed on whole, and ends the connection', async t => {
  const notebook = await serveHttp(t, (_, res) => {
    res.writeHead(403, { 'Content-Type': 'text/plain', 'Service-Worker-Allowed': '/' })
    res.write('no ')
    res.end('entry')
  })
  const { port, assertUnharmed } = await before(t, notebook)
  const answer = await sendRaw(port, upgradeRequest('/user/alice/'))
  assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/)
  assert.match(answer, /\r\nconnection: close\r\n/)
  assert.doesNotMatch(answer, /transfer-encoding|service-worker/i)
  assert.ok(answer.endsWith('\r\n\r\nno entry'), answer)
  await notebook.stop()
  assert.match(
    await sendRaw(port, upgradeRequest('/user/alice/')),
    /^HTTP\/1\.1 503 Service Unavailable\r\nContent-Length: 0\r\n/,
  )
  await assertUnharmed()
})

test('a thousand bad handshakes are a thousand refusals', async t => {
  const sockets = new WebSocketServer({ noServer: true })
  const notebook = await serveHttp(
    t,
    (_, res) => res.end(),
    (req, socket) => sockets.handleUpgrade(req, socket, Buffer.alloc(0), () => {}),
  )
  const { port, assertUnharmed } = await before(t, notebook)
  const keys = ['', 'x', 'AA==', '\x01', 'x'.repeat(60_000), 'dGhlIHNhbXBsZSBub25jZQ==, a', '\xff\xfe']
  for (let i = 0; i < 1000; i += 50) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, j) =>
        sendRaw(port, upgradeRequest('/user/alice/').replace('dGhlIHNhbXBsZSBub25jZQ==', keys[(i + j) % keys.length]!)),
      ),
    )
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 4\d\d /)
  }
  await until(() => notebook.open() === 0)
  await assertUnharmed()
})

test('WebSocket bytes pass in both directions unchanged, also those that come with the handshake', async t => {
  const notebook = await serveHttp(t, (_, res) => res.end(), echo)
  const { port, assertUnharmed } = await before(t, notebook)
  const content = randomBytes(3_000_000)
  const socket = connect(port, '127.0.0.1')
  socket.write(Buffer.concat([Buffer.from(upgradeRequest('/user/alice/')), content]))
  let received = Buffer.alloc(0)
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk])
  })
  await until(() => received.length > content.length)
  assert.ok(received.subarray(received.indexOf('\r\n\r\n') + 4).equals(content))
  socket.destroy()
  await assertUnharmed()
})

test('a header of the answer is passed on as it is, with its bytes beyond ASCII', async t => {
  const notebook = await serveTcp(t, socket =>
    socket.once('data', () => socket.end('HTTP/1.1 200 \xe9t\xe9\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n', 'latin1')),
  )
  const { port, assertUnharmed } = await before(t, notebook)
  const { headers } = await ask(port, '/user/alice/')
  assert.equal(headers.x, '\xe9')
  await assertUnharmed()
})
