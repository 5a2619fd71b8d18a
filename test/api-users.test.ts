import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiHub, apiHub, checkRows } from './api-hub.ts'

test('api users: who may do what', t =>
  checkRows(t, [
    ['GET', '/users', undefined, 200, 403, 403, 403],
    ['POST', '/users', { usernames: ['carol'] }, 201, 403, 403, 403],
    ['GET', '/users/alice', undefined, 200, 200, 404, 403],
    ['GET', '/users/nobody', undefined, 404, 404, 404, 403],
    ['POST', '/users/carol', undefined, 201, 403, 403, 403],
    ['POST', '/users/alice', undefined, 409, 403, 403, 403],
    ['PATCH', '/users/alice', { admin: true }, 200, 403, 403, 403],
    ['PATCH', '/users/nobody', { name: 'x' }, 404, 403, 403, 403],
    ['DELETE', '/users/alice', undefined, 204, 403, 403, 403],
    ['DELETE', '/users/nobody', undefined, 404, 403, 403, 403],
    ['DELETE', '/users/admin', undefined, 400, 403, 403, 403],
    ['POST', '/users/alice/activity', { last_activity: '2026-01-02T03:04:05Z' }, 200, 200, 404, 403],
  ]))

test('api users: GET /user tells who asks, and what a notebook decides by', async t => {
  const { send, person, core } = await apiHub(t)
  await person('alice')
  const { id } = core.users.get('alice')!
  await core.users.groups.set(id, ['students'])
  const { secret, record } = await core.tokens.create(id, {
    kind: 'oauth',
    scopes: ['access:servers!server=alice/'],
    client: 'jupyterhub-user-alice',
  })
  const { json } = await send('GET', '/user', { token: secret })
  assert.deepEqual(json, {
    kind: 'user',
    name: 'alice',
    admin: false,
    groups: ['students'],
    user_info: null,
    token_id: `a${record.id}`,
    session_id: null,
    scopes: ['access:servers!server=alice/', 'read:users:groups!user=alice', 'read:users:name!user=alice'],
  })
})

test('api users: GET /user by cookie names the session and no token', async t => {
  const { send, person, browser } = await apiHub(t)
  await person('alice')
  const { Cookie } = await browser('alice')
  const { json } = await send('GET', '/user', { headers: { Cookie } })
  assert.equal(json.token_id, null)
  assert.equal(json.session_id, /jupyterhub-session-id=([^;]+)/.exec(Cookie)?.[1])
  assert.ok(json.scopes.includes('servers!user=alice'))
})

test('api users: each scope shows its fields, and only of whom it is for', async t => {
  const { send, person } = await apiHub(t)
  await person('alice')
  const fields = async (...scopes: string[]) => {
    const token = await person('ada', { admin: true, scopes })
    const { status, json } = await send('GET', '/users/alice', { token })
    return status === 200 ? Object.keys(json).sort() : status
  }
  const base = ['kind', 'name']
  assert.deepEqual(await fields('read:users:name'), [...base, 'admin', 'user_info'].sort())
  assert.deepEqual(await fields('read:users:groups!user=alice'), [...base, 'groups'].sort())
  assert.deepEqual(await fields('read:users:activity'), [...base, 'last_activity'].sort())
  assert.deepEqual(await fields('read:roles:users'), [...base, 'roles', 'admin'].sort())
  assert.deepEqual(await fields('read:servers!user=alice'), [...base, 'admin', 'servers', 'user_info'].sort())
  assert.deepEqual(await fields('read:servers!server=alice/'), [...base, 'servers'].sort())
  assert.deepEqual(
    await fields('read:users'),
    [...base, 'admin', 'user_info', 'roles', 'groups', 'server', 'pending', 'created', 'last_activity'].sort(),
  )
  assert.equal(await fields('read:users!user=bob'), 404)
  assert.equal(await fields('read:hub'), 404)
  assert.equal(await fields('read:servers!server=bob/'), 404)
})

