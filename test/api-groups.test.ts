import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiHub, apiHub, checkRows } from './api-hub.ts'

const named = (json: { name: string }[]) => json.map(({ name }) => name)

/** A group `class` with alice in it. */
async function withClass({ core }: ApiHub) {
  await core.users.groups.create(['class'], [core.users.get('alice')!.id])
}

test('api groups: who may do what', t =>
  checkRows(
    t,
    [
      ['GET', '/groups', undefined, 200, 403, 403, 403],
      ['POST', '/groups', { groups: ['lab'] }, 201, 403, 403, 403],
      ['POST', '/groups', { groups: ['lab', 'class'] }, 409, 403, 403, 403],
      ['POST', '/groups', { groups: ['lab'], users: ['nobody'] }, 400, 403, 403, 403],
      ['POST', '/groups', { groups: [] }, 400, 403, 403, 403],
      ['POST', '/groups', { groups: ['lab'], colour: 'red' }, 400, 403, 403, 403],
      ['POST', '/groups', undefined, 400, 403, 403, 403],
      ['GET', '/groups/class', undefined, 200, 403, 403, 403],
      ['GET', '/groups/nothing', undefined, 404, 403, 403, 403],
      ['GET', '/groups/', undefined, 404, 404, 404, 404],
      ['POST', '/groups/lab', undefined, 201, 403, 403, 403],
      ['POST', '/groups/lab', { users: ['alice'] }, 201, 403, 403, 403],
      ['POST', '/groups/lab', { users: ['nobody'] }, 400, 403, 403, 403],
      ['POST', '/groups/lab', { users: 'alice' }, 400, 403, 403, 403],
      ['POST', '/groups/class', undefined, 409, 403, 403, 403],
      ['DELETE', '/groups/class', undefined, 204, 403, 403, 403],
      ['DELETE', '/groups/nothing', undefined, 404, 403, 403, 403],
      ['POST', '/groups/class/users', { users: ['bob'] }, 200, 403, 403, 403],
      ['POST', '/groups/class/users', { users: ['alice'] }, 200, 403, 403, 403],
      ['POST', '/groups/class/users', { users: ['bob', 'nobody'] }, 400, 403, 403, 403],
      ['POST', '/groups/class/users', undefined, 400, 403, 403, 403],
      ['POST', '/groups/class/users', {}, 400, 403, 403, 403],
      ['POST', '/groups/nothing/users', { users: ['bob'] }, 404, 403, 403, 403],
      ['DELETE', '/groups/class/users', { users: ['alice'] }, 200, 403, 403, 403],
      ['DELETE', '/groups/class/users', { users: ['bob'] }, 200, 403, 403, 403],
      ['DELETE', '/groups/class/users', { users: ['nobody'] }, 400, 403, 403, 403],
      ['DELETE', '/groups/class/users', undefined, 400, 403, 403, 403],
      ['DELETE', '/groups/nothing/users', { users: ['alice'] }, 404, 403, 403, 403],
      ['PUT', '/groups/class/properties', { room: 5 }, 200, 403, 403, 403],
      ['PUT', '/groups/class/properties', ['room'], 400, 403, 403, 403],
      ['PUT', '/groups/class/properties', undefined, 400, 403, 403, 403],
      ['PUT', '/groups/nothing/properties', {}, 404, 403, 403, 403],
      ['PATCH', '/groups/class', {}, 405, 405, 405, 405],
      ['GET', '/groups/class/users', undefined, 405, 405, 405, 405],
    ],
    withClass,
  ))

test('api groups: from making to deleting, each answer is the group', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  for (const name of ['alice', 'bob']) await hub.person(name)
  const group = (users: string[], properties = {}) => ({ kind: 'group', name: 'a b/ü', roles: [], properties, users })
  const path = `/groups/${encodeURIComponent('a b/ü')}`
  assert.deepEqual((await hub.send('POST', path, { token, body: { users: ['bob'] } })).json, group(['bob']))
  // Trap 8: the answer to a change of members is JSON with 200, also when nothing changes.
  for (let twice = 0; twice < 2; twice++) {
    const { status, json } = await hub.send('POST', `${path}/users`, { token, body: { users: ['alice', 'bob', 'alice'] } })
    assert.deepEqual([status, json], [200, group(['bob', 'alice'])])
  }
  const { json } = await hub.send('PUT', `${path}/properties`, { token, body: { room: 5, tags: ['x'] } })
  assert.deepEqual(json, group(['bob', 'alice'], { room: 5, tags: ['x'] }))
  assert.deepEqual((await hub.send('PUT', `${path}/properties`, { token, body: {} })).json, group(['bob', 'alice']))
  assert.deepEqual((await hub.send('GET', '/users/alice', { token })).json.groups, ['a b/ü'])
  // Trap 10: a body on DELETE.
  for (let twice = 0; twice < 2; twice++)
    assert.deepEqual((await hub.send('DELETE', `${path}/users`, { token, body: { users: ['bob'] } })).json, group(['alice']))
  assert.deepEqual((await hub.send('GET', path, { token })).json, group(['alice']))
  const gone = await hub.send('DELETE', path, { token })
  assert.deepEqual([gone.status, gone.text], [204, ''])
  assert.equal((await hub.send('GET', path, { token })).status, 404)
  assert.deepEqual((await hub.send('GET', '/users/alice', { token })).json.groups, [])
})

