import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { config } from '../core/config/schema.ts'
import { createAuthStates } from '../core/identity/auth-state.ts'
import { createLog, silent } from '../core/log.ts'
import type { Authenticator, Identity, Json } from '../core/plugin.ts'
import { createPluginHub } from '../core/plugin-hub.ts'
import { apiHub } from './api-hub.ts'
import { identityHub } from './identity-hub.ts'

const [old, fresh] = [randomBytes(32), randomBytes(32)]
const states = (...keys: Buffer[]) => createAuthStates({ keys, log: silent })
const user = (authState: string | null) => ({ id: 'u1', name: 'alice', ...(authState !== null && { authState }) })

test('auth state: what is sealed is read with its key alone, by its user alone, and unchanged alone', () => {
  const value: Json = { accessToken: 'at-secret', list: [1, null, true], ü: '🦊' }
  const sealed = states(old).seal('u1', value)!
  assert.deepEqual(states(old).open(user(sealed)), value)
  assert.ok(!sealed.includes('at-secret') && !Buffer.from(sealed.split('.')[2]!, 'base64url').includes('at-secret'))
  assert.notEqual(states(old).seal('u1', value), sealed, 'a new nonce each time')
  assert.equal(states(old).open({ ...user(sealed), id: 'u2' }), undefined)
  assert.equal(states(fresh).open(user(sealed)), undefined)
  assert.equal(states().open(user(sealed)), undefined)
  assert.equal(states(old).open(user(null)), undefined)
  const [version, id, text] = sealed.split('.') as [string, string, string]
  const bytes = Buffer.from(text, 'base64url')
  for (const place of [0, 12, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[place]! ^= 1
    assert.equal(states(old).open(user(`${version}.${id}.${changed.toString('base64url')}`)), undefined)
  }
  for (const junk of ['', '1', '1.x', `1.${id}.`, `1.${id}.AAAA`, `2.${id}.${text}`])
    assert.equal(states(old).open(user(junk)), undefined, junk)
  for (const bad of [undefined, () => 1, 'x'.repeat(2 ** 19)]) assert.throws(() => states(old).seal('u1', bad as Json))
})

test('auth state: the first key writes, all read; none keeps nothing; a key is 32 bytes', () => {
  const [before, after] = [states(old), states(fresh, old)]
  const sealed = before.seal('u1', 'x')!
  assert.equal(after.open(user(sealed)), 'x')
  assert.ok(after.isOld(sealed) && !after.isOld(after.seal('u1', 'x')!))
  assert.equal(states(fresh).open(user(after.seal('u1', 'y'))), 'y')
  assert.deepEqual([states().kept, states().seal('u1', 'x'), states(old).kept], [false, null, true])
  const keys = (...given: string[]) => config.shape.authState.safeParse({ keys: given }).data?.keys
  const wanted = [old, old, old]
  assert.deepEqual(keys(old.toString('hex'), old.toString('base64'), old.toString('base64url')), wanted)
  for (const bad of ['', 'secret', 'a'.repeat(32), old.toString('hex').slice(1), 'g'.repeat(64)])
    assert.equal(keys(bad), undefined, bad)
})

/** Who signs in brings this along. */
function bringing(identity: () => Partial<Identity>) {
  const authenticator: Authenticator = {
    kind: 'password',
    label: 'Sign in',
    check: async ({ username }) => ({ name: username, ...identity() }),
  }
  return [{ name: 'passwords', authenticator }]
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-state-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function filesOf(folder: string): Promise<string> {
  const names = (await readdir(join(folder, 'users'))).map(name => join(folder, 'users', name))
  return (await Promise.all(names.map(name => readFile(name, 'utf8')))).join('\n')
}

test('auth state: a sign-in keeps it encrypted, another key takes over at the next start, it goes with the user', async t => {
  const folder = await folderOf(t)
  let identity: Partial<Identity> = { authState: { token: 'the-token-of-alice' }, session: 'sid-1' }
  const given = { folder, authenticators: bringing(() => identity) }
  const signIn = (hub: Awaited<ReturnType<typeof identityHub>>) =>
    hub.logins.password('passwords', { username: 'alice', password: 'x' }, '10.0.0.1')

  const first = await identityHub(t, { ...given, authStateKeys: [old] })
  const result = await signIn(first)
  assert.ok(result.ok && result.session === 'sid-1')
  assert.deepEqual(first.authStates.open(first.users.get('alice')!), { token: 'the-token-of-alice' })
  assert.ok(!(await filesOf(folder)).includes('the-token-of-alice') && !first.lines.join('').includes('the-token-of-alice'))

  const second = await identityHub(t, { ...given, authStateKeys: [fresh, old] })
  await second.settle()
  const third = await identityHub(t, { ...given, authStateKeys: [fresh] })
  assert.deepEqual(third.authStates.open(third.users.get('alice')!), { token: 'the-token-of-alice' })
  identity = {}
  await signIn(third)
  assert.deepEqual(third.authStates.open(third.users.get('alice')!), { token: 'the-token-of-alice' }, 'left out it stays')
  identity = { authState: null }
  await signIn(third)
  assert.equal(third.users.get('alice')!.authState, undefined)

  identity = { authState: 'again' }
  await signIn(third)
  await third.users.remove(third.users.get('alice')!.id)
  assert.equal(await filesOf(folder), '')

  const without = await identityHub(t, given)
  assert.ok((await signIn(without)).ok)
  assert.equal(without.users.get('alice')!.authState, undefined)
})

test('auth state: a hook may change it before it is kept; the log masks it whoever writes it', async t => {
  const hub = await identityHub(t, {
    authenticators: bringing(() => ({ authState: { token: 'x' } })),
    authStateKeys: [old],
    hooks: { 'before:login': ({ identity }) => void (identity.authState = { ...(identity.authState as object), more: 1 }) },
  })
  await hub.logins.password('passwords', { username: 'alice', password: 'x' }, '10.0.0.1')
  assert.deepEqual(hub.authStates.open(hub.users.get('alice')!), { token: 'x', more: 1 })
  const lines: string[] = []
  createLog({ format: 'json', write: line => void lines.push(line) }).info('x', {
    identity: { authState: 'the-secret' },
    auth_state: 'the-secret',
  })
  assert.ok(!lines.join('').includes('the-secret'))
})

test('auth state: over the API it is read and written by holders of admin:auth_state alone, one user at a time', async t => {
  const { core, send, person } = await apiHub(t, { authStateKeys: [old] })
  const admin = await person('ada', { admin: true })
  await person('alice')
  const helper = await person('helper', { admin: true, scopes: ['read:users', 'list:users', 'users'] })
  const reader = await person('reader', { admin: true, scopes: ['read:users', 'admin:auth_state!user=alice'] })
  const state = { token: 'the-token', number: 1 }
  const patched = await send('PATCH', '/users/alice', { token: admin, body: { auth_state: state } })
  assert.deepEqual([patched.status, patched.json.auth_state], [200, state])
  assert.deepEqual((await send('GET', '/users/alice', { token: admin })).json.auth_state, state)
  assert.deepEqual((await send('GET', '/users/alice', { token: reader })).json.auth_state, state)
  assert.ok(!('auth_state' in (await send('GET', '/users/ada', { token: reader })).json))
  const seen = await send('GET', '/users/alice', { token: helper })
  assert.ok(seen.status === 200 && !('auth_state' in seen.json))
  for (const path of ['/users', '/users?state=inactive', '/user', '/groups'])
    assert.ok(!JSON.stringify((await send('GET', path, { token: admin })).json).includes('the-token'), path)
  assert.equal((await send('PATCH', '/users/alice', { token: helper, body: { auth_state: null } })).status, 403)
  assert.deepEqual((await send('PATCH', '/users/alice', { token: admin, body: { admin: false } })).json.auth_state, state)
  assert.equal((await send('PATCH', '/users/alice', { token: admin, body: { auth_state: null } })).json.auth_state, null)
  assert.equal(core.users.get('alice')!.authState, undefined)

  const keyless = await apiHub(t)
  const token = await keyless.person('ada', { admin: true })
  assert.equal((await keyless.send('PATCH', '/users/ada', { token, body: { auth_state: state } })).status, 400)
})

test('sessions end by what their provider calls them, of their own sign-in method alone', async t => {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const { core, person } = await apiHub(t)
  for (const name of ['alice', 'bob']) await person(name)
  const session = (key: string, authenticator: string, provider?: string) => ({
    ...{ hash: hash(key), sessionId: hash(key).slice(0, 32), authenticator, created: new Date().toISOString() },
    ...{ expires: new Date(Date.now() + 60_000).toISOString(), ...(provider !== undefined && { provider }) },
  })
  const sessionsOf = (name: string) => core.users.get(name)!.sessions.map(({ provider }) => provider ?? '-')
  const begin = async () => {
    for (const [name, id] of [
      ['alice', 'iss 1'],
      ['bob', 'iss 2'],
    ] as const)
      await core.users.update(core.users.get(name)!.id, draft => {
        draft.identity = { authenticator: 'dummy', id }
        const own = ['a', 'b', undefined].map((provider, i) =>
          session(`${name} ${i}`, 'dummy', provider && `${name}-${provider}`),
        )
        draft.sessions = [...own, session(`${name} other`, 'other', `${name}-a`)]
      })
  }
  const all = (name: string) => [`${name}-a`, `${name}-b`, '-', `${name}-a`]
  const hub = createPluginHub(core, 'hub', { name: 'dummy' }, '', silent)
  await begin()
  assert.deepEqual(await hub.endSessions({}), [])
  assert.deepEqual(await hub.endSessions({ session: 'nobody-s' }), [])
  assert.deepEqual(await hub.endSessions({ id: 'iss 3' }), [])
  assert.deepEqual(await hub.endSessions({ id: 'iss 2', session: 'alice-a' }), ['bob'], 'one that nobody named may be meant')
  assert.deepEqual(sessionsOf('bob'), ['bob-a', 'bob-b', 'bob-a'])
  assert.deepEqual(sessionsOf('alice'), all('alice'))
  assert.deepEqual(await hub.endSessions({ session: 'alice-b' }), ['alice'])
  assert.deepEqual(sessionsOf('alice'), ['alice-a', '-', 'alice-a'])
  assert.deepEqual(await hub.endSessions({ id: 'iss 1' }), ['alice'])
  assert.deepEqual(sessionsOf('alice'), ['alice-a'])
})
