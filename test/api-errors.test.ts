import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiHub } from './api-hub.ts'

/*
 * The errors that the table of endpoints names (contract 4.4), row by row, as an administrator asks, who may do everything. Who may
 * do what is in api-access.test.ts.
 */

type Row = [method: string, path: string, body: unknown, status: number]

const long = 'x'.repeat(300)

const rows: Row[] = [
  ['GET', '/users?state=running', undefined, 400],
  ['GET', '/users?sort=age', undefined, 400],
  ['GET', '/users?offset=x', undefined, 400],
  ['GET', '/users?limit=x', undefined, 400],
  ['POST', '/users', undefined, 400],
  ['POST', '/users', {}, 400],
  ['POST', '/users', { usernames: [] }, 400],
  ['POST', '/users', { usernames: ['a/b'] }, 400],
  ['POST', '/users', { usernames: 'new' }, 400],
  ['POST', '/users', { usernames: ['new'], more: 1 }, 400],
  ['POST', '/users', { usernames: ['alice', 'root'] }, 409],
  ['GET', '/users/nobody', undefined, 404],
  ['GET', '/users/', undefined, 404],
  ['POST', '/users/alice', undefined, 409],
  ['POST', '/users/new', { more: 1 }, 400],
  ['POST', '/users/a%2Fb', undefined, 400],
  ['PATCH', '/users/alice', { name: 'root' }, 400],
  ['PATCH', '/users/alice', { name: 'a/b' }, 400],
  ['PATCH', '/users/alice', { more: 1 }, 400],
  ['PATCH', '/users/alice', { admin: 'yes' }, 400],
  ['PATCH', '/users/nobody', { admin: false }, 404],
  ['DELETE', '/users/root', undefined, 400],
  ['DELETE', '/users/nobody', undefined, 404],

  ['POST', '/users/alice/activity', undefined, 400],
  ['POST', '/users/alice/activity', [], 400],
  ['POST', '/users/alice/activity', {}, 400],
  ['POST', '/users/alice/activity', { servers: { none: { last_activity: '2026-01-31T12:00:00Z' } } }, 400],
  ['POST', '/users/alice/activity', { servers: { '': {} } }, 400],
  ['POST', '/users/alice/activity', { last_activity: 'yesterday' }, 400],
  ['POST', '/users/alice/activity', { last_activity: new Date(Date.now() + 3_700_000).toISOString() }, 400],
  ['POST', '/users/alice/activity', { last_activity: new Date(Date.now() + 3_000_000).toISOString() }, 200],
  ['POST', '/users/nobody/activity', { last_activity: '2026-01-31T12:00:00Z' }, 404],

  ['POST', '/users/nobody/server', undefined, 404],
  ['POST', '/users/alice/servers/b%2Fc', undefined, 400],
  ['POST', `/users/alice/servers/${long}`, undefined, 400],
  ['POST', '/users/alice/servers/third', undefined, 400],
  ['POST', '/users/alice/server', { profile: 'none' }, 400],
  ['POST', '/users/alice/server', '[]', 400],
  ['DELETE', '/users/alice/server', { remove: true }, 400],
  ['DELETE', '/users/alice/servers/none', undefined, 404],
  ['DELETE', '/users/alice/server', undefined, 204],
  ['GET', '/users/alice/servers/none', undefined, 404],
  ['PUT', '/users/alice/servers/third', undefined, 400],
  ['PATCH', '/users/alice/servers/', { name: 'third' }, 405],
  ['PUT', '/users/alice/servers/lab', undefined, 409],
  ['PUT', '/users/alice/servers/', undefined, 409],
  ['PUT', '/users/alice/servers/new', { more: 1 }, 400],
  ['PATCH', '/users/alice/servers/lab', {}, 400],
  ['PATCH', '/users/alice/servers/lab', { more: 1 }, 400],
  ['PATCH', '/users/alice/servers/lab', { name: 'attic' }, 409],
  ['PATCH', '/users/alice/servers/none', { name: 'x' }, 404],
  ['GET', '/users/alice/server/progress', undefined, 400],
  ['GET', '/users/alice/servers/none/progress', undefined, 404],

  ['POST', '/users/alice/tokens', { scopes: ['nothing'] }, 400],
  ['POST', '/users/alice/tokens', { scopes: ['admin:users'] }, 400],
  ['POST', '/users/alice/tokens', { scopes: ['self'], roles: ['user'] }, 400],
  ['POST', '/users/alice/tokens', { roles: ['none'] }, 400],
  ['POST', '/users/alice/tokens', { roles: ['admin'] }, 400],
  ['POST', '/users/alice/tokens', { expires_in: -1 }, 400],
  ['POST', '/users/alice/tokens', { expires_in: '60' }, 400],
  ['POST', '/users/alice/tokens', { note: 1 }, 400],
  ['POST', '/users/alice/tokens', { more: 1 }, 400],
  ['POST', '/users/alice/tokens', { auth: { username: 'alice', password: 'wrong' } }, 403],
  ['GET', '/users/alice/tokens/', undefined, 404],
  ['GET', '/users/alice/tokens/a99', undefined, 404],
  ['GET', '/users/alice/tokens/1', undefined, 404],
  ['DELETE', '/users/alice/tokens/a99', undefined, 404],

  ['POST', '/groups', { groups: ['class'] }, 409],
  ['POST', '/groups', { groups: ['new'], users: ['nobody'] }, 400],
  ['POST', '/groups', {}, 400],
  ['GET', '/groups/none', undefined, 404],
  ['POST', '/groups/class', undefined, 409],
  ['POST', '/groups/new', { users: ['nobody'] }, 400],
  ['POST', '/groups/new', { more: 1 }, 400],
  ['DELETE', '/groups/none', undefined, 404],
  ['POST', '/groups/class/users', undefined, 400],
  ['POST', '/groups/class/users', { users: ['nobody'] }, 400],
  ['DELETE', '/groups/class/users', undefined, 400],
  ['DELETE', '/groups/class/users', { users: ['nobody'] }, 400],
  ['DELETE', '/groups/class/users', { users: ['alice'] }, 200],
  ['POST', '/groups/none/users', { users: ['alice'] }, 404],
  ['PUT', '/groups/class/properties', undefined, 400],
  ['PUT', '/groups/class/properties', [], 400],
  ['PUT', '/groups/none/properties', {}, 404],

  ['GET', '/services/none', undefined, 404],
  ['POST', '/services/app', { api_token: 'another-token-of-an-app' }, 409],
  ['POST', '/services/made', { command: ['true'] }, 400],
  ['POST', '/services/made', { more: 1 }, 400],
  ['DELETE', '/services/app', undefined, 405],
  ['DELETE', '/services/none', undefined, 404],

  ['PATCH', '/proxy', { api_url: 'http://127.0.0.1:8001' }, 400],
  ['PATCH', '/proxy', { more: 1 }, 400],
  ['PUT', '/proxy', undefined, 405],
  ['POST', '/shutdown', { proxy: 'yes' }, 400],
  ['POST', '/shutdown', '{', 400],
  ['GET', '/authorizations/token/none', undefined, 404],
  ['GET', '/authorizations/cookie/x', undefined, 404],
  ['GET', '/oauth2/token', undefined, 405],

  ['GET', '/users/bob/shared/alice/', undefined, 404],
  ['DELETE', '/users/bob/shared/alice/lab', undefined, 404],
  ['GET', '/groups/none/shared', undefined, 404],
  ['GET', '/shares/nobody', undefined, 404],
  ['POST', '/shares/alice', { user: 'bob' }, 405],
  ['POST', '/shares/alice/', undefined, 400],
  ['POST', '/shares/alice/', { user: 'bob', group: 'class' }, 400],
  ['POST', '/shares/alice/', { user: 'bob', more: 1 }, 400],
  ['POST', '/shares/alice/', { user: 'bob', scopes: ['access:servers!user=alice'] }, 400],
  ['POST', '/shares/alice/', { user: 'bob', scopes: ['nothing'] }, 400],
  ['POST', '/shares/alice/none', { user: 'bob' }, 404],
  ['PATCH', '/shares/alice/', { user: 'bob' }, 200],
  ['POST', '/share-codes/alice', {}, 405],
  ['POST', '/share-codes/alice/', { expires_in: 59 }, 400],
  ['POST', '/share-codes/alice/', { expires_in: 31_536_001 }, 400],
  ['POST', '/share-codes/alice/', { more: 1 }, 400],
  ['DELETE', '/share-codes/alice/?code=none', undefined, 404],
  ['DELETE', '/share-codes/alice/?id=sc_99', undefined, 404],
]