test('api users: an administrator sees all of a user', async t => {
  const { send, person } = await apiHub(t)
  const token = await person('ada', { admin: true })
  await person('alice')
  const { json } = await send('GET', '/users/alice', { token })
  assert.match(json.created, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
  const { created: _, ...rest } = json
  assert.deepEqual(rest, {
    kind: 'user',
    name: 'alice',
    admin: false,
    user_info: null,
    roles: ['user'],
    groups: [],
    last_activity: null,
    server: null,
    pending: null,
    auth_state: null,
    servers: {},
  })
})

const names = (json: { name: string }[]) => json.map(({ name }) => name)

async function crowd(hub: ApiHub, count: number) {
  const token = await hub.person('ada', { admin: true })
  await Promise.all(Array.from({ length: count - 1 }, (_, i) => hub.core.users.create(`user-${String(i + 1).padStart(3, '0')}`)))
  return token
}

test('api users: a list is cut at 200; with JupyterHub’s type it comes in pages with an address for the next', async t => {
  const hub = await apiHub(t)
  const token = await crowd(hub, 205)
  const plain = await hub.send('GET', '/users', { token })
  assert.equal(plain.json.length, 200)
  assert.equal((await hub.send('GET', '/users?limit=1000', { token })).json.length, 200)
  assert.deepEqual(names((await hub.send('GET', '/users?offset=203', { token })).json), ['user-203', 'user-204'])

  const headers = { Accept: 'text/html, application/jupyterhub-pagination+json' }
  const seen: string[] = []
  let path = '/users?state=inactive&limit=60'
  for (let pages = 1; ; pages++) {
    const { json, headers: got } = await hub.send('GET', path, { token, headers })
    assert.match(got.get('content-type') ?? '', /^application\/json/)
    seen.push(...names(json.items))
    const { next, ...rest } = json._pagination
    assert.deepEqual(rest, { offset: (pages - 1) * 60, limit: 60, total: 205 })
    if (!next) break
    assert.equal(next.offset, pages * 60)
    const url = new URL(next.url)
    assert.equal(url.origin, 'http://hub.test')
    assert.equal(url.searchParams.get('state'), 'inactive')
    path = `${url.pathname.replace('/hub/api', '')}${url.search}`
  }
  assert.equal(new Set(seen).size, 205)
  assert.equal((await hub.send('GET', '/users', { token, headers })).json.items.length, 50)
})

test('api users: as lines of JSON all come at once, and each caller gets as much as in pages', async t => {
  const hub = await apiHub(t)
  const token = await crowd(hub, 450)
  const headers = { Accept: 'application/x-ndjson' }
  const lines = async (path: string, token: string) => {
    const { text, headers: got, status } = await hub.send('GET', path, { token, headers })
    assert.equal(status, 200)
    assert.equal(got.get('content-type'), 'application/x-ndjson')
    assert.equal(got.get('cache-control'), 'no-store')
    return text
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line))
  }
  const all = await lines('/users', token)
  assert.equal(new Set(names(all)).size, 450)
  assert.deepEqual(all.slice(200, 250), (await hub.send('GET', '/users?offset=200&limit=50', { token })).json)
  assert.deepEqual(names(await lines('/users?offset=448', token)), ['user-448', 'user-449'])
  assert.deepEqual(names(await lines('/users?offset=201&limit=2&sort=-id', token)), ['user-248', 'user-247'])
  assert.deepEqual(await lines('/users?name_filter=nobody', token), [])

  await hub.core.users.groups.set(hub.core.users.get('user-007')!.id, ['seen'])
  await hub.person('alice')
  const { id } = hub.core.users.get('ada')!
  const { secret } = await hub.core.tokens.create(id, { kind: 'api', scopes: ['list:users!group=seen'] })
  assert.deepEqual(names(await lines('/users', secret)), ['user-007'])
  assert.equal((await hub.send('GET', '/users', { headers })).status, 403)
})

