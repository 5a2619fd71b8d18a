import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Audit, unrecorded } from '../core/audit.ts'
import { silent } from '../core/log.ts'
import { apiHub } from './api-hub.ts'
import { identityHub } from './identity-hub.ts'
import { load, refusal } from './written-config.ts'

test('config roles: members by name and by group have the scopes, at the next request and no longer', async t => {
  const hub = await apiHub(t, {
    roles: [
      { name: 'watcher', scopes: ['list:users', 'read:hub'], users: ['Alice '] },
      { name: 'tutor', scopes: ['list:users!group=class', 'servers!group=class'], groups: ['tutors'] },
    ],
  })
  const [alice, bob] = [await hub.person('alice'), await hub.person('bob')]
  await hub.person('carol')
  const { groups } = hub.core.users
  const status = async (token: string, path: string) => (await hub.send('GET', path, { token })).status
  assert.equal(await status(alice, '/info'), 200)
  assert.equal((await hub.send('GET', '/users', { token: alice })).json.length, 3)
  assert.deepEqual([await status(bob, '/info'), await status(bob, '/users')], [403, 403])

  await groups.create(['class'], [hub.core.users.get('carol')!.id])
  await groups.add('tutors', [hub.core.users.get('bob')!.id])
  assert.deepEqual(
    (await hub.send('GET', '/users', { token: bob })).json.map((user: { name: string }) => user.name),
    ['carol'],
  )
  assert.equal((await hub.send('POST', '/users/carol/server', { token: bob })).status, 201)
  assert.equal((await hub.send('POST', '/users/alice/server', { token: bob })).status, 404)
  await groups.remove('tutors', [hub.core.users.get('bob')!.id])
  assert.equal(await status(bob, '/users'), 403)
  assert.equal((await hub.send('DELETE', '/users/carol/server', { token: bob })).status, 404)
})

test('config roles: models show them where they are', async t => {
  const hub = await apiHub(t, {
    roles: [{ name: 'watcher', scopes: ['read:hub'], users: ['alice'], groups: ['class'], services: ['culler'] }],
  })
  const token = await hub.person('root', { admin: true })
  await hub.person('bob')
  await hub.core.users.groups.add('class', [hub.core.users.get('bob')!.id])
  const roles = async (path: string) => (await hub.send('GET', path, { token })).json.roles
  assert.deepEqual(await roles('/users/alice'), ['user', 'watcher'])
  assert.deepEqual(await roles('/users/bob'), ['user'])
  assert.deepEqual(await roles('/users/root'), ['admin', 'user'])
  assert.deepEqual(await roles('/groups/class'), ['watcher'])
  assert.deepEqual(hub.core.roles.ofService('culler'), ['watcher'])
})

test('config roles: users and groups that are not there are made, the admin role makes admins', async t => {
  const { users, roles, settle } = await identityHub(t, {
    roles: [
      { name: 'admin', users: ['Root'], groups: ['wheel'] },
      { name: 'watcher', scopes: ['read:hub'], users: ['ann'], groups: ['class'] },
    ],
  })
  await settle()
  await settle()
  assert.deepEqual(
    [...users.all()].map(({ name, admin }) => [name, admin]),
    [
      ['root', true],
      ['ann', false],
    ],
  )
  assert.deepEqual(
    [...users.groups.all()].map(({ name }) => name),
    ['wheel', 'class'],
  )
  assert.deepEqual(roles.of(users.get('root')!), ['admin', 'user'])
  // By a group one is an admin from the next start or sign-in on, with flag and all.
  const ann = users.get('ann')!
  await users.groups.add('wheel', [ann.id])
  assert.ok(!roles.behind(ann).includes('admin'))
  await settle()
  assert.ok(roles.behind(users.get('ann')!).includes('admin'))
})