test('api groups: many are made at once or none; what can be no name is refused', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  await hub.person('alice')
  const post = (groups: string[]) => hub.send('POST', '/groups', { token, body: { groups, users: ['alice'] } })
  const { status, json } = await post(['one', 'two', 'one'])
  assert.equal(status, 201)
  assert.deepEqual(named(json), ['one', 'two'])
  assert.deepEqual(json[1].users, ['alice'])
  assert.equal((await post(['three', 'two'])).status, 409)
  assert.equal(hub.core.users.groups.get('three'), undefined)
  for (const name of ['', ' ', 'a\nb', 'x'.repeat(300)]) assert.equal((await post(['four', name])).status, 400, name)
  assert.equal(hub.core.users.groups.get('four'), undefined)
  for (const name of ['__proto__', 'constructor']) {
    assert.equal((await hub.send('GET', `/groups/${name}`, { token })).status, 404)
    assert.equal((await hub.send('POST', `/groups/${name}`, { token })).status, 201)
    assert.equal((await hub.send('GET', `/groups/${name}`, { token })).json.name, name)
  }
  assert.equal((await hub.send('POST', '/groups/null', { token, body: 'null' })).status, 201)
  assert.equal((await hub.send('POST', '/groups/broken', { token, body: new Uint8Array([0xff, 0xfe]) })).status, 400)
})

test('api groups: the list comes whole up to 200, or in pages with an address for the next', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  await hub.core.users.groups.create(Array.from({ length: 205 }, (_, i) => `g${i}`))
  assert.equal((await hub.send('GET', '/groups', { token })).json.length, 200)
  assert.deepEqual(named((await hub.send('GET', '/groups?offset=203&limit=9', { token })).json), ['g203', 'g204'])
  assert.equal((await hub.send('GET', '/groups?limit=ten', { token })).status, 400)
  const headers = { Accept: 'application/jupyterhub-pagination+json' }
  const seen: string[] = []
  for (let path = '/groups'; path !== ''; ) {
    const { json } = await hub.send('GET', path, { token, headers })
    assert.equal(json._pagination.total, 205)
    assert.ok(json.items.length <= 50)
    seen.push(...named(json.items))
    const next = json._pagination.next && new URL(json._pagination.next.url)
    path = next ? `${next.pathname.replace('/hub/api', '')}${next.search}` : ''
  }
  assert.equal(new Set(seen).size, 205)
})

test('api groups: each scope shows its fields, and only of the group it is for', async t => {
  const hub = await apiHub(t)
  await hub.person('alice')
  await withClass(hub)
  const fields = async (...scopes: string[]) => {
    const token = await hub.person('ada', { admin: true, scopes })
    const { status, json } = await hub.send('GET', '/groups/class', { token })
    return status === 200 ? Object.keys(json).sort().join(' ') : status
  }
  assert.equal(await fields('read:groups'), 'kind name properties users')
  assert.equal(await fields('read:groups!group=class'), 'kind name properties users')
  assert.equal(await fields('read:groups:name'), 'kind name')
  assert.equal(await fields('list:groups!group=class'), 'kind name')
  assert.equal(await fields('read:roles:groups'), 'kind name roles')
  assert.equal(await fields('admin:groups'), 'kind name properties roles users')
  assert.equal(await fields('read:groups!group=other'), 404)
  assert.equal(await fields('read:groups!user=alice'), 404)
  assert.equal(await fields('read:users'), 403)
})

