import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mock, type TestContext, test } from 'node:test'
import { openStore } from '../core/store/store.ts'
import { type ApiHub, apiHub, checkRows, type Given, type Row } from './api-hub.ts'

/** Users may share, and know each other's names. */
const sharing = [{ name: 'user', scopes: ['self', 'shares!user', 'read:users:name', 'read:groups:name'] }]
const access = 'access:servers!server=alice/lab'

/** alice with a server `lab`, bob in the group `class`, carol; each with a token of their own. */
async function sharingHub(t: TestContext, given: Given = { roles: sharing }) {
  const hub = await apiHub(t, given)
  const root = await hub.person('root', { admin: true })
  const alice = await hub.person('alice')
  const bob = await hub.person('bob')
  const carol = await hub.person('carol')
  await hub.core.servers.describe(hub.core.users.get('alice')!, 'lab', () => {})
  await hub.core.users.groups.create(['class'], [hub.core.users.get('bob')!.id])
  const ask = async (token: string, method: string, path: string, body?: unknown) => hub.send(method, path, { token, body })
  const scopesOf = async (token: string) => ((await ask(token, 'GET', '/user')).json.scopes as string[]).filter(isOfAlice)
  const share = async (body: object, path = '/shares/alice/lab') => {
    const { status, json } = await ask(alice, 'POST', path, body)
    assert.equal(status, 200, JSON.stringify(json))
    return json
  }
  const code = async (body?: object, path = '/share-codes/alice/lab') => (await ask(alice, 'POST', path, body)).json
  const idOf = (name: string) => hub.core.users.get(name)!.id
  return { ...hub, root, alice, bob, carol, ask, scopesOf, share, code, idOf }
}

const isOfAlice = (scope: string) => /=alice\b/.test(scope)

/** alice/lab shared with bob and with the group class, and a code. */
async function withShares({ core }: ApiHub) {
  const alice = core.users.get('alice')!
  const id = core.users.get('bob')!.id
  await core.users.groups.create(['class'])
  await core.servers.describe(alice, 'lab', () => {})
  await core.shares.grant(alice, 'lab', { kind: 'user', id }, ['access:servers'])
  await core.shares.grant(alice, 'lab', { kind: 'group', id: core.users.groups.get('class')!.id }, ['access:servers'])
  await core.shares.grant(alice, '', { kind: 'user', id }, ['access:servers'])
  await core.shares.addCode(alice, 'lab', ['access:servers'], 60_000)
}

const toBob = { user: 'bob' }