test('config roles: whoever is renamed keeps the role, and the next of that name does not get it, also after a restart', async t => {
  const given = {
    roles: [
      { name: 'watcher', scopes: ['read:hub'], users: ['alice', 'bob'] },
      { name: 'helper', scopes: ['servers!user=carol', 'servers!server=carol/lab'], users: ['dora'] },
    ],
  }
  const first = await identityHub(t, given)
  const carol = await first.users.create('carol')
  await first.settle()
  const allows = (hub: typeof first, name: string, scope: string, user?: string) =>
    hub.tokens.caller(hub.users.get(name)!).allows(scope, user === undefined ? undefined : { user, server: 'lab' })
  assert.ok(allows(first, 'alice', 'read:hub') && allows(first, 'dora', 'servers', 'carol'))
  await first.users.rename(first.users.get('alice')!.id, 'alicia')
  await first.users.rename(carol.id, 'caroline')
  await first.users.remove(first.users.get('bob')!.id)
  for (const name of ['alice', 'bob', 'carol']) await first.users.create(name)

  const check = (hub: typeof first, when: string) => {
    assert.ok(allows(hub, 'alicia', 'read:hub'), when)
    for (const name of ['alice', 'bob']) {
      assert.ok(!allows(hub, name, 'read:hub'), `${name} ${when}`)
      assert.deepEqual(hub.roles.of(hub.users.get(name)!), ['user'])
    }
    assert.ok(allows(hub, 'dora', 'servers', 'caroline'), when)
    assert.ok(!allows(hub, 'dora', 'servers', 'carol'), when)
  }
  check(first, 'at once')
  const second = await identityHub(t, { ...given, folder: first.folder })
  await second.settle()
  check(second, 'after a restart')
  assert.equal(second.lines.filter(line => line.includes('the config names a user')).length, 3)

  // Out of the config for one start, the name means whoever has it next time.
  await (await identityHub(t, { folder: first.folder })).settle()
  const third = await identityHub(t, { ...given, folder: first.folder })
  await third.settle()
  assert.ok(allows(third, 'alice', 'read:hub'))
  assert.ok(!allows(third, 'alicia', 'read:hub'))
})

test('config services: a scope that names a user is for that one, whatever they are called, also after a restart (GHSA-mj6q)', async t => {
  const scopes = ['servers!user=carol', 'read:users!user=bob']
  const oauth = { redirectUri: 'https://app.example.org/cb', allowedScopes: scopes }
  const given = { services: [{ name: 'app', token: 'the-token-of-the-app', scopes, oauth }] }
  const first = await identityHub(t, given)
  const [bob, carol] = [await first.users.create('bob'), await first.users.create('carol')]
  await first.settle()
  await first.users.rename(carol.id, 'caroline')
  await first.users.remove(bob.id)
  for (const name of ['bob', 'carol']) await first.users.create(name)
  const check = (hub: typeof first, when: string) => {
    const app = hub.services.get('app')!
    const { allows } = hub.services.caller(app)
    const may = ['bob', 'carol', 'caroline'].map(user => allows('read:users', { user }) || allows('servers', { user }))
    assert.deepEqual(may, [false, false, true], when)
    assert.deepEqual(hub.services.allowedTo(app), ['servers!user=caroline'], when)
  }
  check(first, 'at once')
  const second = await identityHub(t, { ...given, folder: first.folder })
  await second.settle()
  check(second, 'after a restart')
})

test('services made over the API: what they may ask of a user or group who are gone is of nobody next, also after a restart', async t => {
  const hub = await identityHub(t)
  const allowed = ['read:users!user=bob', 'read:users!group=class', 'read:users!user']
  const made = {
    name: 'app',
    url: null,
    admin: false,
    display: true,
    info: {},
    created: new Date().toISOString(),
    hash: 'a'.repeat(64),
  }
  const oauth = { clientId: null, redirectUri: 'https://app.example.org/cb', allowedScopes: allowed, noConfirm: false }
  await hub.services.add({ ...made, oauth })
  const { id } = await hub.users.create('bob')
  await hub.users.groups.create(['class'])
  await hub.users.rename(id, 'robert')
  await hub.users.groups.delete('class')
  for (const there of [hub, await identityHub(t, { folder: hub.folder })])
    assert.deepEqual(there.services.allowedTo(there.services.get('app')!), ['read:users!user'])
})

