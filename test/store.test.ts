import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { z } from 'zod'
import { createUsers } from '../core/identity/users.ts'
import { draftOf } from '../core/store/adapter.ts'
import { openFile } from '../core/store/file.ts'
import { migrate } from '../core/store/migrations.ts'
import { openStore } from '../core/store/store.ts'

const folderFor = async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-store-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const counter = z.strictObject({ n: z.int(), list: z.array(z.string()).default([]) })
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

test('a state file is made of its initial value, has mode 0600 at once and after each write, and is read again', async t => {
  const path = join(await folderFor(t), 'counter.json')
  const umask = process.umask(0)
  t.after(() => process.umask(umask))
  const file = await openFile(path, counter, { n: 1, list: [] })
  assert.equal(await modeOf(path), '600')
  assert.deepEqual(await file.update(draft => void draft.n++), { n: 2, list: [] })
  assert.equal(await modeOf(path), '600')
  assert.deepEqual((await openFile(path, counter, { n: 7, list: [] })).data, { n: 2, list: [] })
  await assert.rejects(openFile(`${path}x`, counter, null), {
    code: 'config',
    message: /counter\.jsonx cannot be used: it is not there/,
  })
})

test('a damaged state file is refused with its name and the reason, and left as it is', async t => {
  const folder = await folderFor(t)
  const cases: [string, RegExp][] = [
    ['', /is empty/],
    [' \n', /is empty/],
    ['{"n":1', /damaged or cut off/],
    ['\0\0\0\0', /damaged or cut off/],
    ['null', /does not hold/],
    ['[]', /does not hold/],
    ['0', /does not hold/],
    ['{"n":"1","list":[]}', /does not hold.*n/],
    ['{"n":1,"list":[],"more":1}', /does not hold.*more/],
  ]
  for (const [content, reason] of cases) {
    const path = join(folder, 'counter.json')
    await writeFile(path, content, { mode: 0o600 })
    const error = await openFile(path, counter, { n: 0, list: [] }).catch(error => error)
    assert.equal(error.code, 'config', content)
    assert.ok(error.message.startsWith(`${path} cannot be used: `), error.message)
    assert.match(error.message, reason)
    assert.equal(await readFile(path, 'utf8'), content)
  }
  await symlink(join(folder, 'nowhere'), join(folder, 'link.json'))
  await assert.rejects(openFile(join(folder, 'link.json'), counter, { n: 0, list: [] }), { code: 'config' })
})

test('a state file that others may read is refused, and the message says how to mend it', async t => {
  const path = join(await folderFor(t), 'counter.json')
  await openFile(path, counter, { n: 1, list: [] })
  for (const mode of [0o644, 0o640, 0o602, 0o660]) {
    await chmod(path, mode)
    await assert.rejects(openFile(path, counter, null), { code: 'config', message: new RegExp(`chmod 600 ${path}`) })
  }
})

test('changes made at the same time share one write; one that throws or does not fit is the only one that fails', async t => {
  const path = join(await folderFor(t), 'counter.json')
  const file = await openFile(path, counter, { n: 0, list: [] })
  const push = (text: string) => file.update(draft => void draft.list.push(text))
  const done = await Promise.allSettled([
    push('a'),
    file.update(draft => {
      draft.list.push('lost')
      throw new RangeError('no')
    }),
    file.update(draft => void Object.assign(draft, { n: 'many' })),
    file.update(async draft => void draft.list.push('lost too')),
    push('b'),
  ])
  assert.deepEqual(
    done.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled'],
  )
  assert.equal((done[1] as PromiseRejectedResult).reason.name, 'RangeError')
  assert.deepEqual(file.data.list, ['a', 'b'])
  assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), { n: 0, list: ['a', 'b'] })

  let writes = 0
  const counted = await openFile(join(path, '../counted.json'), counter, { n: 0, list: [] }, { swapped: () => void writes++ })
  await Promise.all(Array.from({ length: 500 }, () => counted.update(draft => void draft.n++)))
  assert.equal(counted.data.n, 500)
  assert.ok(writes <= 3, `${writes} writes`)
})