test('api users: the next page is at the host that the client used, under its scheme', async t => {
  const next = async (url: string | undefined, headers: Record<string, string>) => {
    const hub = await apiHub(t, { url })
    const token = await crowd(hub, 3)
    const Accept = 'application/jupyterhub-pagination+json'
    const { json } = await hub.send('GET', '/users?limit=1', { token, headers: { Accept, ...headers } })
    return json._pagination.next.url
  }
  assert.equal(await next(undefined, { Host: 'hub:8081' }), 'http://hub:8081/hub/api/users?limit=1&offset=1')
  assert.match(await next(undefined, { Host: 'h.org', 'X-Forwarded-Proto': 'https,http' }), /^https:\/\/h\.org\//)
  assert.match(await next('https://h.org/lab', { Host: 'h.org' }), /^https:\/\/h\.org\/lab\/hub\/api\/users/)
  assert.match(await next('https://h.org', { Host: 'hub:8081' }), /^http:\/\/hub:8081\//)
  assert.match(await next(undefined, { Host: '"><script>' }), /^\/hub\/api\/users/)
})

test('api users: lists can be filtered and sorted; what cannot be understood is 400', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('zoe', { admin: true })
  for (const name of ['Bob', 'alice', 'bobby']) await hub.core.users.create(name)
  hub.core.users.active(hub.core.users.get('alice')!.id, new Date(Date.now() - 60_000))
  const list = async (query: string) => names((await hub.send('GET', `/users?${query}`, { token })).json)
  assert.deepEqual(await list(''), ['zoe', 'Bob', 'alice', 'bobby'])
  assert.deepEqual(await list('sort=-id'), ['bobby', 'alice', 'Bob', 'zoe'])
  assert.deepEqual(await list('sort=name'), ['Bob', 'alice', 'bobby', 'zoe'])
  assert.deepEqual((await list('sort=-last_activity')).slice(0, 2), ['zoe', 'alice'])
  assert.deepEqual(await list('name_filter=BOB'), ['Bob', 'bobby'])
  assert.deepEqual(await list('limit=-1&offset=-1'), ['Bob'])
  assert.deepEqual(await list('limit=0'), ['zoe'])
  for (const query of ['state=asleep', 'sort=age', 'sort=constructor', 'limit=ten', 'offset=1.5', 'limit=']) {
    assert.equal((await hub.send('GET', `/users?${query}`, { token })).status, 400, query)
  }
})

test('api users: a list by state looks at the servers', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  for (const name of ['ready', 'starting', 'stopped']) await hub.person(name)
  await hub.send('POST', '/users/ready/servers/lab', { token })
  const open = hub.hold('start')
  await hub.send('POST', '/users/starting/server', { token })
  const list = async (state: string) => names((await hub.send('GET', `/users?state=${state}`, { token })).json)
  assert.deepEqual(await list('ready'), ['ready'])
  assert.deepEqual(await list('active'), ['ready', 'starting'])
  assert.deepEqual(await list('inactive'), ['ada', 'stopped'])
  open()
})

test('api users: a filtered scope shows those it is for, and opens nothing else', async t => {
  const hub = await apiHub(t)
  await hub.person('alice')
  await hub.person('bob')
  const token = await hub.person('ada', { admin: true, scopes: ['list:users!user=alice', 'admin:users!user=alice'] })
  const { json } = await hub.send('GET', '/users', { token })
  assert.deepEqual(names(json), ['alice'])
  assert.equal((await hub.send('POST', '/users', { token, body: { usernames: ['alice'] } })).status, 403)
  assert.equal((await hub.send('GET', '/users/bob', { token })).status, 404)
  assert.deepEqual((await hub.send('GET', '/users/bob', { token })).text, (await hub.send('GET', '/users/none', { token })).text)
  assert.equal((await hub.send('DELETE', '/users/bob', { token })).status, 404)
})

test('api users: many are added at once, their names normalised; those that exist are left out', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  const first = await hub.send('POST', '/users', { token, body: { usernames: ['Carol', ' dave ', 'carol'] } })
  assert.equal(first.status, 201)
  assert.deepEqual(names(first.json), ['carol', 'dave'])
  const second = await hub.send('POST', '/users', { token, body: { usernames: ['dave', 'eve'], admin: true } })
  assert.deepEqual(names(second.json), ['eve'])
  assert.equal(second.json[0].admin, true)
  assert.equal(hub.core.users.get('dave')?.admin, false)
  assert.equal((await hub.send('POST', '/users', { token, body: { usernames: ['dave'] } })).status, 409)
  for (const name of ['a/b', '..', ' ', 'x\n', 'x'.repeat(300)]) {
    const before = hub.core.users.count
    assert.equal(
      (await hub.send('POST', '/users', { token, body: { usernames: ['fresh', name] } })).status,
      name === 'x\n' ? 201 : 400,
      name,
    )
    if (name !== 'x\n') assert.equal(hub.core.users.count, before, 'none of them is added')
  }
})

test('api users: names in a path are decoded once and compared as they are', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  for (const name of ['bob@x.org', 'a b', 'é', 'Carol', '%40', "o'neil+x", '__proto__', 'constructor', 'x'.repeat(200)]) {
    const path = `/users/${encodeURIComponent(name)}`
    assert.equal((await hub.send('POST', path, { token })).status, 201, name)
    const { json } = await hub.send('GET', path, { token })
    assert.equal(json.name, name)
  }
  assert.equal((await hub.send('GET', '/users/bob@x.org', { token })).json.name, 'bob@x.org')
  assert.equal((await hub.send('GET', '/users/carol', { token })).status, 404)
  assert.equal((await hub.send('GET', '/users/bob%2540x.org', { token })).status, 404)
  assert.equal((await hub.send('GET', '/users/%E0%A4%A', { token })).status, 404)
  assert.ok([400, 404].includes((await hub.send('POST', '/users/a%2Fb', { token })).status))
})

