import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identityHub } from './identity-hub.ts'

const odd = [
  '__proto__',
  'constructor',
  'toString',
  'a.b',
  'a@b.org',
  'a+b',
  'Bob',
  'é',
  'x'.repeat(200),
  'ÄÖ ü',
  '%2f',
  "o'neil",
]

test('users may be called anything, and so may their servers; what nobody can be called is refused', async t => {
  const { users, store, folder } = await identityHub(t)
  for (const name of odd) {
    const { id } = await users.create(name)
    for (const server of odd) await users.updateServer(id, server, draft => void (draft.displayName = server))
    assert.equal(users.get(name)?.name, name)
    assert.deepEqual(
      users.get(name)?.servers.map(({ name }) => name),
      odd,
    )
  }
  assert.equal(new Set([...users.all()].map(({ slug }) => slug)).size, odd.length)
  assert.equal(users.get('hasOwnProperty'), undefined)
  const again = await identityHub(t, { folder })
  assert.deepEqual([...again.users.all()], [...store.byId.values()])
  for (const name of ['', ' ', ' a', 'a ', '.', '..', 'a/b', 'a\\b', 'a\nb', 'a\0', '\u200b', 'a\u202eb', 'x'.repeat(256), '／'])
    await assert.rejects(users.create(name), { code: 'invalid' }, JSON.stringify(name))
  await assert.rejects(users.create('Bob'), { code: 'conflict' })
  assert.notEqual((await users.create('bob')).slug, users.get('Bob')!.slug)
})

test('one of many that create the same user at once does', async t => {
  const { users } = await identityHub(t)
  const made = await Promise.allSettled(Array.from({ length: 10 }, () => users.create('alice')))
  assert.equal(made.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const one of made) if (one.status === 'rejected') assert.equal(one.reason.code, 'conflict')
  assert.equal(users.count, 1)
})

test('a slug stays for life: who takes the name of a renamed user gets another', async t => {
  const { users, folder } = await identityHub(t)
  const first = await users.create('alice')
  assert.equal(first.slug, 'alice')
  assert.equal((await users.rename(first.id, 'alicia')).slug, 'alice')
  const second = await users.create('alice')
  assert.notEqual(second.slug, 'alice')
  assert.match(second.slug, /^[a-z][a-z0-9-]{0,31}$/)
  assert.equal(users.bySlug('alice')?.name, 'alicia')
  assert.equal(users.get('alice')?.id, second.id)
  assert.deepEqual([first.number, second.number], [1, 2])
  const third = await (await identityHub(t, { folder })).users.create('carol')
  assert.equal(third.number, 3)
  await assert.rejects(users.rename(second.id, 'alicia'), { code: 'conflict' })
  await assert.rejects(users.rename(second.id, 'a/b'), { code: 'invalid' })
  await assert.rejects(users.rename('nobody', 'x'), { code: 'missing' })
})

test('who gets a name next gets nothing that was meant for its former owner', async t => {
  const { users, tokens } = await identityHub(t)
  const [alice, admin] = [await users.create('alice'), await users.create('boss', { admin: true })]
  const scopes = ['read:users!user=alice', 'access:servers!server=alice/lab', 'access:servers!user=alicex', 'read:hub']
  const { record } = await tokens.create(admin.id, { kind: 'api', scopes })
  await users.groups.set(alice.id, ['class'])
  await users.rename(alice.id, 'alicia')
  assert.deepEqual(tokens.get(admin.id, record.id)?.scopes, ['access:servers!user=alicex', 'read:hub'])
  assert.deepEqual(users.groups.of(alice.id), ['class'])
  const next = await users.create('alice')
  assert.deepEqual(users.groups.of(next.id), [])
  await users.remove(alice.id)
  assert.deepEqual(users.groups.get('class')?.users, [])
  assert.equal(users.byId(alice.id), undefined)
  await users.remove(alice.id)
  await assert.rejects(
    users.update(alice.id, () => {}),
    { code: 'missing' },
  )
})

test('an update cannot change who somebody is', async t => {
  const { users } = await identityHub(t)
  const { id } = await users.create('alice')
  for (const change of [{ name: 'bob' }, { slug: 'bob' }, { id: 'x' }, { number: 7 }])
    await assert.rejects(
      users.update(id, draft => void Object.assign(draft, change)),
      /cannot be changed/,
    )
  await assert.rejects(
    users.updateServer(id, 'lab', draft => void (draft.name = 'other')),
    /cannot be changed/,
  )
  assert.equal(users.get('alice')?.servers.length, 0)
})

test('groups: exactly the given ones, made when they are missing; their members survive a restart', async t => {
  const { users, folder } = await identityHub(t)
  const [alice, bob] = [await users.create('alice'), await users.create('bob')]
  await users.groups.set(alice.id, ['a', '__proto__', 'a'])
  await users.groups.set(bob.id, ['a'])
  await users.groups.set(alice.id, ['b', 'a'])
  assert.deepEqual(users.groups.of(alice.id), ['a', 'b'])
  assert.deepEqual(users.groups.get('a')?.users, [alice.id, bob.id])
  assert.deepEqual(users.groups.get('__proto__')?.users, [])
  assert.deepEqual(users.view(users.get('alice')!).groups, ['a', 'b'])
  await assert.rejects(users.groups.set(alice.id, ['a\nb']), { code: 'invalid' })
  assert.deepEqual((await identityHub(t, { folder })).users.groups.of(alice.id), ['a', 'b'])
})

