import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hono } from 'hono'
import type { ApiEnv, Plugin } from '../core/plugin.ts'
import { hubVersion } from '../core/version.ts'
import { apiHub, checkRows } from './api-hub.ts'

test('api: GET of the root is 200 for everybody, with the version in body and header, with and without slash', async t => {
  for (const url of [undefined, 'https://hub.example.org/lab/']) {
    const { send } = await apiHub(t, { url })
    for (const path of ['', '/']) {
      const { status, json, headers } = await send('GET', path)
      assert.equal(status, 200)
      assert.deepEqual(json, { version: '5.4.6' })
      assert.equal(headers.get('access-control-allow-origin'), '*')
    }
  }
})

test('api: every answer, also a refusal, carries the version and its policy', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('alice')
  for (const [path, as] of [
    ['', undefined],
    ['/user', token],
    ['/user', undefined],
    ['/nothing', token],
    ['/users', 'wrong'],
  ] as const) {
    const { headers, status } = await send('GET', path, { token: as })
    assert.equal(headers.get('x-jupyterhub-version'), '5.4.6', path)
    assert.equal(
      headers.get('content-security-policy'),
      "frame-ancestors 'none'; report-uri /hub/security/csp-report; default-src 'none'",
    )
    assert.equal(headers.get('access-control-allow-headers'), 'accept, content-type, authorization')
    assert.equal(headers.get('cache-control'), 'no-store')
    if (status >= 400) assert.match(headers.get('content-type') ?? '', /^application\/json/)
  }
})

test('api: who may ask for what the hub is and does', t =>
  checkRows(t, [
    ['GET', '/info', undefined, 200, 403, 403, 403],
    ['GET', '/metrics', undefined, 200, 403, 403, 403],
    ['GET', '/health', undefined, 200, 200, 200, 200],
    ['HEAD', '/health', undefined, 200, 200, 200, 200],
    ['GET', '/user', undefined, 200, 200, 200, 403],
  ]))

test('api: unknown paths are 404, other methods 405, HEAD 405, OPTIONS 200; nobody is told 401', async t => {
  const { send } = await apiHub(t)
  const asked: [string, string, number][] = [
    ['GET', '/users/', 404],
    ['GET', '/users/alice/tokens/', 404],
    ['GET', '//users', 404],
    ['POST', '/nothing/at/all', 404],
    ['DELETE', '/users/alice/unknown', 404],
    ['PUT', '/users', 405],
    ['DELETE', '', 405],
    ['POST', '/user', 405],
    ['POST', '/authorizations/token/x', 404],
    ['OPTIONS', '/users', 200],
    ['OPTIONS', '/users/alice/servers/', 200],
    ['GET', '/users', 403],
  ]
  for (const [method, path, wanted] of asked) {
    const { status, json } = await send(method, path)
    assert.equal(status, wanted, `${method} ${path}`)
    if (wanted >= 400) assert.equal(json.status, wanted)
  }
  for (const path of ['', '/users', '/user', '/users/alice/server']) assert.equal((await send('HEAD', path)).status, 405, path)
})

test('api: a token comes in the header as token or bearer, in any letters; nowhere else', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('alice')
  const status = async (headers: Record<string, string>, path = '/user') => (await send('GET', path, { headers })).status
  for (const scheme of ['token', 'Token', 'bearer', 'Bearer', 'BEARER'])
    assert.equal(await status({ Authorization: `${scheme} ${token}` }), 200, scheme)
  for (const value of [token, `Basic ${token}`, `token${token}`, 'token', `token ${token}x`, `xtoken ${token}`])
    assert.equal(await status({ Authorization: value }), 403, value.slice(0, 12))
  assert.equal(await status({}, `/user?token=${token}`), 403)
})

test('api: a token that has expired or was revoked is nobody’s', async t => {
  const { send, person, core } = await apiHub(t)
  const token = await person('alice')
  const { id } = core.users.get('alice')!
  const short = await core.tokens.create(id, { kind: 'api', scopes: ['inherit'], expires: -1 })
  assert.equal((await send('GET', '/user', { token: short.secret })).status, 403)
  assert.equal((await send('GET', '/user', { token })).status, 200)
  await core.tokens.revoke(id, () => true)
  assert.equal((await send('GET', '/user', { token })).status, 403)
})

