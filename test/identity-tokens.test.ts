import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { identityHub } from './identity-hub.ts'

test('a token is told once, found by what it is, and never written down', async t => {
  const { users, tokens, folder, store } = await identityHub(t)
  const { id } = await users.create('alice')
  const { secret, record } = await tokens.create(id, { kind: 'api', note: 'mine', scopes: ['inherit'] })
  assert.ok(Buffer.from(secret, 'base64url').length >= 32)
  assert.deepEqual(tokens.find(secret), { owner: users.get('alice'), record })
  assert.deepEqual(tokens.get(id, record.id), record)
  for (const wrong of ['', 'x', secret.slice(1), `${secret}x`, record.hash, '__proto__'])
    assert.equal(tokens.find(wrong), undefined)
  const files = (await readdir(folder, { recursive: true })).filter(name => name.endsWith('.json'))
  for (const name of files) assert.ok(!(await readFile(join(folder, name), 'utf8')).includes(secret), name)
  assert.deepEqual(store.hub.data.groups, [])
})

test('numbers go on after a restart, tokens stay good', async t => {
  const { users, tokens, folder } = await identityHub(t)
  const { id } = await users.create('alice')
  const first = await tokens.create(id, { kind: 'api' })
  const again = await identityHub(t, { folder })
  assert.equal(again.tokens.find(first.secret)?.owner.name, 'alice')
  assert.equal((await again.tokens.create(id, { kind: 'api' })).record.id, first.record.id + 1)
})

test('an expired token is nobody’s, and gone with the next one that is made', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { users, tokens } = await identityHub(t)
  const { id } = await users.create('alice')
  const { secret, record } = await tokens.create(id, { kind: 'api', expires: 60_000 })
  t.mock.timers.tick(59_999)
  assert.ok(tokens.find(secret))
  t.mock.timers.tick(1)
  assert.equal(tokens.find(secret), undefined)
  assert.equal(tokens.get(id, record.id), undefined)
  await tokens.create(id, { kind: 'api' })
  assert.equal(users.get('alice')?.tokens.length, 1)
})

test('a revoked token is refused at the very next look, and after a restart', async t => {
  const { users, tokens, folder } = await identityHub(t)
  const [alice, bob] = [await users.create('alice'), await users.create('bob')]
  const one = await tokens.create(alice.id, { kind: 'oauth', client: 'c' })
  const two = await tokens.create(bob.id, { kind: 'oauth', client: 'c' })
  const other = await tokens.create(bob.id, { kind: 'api' })
  assert.equal(await tokens.revoke(alice.id, ({ kind }) => kind === 'oauth'), 1)
  assert.equal(tokens.find(one.secret), undefined)
  assert.equal(await tokens.revokeIssuedTo('c'), 1)
  assert.equal(tokens.find(two.secret), undefined)
  assert.equal(await tokens.revoke('nobody', () => true), 0)
  const again = (await identityHub(t, { folder })).tokens
  assert.equal(again.find(one.secret), undefined)
  assert.equal(again.find(two.secret), undefined)
  assert.ok(again.find(other.secret))
  await users.remove(bob.id)
  assert.equal(tokens.find(other.secret), undefined)
})

test('a token may do what it says, and never more than its owner may now', async t => {
  const { users, tokens } = await identityHub(t)
  const alice = await users.create('alice')
  const boss = await users.create('boss', { admin: true })
  const scopesOf = async (id: string, scopes: string[]) => {
    const { secret } = await tokens.create(id, { kind: 'api', scopes })
    return () => {
      const { owner, record } = tokens.find(secret)!
      return [...tokens.scopes(owner, record)].sort()
    }
  }
  const identity = (name: string) => [`read:users:groups!user=${name}`, `read:users:name!user=${name}`]
  assert.deepEqual((await scopesOf(alice.id, []))(), identity('alice'))
  assert.deepEqual(
    (await scopesOf(alice.id, ['admin:users', 'list:users', 'proxy']))(),
    ['read:users:activity!user=alice', ...identity('alice'), 'read:users!user=alice', 'users:activity!user=alice'].sort(),
  )
  assert.deepEqual((await scopesOf(alice.id, ['inherit']))(), [...tokens.userScopes(alice)].sort())
  const hub = await scopesOf(boss.id, ['read:hub', 'servers!user=alice'])
  assert.ok(hub().includes('read:hub'))
  await users.update(boss.id, draft => void (draft.admin = false))
  assert.deepEqual(hub(), identity('boss'))
  await assert.rejects(tokens.create(alice.id, { kind: 'api', scopes: ['nothing'] }), { code: 'invalid' })
})