test('config roles: an admin by role stays one when renamed, and the next of that name is none', async t => {
  const given = { access: { users: ['x'] }, roles: [{ name: 'admin', users: ['root'] }] }
  const first = await identityHub(t, given)
  await first.settle()
  await first.users.rename(first.users.get('root')!.id, 'groot')
  await first.users.create('root')
  const second = await identityHub(t, { ...given, folder: first.folder })
  await second.settle()
  assert.deepEqual(
    [...second.users.all()].map(({ name, admin }) => [name, admin]),
    [
      ['groot', true],
      ['root', false],
    ],
  )
  await second.logins.password('passwords', { username: 'root', password: 'right' }, '127.0.0.1')
  assert.equal(second.users.get('root')!.admin, false, 'nor by a sign-in')
})

test('config roles: user, token and server can have other scopes; a removed role gives nothing', async t => {
  const hub = await apiHub(t, {
    roles: [
      { name: 'user', scopes: ['self', 'read:hub'] },
      { name: 'token', scopes: ['read:users:name!user'] },
      { name: 'server', scopes: ['users:activity!user', 'access:servers!server', 'read:users!user'] },
    ],
  })
  const alice = await hub.person('alice')
  assert.equal((await hub.send('GET', '/info', { token: alice })).status, 200)
  const made = await hub.send('POST', '/users/alice/tokens', { token: alice })
  assert.deepEqual(made.json.scopes, ['read:users:groups!user=alice', 'read:users:name!user=alice'])
  await hub.send('POST', '/users/alice/server', { token: alice })
  const { scopes } = hub.core.users.get('alice')!.tokens.find(({ kind }) => kind === 'server')!
  assert.deepEqual(scopes, ['users:activity!user', 'access:servers!server=alice/', 'read:users!user'])
  const narrow = await hub.send('POST', '/users/alice/tokens', { token: alice, body: { roles: ['none-such'] } })
  assert.equal(narrow.status, 400)
})

test('custom scopes: users get them by roles, tokens hold no more of them than their owner', async t => {
  const hub = await apiHub(t, {
    scopes: {
      'custom:grades:write': { description: 'Write grades', subscopes: ['custom:grades:read'] },
      'custom:grades:read': { description: 'Read grades' },
    },
    roles: [{ name: 'grader', scopes: ['custom:grades:write!group=class'], users: ['alice'] }],
  })
  const alice = await hub.person('alice')
  const bob = await hub.person('bob')
  const scopes = (await hub.send('GET', '/user', { token: alice })).json.scopes as string[]
  assert.ok(['custom:grades:read!group=class', 'custom:grades:write!group=class'].every(scope => scopes.includes(scope)))
  const ask = async (token: string, name: string, scope: string) =>
    (await hub.send('POST', `/users/${name}/tokens`, { token, body: { scopes: [scope] } })).status
  assert.equal(await ask(alice, 'alice', 'custom:grades:read!group=class'), 201)
  assert.equal(await ask(alice, 'alice', 'custom:grades:read'), 400)
  assert.equal(await ask(alice, 'alice', 'custom:other'), 400)
  assert.equal(await ask(bob, 'bob', 'custom:grades:read'), 400)
})