test('memory shows a change only once it is on disk, cannot be changed by hand, and is what a restart would read', async t => {
  const path = join(await folderFor(t), 'counter.json')
  const file = await openFile(path, counter, { n: 0, list: ['a'] })
  let onDisk: unknown
  const pending = file.update(draft => void draft.n++)
  const before = file.data
  await new Promise(resolve => setImmediate(resolve))
  if (file.data !== before) onDisk = JSON.parse(await readFile(path, 'utf8'))
  await pending
  if (onDisk) assert.deepEqual(onDisk, file.data)
  assert.equal(before.n, 0)
  assert.throws(() => void (file.data.n = 9), TypeError)
  assert.throws(() => file.data.list.push('b'), TypeError)
  const same = await file.update(() => {})
  assert.equal(same, file.data)
})

test('a write that fails rolls all of its changes back and says so; the next one works', async t => {
  const folder = await folderFor(t)
  const path = join(folder, 'counter.json')
  const file = await openFile(path, counter, { n: 0, list: [] })
  // What is to be written cannot be: a folder has its place.
  await mkdir(draftOf(path))
  const failed = await Promise.allSettled([file.update(draft => void draft.n++), file.update(draft => void draft.n++)])
  for (const one of failed) assert.equal(one.status === 'rejected' && one.reason.code, 'unavailable')
  assert.equal(file.data.n, 0)
  assert.equal(JSON.parse(await readFile(path, 'utf8')).n, 0)
  await rm(draftOf(path), { recursive: true })
  assert.equal((await file.update(draft => void draft.n++)).n, 1)
  assert.deepEqual(await readdir(folder), ['counter.json'])
})

test('a removed file stays removed: later updates reject, removing again is fine', async t => {
  const folder = await folderFor(t)
  const file = await openFile(join(folder, 'counter.json'), counter, { n: 0, list: [] })
  const [before, removed, after] = await Promise.allSettled([
    file.update(d => void d.n++),
    file.remove(),
    file.update(d => void d.n++),
  ])
  assert.equal(before.status, 'fulfilled')
  assert.equal(removed.status, 'fulfilled')
  assert.ok(after.status === 'fulfilled' || after.reason.code === 'missing')
  await assert.rejects(
    file.update(d => void d.n++),
    { code: 'missing' },
  )
  await file.remove()
  assert.deepEqual(await readdir(folder), [])
})

test('a new hub has an id and a secret that stay; folders are 0700, also those that were open to others', async t => {
  const folder = join(await folderFor(t), 'data')
  await mkdir(folder, { mode: 0o755 })
  await chmod(folder, 0o755)
  const first = (await openStore(folder)).hub.data
  assert.match(first.id, /^[0-9a-f]{12}$/)
  assert.equal(Buffer.from(first.secret, 'base64url').length, 32)
  assert.deepEqual((await openStore(folder)).hub.data, first)
  const { pluginFolder } = await openStore(folder)
  assert.equal(await pluginFolder('local'), join(folder, 'plugins', 'local'))
  for (const path of ['', 'users', 'plugins', 'plugins/local']) assert.equal(await modeOf(join(folder, path)), '700')
})

test('users are found again by every key, in order of creation, and only as they are now', async t => {
  const folder = await folderFor(t)
  const store = await openStore(folder)
  const users = createUsers({ store })
  for (const name of ['zoe', 'adam', 'mia']) await users.create(name, { identity: { authenticator: 'ldap', id: `id-${name}` } })
  const mia = users.get('mia')!
  const token = {
    ...{ id: 1, hash: 'a'.repeat(64), kind: 'api' as const, note: '', scopes: [], created: mia.created, expires: null },
    ...{ lastActivity: null, sessionId: null, client: null, server: null, generation: null },
  }
  await users.update(mia.id, draft => void draft.tokens.push(token))
  await users.update(mia.id, draft => void (draft.tokens[0]!.hash = 'b'.repeat(64)))
  await users.remove(users.get('adam')!.id)

  for (const one of [store, await openStore(folder)]) {
    assert.deepEqual(
      [...one.byId.values()].map(({ name }) => name),
      ['zoe', 'mia'],
    )
    assert.equal(one.byName.get('adam'), undefined)
    assert.equal(one.byToken.get('a'.repeat(64)), undefined)
    assert.equal(one.byToken.get('b'.repeat(64))?.owner.name, 'mia')
    assert.equal(one.byToken.get('b'.repeat(64))?.owner, one.byName.get('mia'))
    assert.equal(one.bySlug.get('zoe')?.name, 'zoe')
    assert.equal([...one.byIdentity.values()].length, 2)
  }
})

