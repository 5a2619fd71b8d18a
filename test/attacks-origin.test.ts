import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { attackedHub, config, password } from './hostile.ts'
import { ask, upgrade } from './roles/loopback.ts'
import { startHub } from './running-hub.ts'

/*
 * All notebooks share one origin with the hub, and each is written by somebody else. What a hostile one can do there, seen
 * from a browser that has opened it, and from its own place beside the hub.
 */

const say = (...headers: string[]) => `say?headers=${encodeURIComponent(JSON.stringify(headers))}`

test('what a notebook answers does not reach beyond its path, nor does what it says in a handshake', async t => {
  const hub = await attackedHub(t)
  const { owner: mallory, base } = await hub.notebook('mallory')
  const beyond = [
    ...['Service-Worker-Allowed', '/', 'Clear-Site-Data', '"cookies"', 'Strict-Transport-Security', 'max-age=9999'],
    ...['Alt-Svc', 'h2="evil:443"', 'NEL', '{}', 'Report-To', '{}', 'Reporting-Endpoints', 'x="/"', 'X-Accel-Redirect', '/hub/'],
    ...['X-Sendfile', '/etc/passwd', 'Public-Key-Pins', 'x', 'Use-As-Dictionary', 'match="/*"'],
  ]
  const cookies = [
    'jupyterhub-hub-login=evil; Path=/hub/',
    'jupyterhub-session-id=evil; Path=/',
    'JupyterHub-Session-Id=evil',
    'jupyterhub-user-alice=evil; Path=/user/alice/',
    'x=1; Domain=127.0.0.1',
    'x=1; Path=/; Path=/user/mallory/',
    'x=1; Path=/user/mallory/../',
    'x=1; Path=/user/mallory%2f..',
    '=jupyterhub-session-id=evil',
    '__Host-x=1; Path=/; Secure',
    'swarmhub-login-0=evil; Path=/hub/',
  ].flatMap(cookie => ['Set-Cookie', cookie])
  const harmless = ['X-Own', 'yes', 'Set-Cookie', 'own=1; Path=/user/mallory/tree', 'Set-Cookie', '_xsrf=2|x; Path=/hub/']

  const path = base + say(...beyond, ...cookies, ...harmless)
  const handshake = await upgrade(t, hub.port, path)
  for (const { headers } of [await ask(hub.port, path), handshake]) {
    for (let i = 0; i < beyond.length; i += 2) assert.equal(headers[beyond[i]!.toLowerCase()], undefined, beyond[i])
    assert.equal(headers['x-own'], 'yes')
    assert.deepEqual(headers['set-cookie'], ['own=1; Path=/user/mallory/tree', '_xsrf=2|x; Path=/user/mallory/'])
  }

  // The visitor's own browser, before and after.
  const alice = await hub.enter('alice')
  const before = alice.cookieFor('/hub/home')
  assert.equal((await alice.open(path)).text, 'said')
  assert.equal(alice.cookieFor('/hub/home'), before)
  assert.equal((await alice.open('/hub/home')).path, '/hub/home')
  assert.equal((await mallory.open('/hub/home')).path, '/hub/home')
})

test('cookies that a notebook’s script tosses into the browser change nothing about who the visitor is', async t => {
  const hub = await attackedHub(t)
  const alice = await hub.enter('alice')
  const mallory = await hub.enter('mallory')
  const good = await alice.xsrf()
  const evil = await mallory.xsrf()
  const own = alice.cookieFor('/hub/home')
  const post = (cookie: string, _xsrf: string) =>
    ask(hub.port, '/hub/token', {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-mode': 'navigate' },
      body: String(new URLSearchParams({ _xsrf, note: 'n', scopes: 'read', expires: '1h' })),
    })
  const tossed = `_xsrf=${evil}; jupyterhub-session-id=${mallory.cookie('jupyterhub-session-id')}; jupyterhub-hub-login=junk`
  for (const cookie of [`${tossed}; ${own}`, `${own}; ${tossed}`]) {
    const made = await post(cookie, good)
    assert.equal(made.status, 200)
    assert.match(made.body, /You are signed in as alice/)
    assert.equal((await post(cookie, evil)).status, 403)
  }
  // The other's whole session is the other's, never a mix of both.
  const theirs = `jupyterhub-hub-login=${mallory.cookie('jupyterhub-hub-login')}`
  for (const xsrf of [good, evil]) assert.equal((await post(`${theirs}; _xsrf=${good}; ${own}`, xsrf)).status, 403)
})