test('api users: making administrators takes all rights of one, not admin:users alone', async t => {
  const hub = await apiHub(t)
  await hub.person('root', { admin: true })
  await hub.person('alice')
  const token = await hub.person('ada', { admin: true, scopes: ['admin:users', 'delete:users'] })
  const refused: [string, string, unknown][] = [
    ['PATCH', '/users/ada', { admin: true }],
    ['PATCH', '/users/alice', { admin: true }],
    ['PATCH', '/users/root', { name: 'groot' }],
    ['PATCH', '/users/root', { admin: false }],
    ['POST', '/users', { usernames: ['new'], admin: true }],
    ['POST', '/users/new', { admin: true }],
    ['DELETE', '/users/root', undefined],
  ]
  for (const [method, path, body] of refused) assert.equal((await hub.send(method, path, { token, body })).status, 403, path)
  assert.equal(hub.core.users.get('new'), undefined)
  assert.equal((await hub.send('POST', '/users/new', { token })).status, 201)
  assert.equal((await hub.send('PATCH', '/users/alice', { token, body: { name: 'alicia' } })).status, 200)
})

test('api users: a change of name keeps the account; a taken or impossible name is 400', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  const alice = await hub.person('alice')
  await hub.person('bob')
  const { id } = hub.core.users.get('alice')!
  const rename = (name: unknown, body = {}) => hub.send('PATCH', '/users/alice', { token, body: { name, ...body } })
  for (const name of ['bob', 'a/b', '', 7]) assert.equal((await rename(name)).status, 400, String(name))
  assert.equal((await rename('alicia', { colour: 'red' })).status, 400)

  await hub.send('POST', '/users/alice/server', { token })
  assert.equal((await rename('alicia')).status, 400)
  await hub.send('DELETE', '/users/alice/server', { token })

  const { status, json } = await rename('alicia', { admin: true })
  assert.equal(status, 200)
  assert.equal(json.name, 'alicia')
  assert.equal(json.admin, true)
  assert.equal(json.auth_state, null)
  assert.equal(hub.core.users.get('alicia')?.id, id)
  assert.equal((await hub.send('GET', '/user', { token: alice })).json.name, 'alicia')
})

test('api users: deleting a user ends servers, sessions and tokens', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  const alice = await hub.person('alice')
  const { Cookie } = await hub.browser('alice')
  await hub.send('POST', '/users/alice/server', { token })
  await hub.send('POST', '/users/alice/servers/lab', { token })
  assert.equal(hub.made.size, 2)
  assert.equal((await hub.send('DELETE', '/users/alice', { token })).status, 204)
  assert.equal(hub.made.size, 0)
  assert.equal((await hub.send('GET', '/user', { token: alice })).status, 403)
  assert.equal((await hub.send('GET', '/user', { headers: { Cookie } })).status, 403)
  assert.equal((await hub.send('GET', '/users/alice', { token })).status, 404)
})

test('api users: who has a server that is being stopped is not deleted yet', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  await hub.person('alice')
  await hub.send('POST', '/users/alice/server', { token })
  const open = hub.hold('stop')
  assert.equal((await hub.send('DELETE', '/users/alice/server', { token })).status, 202)
  assert.equal((await hub.send('DELETE', '/users/alice', { token })).status, 400)
  open()
  await hub.core.servers.get(hub.core.users.get('alice')!, '')!.settled()
  assert.equal((await hub.send('DELETE', '/users/alice', { token })).status, 204)
})