test('a server’s token may tell of activity and open the server, nothing else', async t => {
  const { users, tokens } = await identityHub(t)
  const { id } = await users.create('alice')
  const scopes = ['users:activity!user', 'access:servers!server=alice/']
  const { secret } = await tokens.create(id, {
    kind: 'server',
    note: 'Server at /user/alice/',
    scopes,
    server: '',
    generation: 'g',
  })
  const { owner, record } = tokens.find(secret)!
  const caller = tokens.caller(owner, record)
  assert.deepEqual([...caller.scopes].sort(), [
    'access:servers!server=alice/',
    'read:users:activity!user=alice',
    'read:users:groups!user=alice',
    'read:users:name!user=alice',
    'users:activity!user=alice',
  ])
  assert.ok(caller.allows('access:servers', { user: 'alice', server: '' }))
  assert.ok(!caller.allows('access:servers', { user: 'alice', server: 'lab' }))
  assert.ok(!caller.allows('users:activity', { user: 'bob' }))
  assert.ok(caller.holds('users:activity') && !caller.holds('tokens'))
  assert.equal(caller.name, 'alice')
})

test('whom the config does not let in any more has no tokens; an account that never signed in need not be named', async t => {
  const { users, tokens, folder } = await identityHub(t)
  const identity = { authenticator: 'passwords', id: null }
  const alice = await tokens.create((await users.create('alice', { identity })).id, { kind: 'api' })
  const program = await tokens.create((await users.create('program')).id, { kind: 'api' })
  const found = async (access: object) => {
    const hub = await identityHub(t, { folder, access })
    return [alice, program].map(({ secret }) => hub.tokens.find(secret)?.owner.name)
  }
  assert.deepEqual(await found({ everyone: true }), ['alice', 'program'])
  assert.deepEqual(await found({ everyone: true, blocked: ['Alice', 'program'] }), [undefined, undefined])
  assert.deepEqual(await found({ users: ['bob'] }), [undefined, 'program'])
  assert.deepEqual(await found({ users: ['alice'] }), ['alice', 'program'])
  assert.deepEqual(await found({}), [undefined, 'program'])
})

test('a group that is deleted takes its scopes out of all tokens: another one of that name gives them nothing', async t => {
  const { users, tokens, folder } = await identityHub(t)
  const ada = await users.create('ada', { admin: true })
  const bob = await users.create('bob')
  await users.groups.create(['physics', 'physics2'], [bob.id])
  const scopes = ['read:users!group=physics', 'list:users!group=physics2', 'read:hub']
  const { secret } = await tokens.create(ada.id, { kind: 'api', scopes })
  const may = ({ tokens, users }: Pick<typeof hub, 'tokens' | 'users'>) => {
    const { record } = tokens.find(secret)!
    const caller = tokens.caller(users.get('ada')!, record)
    return ['read:users', 'list:users'].map(scope => caller.allows(scope, { user: 'bob' }))
  }
  const hub = { users, tokens }
  assert.deepEqual(may(hub), [true, true])
  await users.groups.delete('physics')
  await users.groups.create(['physics'], [bob.id])
  assert.deepEqual(may(hub), [false, true])
  assert.deepEqual(may(await identityHub(t, { folder })), [false, true])
  await assert.rejects(users.groups.delete('nothing'), { code: 'missing' })
})