test('a notebook never sees the hub’s login, and believes nothing that a visitor says of itself', async t => {
  const hub = await attackedHub(t)
  const { owner, base } = await hub.notebook('mallory')
  const headers = {
    cookie: `a=1; jupyterhub-hub-login=${owner.cookie('jupyterhub-hub-login')}; jupyterhub-session-id=s; jupyterhub-hub-login=2`,
    connection: 'close, x-forwarded-for, cookie, x-forwarded-proto',
    'x-forwarded-for': '192.0.2.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    'x-scheme': 'https',
    'x-real-ip': '192.0.2.1',
    'x-swarmhub-front': 'x',
    forwarded: 'for=192.0.2.1;proto=https',
  }
  const handshake = await upgrade(t, hub.port, `${base}seen`, { ...headers, connection: 'Upgrade' })
  const seen = [
    JSON.parse((await ask(hub.port, `${base}seen`, { headers })).body).headers,
    JSON.parse(String(handshake.headers['x-seen'])),
  ]
  for (const one of seen) {
    assert.equal(one.cookie, 'a=1; jupyterhub-session-id=s')
    assert.deepEqual([one['x-forwarded-for'], one['x-forwarded-proto'], one['x-real-ip']], ['127.0.0.1', 'http', '127.0.0.1'])
    assert.equal(one['x-forwarded-host'], `127.0.0.1:${hub.port}`)
    for (const name of ['forwarded', 'x-scheme', 'x-swarmhub-front']) assert.equal(one[name], undefined, name)
  }
})

test('the page of a notebook cannot read the hub, nor do anything there, in its visitor’s name', async t => {
  // With something to choose a GET starts nothing.
  const hub = await attackedHub(t, config(`profiles: [{ name: 'a', label: 'A' }, { name: 'b', label: 'B' }],`))
  const root = await hub.enter('root')
  const send = (path: string, method: string, mode: string | undefined, more: Record<string, string> = {}, body?: string) =>
    ask(hub.port, path, {
      method,
      headers: {
        cookie: root.cookieFor('/hub/home'),
        origin: hub.origin,
        'sec-fetch-site': 'same-origin',
        ...(mode !== undefined && { 'sec-fetch-mode': mode }),
        ...more,
      },
      body,
    })
  const readable = [
    'home',
    'token',
    'admin',
    'spawn',
    'login',
    'user-redirect/x',
    'api/user',
    'api/users',
    'api/info',
    'api/users/root/tokens',
  ]
  const streams = ['events', 'events/root', 'metrics', 'health?full']
  for (const path of [...readable, ...streams])
    for (const mode of ['cors', 'same-origin', 'junk']) {
      const { status, body } = await send(`/hub/${path}`, 'GET', mode)
      assert.equal(status, 403, `${path} ${mode}`)
      assert.doesNotMatch(body, /_xsrf" value|"admin":|# HELP/)
    }
  // By a window that it opens or a frame: the browser lets nobody look in.
  for (const path of readable) {
    const { headers } = await send(`/hub/${path}`, 'GET', 'navigate')
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin', path)
    assert.match(String(headers['content-security-policy']), /frame-ancestors 'none'/, path)
    assert.equal(headers['access-control-allow-origin'], undefined, path)
  }

  const forms = [
    'home',
    'spawn',
    'spawn/root',
    'stop/root',
    'delete/root/x',
    'token',
    'token/revoke',
    'login',
    'api/oauth2/authorize',
  ]
  const admin = ['admin/users', 'admin/users/root/delete', 'admin/users/root/admin']
  const api = [
    'POST users/z',
    'PATCH users/root',
    'DELETE users/root',
    'POST users',
    'POST users/root/server',
    'POST users/root/tokens',
  ]
  const changes = [
    ...[...forms, ...admin].map(path => ['POST', path] as const),
    ...api.map(call => call.replace(' ', ' api/').split(' ') as [string, string]),
  ]
  for (const [method, path] of changes)
    for (const mode of ['cors', 'no-cors', 'same-origin', 'navigate', 'websocket', 'junk', undefined])
      for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        const { status } = await send(`/hub/${path}`, method, mode, { 'content-type': type }, '{}')
        assert.equal(status, 403, `${method} ${path} ${mode} ${type}`)
      }
  const { json } = await hub.api(await hub.token('root'), 'GET', '/users')
  assert.deepEqual(
    json.map((user: { name: string }) => user.name),
    ['root'],
  )
  assert.equal(json[0].server, null)
})

test('who comes to the hub past the front is believed nothing about who they are', async t => {
  const hub = await attackedHub(t)
  const { env } = await hub.notebook('mallory')
  const port = Number(new URL(env.JUPYTERHUB_API_URL!).port)
  const https = { 'x-forwarded-proto': 'https', 'x-swarmhub-front': 'I am the front' }
  const page = await ask(port, '/hub/login', { headers: https })
  assert.doesNotMatch(String(page.headers['set-cookie']), /secure/i)
  assert.equal(page.status, 200)

  const guess = (at: number, address: string) =>
    ask(at, '/hub/api/users/alice/tokens', {
      method: 'POST',
      headers: { 'x-forwarded-for': address, 'x-real-ip': address, forwarded: `for=${address}` },
      body: JSON.stringify({ auth: { username: 'alice', password: 'a guess' } }),
    })
  for (const [name, at] of [
    ['past the front', port],
    ['through the front', hub.port],
  ] as const) {
    const statuses: number[] = []
    for (let i = 0; i < 8; i++) statuses.push((await guess(at, `192.0.2.${i}`)).status)
    assert.ok(statuses.includes(429), `${name}: ${statuses}`)
  }
  assert.doesNotMatch(hub.output(), /192\.0\.2\./)
  // Whom the front vouches for is somebody else, and is not kept waiting by the guesses of a notebook.
  assert.match(hub.output(), /"address":"127\.0\.0\.1"/)
})

