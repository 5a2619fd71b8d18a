import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRoles } from '../core/identity/roles.ts'
import { covers, coversAll, expand, holds, intersect, isScope, reduce, scopeNames } from '../core/identity/scopes.ts'

const groupsOf = (user: string) => ({ alice: ['class', 'lab'], bob: ['class'] })[user] ?? []
const sorted = (scopes: Iterable<string>) => [...scopes].sort()
const set = (...scopes: string[]) => new Set(scopes)

test('a scope means all that it implies, filter and all', () => {
  assert.deepEqual(sorted(expand(['users'])), [
    'list:users',
    'read:users',
    'read:users:activity',
    'read:users:groups',
    'read:users:name',
    'users',
    'users:activity',
  ])
  assert.deepEqual(sorted(expand(['servers!group=g'])), [
    'delete:servers!group=g',
    'read:servers!group=g',
    'read:users:name!group=g',
    'servers!group=g',
    'start:servers!group=g',
  ])
  assert.ok(expand(['admin:users']).has('read:users:groups'))
  assert.ok(expand(['shares']).has('access:servers'))
})

test('every scope of contract 5.1 is known, and means what the contract says and no more', () => {
  const implies: Record<string, string> = {
    'admin:users': 'admin:auth_state users read:roles:users delete:users',
    users: 'read:users list:users users:activity',
    'read:users': 'read:users:name read:users:groups read:users:activity',
    'list:users': 'read:users:name',
    'users:activity': 'read:users:activity',
    'admin:servers': 'admin:server_state servers',
    servers: 'read:servers start:servers delete:servers',
    'read:servers': 'read:users:name',
    tokens: 'read:tokens',
    'admin:groups': 'groups read:roles:groups delete:groups',
    groups: 'read:groups list:groups',
    'read:groups': 'read:groups:name',
    'list:groups': 'read:groups:name',
    'admin:services': 'list:services read:services read:roles:services',
    'list:services': 'read:services:name',
    'read:services': 'read:services:name',
    'read:roles': 'read:roles:users read:roles:services read:roles:groups',
    shares: 'access:servers read:shares users:shares groups:shares',
    'users:shares': 'read:users:shares',
    'groups:shares': 'read:groups:shares',
  }
  const leaves = 'access:servers access:services read:hub proxy shutdown read:metrics admin-ui'.split(' ')
  const below = (scope: string): string[] => [scope, ...(implies[scope]?.split(' ') ?? []).flatMap(below)]
  const all = new Set([...Object.keys(implies).flatMap(below), ...leaves])
  for (const scope of all) assert.deepEqual(sorted(expand([scope])), sorted(new Set(below(scope))), scope)
  for (const meta of ['self', 'inherit', '(no_scope)']) assert.ok(isScope(meta), meta)
  assert.ok(!isScope('all'))
  assert.deepEqual(sorted(scopeNames), sorted([...all, 'self', 'inherit', '(no_scope)']))
})

test('the default roles have the scopes of contract 5.3', () => {
  const scopes = (role: string) => sorted(defaultRoles.get(role)?.scopes ?? [])
  const admin = `admin-ui admin:users admin:servers admin:services tokens admin:groups list:services read:services read:hub proxy
    shutdown access:services access:servers read:roles read:metrics shares`
  assert.deepEqual(scopes('admin'), sorted(admin.split(/\s+/)))
  assert.deepEqual(scopes('user'), ['self'])
  assert.deepEqual(scopes('server'), ['access:servers!server', 'users:activity!user'])
  assert.deepEqual(scopes('token'), ['inherit'])
  assert.equal(defaultRoles.size, 4)
  const own = 'read:users users:shares read:shares users:activity servers tokens access:servers'.split(' ')
  assert.deepEqual(sorted(expand(['self'], { owner: 'u' })), sorted(expand(own.map(scope => `${scope}!user=u`))))
})

test('who may read one server may not for that read its user', () => {
  assert.deepEqual(sorted(expand(['admin:servers!server=a/'])), [
    'admin:server_state!server=a/',
    'admin:servers!server=a/',
    'delete:servers!server=a/',
    'read:servers!server=a/',
    'servers!server=a/',
    'start:servers!server=a/',
  ])
})

test('self is one’s own, and nothing for who is no user', () => {
  const own = expand(['self'], { owner: 'alice' })
  for (const scope of [
    'access:servers',
    'read:users:name',
    'servers',
    'start:servers',
    'read:tokens',
    'read:shares',
    'users:activity',
  ])
    assert.ok(own.has(`${scope}!user=alice`), scope)
  assert.ok(![...own].some(scope => !scope.endsWith('!user=alice') || scope.startsWith('shares')))
  assert.equal(expand(['self'], { service: 'x' }).size, 0)
  assert.equal(expand(['inherit', '(no_scope)'], { owner: 'alice' }).size, 0)
})

test('filters that refer to their holder are resolved, or grant nothing', () => {
  const scopes = ['read:users:name!user', 'access:servers!server', 'access:services!service']
  assert.deepEqual(sorted(expand(scopes, { owner: 'alice', client: { server: 'bob/lab' } })), [
    'access:servers!server=bob/lab',
    'read:users:name!user=alice',
  ])
  assert.deepEqual(sorted(expand(scopes, { service: 's' })), ['access:services!service=s'])
  assert.deepEqual(sorted(expand(scopes, { owner: 'alice', client: { service: 's' } })), [
    'access:services!service=s',
    'read:users:name!user=alice',
  ])
  assert.equal(expand(scopes).size, 0)
})