test('api activity: moves forward only, of user and servers apart, in all forms of time', async t => {
  const hub = await apiHub(t)
  await hub.person('alice')
  const { id } = hub.core.users.get('alice')!
  const { secret: token } = await hub.core.tokens.create(id, { kind: 'server', scopes: ['users:activity!user'], server: '' })
  const post = async (body: unknown, path = '/users/alice/activity') => (await hub.send('POST', path, { token, body })).status
  const at = '2026-01-02T03:04:05.678901Z'
  assert.equal(await post({ servers: { '': { last_activity: at } }, last_activity: '2026-01-02T03:04:05' }), 200)
  assert.equal(hub.core.users.lastActivity(id), '2026-01-02T03:04:05.000Z')
  assert.equal(hub.core.users.lastActivity(id, ''), '2026-01-02T03:04:05.678Z')
  assert.equal(await post({ last_activity: '2026-01-01T00:00:00Z' }), 200)
  assert.equal(hub.core.users.lastActivity(id), '2026-01-02T03:04:05.000Z')
  assert.equal(await post({ last_activity: '2026-01-03 01:00:00.5+01:00' }), 200)
  assert.equal(hub.core.users.lastActivity(id), '2026-01-03T00:00:00.500Z')

  const soon = new Date(Date.now() + 3_000_000).toISOString()
  const later = new Date(Date.now() + 4_000_000).toISOString()
  assert.equal(await post({ last_activity: soon }), 200)
  assert.ok(Date.parse(hub.core.users.lastActivity(id)!) <= Date.now())
  const refused: unknown[] = [
    undefined,
    {},
    [],
    'null',
    { last_activity: later },
    { last_activity: 'yesterday' },
    { last_activity: '2026-02-31T99:00:00Z' },
    { last_activity: 7 },
    { servers: { nosuch: { last_activity: at } } },
    { servers: { '': {} } },
    { servers: { '': { last_activity: null } } },
    { servers: [] },
  ]
  for (const body of refused) assert.equal(await post(body), 400, JSON.stringify(body))
  assert.equal(await post({ last_activity: at }, '/users/bob/activity'), 404)
})

test('api users: PATCH sets the groups for who may say so of each, and leaves the roles to the config', async t => {
  const hub = await apiHub(t, {
    access: { everyone: true, adminGroups: ['bosses'] },
    roles: [
      { name: 'physicist', scopes: ['read:hub'], groups: ['physics'] },
      { name: 'helper', scopes: ['admin:users', 'groups!group=chess'], users: ['helper'] },
      { name: 'keeper', scopes: ['admin:users', 'groups'], users: ['keeper'] },
    ],
  })
  const { groups } = hub.core.users
  await groups.create(['chess', 'bosses'])
  const alice = await hub.person('alice')
  const tokens = new Map([
    ['admin', await hub.person('ada', { admin: true })],
    ['helper', await hub.person('helper')],
    ['keeper', await hub.person('keeper')],
    ['alice', alice],
  ])
  const patch = (who: string, body: object) => hub.send('PATCH', '/users/alice', { token: tokens.get(who), body })
  const rows: [string, object, number, string[]][] = [
    ['admin', { groups: ['physics', 'chess'] }, 200, ['physics', 'chess']],
    ['admin', { groups: ['nothing'] }, 400, ['physics', 'chess']],
    ['helper', { groups: ['physics'] }, 200, ['physics']],
    ['helper', { groups: ['physics', 'chess'] }, 200, ['physics', 'chess']],
    ['helper', { groups: ['chess'] }, 404, ['physics', 'chess']],
    ['keeper', { groups: [] }, 200, []],
    ['keeper', { groups: ['physics'] }, 403, []],
    ['keeper', { groups: ['bosses'] }, 403, []],
    ['admin', { groups: ['bosses'] }, 200, ['bosses']],
    ['keeper', { groups: [] }, 403, ['bosses']],
    ['alice', { groups: [] }, 403, ['bosses']],
    ['admin', { groups: 'chess' }, 400, ['bosses']],
    ['admin', { groups: [], roles: ['admin'] }, 400, ['bosses']],
    ['admin', { groups: [], name: 'al/ice' }, 400, ['bosses']],
    ['admin', { groups: [], roles: ['user'], auth_state: null }, 200, []],
    ['admin', { auth_state: { token: 'x' } }, 400, []],
  ]
  for (const [who, body, status, after] of rows) {
    const { id } = hub.core.users.get('alice')!
    const told = await patch(who, body)
    assert.equal(told.status, status, `${who} ${JSON.stringify(body)} ${told.text}`)
    assert.deepEqual([...groups.of(id)].sort(), [...after].sort(), `${who} ${JSON.stringify(body)}`)
    if (status === 200) assert.deepEqual([...told.json.groups].sort(), [...after].sort())
  }
})

test('api users: admin-access does nothing, for who may', t =>
  checkRows(t, [
    ['POST', '/users/alice/admin-access', undefined, 200, 200, 404, 403],
    ['POST', '/users/none/admin-access', undefined, 404, 404, 404, 403],
    ['GET', '/users/alice/admin-access', undefined, 405, 405, 405, 405],
  ]))