test('a hub for its own machine does not answer under a name that the world can give this machine’s address', async t => {
  const hub = await attackedHub(t)
  const { env } = await hub.notebook('mallory')
  const port = Number(new URL(env.JUPYTERHUB_API_URL!).port)
  const login = { auth: { username: 'alice', password }, note: 'by a page elsewhere' }
  for (const at of [hub.port, port]) {
    for (const host of ['evil.example', `evil.example:${at}`, '127.0.0.1.evil.example', 'localhost.evil.example', 'localhost.']) {
      const headers = { host }
      assert.equal((await ask(at, '/hub/login', { headers })).status, 403, host)
      const made = await ask(at, '/hub/api/users/alice/tokens', { method: 'POST', headers, body: JSON.stringify(login) })
      assert.equal(made.status, 403, host)
    }
    for (const host of [
      'localhost',
      `localhost:${at}`,
      `127.0.0.1:${at}`,
      '[::1]:8000',
      '172.17.0.1:8081',
      'hub.localhost',
      'hub:8081',
    ])
      assert.equal((await ask(at, '/hub/login', { headers: { host } })).status, 200, host)
  }
})

test('behind a proxy on its machine a hub is not for that machine alone: it answers under any name, and dummy refuses', async t => {
  const behind = (text: string) => text.replace("host: '127.0.0.1' })", "host: '127.0.0.1', trustedProxies: ['127.0.0.1'] })")
  const refused = await startHub(t, behind(config()))
  await refused.printed(/other machines can reach this hub/)
  const open = behind(config()).replace('dummy({', 'dummy({ allowPublic: true,')
  const hub = await attackedHub(t, open, { SWARMHUB_ALLOW_DUMMY: '1' })
  const headers = { host: 'hub.example.org', 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'https' }
  const { status, headers: answer } = await ask(hub.port, '/hub/login', { headers })
  assert.equal(status, 200)
  assert.match(String(answer['set-cookie']), /; Secure/)
})

test('with a public address the hub answers under any name, and makes no link by it', async t => {
  const hub = await attackedHub(t, config(`url: 'https://hub.example.org'`).replace('dummy({', 'dummy({ allowPublic: true,'), {
    SWARMHUB_ALLOW_DUMMY: '1',
  })
  for (const host of ['hub.example.org', 'evil.example']) {
    const { status, body, headers } = await ask(hub.port, '/hub/login?next=/hub/home', { headers: { host } })
    assert.equal(status, 200)
    assert.doesNotMatch(body, /evil\.example/)
    assert.match(String(headers['set-cookie']), /_xsrf=[^;]+; Path=\/hub\/; HttpOnly; Secure; SameSite=Lax/)
  }
})

test('the address of a server that was stopped is somebody else’s: nothing is sent there any more', async t => {
  const hub = await attackedHub(t)
  const { owner: alice, base, env } = await hub.notebook('alice')
  const kept = await upgrade(t, hub.port, `${base}ws`)
  const closed = once(kept.socket, 'close')
  await alice.submit('/hub/home', 'stop', {})
  await closed
  let stolen = 0
  const thief = createServer((_, res) => {
    stolen++
    res.end('a thief')
  })
  await once(thief.listen(Number(new URL(env.JUPYTERHUB_SERVICE_URL!).port), '127.0.0.1'), 'listening')
  t.after(() => thief.close().closeAllConnections())
  for (const path of [base, `${base}lab?x=1`, '/user/alice', `${base}%2e`, `//user/alice/`, `${base}api/kernels`]) {
    const { status, body } = await ask(hub.port, path, { headers: { cookie: 'jupyterhub-user-alice=the-token-of-alice' } })
    assert.doesNotMatch(body, /thief/, path)
    assert.ok([302, 301, 400].includes(status), `${path}: ${status}`)
  }
  assert.equal((await alice.open(`${base}lab`)).reply.status, 424)
  // What a notebook’s script polls goes on to the hub, and gets an answer that it understands.
  const polled = await alice.open(`${base}api/kernels`)
  assert.equal(polled.reply.status, 424)
  assert.match(polled.text, /no longer running/)
  await hub.killHub()
  assert.equal((await alice.open(`${base}lab`)).reply.status, 424)
  assert.equal(stolen, 0)
})