test('config roles: what is wrong is told with its place', async t => {
  const text = `export default defineConfig({
  ...rest,
  access: { everyone: true, blocked: ['eve'] },
  scopes: {
    'custom:a-b': { description: 'A', subscopes: ['custom:c-d', 'users'] },
    'grades': { description: 'B' },
  },
})`
  assert.equal(
    await refusal(t, text),
    'hub.config.ts:8:5 scopes.grades: expected "custom:" and at least 3 characters of a-z, 0-9, "_", "-", "*" and ":"',
  )
  const roles = `export default defineConfig({
  ...rest,
  access: { everyone: true, blocked: ['eve'] },
  scopes: { 'custom:a-b': { description: 'A', subscopes: ['users'] } },
  roles: [
    { name: 'teacher', scopes: ['list:user', 'users!team=a', 'custom:a-b'], users: ['a/b', 'eve'], groups: [''] },
    { name: 'teacher' },
    { name: 'admin', scopes: ['self'], description: 'x' },
  ],
})`
  assert.equal(
    await refusal(t, roles),
    [
      'hub.config.ts:6:59 scopes["custom:a-b"].subscopes[0]: there is no custom scope "users"',
      'hub.config.ts:8:33 roles[0].scopes[0]: there is no scope "list:user", did you mean "list:users"?',
      'hub.config.ts:8:46 roles[0].scopes[1]: there is no scope "users!team=a"',
      `hub.config.ts:8:85 roles[0].users[0]: can be nobody's name`,
      'hub.config.ts:8:92 roles[0].users[1]: "eve" is in access.blocked too: leave out one of them',
      `hub.config.ts:8:109 roles[0].groups[0]: can be no group's name`,
      'hub.config.ts:9:7 roles[1].name: there is another role "teacher" at roles[0]',
      'hub.config.ts:10:22 roles[2].scopes: what an admin may do cannot be changed; say who has the role',
      'hub.config.ts:10:40 roles[2].description: what an admin may do cannot be changed; say who has the role',
    ].join('\n'),
  )
  assert.match(
    await refusal(t, `export default defineConfig({ ...rest, roles: [{ name: 'ops', scope: [] }] })`),
    /did you mean "scopes"/,
  )
  const services = `services: [{ name: 'culler', token: 'a-token-of-some-length' }]`
  const withRole = (name: string, more = '') =>
    `export default defineConfig({ ...rest, ${more} roles: [{ name: 'ops', services: ['${name}'] }] })`
  const { settings } = await load(t, withRole('culler', `${services},`))
  assert.deepEqual(settings.roles[0]?.services, ['culler'])
  const message = /:3:\d+ roles\[0\]\.services\[0\]: there is no service "cullr" in services, did you mean "culler"\?$/
  assert.match(await refusal(t, withRole('cullr', `${services},`)), message)
  assert.match(
    await refusal(t, withRole('grades', `${services},`)),
    /there is no service "grades" in services; there are: culler$/,
  )
  assert.match(await refusal(t, withRole('grades')), /there is no service "grades" in services$/)
})

test('config admins: a listed name is taken before anybody else can take it, and stays with who has it', async t => {
  const given = { access: { everyone: true, admins: ['Wako'] } }
  const first = await identityHub(t, given)
  await first.settle()
  const wako = first.users.get('wako')!
  assert.equal(wako.admin, true)
  await assert.rejects(first.users.create('wako'), { code: 'conflict' })
  assert.ok((await first.logins.password('passwords', { username: 'wako', password: 'right' }, '192.0.2.1')).ok)
  assert.equal(first.users.get('wako')?.id, wako.id)

  // Whoever makes an account of that name after it was deleted or renamed gets no rights by it.
  await first.users.rename(wako.id, 'wako the first')
  await first.users.create('wako')
  const second = await identityHub(t, { ...given, folder: first.folder })
  await second.settle()
  await second.logins.password('passwords', { username: 'wako', password: 'right' }, '192.0.2.1')
  assert.deepEqual(
    [...second.users.all()].map(({ name, admin }) => [name, admin]),
    [
      ['wako the first', true],
      ['wako', false],
    ],
  )
})

test('config roles: what the config says otherwise than at the last start is in the audit trail, once', async t => {
  const told: object[] = []
  const audit: Audit = { ...unrecorded, record: ({ action, target, details }) => void told.push({ action, target, details }) }
  const { folder, roles } = await identityHub(t, {
    roles: [{ name: 'watcher', scopes: ['read:hub', 'list:users'], users: ['ann'] }],
  })
  await roles.bind(silent, audit)
  assert.deepEqual(told, [
    { action: 'role.change', target: { role: 'watcher' }, details: { scopes: 'read:hub list:users', users: 'ann' } },
  ])
  told.length = 0
  await roles.bind(silent, audit)
  assert.deepEqual(told, [])
  const next = await identityHub(t, { folder, roles: [{ name: 'watcher', scopes: ['read:hub'], users: ['ann'], groups: ['g'] }] })
  await next.roles.bind(silent, audit)
  assert.deepEqual(told, [{ action: 'role.change', target: { role: 'watcher' }, details: { scopes: 'read:hub', groups: 'g' } }])
  told.length = 0
  const last = await identityHub(t, { folder })
  await last.roles.bind(silent, audit)
  assert.deepEqual(told, [{ action: 'role.change', target: { role: 'watcher' }, details: { scopes: '', users: '', groups: '' } }])
})