test('api shares: who may do what; by default nobody may share, only see, and leave what is shared with them', t =>
  checkRows(
    t,
    [
      ['GET', '/shares/alice', undefined, 200, 200, 404, 403],
      ['GET', '/shares/alice/lab', undefined, 200, 200, 404, 403],
      ['GET', '/shares/alice/', undefined, 200, 200, 404, 403],
      ['GET', '/shares/alice/none', undefined, 404, 404, 404, 403],
      ['GET', '/shares/nobody', undefined, 404, 404, 404, 403],
      ['POST', '/shares/alice', toBob, 405, 405, 405, 405],
      ['PATCH', '/shares/alice', toBob, 405, 405, 405, 405],
      ['DELETE', '/shares/alice', undefined, 405, 405, 405, 405],
      ['POST', '/shares/alice/lab', toBob, 200, 403, 403, 403],
      ['POST', '/shares/alice/', toBob, 200, 403, 403, 403],
      ['POST', '/shares/alice/lab', { group: 'class' }, 200, 403, 403, 403],
      ['POST', '/shares/alice/none', toBob, 404, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'nobody' }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { group: 'nothing' }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', group: 'class' }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', {}, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', undefined, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: '' }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', colour: 'red' }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['nonsense'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['self'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['inherit'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['servers!user=alice'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['servers!server=alice/'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['servers!server'] }, 400, 403, 403, 403],
      ['POST', '/shares/alice/lab', { user: 'bob', scopes: ['servers!server=alice/lab'] }, 200, 403, 403, 403],
      ['PATCH', '/shares/alice/lab', toBob, 200, 403, 403, 403],
      ['PATCH', '/shares/alice/lab', { user: 'nobody' }, 200, 403, 403, 403],
      ['PATCH', '/shares/alice/lab', {}, 400, 403, 403, 403],
      ['PATCH', '/shares/alice/none', toBob, 404, 403, 403, 403],
      ['DELETE', '/shares/alice/lab', undefined, 204, 403, 403, 403],
      ['DELETE', '/shares/alice/none', undefined, 404, 403, 403, 403],
      ['PUT', '/shares/alice/lab', toBob, 405, 405, 405, 405],

      ['GET', '/share-codes/alice', undefined, 200, 200, 404, 403],
      ['GET', '/share-codes/alice/lab', undefined, 200, 200, 404, 403],
      ['GET', '/share-codes/alice/', undefined, 200, 200, 404, 403],
      ['GET', '/share-codes/alice/none', undefined, 404, 404, 404, 403],
      ['POST', '/share-codes/alice', {}, 405, 405, 405, 405],
      ['POST', '/share-codes/alice/lab', undefined, 200, 403, 403, 403],
      ['POST', '/share-codes/alice/', { expires_in: 60 }, 200, 403, 403, 403],
      ['POST', '/share-codes/alice/lab', { expires_in: 59 }, 400, 403, 403, 403],
      ['POST', '/share-codes/alice/lab', { expires_in: 31_536_001 }, 400, 403, 403, 403],
      ['POST', '/share-codes/alice/lab', { expires_in: '60' }, 400, 403, 403, 403],
      ['POST', '/share-codes/alice/lab', { user: 'bob' }, 400, 403, 403, 403],
      ['POST', '/share-codes/alice/none', {}, 404, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab', undefined, 204, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab?id=sc_1', undefined, 204, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab?id=sc_9', undefined, 404, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab?id=', undefined, 404, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab?code=guessed', undefined, 404, 403, 403, 403],
      ['DELETE', '/share-codes/alice/lab?code=', undefined, 404, 403, 403, 403],
      ['DELETE', '/share-codes/alice/?id=sc_1', undefined, 404, 403, 403, 403],

      ['GET', '/users/bob/shared', undefined, 200, 404, 200, 403],
      ['GET', '/users/nobody/shared', undefined, 404, 404, 404, 403],
      ['GET', '/users/bob/shared/alice/lab', undefined, 200, 404, 200, 403],
      ['GET', '/users/bob/shared/alice/', undefined, 200, 404, 200, 403],
      ['GET', '/users/bob/shared/alice/none', undefined, 404, 404, 404, 403],
      ['GET', '/users/bob/shared/alice', undefined, 404, 404, 404, 404],
      ['GET', '/users/bob/shared/nobody/lab', undefined, 404, 404, 404, 403],
      ['GET', '/users/alice/shared/alice/lab', undefined, 404, 404, 404, 403],
      ['DELETE', '/users/bob/shared/alice/lab', undefined, 204, 404, 204, 403],
      ['DELETE', '/users/bob/shared/alice/none', undefined, 404, 404, 404, 403],
      ['POST', '/users/bob/shared/alice/lab', undefined, 405, 405, 405, 405],
      ['GET', '/groups/class/shared', undefined, 200, 403, 403, 403],
      ['GET', '/groups/none/shared', undefined, 404, 403, 403, 403],
      ['GET', '/groups/class/shared/alice/lab', undefined, 200, 403, 403, 403],
      ['GET', '/groups/class/shared/alice/', undefined, 404, 403, 403, 403],
      ['DELETE', '/groups/class/shared/alice/lab', undefined, 204, 403, 403, 403],
      ['DELETE', '/groups/class/shared/alice/', undefined, 404, 403, 403, 403],
    ] satisfies Row[],
    withShares,
  ))

test('api shares: a limited token does what it is for, an expired one and a revoked one do nothing', async t => {
  const hub = await sharingHub(t)
  await hub.share(toBob)
  const status = async (token: string, method: string, path: string, body?: unknown) =>
    (await hub.ask(token, method, path, body)).status
  for (const [scope, list, change] of [
    ['shares!server=alice/lab', 200, 200],
    ['shares!user', 200, 200],
    ['read:shares!user', 200, 404],
    ['read:shares!server=alice/lab', 200, 403],
    ['shares!server=alice/', 404, 404],
    ['read:users:name', 403, 403],
  ] as const) {
    const token = await hub.person('alice', { scopes: [scope, 'read:users:name'] })
    assert.equal(await status(token, 'GET', '/shares/alice/lab'), list, scope)
    const mayName = change === 404 && scope.startsWith('read:') ? 403 : change
    assert.equal(await status(token, 'POST', '/shares/alice/lab', toBob), mayName, scope)
  }
  const narrow = await hub.person('alice', { scopes: ['shares!user'] })
  assert.equal(await status(narrow, 'POST', '/shares/alice/lab', toBob), 403, 'by name it takes read:users:name')
  assert.equal(await status(narrow, 'POST', '/shares/alice/lab', { user: 'nobody' }), 403, 'which tells nothing of who there is')
  assert.equal(await status(narrow, 'POST', '/shares/alice/lab', { group: 'class' }), 403)
  assert.equal(await status(narrow, 'POST', '/shares/alice/lab', { group: 'nothing' }), 403)
  assert.equal(await status(narrow, 'POST', '/share-codes/alice/lab'), 200, 'a code names nobody')
  assert.equal(await status(narrow, 'PATCH', '/shares/alice/lab', toBob), 200, 'and to take back takes no more than the right')

  const { secret } = await hub.core.tokens.create(hub.idOf('alice'), { kind: 'api', scopes: ['inherit'], expires: -1000 })
  for (const [method, path] of [
    ['GET', '/shares/alice'],
    ['POST', '/shares/alice/lab'],
    ['POST', '/share-codes/alice/lab'],
    ['GET', '/users/alice/shared'],
  ] as const)
    assert.equal(await status(secret, method, path, method === 'GET' ? undefined : toBob), 403, `${method} ${path}`)
})

test('api shares: from sharing to the last scope taken back, the answer is the share', async t => {
  const hub = await sharingHub(t)
  const first = await hub.share(toBob)
  assert.match(first.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
  const model = (...scopes: string[]) => ({
    server: { user: { name: 'alice' }, name: 'lab', url: '/user/alice/lab/', full_url: null, ready: false },
    scopes: scopes.map(scope => `${scope}!server=alice/lab`),
    user: { name: 'bob' },
    group: null,
    kind: 'user',
    created_at: first.created_at,
  })
  assert.deepEqual(first, model('access:servers'))
  assert.deepEqual(await hub.share({ ...toBob, scopes: ['servers', access] }), model('access:servers', 'servers'), 'it adds')
  const patch = async (body: object) => (await hub.ask(hub.alice, 'PATCH', '/shares/alice/lab', body)).json
  assert.deepEqual(await patch({ ...toBob, scopes: ['servers'] }), model('access:servers'))
  assert.deepEqual(await patch({ ...toBob, scopes: [access] }), {}, 'nothing is left')
  assert.deepEqual(await patch(toBob), {})
  assert.deepEqual((await hub.ask(hub.alice, 'GET', '/shares/alice')).json.items, [])
  await hub.share({ ...toBob, scopes: ['servers', access] })
  assert.deepEqual(await patch(toBob), {}, 'without scopes: all')
  const group = await hub.share({ group: 'class', scopes: null })
  assert.deepEqual([group.user, group.group, group.kind], [null, { name: 'class' }, 'group'])
  await hub.share(toBob)
  const gone = await hub.ask(hub.alice, 'DELETE', '/shares/alice/lab')
  assert.deepEqual([gone.status, gone.text], [204, ''])
  assert.deepEqual((await hub.ask(hub.alice, 'GET', '/shares/alice/lab')).json._pagination.total, 0)
  assert.deepEqual(await hub.scopesOf(hub.bob), [])
})

test('api shares: trap 5, the default server’s paths and scopes end with a slash', async t => {
  const hub = await sharingHub(t)
  const share = await hub.share({ ...toBob, scopes: ['access:servers!server=alice/'] }, '/shares/alice/')
  assert.deepEqual(share.scopes, ['access:servers!server=alice/'])
  assert.equal(share.server.url, '/user/alice/')
  assert.deepEqual((await hub.ask(hub.bob, 'GET', '/users/bob/shared/alice/')).json, share)
  assert.equal((await hub.ask(hub.bob, 'GET', '/users/bob/shared/alice/lab')).status, 404)
  assert.deepEqual(await hub.scopesOf(hub.bob), ['access:servers!server=alice/'])
  const { status } = await hub.ask(hub.alice, 'POST', '/shares/alice/', { ...toBob, scopes: ['access:servers!server=alice'] })
  assert.equal(status, 400)
})

test('api shares: lists always come in pages, with an address for the next', async t => {
  const hub = await sharingHub(t)
  const alice = hub.core.users.get('alice')!
  for (let i = 0; i < 60; i++) {
    const { id } = await hub.core.users.create(`u${i}`)
    await hub.core.shares.grant(alice, 'lab', { kind: 'user', id }, ['access:servers'])
  }
  const whole = (await hub.ask(hub.alice, 'GET', '/shares/alice')).json
  assert.deepEqual([whole.items.length, whole._pagination], [60, { offset: 0, limit: 200, total: 60, next: null }])
  const headers = { Accept: 'application/jupyterhub-pagination+json' }
  const seen: string[] = []
  for (let path = '/shares/alice/lab'; path !== ''; ) {
    const { json } = await hub.send('GET', path, { token: hub.alice, headers })
    seen.push(...json.items.map(({ user }: { user: { name: string } }) => user.name))
    const next = json._pagination.next && new URL(json._pagination.next.url)
    path = next ? `${next.pathname.replace('/hub/api', '')}${next.search}` : ''
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 60 }, (_, i) => `u${i}`),
  )
  assert.equal((await hub.ask(hub.alice, 'GET', '/shares/alice?limit=2&offset=59')).json.items.length, 1)
  assert.equal((await hub.ask(hub.alice, 'GET', '/share-codes/alice?limit=x')).status, 400)
})

test('api shares: nobody shares what they do not hold, nor what is not theirs', async t => {
  const hub = await sharingHub(t, {
    roles: [...sharing, { name: 'helper', scopes: ['read:shares!user=alice', 'access:servers!user=alice'], users: ['carol'] }],
  })
  const post = async (token: string, scopes: string[] | undefined, path = '/shares/alice/lab') =>
    (await hub.ask(token, 'POST', path, { ...toBob, ...(scopes && { scopes }) })).status
  assert.equal(await post(hub.alice, ['admin:servers']), 403)
  assert.equal(await post(hub.alice, ['access:servers', 'admin:server_state']), 403)
  assert.equal(await post(hub.alice, ['admin:users']), 403)
  assert.equal(await post(hub.alice, ['proxy']), 403)
  assert.equal(await post(hub.carol, undefined), 404, 'who only has the server does not share it')
  const narrow = await hub.person('alice', { scopes: ['shares!user', 'read:users:name'] })
  assert.equal(await post(narrow, ['servers']), 403, 'the token has not what its owner has')
  assert.equal((await hub.ask(narrow, 'POST', '/share-codes/alice/lab', { scopes: ['servers'] })).status, 403)
  assert.deepEqual(await hub.scopesOf(hub.bob), [])
  // Whom the right to share is shared with shares on what they were given, and nothing else.
  await hub.share({ ...toBob, scopes: ['access:servers', 'shares'] })
  const onwards = (scopes: string[], path = '/shares/alice/lab') =>
    hub.ask(hub.bob, 'POST', path, { user: 'carol', scopes }).then(({ status }) => status)
  assert.equal(await onwards(['access:servers']), 200)
  assert.equal(await onwards(['servers']), 403)
  assert.equal(await onwards(['access:servers'], '/shares/alice/'), 404)
})

test('api shares: what is shared is theirs at the very next request, and not theirs at the one after it is taken back', async t => {
  const hub = await sharingHub(t)
  const browser = await hub.browser('bob')
  const client = await hub.core.tokens.create(hub.idOf('bob'), {
    kind: 'oauth',
    scopes: [access],
    client: 'jupyterhub-user-alice-lab',
  })
  const narrow = await hub.person('bob', { scopes: [access] })
  const byCookie = async () =>
    (await hub.send('GET', '/user', { headers: { Cookie: browser.Cookie, 'X-XSRFToken': browser.xsrf } })).json.scopes
  const everywhere = async () => [
    await hub.scopesOf(hub.bob),
    await hub.scopesOf(client.secret),
    await hub.scopesOf(narrow),
    (await byCookie()).filter(isOfAlice),
  ]
  const start = async () => (await hub.ask(hub.bob, 'POST', '/users/alice/servers/lab')).status
  assert.deepEqual(await everywhere(), [[], [], [], []])
  assert.equal(await start(), 404)
  await hub.share(toBob)
  assert.deepEqual(await everywhere(), [[access], [access], [access], [access]])
  assert.equal(await start(), 404, 'to use it is not to start it')
  await hub.share({ ...toBob, scopes: ['start:servers'] })
  assert.equal(await start(), 201)
  assert.equal((await hub.ask(hub.bob, 'DELETE', '/users/alice/servers/lab')).status, 404)
  assert.equal((await hub.ask(hub.bob, 'POST', '/users/alice/server')).status, 404, 'nor another server')
  assert.equal((await hub.ask(hub.bob, 'GET', '/users/bob/shared')).json.items[0].server.ready, true)
  assert.equal((await hub.ask(hub.bob, 'DELETE', '/users/bob/shared/alice/lab')).status, 204, 'who leaves')
  assert.deepEqual(await everywhere(), [[], [], [], []])
  await hub.share(toBob)
  assert.equal((await hub.ask(hub.alice, 'DELETE', '/shares/alice/lab')).status, 204, 'who is put out')
  assert.deepEqual(await everywhere(), [[], [], [], []])
})

test('api shares: trap 55, what is shared with a group is its members’, for as long as they are in it', async t => {
  const hub = await sharingHub(t)
  await hub.share({ group: 'class' })
  assert.deepEqual(await hub.scopesOf(hub.bob), [access])
  assert.deepEqual(await hub.scopesOf(hub.carol), [])
  const shared = (await hub.ask(hub.bob, 'GET', '/users/bob/shared')).json.items
  assert.deepEqual([shared.length, shared[0].group], [1, { name: 'class' }])
  assert.equal((await hub.ask(hub.bob, 'GET', '/users/bob/shared/alice/lab')).status, 404, 'it is not his own to leave')
  assert.equal((await hub.ask(hub.bob, 'DELETE', '/users/bob/shared/alice/lab')).status, 404)
  await hub.core.users.groups.remove('class', [hub.idOf('bob')])
  assert.deepEqual(await hub.scopesOf(hub.bob), [])
  await hub.core.users.groups.add('class', [hub.idOf('bob')])
  assert.deepEqual(await hub.scopesOf(hub.bob), [access])
  const labOf = () => hub.core.users.get('alice')!.servers.find(({ name }) => name === 'lab')!
  const before = structuredClone(labOf().shares)
  await hub.core.users.groups.delete('class')
  assert.deepEqual(await hub.scopesOf(hub.bob), [])
  await hub.core.users.groups.create(['class'], [hub.idOf('bob')])
  assert.deepEqual(await hub.scopesOf(hub.bob), [], 'another group of the same name')
  assert.deepEqual((await hub.ask(hub.root, 'GET', '/groups/class/shared')).json.items, [])
  assert.deepEqual(labOf().shares, [], 'nothing is left behind')
  // As a kill of the hub between the two writes would leave it.
  await hub.core.users.updateServer(hub.idOf('alice'), 'lab', draft => void (draft.shares = before))
  assert.deepEqual(await hub.scopesOf(hub.bob), [])
  assert.deepEqual((await hub.ask(hub.alice, 'GET', '/shares/alice')).json.items, [])
})

test('api shares: a share is bound to this server, this owner and this user, whatever they are called (GHSA-mj6q)', async t => {
  const hub = await sharingHub(t)
  await hub.share(toBob)
  await hub.share(toBob, '/shares/alice/')
  const made = await hub.code()

  await hub.core.users.rename(hub.idOf('alice'), 'alicia')
  assert.equal((await hub.ask(hub.bob, 'GET', '/users/bob/shared')).json.items[0].server.user.name, 'alicia')
  const { json } = await hub.ask(hub.bob, 'GET', '/user')
  assert.ok(json.scopes.includes('access:servers!server=alicia/lab'))
  await hub.person('alice')
  await hub.core.servers.describe(hub.core.users.get('alice')!, 'lab', () => {})
  assert.deepEqual(await hub.scopesOf(hub.bob), [], 'a new user of the old name shares nothing')
  await hub.core.users.remove(hub.idOf('alice'))
  await hub.core.users.rename(hub.idOf('alicia'), 'alice')
  assert.equal((await hub.scopesOf(hub.bob)).length, 2)

  await hub.core.users.rename(hub.idOf('bob'), 'rob')
  const newBob = await hub.person('bob')
  assert.deepEqual(await hub.scopesOf(newBob), [], 'a new user of a sharee’s old name has nothing')
  assert.equal((await hub.scopesOf(hub.bob)).length, 2, 'and who was renamed has it still')

  const alice = hub.core.users.get('alice')!
  await hub.core.servers.remove(alice, 'lab')
  await hub.core.servers.describe(hub.core.users.get('alice')!, 'lab', () => {})
  assert.deepEqual(await hub.scopesOf(hub.bob), ['access:servers!server=alice/'], 'another server of the same name')
  assert.equal(hub.core.shares.findCode(made.code), undefined)
  await assert.rejects(hub.core.shares.accept(made.code, hub.core.users.get('carol')!), { code: 'missing' })

  await hub.core.users.remove(hub.idOf('rob'))
  assert.deepEqual(
    hub.core.users.get('alice')!.servers.flatMap(({ shares }) => shares),
    [],
    'nothing is left of who is gone',
  )
  await hub.share({ user: 'carol' }, '/shares/alice/')
  await hub.core.users.remove(hub.idOf('alice'))
  await hub.person('alice')
  assert.deepEqual(await hub.scopesOf(hub.carol), [])
})

test('api share codes: told once, kept as a hash, in no list, log, trail or file', async t => {
  const hub = await sharingHub(t, { roles: sharing, url: 'https://hub.test/' })
  const made = await hub.code({ expires_in: 3600, scopes: ['access:servers', 'start:servers'] })
  assert.match(made.code, /^[\w-]{43}$/)
  assert.equal(made.accept_url, `/hub/accept-share?code=${made.code}`)
  assert.equal(made.full_accept_url, `https://hub.test/hub/accept-share?code=${made.code}`)
  assert.deepEqual(made.scopes, ['access:servers!server=alice/lab', 'start:servers!server=alice/lab'])
  assert.equal(Date.parse(made.expires_at) - Date.parse(made.created_at), 3_600_000)
  const { items } = (await hub.ask(hub.alice, 'GET', '/share-codes/alice')).json
  const { code, accept_url, full_accept_url, ...listed } = made
  assert.deepEqual(items, [{ ...listed, id: 'sc_1', exchange_count: 0, last_exchanged_at: null }])

  await hub.core.shares.accept(code, hub.core.users.get('carol')!)
  const [after] = (await hub.ask(hub.alice, 'GET', '/share-codes/alice/lab')).json.items
  assert.equal(after.exchange_count, 1)
  assert.match(after.last_exchanged_at, /Z$/)
  assert.deepEqual(await hub.scopesOf(hub.carol), made.scopes)
  await assert.rejects(hub.core.shares.accept(code, hub.core.users.get('alice')!), { code: 'denied' })

  await hub.core.audit.flush()
  for (const path of await readdir(hub.folder, { recursive: true })) {
    const text = await readFile(join(hub.folder, path), 'utf8').catch(() => '')
    assert.equal(text.includes(code), false, path)
  }
  const { entries } = await hub.core.audit.read({}, 0, 100)
  const told = entries
    .filter(({ action }) => action.startsWith('share.'))
    .map(({ action, actor, target }) => [action, actor?.name, target])
  assert.deepEqual(told.reverse()[0], ['share.create', 'alice', { user: 'alice', server: 'lab' }])
  assert.ok(told.some(([action]) => action === 'share.accept'))
})

test('api share codes: one that has expired or was revoked is good for nothing', async t => {
  const hub = await sharingHub(t)
  const carol = hub.core.users.get('carol')!
  const refused = (code: string) => assert.rejects(hub.core.shares.accept(code, carol), { code: 'missing' })
  const listed = async () =>
    (await hub.ask(hub.alice, 'GET', '/share-codes/alice')).json.items.map(({ id }: { id: string }) => id)
  const [one, two, three, other] = [
    await hub.code(),
    await hub.code(),
    await hub.code(),
    await hub.code({}, '/share-codes/alice/'),
  ]
  const remove = async (query: string) => (await hub.ask(hub.alice, 'DELETE', `/share-codes/alice/lab${query}`)).status
  assert.equal(await remove(`?code=${other.code}`), 404, 'a code of another server')
  assert.equal(await remove(`?code=${one.code}`), 204)
  await refused(one.code)
  assert.equal(await remove(`?id=${two.id}`), 204)
  await refused(two.code)
  assert.deepEqual(await listed(), [three.id, other.id])
  assert.equal(await remove(''), 204)
  await refused(three.code)
  assert.deepEqual(await listed(), [other.id])
  await refused('guessed')
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 86_400_000 })
  t.after(() => mock.timers.reset())
  assert.deepEqual(await listed(), [])
  await refused(other.code)
  assert.equal(hub.core.shares.findCode(other.code), undefined)
  assert.deepEqual(await hub.scopesOf(hub.carol), [])
})

test('api shares: they are in the owner’s file: what was answered is there after a restart', async t => {
  const hub = await sharingHub(t)
  await hub.share(toBob)
  await hub.share({ group: 'class' })
  const { code } = await hub.code()
  const again = await openStore(hub.folder)
  const lab = again.byName.get('alice')!.servers.find(({ name }) => name === 'lab')!
  assert.deepEqual(
    lab,
    hub.core.users.get('alice')!.servers.find(({ name }) => name === 'lab'),
  )
  assert.equal(lab.shares.length, 2)
  assert.equal(again.byShareCode.size, 1)
  assert.ok(hub.core.shares.findCode(code))
})

test('api shares: a custom scope that the config has no more grants nothing and breaks nothing', async t => {
  const hub = await sharingHub(t)
  await hub.core.shares.grant(hub.core.users.get('alice')!, 'lab', { kind: 'user', id: hub.idOf('bob') }, [
    'custom:gone',
    'access:servers',
  ])
  assert.deepEqual(await hub.scopesOf(hub.bob), [access])
})