test('api groups: a filtered scope opens its group and nothing else (GHSA-69wv)', async t => {
  const hub = await apiHub(t)
  for (const name of ['alice', 'bob', 'carol']) await hub.person(name)
  await withClass(hub)
  await hub.core.users.groups.create(['other'], [hub.core.users.get('bob')!.id])
  const all = ['admin:groups', 'list:groups', 'list:users', 'admin:users', 'tokens', 'servers']
  const token = await hub.person('ada', { admin: true, scopes: all.map(scope => `${scope}!group=class`) })
  const status = async (method: string, path: string, body?: unknown) => (await hub.send(method, path, { token, body })).status

  assert.deepEqual(named((await hub.send('GET', '/groups', { token })).json), ['class'])
  assert.deepEqual(named((await hub.send('GET', '/users', { token })).json), ['alice'])
  assert.equal(await status('POST', '/groups', { groups: ['class'] }), 403)
  assert.equal(await status('POST', '/groups', { groups: ['new'] }), 403)
  assert.equal(await status('POST', '/users', { usernames: ['new'] }), 403)
  assert.equal(await status('POST', '/groups/new'), 404)
  assert.equal(await status('POST', '/users/new'), 404)
  for (const [method, path, body] of [
    ['GET', '', undefined],
    ['DELETE', '', undefined],
    ['POST', '/users', { users: ['carol'] }],
    ['DELETE', '/users', { users: ['bob'] }],
    ['PUT', '/properties', {}],
  ] as const) {
    const other = await hub.send(method, `/groups/other${path}`, { token, body })
    const none = await hub.send(method, `/groups/none${path}`, { token, body })
    assert.deepEqual([other.status, other.text], [404, none.text], `${method} ${path}: what is not for them is as if it were not`)
  }
  assert.equal(await status('GET', '/users/alice'), 200)
  assert.equal(await status('GET', '/users/bob'), 404)
  assert.equal(await status('POST', '/users/alice/tokens', {}), 201)
  assert.equal(await status('POST', '/users/bob/tokens', {}), 404)
  assert.equal(await status('POST', '/users/alice/server'), 201)
  assert.equal(await status('POST', '/users/bob/server'), 404)
  // Who leaves the group is out of reach at the very next request.
  assert.equal(await status('DELETE', '/groups/class/users', { users: ['alice'] }), 200)
  assert.equal(await status('GET', '/users/alice'), 404)
  assert.deepEqual((await hub.send('GET', '/users', { token })).json, [])
})

test('api groups: nobody gives by a membership what they do not hold, nor reaches who may do more than they', async t => {
  const hub = await apiHub(t, {
    access: { everyone: true, adminGroups: ['wheel'] },
    roles: [
      { name: 'tutor', scopes: ['groups', 'servers!group=class'], users: ['tutor'] },
      { name: 'course', scopes: ['read:hub', 'servers!group=class'], groups: ['class'] },
      { name: 'operator', scopes: ['list:users', 'admin:servers'], groups: ['operators'] },
      { name: 'clerk', scopes: ['groups!group=open', 'servers!group=open'], users: ['clerk'], groups: [] },
      { name: 'admin', groups: ['roots'] },
    ],
  })
  const [root, tutor, clerk] = [await hub.person('root', { admin: true }), await hub.person('tutor'), await hub.person('clerk')]
  await hub.person('alice')
  await hub.core.users.groups.create(['open', 'wheel', 'plain'])
  const add = async (token: string, group: string, ...users: string[]) =>
    (await hub.send('POST', `/groups/${group}/users`, { token, body: { users } })).status
  const remove = async (token: string, group: string, ...users: string[]) =>
    (await hub.send('DELETE', `/groups/${group}/users`, { token, body: { users } })).status

  assert.equal(await add(tutor, 'operators', 'tutor'), 403, 'self-promotion by a group’s role')
  assert.equal(await add(tutor, 'class', 'alice'), 403, 'read:hub is not theirs to give')
  for (const group of ['wheel', 'roots']) {
    assert.equal(await add(tutor, group, 'tutor'), 403, group)
    assert.equal(await add(root, group, 'alice'), 200, group)
    assert.equal(await remove(tutor, group, 'alice'), 403, group)
    assert.equal(await remove(root, group, 'alice'), 200, group)
  }
  assert.equal(await add(tutor, 'plain', 'alice', 'root'), 200, 'a group without roles, over which they have no rights')
  assert.equal(await add(clerk, 'open', 'alice'), 200)
  assert.equal((await hub.send('POST', '/users/alice/server', { token: clerk })).status, 201)
  assert.equal(await add(clerk, 'open', 'root'), 403, 'an administrator is out of reach')
  const narrow = await hub.person('clerk', { scopes: ['groups!group=open'] })
  assert.equal(await add(narrow, 'open', 'root'), 403, 'also by a token that has not the rights over members itself')
  assert.equal((await hub.send('POST', '/users/root/server', { token: clerk })).status, 404)
  assert.equal(await add(root, 'class', 'root', 'alice'), 200)
  // With groups alone, also an administrator’s own token gives no more than it holds.
  const limited = await hub.person('root', { scopes: ['groups', 'admin:groups', 'delete:groups'] })
  assert.equal(await add(limited, 'operators', 'alice'), 403)
  assert.equal(
    (await hub.send('POST', '/groups', { token: limited, body: { groups: ['roots2'], users: ['alice'] } })).status,
    201,
  )
  assert.equal((await hub.send('DELETE', '/groups/roots', { token: limited })).status, 403)
  assert.equal((await hub.send('DELETE', '/groups/operators', { token: root })).status, 204)
  assert.equal(
    (await hub.send('POST', '/groups/operators', { token: limited, body: { users: ['alice'] } })).status,
    403,
    'made anew it has its role again',
  )
})