test('activity only moves forward, never into the future, and is written with the next batch', async t => {
  const { users, store, tokens, folder } = await identityHub(t)
  const { id } = await users.create('alice')
  const { record, secret } = await tokens.create(id, { kind: 'api' })
  await users.updateServer(id, '', () => {})
  assert.equal(users.lastActivity(id), null)
  const early = new Date('2020-01-01T00:00:00.000Z')
  const late = new Date('2021-01-01T00:00:00.000Z')
  users.active(id, late)
  users.active(id, early)
  users.active(id, early, '')
  users.active(id, new Date(Number.NaN))
  assert.equal(users.lastActivity(id), late.toISOString())
  assert.equal(users.lastActivity(id, ''), early.toISOString())
  assert.equal(users.lastActivity(id, 'lab'), null)
  assert.ok(tokens.find(secret))
  assert.equal(store.byId.get(id)?.lastActivity, null)
  await users.flush()
  const written = (await identityHub(t, { folder })).users
  assert.equal(written.get('alice')?.lastActivity, late.toISOString())
  assert.equal(written.get('alice')?.servers[0]?.lastActivity, early.toISOString())
  assert.ok(written.get('alice')?.tokens.find(({ id }) => id === record.id)?.lastActivity)

  const before = Date.now()
  users.active(id, new Date(before + 3_600_000))
  assert.ok(Date.parse(users.lastActivity(id)!) <= Date.now())
  await users.remove(id)
  users.active(id, new Date())
  await users.flush()
})

test('a clock that was wrong for a while leaves no activity in the future, and none that is stuck', async t => {
  const { users } = await identityHub(t)
  const { id } = await users.create('alice')
  const future = new Date(Date.now() + 365 * 86_400_000).toISOString()
  await users.update(id, draft => void (draft.lastActivity = future))
  assert.ok(Date.parse(users.lastActivity(id)!) <= Date.now())
  users.active(id, new Date())
  await users.flush()
  assert.ok(Date.parse(users.get('alice')!.lastActivity!) <= Date.now())
})

test('groups: what an authenticator tells comes and goes, what was given by hand stays, and each says whose it is', async t => {
  const { users, folder } = await identityHub(t)
  const { groups } = users
  const { id } = await users.create('alice')
  await groups.create(['staff', 'both'], [id])
  await groups.tell(id, ['lab', 'both', '__proto__'], 'ldap')
  const of = () => [...groups.of(id)].sort()
  const toldOf = (name: string) => groups.get(name)?.told[id]
  assert.deepEqual(of(), ['__proto__', 'both', 'lab', 'staff'])
  assert.deepEqual(groups.byHand(id), ['staff', 'both'])
  assert.equal(toldOf('lab'), 'ldap')
  assert.equal(toldOf('both'), undefined)

  await groups.tell(id, ['lab'], 'ldap')
  assert.deepEqual(of(), ['both', 'lab', 'staff'])
  await groups.add('lab', [id])
  await groups.tell(id, ['both'], 'ldap')
  assert.deepEqual(of(), ['both', 'lab', 'staff'], 'given by hand after it was told')
  await groups.remove('both', [id])
  assert.deepEqual(of(), ['lab', 'staff'])
  await groups.tell(id, ['both'], 'ldap')
  assert.equal(toldOf('both'), 'ldap', 'the directory still says so')
  await groups.tell(id, ['both'], 'other')
  assert.equal(toldOf('both'), 'other')
  const later = (await identityHub(t, { folder })).users
  assert.deepEqual(later.groups.byHand(id), ['staff', 'lab'])
  await later.groups.tell(id, [], 'other')
  assert.deepEqual(later.groups.of(id), ['staff', 'lab'])
  await later.groups.tell(id, ['both'], 'other')
  await later.remove(id)
  assert.deepEqual([...later.groups.all()].flatMap(({ users, told }) => [users, Object.keys(told)]).flat(), [])
  await assert.rejects(later.groups.tell(id, ['a\nb'], 'ldap'), { code: 'invalid' })
})

test('who gets the name of a deleted user does not get their slug, unless an admin says that they are the same', async t => {
  const { users, folder } = await identityHub(t)
  const first = await users.create('alice')
  await users.remove(first.id)
  const second = await users.create('alice')
  assert.notEqual(second.slug, first.slug)
  await users.remove(second.id)
  const later = await identityHub(t, { folder })
  const third = await later.users.create('alice')
  assert.equal(new Set([first, second, third].map(({ slug }) => slug)).size, 3, 'also after a restart')
  await later.users.remove(third.id)
  assert.equal((await later.users.create('alice', { inherit: true })).slug, third.slug, 'the last one of that name')
  assert.equal((await later.users.create('bob', { inherit: true })).slug, 'bob', 'nobody was called so')
  assert.deepEqual(
    later.store.hub.data.deleted.map(({ slug }) => slug),
    [first.slug, second.slug],
  )
})

test('a token’s last use is known at once with its address, and after a restart', async t => {
  const { users, tokens, folder } = await identityHub(t)
  const { id } = await users.create('alice')
  const { record } = await tokens.create(id, { kind: 'api' })
  const by = { token: record.id }
  assert.deepEqual(users.lastUse(id, by), { at: null, from: null })
  const at = new Date(Date.now() - 5000)
  users.used(id, by, at, '192.0.2.7')
  const wanted = { at: at.toISOString(), from: '192.0.2.7' }
  assert.deepEqual(users.lastUse(id, by), wanted)
  await users.flush()
  const again = await identityHub(t, { folder })
  assert.deepEqual(again.users.lastUse(id, by), wanted)
  // By whom nobody knows from where: it was still used.
  again.users.used(id, by, new Date(), null)
  await again.users.flush()
  const last = (await identityHub(t, { folder })).users.lastUse(id, by)
  assert.notEqual(last.at, wanted.at)
  assert.equal(last.from, null)
})