test('the hub starts only on state that is whole: each damage is refused, and no file is touched', async t => {
  const folder = await folderFor(t)
  const users = createUsers({ store: await openStore(folder) })
  const { id } = await users.create('alice')
  const [hubFile, userFile] = [join(folder, 'hub.json'), join(folder, 'users', `${id}.json`)]
  const [hub, user] = [await readFile(hubFile, 'utf8'), await readFile(userFile, 'utf8')]
  const twin = join(folder, 'users', 'ffffffffffffffff.json')
  const write = (path: string, text: string) => writeFile(path, text, { mode: 0o600 })

  const damages: [string, () => Promise<unknown>, RegExp][] = [
    ['no hub file beside users', () => rm(hubFile), /hub\.json cannot be used: it is not there/],
    ['an empty hub file', () => write(hubFile, ''), /hub\.json.*empty/],
    ['a hub file that is null', () => write(hubFile, 'null'), /hub\.json/],
    ['a hub file that others read', () => chmod(hubFile, 0o644), /chmod 600/],
    ['a hub file of a newer version', () => write(hubFile, hub.replace('"version": 1', '"version": 2')), /hub\.json.*newer/],
    ['a hub file without a version', () => write(hubFile, '{}'), /no "version"/],
    ['a cut user file', () => write(userFile, user.slice(0, 40)), /damaged or cut off/],
    ['a user file of a newer version', () => write(userFile, user.replace('"version": 1', '"version": 9')), /newer/],
    ['a user with an unknown key', () => write(userFile, user.replace('{', '{"boss":true,')), /boss/],
    ['a copy of a user file', () => write(twin, user), /same user/],
    ['a second user of that name', () => write(twin, user.replaceAll(id, 'f'.repeat(16))), /same user/],
  ]
  for (const [what, damage, message] of damages) {
    await damage()
    const before = await snapshot(folder)
    await assert.rejects(openStore(folder), { code: 'config', message }, what)
    assert.deepEqual(await snapshot(folder), before, what)
    await rm(twin, { force: true })
    await write(hubFile, hub)
    await write(userFile, user)
    await chmod(hubFile, 0o600)
  }
  // A folder of that name, where a file should be.
  await rm(userFile)
  await mkdir(userFile)
  await assert.rejects(openStore(folder), { code: 'config', message: /cannot be used/ })
})

async function snapshot(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { recursive: true })).filter(name => name.endsWith('.json'))
  return Object.fromEntries(
    await Promise.all(names.map(async name => [name, await readFile(join(folder, name), 'utf8').catch(() => 'a folder')])),
  )
}

test('what a crash left half written is ignored and cleared away', async t => {
  const folder = await folderFor(t)
  const users = createUsers({ store: await openStore(folder) })
  const { id } = await users.create('alice')
  for (const stale of [`.${id}.json.tmp`, '.0123456789abcdef.json.tmp'])
    await writeFile(join(folder, 'users', stale), '{"version":1,"na', { mode: 0o600 })
  const store = await openStore(folder)
  assert.equal(store.byId.size, 1)
  assert.deepEqual(await readdir(join(folder, 'users')), [`${id}.json`])
})

test('a record of an older version is brought up to date step by step, its file kept beside it first', async t => {
  const path = join(await folderFor(t), 'user.json')
  await writeFile(path, '{"version":1,"name":"a"}', { mode: 0o600 })
  const steps = [
    { to: 2, user: (raw: Record<string, unknown>) => ({ ...raw, colour: 'red' }) },
    { to: 3, hub: () => assert.fail('not for users') },
    { to: 4, user: ({ name, ...raw }: Record<string, unknown>) => ({ ...raw, names: [name] }) },
  ]
  const migrated = await migrate('user', { version: 1, name: 'a' }, path, steps, 4)
  assert.deepEqual(migrated, { version: 4, colour: 'red', names: ['a'] })
  assert.equal(await readFile(`${path}.v1.bak`, 'utf8'), '{"version":1,"name":"a"}')
  assert.equal(await modeOf(`${path}.v1.bak`), '600')
  await assert.rejects(migrate('user', { version: 5 }, path, steps, 4), { code: 'config', message: /newer/ })
  for (const raw of [null, [], {}, { version: 0 }, { version: '1' }, { version: 1.5 }, 'x'])
    await assert.rejects(migrate('user', raw, path, steps, 4), { code: 'config', message: /no "version"/ })
})