test('api: a browser’s cookie counts with its _xsrf, and only for a body that is JSON', async t => {
  const { send, person, browser } = await apiHub(t)
  await person('ada', { admin: true })
  const { Cookie, xsrf } = await browser('ada')
  const other = await browser('ada')
  const json = { 'Content-Type': 'application/json' }
  const make = async (name: string, headers: Record<string, string>, query = '') =>
    (await send('POST', `/users/${name}${query}`, { headers: { Cookie, ...headers } })).status

  assert.equal(await make('one', json), 403)
  assert.equal(await make('one', { ...json, 'X-XSRFToken': other.xsrf }), 403)
  assert.equal(await make('one', { ...json, 'X-XSRFToken': xsrf }), 201)
  assert.equal(await make('two', { ...json, 'X-CSRFToken': xsrf }), 201)
  assert.equal(await make('three', {}, `?_xsrf=${encodeURIComponent(xsrf)}`), 201)
  assert.equal(await make('four', { 'Content-Type': 'application/json; charset=UTF-8', 'X-XSRFToken': xsrf }), 201)
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp'])
    assert.equal(await make('five', { 'Content-Type': type, 'X-XSRFToken': xsrf }), 403, type)

  const read = async (headers: Record<string, string>) => (await send('GET', '/user', { headers: { Cookie, ...headers } })).status
  assert.equal(await read({}), 200)
  assert.equal(await read({ 'Sec-Fetch-Mode': 'navigate' }), 200)
  assert.equal(await read({ 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Site': 'same-origin' }), 403)
  assert.equal(await read({ 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Site': 'same-origin', 'X-XSRFToken': xsrf }), 200)
})

test('api: a wrong token is not made up for by a cookie', async t => {
  const { send, person, browser } = await apiHub(t)
  await person('ada')
  const { Cookie } = await browser('ada')
  assert.equal((await send('GET', '/user', { headers: { Cookie } })).status, 200)
  assert.equal((await send('GET', '/user', { token: 'wrong', headers: { Cookie } })).status, 403)
})

test('api: a body is JSON in UTF-8 with known keys and right types, of at most a mebibyte, and not compressed', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('ada', { admin: true })
  const post = async (body: unknown, headers = {}) => (await send('POST', '/users', { token, body, headers })).status
  const refused: unknown[] = [
    undefined,
    'null',
    '',
    '{',
    '[]',
    '"x"',
    '7',
    '{"usernames":["a"]} x',
    new Uint8Array([0xff, 0xfe]),
    new Uint8Array([...new TextEncoder().encode('{"usernames":["'), 0xc3, 0x28, ...new TextEncoder().encode('"]}')]),
    {},
    { usernames: [] },
    { usernames: 'eve' },
    { usernames: [7] },
    { usernames: ['eve'], admin: 'yes' },
    { usernames: ['eve'], groups: ['x'] },
    '{"usernames":["eve"],"__proto__":{"admin":true}}',
  ]
  for (const body of refused) assert.equal(await post(body), 400, String(body).slice(0, 40))
  assert.equal(await post({ usernames: ['x'.repeat(2 ** 20)] }), 413)
  const chunks = new ReadableStream({
    pull: controller => controller.enqueue(new TextEncoder().encode('x'.repeat(2 ** 16))),
  })
  const { status } = await (async () => {
    const hub = await apiHub(t)
    const admin = await hub.person('ada', { admin: true })
    const init = { method: 'POST', body: chunks, duplex: 'half', headers: { Authorization: `token ${admin}` } }
    return hub.app.request('http://hub.test/hub/api/users', init)
  })()
  assert.equal(status, 413)
  assert.equal(await post({ usernames: ['eve'] }, { 'Content-Encoding': 'gzip' }), 415)
  assert.equal(await post({ usernames: ['eve'] }), 201)
})

test('api: what is wrong with a body is said without what was in it', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('ada', { admin: true })
  const { json } = await send('POST', '/users/eve', { token, body: { admin: 'hunter2-secret', colour: 1 } })
  assert.equal(json.status, 400)
  assert.ok(!json.message.includes('hunter2'))
  assert.match(json.message, /admin|colour/)
})

test('api: a fault of the hub is 500, and nothing of it leaves the house', async t => {
  const { send, person, core } = await apiHub(t)
  const token = await person('ada', { admin: true })
  core.users.create = async () => {
    throw new Error('secret path /var/lib/x')
  }
  const { status, text } = await send('POST', '/users/eve', { token })
  assert.equal(status, 500)
  assert.ok(!text.includes('secret'))
})

test('api: calls by people count as their activity, calls by their servers do not', async t => {
  const { send, person, core, browser } = await apiHub(t)
  const token = await person('alice')
  const { id } = core.users.get('alice')!
  const server = await core.tokens.create(id, {
    kind: 'server',
    scopes: ['users:activity!user'],
    server: '',
    note: 'Server at /',
  })
  await send('GET', '/user', { token: server.secret })
  assert.equal(core.users.lastActivity(id), null)
  await send('GET', '/user', { token })
  assert.notEqual(core.users.lastActivity(id), null)

  await person('bob')
  await send('GET', '/user', { headers: { Cookie: (await browser('bob')).Cookie } })
  assert.notEqual(core.users.lastActivity(core.users.get('bob')!.id), null)
})

test('api: the first call with a server’s token proves that the server runs', async t => {
  const { send, person, core } = await apiHub(t)
  await person('alice')
  const { id } = core.users.get('alice')!
  const heard: string[] = []
  core.servers.heard = (user, name) => void heard.push(`${user.name}/${name}`)
  const { secret } = await core.tokens.create(id, { kind: 'server', scopes: ['users:activity!user'], server: 'lab' })
  await send('GET', '/user', { token: secret })
  assert.deepEqual(heard, ['alice/lab'])
})

test('api: endpoints of plugins are under x/NAME, the caller known', async t => {
  const api = new Hono<ApiEnv>()
  api.get('/hello', c => c.json({ hello: c.get('caller').name, path: c.req.path }))
  api.post('/say', async c => c.json({ said: await c.req.json() }))
  const plugin: Plugin = { name: 'greeter', api }
  const { send, person } = await apiHub(t, { plugins: [plugin, { name: 'silent' }] })
  const token = await person('alice')
  assert.equal((await send('GET', '/x/greeter/hello')).status, 403)
  const { status, json, headers } = await send('GET', '/x/greeter/hello', { token })
  assert.equal(status, 200)
  assert.deepEqual(json, { hello: 'alice', path: '/hub/api/x/greeter/hello' })
  assert.equal(headers.get('x-jupyterhub-version'), '5.4.6')
  assert.equal((await send('HEAD', '/x/greeter/hello', { token })).status, 405)
  assert.deepEqual((await send('POST', '/x/greeter/say', { token, body: { a: 1 } })).json, { said: { a: 1 } })
  assert.equal((await send('POST', '/x/greeter/say', { token, body: { a: 'x'.repeat(2 ** 20) } })).status, 413)
  assert.equal((await send('GET', '/x/greeter/nothing', { token })).status, 404)
  assert.equal((await send('GET', '/x/silent/hello', { token })).status, 404)
})

test('api: metrics are Prometheus’ text, with each endpoint under its own name', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('ada', { admin: true })
  await send('GET', '/users/ada', { token })
  const { text, headers } = await send('GET', '/metrics', { token })
  assert.match(headers.get('content-type') ?? '', /^text\/plain/)
  assert.match(text, /jupyterhub_request_duration_seconds_count\{method="GET",handler="\/hub\/api\/users\/:user",code="200"\} 1/)
})

test('api: info tells in JupyterHub’s words what the hub is made of', async t => {
  const { send, person } = await apiHub(t)
  const { json } = await send('GET', '/info', { token: await person('ada', { admin: true }) })
  assert.equal(json.version, '5.4.6')
  assert.equal(json.spawner.class, 'engine')
  assert.deepEqual(json, {
    version: '5.4.6',
    python: `Node.js ${process.versions.node}`,
    sys_executable: process.execPath,
    spawner: { class: 'engine', version: hubVersion },
    authenticator: { class: 'dummy', version: hubVersion },
  })
  assert.match(hubVersion, /^\d+\.\d+/)
  assert.equal(json.authenticator.class, 'dummy')
})

test('api: a token request is answered as the provider says, never kept', async t => {
  const { send } = await apiHub(t)
  const form = { 'Content-Type': 'application/x-www-form-urlencoded', Authorization: 'token whatever' }
  const { status, json, headers } = await send('POST', '/oauth2/token', { headers: form, body: 'grant_type=authorization_code' })
  assert.ok([400, 401].includes(status))
  assert.equal(typeof json.error, 'string')
  assert.equal(headers.get('cache-control'), 'no-store')
  assert.equal(headers.get('pragma'), 'no-cache')
})