test('what is no scope is refused', () => {
  for (const scope of [
    ...[
      '',
      'all',
      'nothing',
      'user',
      'Users',
      ' users',
      'users ',
      'custom:x',
      '__proto__',
      'constructor',
      'self!user=a',
      'inherit!user',
    ],
    ...[
      'users!',
      'users!user=',
      'users!team=a',
      'users!user',
      'users!group',
      'users!server=a',
      'users!server=/x',
      'users!server=a/b/c',
    ],
    ...['users!=a', 'users!user=a!', '!user=a'],
  ]) {
    const fine = ['users!user', 'users!user=a!'].includes(scope)
    assert.equal(isScope(scope), fine, scope)
    if (!fine) assert.throws(() => expand([scope]), { code: 'invalid' }, scope)
  }
})

test('a held scope covers its targets: all, a user with all servers, a group’s members with theirs, one server', () => {
  const target = { user: 'alice', server: 'lab' }
  const cases: [string, boolean, boolean][] = [
    // held, covers alice, covers alice's server lab
    ['servers', true, true],
    ['servers!user=alice', true, true],
    ['servers!group=class', true, true],
    ['servers!server=alice/lab', false, true],
    ['servers!server=alice/', false, false],
    ['servers!user=bob', false, false],
    ['servers!group=other', false, false],
    ['servers!user=alicex', false, false],
    ['read:servers!user=alice', false, false],
  ]
  for (const [scope, user, server] of cases) {
    assert.equal(covers(set(scope), 'servers', { user: 'alice' }, groupsOf), user, scope)
    assert.equal(covers(set(scope), 'servers', target, groupsOf), server, scope)
    assert.equal(covers(set(scope), 'servers', undefined, groupsOf), scope === 'servers', scope)
    assert.equal(holds(set(scope), 'servers'), scope.split('!')[0] === 'servers', scope)
  }
  assert.ok(covers(set('servers!server=alice/'), 'servers', { user: 'alice', server: '' }, groupsOf))
  assert.ok(!covers(set('servers!server=alice'), 'servers', { user: 'alice', server: '' }, groupsOf))
  assert.ok(covers(set('read:groups!group=class'), 'read:groups', { group: 'class' }, groupsOf))
  assert.ok(!covers(set('read:groups!group=class'), 'read:groups', { group: 'lab' }, groupsOf))
  assert.ok(covers(set('read:services!service=s'), 'read:services', { service: 's' }, groupsOf))
  assert.ok(!covers(set('read:services!user=s'), 'read:services', { service: 's' }, groupsOf))
  assert.ok(!holds(set('read:users:name'), 'read:users'))
})

test('two sets together allow what both do: the narrower of each pair', () => {
  const cases: [string, string, string[]][] = [
    ['servers', 'servers', ['servers']],
    ['servers', 'servers!user=alice', ['servers!user=alice']],
    ['servers!user=alice', 'servers!server=alice/lab', ['servers!server=alice/lab']],
    ['servers!user=alice', 'servers!server=alicex/lab', []],
    ['servers!group=class', 'servers!user=alice', ['servers!user=alice']],
    ['servers!group=class', 'servers!server=bob/', ['servers!server=bob/']],
    ['servers!group=class', 'servers!user=eve', []],
    ['servers!group=class', 'servers!group=lab', []],
    ['servers!group=class', 'servers!group=class', ['servers!group=class']],
    ['servers!user=alice', 'servers!user=bob', []],
    ['servers', 'tokens', []],
  ]
  for (const [a, b, both] of cases) {
    assert.deepEqual(sorted(intersect(set(a), set(b), groupsOf)), both, `${a} and ${b}`)
    assert.deepEqual(sorted(intersect(set(b), set(a), groupsOf)), both, `${b} and ${a}`)
  }
  assert.deepEqual(sorted(intersect(set('servers', 'tokens!user=alice'), set('tokens', 'servers!user=bob'), groupsOf)), [
    'servers!user=bob',
    'tokens!user=alice',
  ])
})

test('a set allows another when each of its scopes is within it', () => {
  assert.ok(coversAll(set('servers!group=class'), set('servers!user=alice', 'servers!server=bob/x'), groupsOf))
  assert.ok(!coversAll(set('servers!group=class'), set('servers!user=alice', 'servers!user=eve'), groupsOf))
  assert.ok(!coversAll(set('servers!user=alice'), set('servers'), groupsOf))
  assert.ok(coversAll(set(), set(), groupsOf))
})

test('what is there for everything is not there for something once more', () => {
  assert.deepEqual(sorted(reduce(['servers!user=a', 'servers', 'tokens!user=a'])), ['servers', 'tokens!user=a'])
})

test('the roles that there always are hold scopes, and an admin’s token inherits nothing by them', () => {
  for (const { scopes } of defaultRoles.values()) for (const scope of scopes) assert.ok(isScope(scope), scope)
  assert.ok(!expand(defaultRoles.get('admin')!.scopes).has('inherit'))
})

test('custom scopes are known where they are given, with what they imply and with filters', () => {
  const custom = new Map([
    ['custom:grades:write', ['custom:grades:read']],
    ['custom:grades:read', []],
  ])
  assert.ok(!isScope('custom:grades:read'))
  assert.ok(isScope('custom:grades:read!group=class', custom))
  assert.throws(() => expand(['custom:grades:write']), { code: 'invalid' })
  assert.deepEqual(sorted(expand(['custom:grades:write!user=a'], {}, custom)), [
    'custom:grades:read!user=a',
    'custom:grades:write!user=a',
  ])
})
