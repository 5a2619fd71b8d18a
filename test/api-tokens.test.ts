import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiHub, checkRows } from './api-hub.ts'

test('api tokens: who may do what', t =>
  checkRows(t, [
    ['GET', '/users/alice/tokens', undefined, 200, 200, 404, 403],
    ['POST', '/users/alice/tokens', undefined, 201, 201, 404, 403],
    ['POST', '/users/alice/tokens', {}, 201, 201, 404, 403],
    ['POST', '/users/nobody/tokens', undefined, 404, 404, 404, 403],
    ['GET', '/users/alice/tokens/a2', undefined, 200, 200, 404, 403],
    ['GET', '/users/alice/tokens/a1', undefined, 404, 404, 404, 403],
    ['GET', '/users/alice/tokens/2', undefined, 404, 404, 404, 403],
    ['GET', '/users/alice/tokens/a2x', undefined, 404, 404, 404, 403],
    ['DELETE', '/users/alice/tokens/a2', undefined, 204, 204, 404, 403],
    ['DELETE', '/users/alice/tokens/a9', undefined, 404, 404, 404, 403],
  ]))

test('api tokens: a new one is told once, works at once, and is listed without its secret', async t => {
  const hub = await apiHub(t)
  const own = await hub.person('alice')
  const before = Date.now()
  const { json } = await hub.send('POST', '/users/alice/tokens', { token: own, body: { note: 'for a script', expires_in: 3600 } })
  const { token, created, expires_at, scopes, ...rest } = json
  assert.deepEqual(rest, {
    user: 'alice',
    id: 'a2',
    kind: 'api_token',
    roles: [],
    last_activity: null,
    note: 'for a script',
    session_id: null,
    oauth_client: 'JupyterHub',
  })
  assert.ok(scopes.includes('servers!user=alice'))
  assert.ok(Date.parse(created) >= before)
  assert.ok(Math.abs(Date.parse(expires_at) - Date.parse(created) - 3_600_000) < 2)
  assert.equal((await hub.send('GET', '/user', { token })).json.token_id, 'a2')
  const used = (await hub.send('GET', '/users/alice/tokens/a2', { token: own })).json.last_activity
  assert.ok(Date.parse(used) >= before, 'its use is told at the next request')

  const { json: list, text } = await hub.send('GET', '/users/alice/tokens', { token: own })
  assert.deepEqual(
    list.api_tokens.map(({ id }: { id: string }) => id),
    ['a1', 'a2'],
  )
  assert.ok(!text.includes(token))
  assert.equal((await hub.send('DELETE', '/users/alice/tokens/a2', { token: own })).status, 204)
  assert.equal((await hub.send('GET', '/user', { token })).status, 403)
})

test('api tokens: expires_in 0 and null are never; negative and odd ones are refused', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  for (const expires_in of [0, null, undefined]) {
    const { json } = await hub.send('POST', '/users/alice/tokens', { token, body: { expires_in } })
    assert.equal(json.expires_at, null)
  }
  for (const expires_in of [-1, 1.5, '60', true]) {
    assert.equal((await hub.send('POST', '/users/alice/tokens', { token, body: { expires_in } })).status, 400, String(expires_in))
  }
})

test('api tokens: a token never can do more than its owner', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const ask = async (body: unknown) => (await hub.send('POST', '/users/alice/tokens', { token, body })).status
  for (const scope of [
    'inherit',
    'self',
    'read:users!user',
    'read:users!user=alice',
    'servers!server=alice/lab',
    'access:servers!user=alice',
  ]) {
    assert.equal(await ask({ scopes: [scope] }), 201, scope)
  }
  assert.equal(await ask({ scopes: [] }), 201)
  assert.equal(await ask({ roles: ['user'] }), 201)
  for (const body of [
    { scopes: ['read:users'] },
    { scopes: ['admin:users'] },
    { scopes: ['read:users!user=bob'] },
    { scopes: ['servers!server=bob/'] },
    { scopes: ['read:users!group=students'] },
    { scopes: ['no:such:scope'] },
    { scopes: ['read:users!colour=red'] },
    { scopes: ['__proto__'] },
    { scopes: 'inherit' },
    { roles: ['admin'] },
    { roles: ['nobody'] },
    { roles: ['user'], scopes: ['inherit'] },
    { note: 7 },
    { unknown: 1 },
  ]) {
    assert.equal(await ask(body), 400, JSON.stringify(body))
  }
  const { json } = await hub.send('POST', '/users/alice/tokens', { token, body: { scopes: ['read:users:activity!user'] } })
  assert.deepEqual(json.scopes, ['read:users:activity!user=alice', 'read:users:groups!user=alice', 'read:users:name!user=alice'])
})