test('api errors: each that the contract names, with its status, in the one shape', async t => {
  const services = [{ name: 'app', token: 'the-token-of-the-app' }]
  const hub = await apiHub(t, { services, limits: { namedServers: 2 } })
  const token = await hub.person('root', { admin: true })
  for (const name of ['alice', 'bob']) await hub.person(name)
  const ask = (method: string, path: string, body?: unknown) => hub.send(method, path, { token, body })
  for (const server of ['lab', 'attic']) assert.equal((await ask('PUT', `/users/alice/servers/${server}`)).status, 201)
  assert.equal((await ask('POST', '/groups/class', {})).status, 201)
  const wrong: string[] = []
  for (const [method, path, body, wanted] of rows) {
    const { status, json } = await ask(method, path, body)
    if (status !== wanted) wrong.push(`${method} ${path.slice(0, 80)} ${JSON.stringify(body)}: ${status}, not ${wanted}`)
    if (status >= 400) assert.deepEqual([json.status, typeof json.message], [status, 'string'], `${method} ${path}`)
  }
  assert.deepEqual(wrong, [])
})

test('api errors: a server that runs is not started again, renamed or changed, nor its owner renamed', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('root', { admin: true })
  await hub.person('alice')
  const status = async (method: string, path: string, body?: unknown) => (await hub.send(method, path, { token, body })).status
  assert.equal(await status('POST', '/users/alice/servers/lab'), 201)
  assert.equal(await status('POST', '/users/alice/servers/lab'), 400)
  assert.equal(await status('PATCH', '/users/alice/servers/lab', { display_name: 'Lab' }), 400)
  assert.equal(await status('PUT', '/users/alice/servers/lab'), 409)
  assert.equal(await status('PATCH', '/users/alice', { name: 'alicia' }), 400)
  // What has ended by itself is found out, and started anew.
  const [[generation] = []] = [...hub.made]
  hub.made.get(generation!)!.http.close()
  hub.made.delete(generation!)
  assert.equal(await status('POST', '/users/alice/servers/lab'), 201)
  assert.equal(hub.made.size, 1)
  const open = hub.hold('stop')
  assert.equal(await status('DELETE', '/users/alice/servers/lab'), 202)
  assert.equal(await status('POST', '/users/alice/servers/lab'), 400)
  assert.equal(await status('DELETE', '/users/alice'), 400)
  open()
})