test('api tokens: administrators make them for others, and the note says so; for an administrator only with all rights', async t => {
  const hub = await apiHub(t)
  const admin = await hub.person('ada', { admin: true })
  const clerk = await hub.person('zoe', { admin: true, scopes: ['tokens'] })
  await hub.person('alice')
  const { json } = await hub.send('POST', '/users/alice/tokens', { token: admin })
  assert.equal(json.note, 'Requested via api by user ada')
  assert.equal((await hub.send('GET', '/user', { token: json.token })).json.name, 'alice')
  assert.equal((await hub.send('POST', '/users/alice/tokens', { token: clerk })).status, 201)
  assert.equal((await hub.send('POST', '/users/ada/tokens', { token: clerk })).status, 403)
  assert.equal((await hub.send('DELETE', '/users/ada/tokens/a1', { token: clerk })).status, 403)
})

test('api tokens: name and password in the body get one, without any other proof', async t => {
  const hub = await apiHub(t)
  await hub.person('alice')
  const ask = (username: string, password: string, name = 'alice') =>
    hub.send('POST', `/users/${name}/tokens`, { body: { auth: { username, password } } })
  const { status, json } = await ask('alice', 'the shared one')
  assert.equal(status, 201)
  assert.equal((await hub.send('GET', '/user', { token: json.token })).json.name, 'alice')
  const { Cookie } = await hub.browser('alice')
  const body = { auth: { username: 'alice', password: 'the shared one' } }
  const signedIn = { Cookie, 'Sec-Fetch-Mode': 'cors' }
  assert.equal(
    (await hub.send('POST', '/users/alice/tokens', { body, headers: signedIn })).status,
    201,
    'no _xsrf (contract 2.8)',
  )
  assert.equal((await hub.send('POST', '/users/alice/tokens', { body: {}, headers: signedIn })).status, 403)
  assert.equal((await ask('alice', 'a wrong one')).status, 403)
  assert.equal((await ask('bob', 'the shared one')).status, 404)
})

test('api tokens: one that was issued to a client takes with it the others for that client', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const { id } = hub.core.users.get('alice')!
  const made = []
  for (const client of ['jupyterhub-user-alice', 'jupyterhub-user-alice', 'jupyterhub-user-bob']) {
    made.push(await hub.core.tokens.create(id, { kind: 'oauth', client, scopes: [] }))
  }
  assert.equal((await hub.send('DELETE', `/users/alice/tokens/a${made[0]!.record.id}`, { token })).status, 204)
  const status = async (secret: string) => (await hub.send('GET', '/user', { token: secret })).status
  assert.deepEqual(await Promise.all(made.map(({ secret }) => status(secret))), [403, 403, 200])
  assert.equal(await status(token), 200)
})

test('api tokens: any token may ask whose another one is, and learns no more than who', async t => {
  const hub = await apiHub(t)
  const alice = await hub.person('alice')
  await hub.person('bob')
  const { secret: server } = await hub.core.tokens.create(hub.core.users.get('bob')!.id, {
    kind: 'server',
    scopes: ['users:activity!user'],
    server: '',
  })
  const ask = (token: string | undefined, about: string) => hub.send('GET', `/authorizations/token/${about}`, { token })
  const { status, json } = await ask(server, alice)
  assert.equal(status, 200)
  assert.deepEqual(json, { kind: 'user', name: 'alice', admin: false, groups: [], user_info: null })
  assert.equal((await ask(server, 'unknown')).status, 404)
  assert.equal((await ask('unknown', alice)).status, 403)
  assert.equal((await ask(undefined, alice)).status, 403)
  const { Cookie } = await hub.browser('alice')
  assert.equal((await hub.send('GET', `/authorizations/token/${alice}`, { headers: { Cookie } })).status, 403)
})
