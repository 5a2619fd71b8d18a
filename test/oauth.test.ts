import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { clientId, serverPath } from '../core/names.ts'
import { createCodes } from '../core/oauth/codes.ts'
import { createOAuthProvider } from '../core/oauth/provider.ts'
import { Browser, identityHub } from './identity-hub.ts'

/** A provider, and the two sides of it: browsers that ask for codes, servers that turn them into tokens. */
async function oauthHub(t: TestContext, lifetime?: number) {
  const hub = await identityHub(t)
  const { users, roles, tokens, sessions, services } = hub
  const oauth = createOAuthProvider({ users, roles, services, tokens, base: '/', lifetime })

  async function person(name: string, init: { admin?: boolean } = {}) {
    const { id } = await users.create(name, init)
    const browser = new Browser()
    await hub.visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
    return { id, name, browser, session: browser.value('jupyterhub-session-id')! }
  }
  type Person = Awaited<ReturnType<typeof person>>

  /** As a start of the server does. */
  async function run(owner: Person, server = '') {
    const generation = randomBytes(4).toString('hex')
    await tokens.revoke(owner.id, token => token.kind === 'server' && token.server === server)
    const { secret } = await tokens.create(owner.id, { kind: 'server', server, generation })
    await users.updateServer(owner.id, server, draft => void Object.assign(draft, { intent: 'running', generation }))
    const id = clientId(owner.name, server)
    return { id, secret, owner, server, redirect: `${serverPath('/', owner.name, server)}oauth_callback` }
  }
  type Running = Awaited<ReturnType<typeof run>>

  const authorize = (
    by: Person,
    client: Running,
    extra: Record<string, string | string[] | undefined> = {},
    agreed?: string[],
  ) => {
    const given = { client_id: client.id, redirect_uri: client.redirect, response_type: 'code', state: 's t/ä=&', ...extra }
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(given)) for (const one of [value ?? []].flat()) query.append(key, one)
    return oauth.authorize(users.get(by.name)!, query, by.session, agreed)
  }
  const codeFor = async (...parameters: Parameters<typeof authorize>) => {
    const result = await authorize(...parameters)
    assert.equal(result.kind, 'redirect', JSON.stringify(result))
    const code = new URL(result.kind === 'redirect' ? result.location : '', 'http://x').searchParams.get('code')
    assert.ok(code)
    return code
  }
  const exchange = (client: Running, code: string, extra: Record<string, string | string[] | undefined> = {}) => {
    const { id, secret, redirect } = client
    const given = {
      client_id: id,
      client_secret: secret,
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirect,
      ...extra,
    }
    const form = new URLSearchParams()
    for (const [key, value] of Object.entries(given)) for (const one of [value ?? []].flat()) form.append(key, one)
    return oauth.token(form) as Promise<{ status: number; body: Record<string, string> }>
  }
  return { ...hub, oauth, person, run, authorize, codeFor, exchange }
}

test('a server logs its owner in: code, token, and what the token may do', async t => {
  const { person, run, authorize, exchange, tokens, users } = await oauthHub(t)
  const alice = await person('alice')
  const server = await run(alice)
  const result = await authorize(alice, server)
  assert.ok(result.kind === 'redirect')
  const [, code, state] = /^\/user\/alice\/oauth_callback\?code=([\w-]{1,36})&state=(.+)$/.exec(result.location)!
  assert.equal(decodeURIComponent(state!), 's t/ä=&')
  const { status, body } = await exchange(server, code!)
  assert.equal(status, 200)
  assert.deepEqual(
    { ...body, access_token: '' },
    {
      access_token: '',
      expires_in: 1_209_600,
      token_type: 'Bearer',
      scope: 'read:users:name!user read:users:groups!user access:servers!server=alice/',
    },
  )
  const { owner, record } = tokens.find(body.access_token!)!
  assert.equal(owner.name, 'alice')
  assert.deepEqual(
    [record.kind, record.note, record.client, record.sessionId],
    ['oauth', '', 'jupyterhub-user-alice', alice.session],
  )
  assert.deepEqual([...tokens.scopes(owner, record)].sort(), [
    'access:servers!server=alice/',
    'read:users:groups!user=alice',
    'read:users:name!user=alice',
  ])
  assert.equal(users.get('alice')?.tokens.length, 2)
})

test('what is wrong with the client is shown, never sent anywhere', async t => {
  const { person, run, authorize, users, tokens, oauth } = await oauthHub(t)
  const [alice, bob] = [await person('alice'), await person('bob')]
  const server = await run(alice)
  const refused = async (extra: Record<string, string | string[] | undefined>, by = alice) => {
    const result = await authorize(by, server, extra)
    return result.kind === 'refuse' ? result.status : result
  }
  assert.equal(await refused({ client_id: undefined }), 400)
  for (const id of [
    '',
    'x',
    'jupyterhub-user-',
    'jupyterhub-user-bob',
    'jupyterhub-user-alice-lab',
    'jupyterhub-user-%',
    'service-x',
  ])
    assert.equal(await refused({ client_id: id }), 400, id)
  for (const uri of [
    ...[
      '/user/alice/oauth_callbac',
      '/user/alice/oauth_callback/',
      '/user/alice/oauth_callback?x',
      '//user/alice/oauth_callback',
    ],
    ...['http://hub.test/user/alice/oauth_callback', '/user/bob/oauth_callback', '/user/alice/../alice/oauth_callback'],
  ])
    assert.equal(await refused({ redirect_uri: uri }), 400, uri)
  for (const name of ['client_id', 'response_type', 'redirect_uri', 'scope', 'state'])
    assert.equal(await refused({ [name]: ['a', 'a'] }), 400, name)
  assert.equal(await refused({}, bob), 403)
  assert.equal((await authorize(alice, server, { redirect_uri: undefined })).kind, 'redirect')

  await tokens.revoke(alice.id, ({ kind }) => kind === 'server')
  assert.equal(await refused({}), 400, 'a client without a secret')
  assert.equal(oauth.client(server.id), undefined)
  await run(alice)
  await users.updateServer(alice.id, '', draft => void (draft.intent = 'stopped'))
  assert.equal(await refused({}), 400, 'a server that is stopped')
})

test('what is wrong with the request is told to the client, with its state', async t => {
  const { person, run, authorize } = await oauthHub(t)
  const alice = await person('alice')
  const server = await run(alice)
  const told = async (extra: Record<string, string | undefined>) => {
    const result = await authorize(alice, server, extra)
    assert.ok(result.kind === 'redirect', JSON.stringify(result))
    const { pathname, searchParams } = new URL(result.location, 'http://x')
    assert.equal(pathname, '/user/alice/oauth_callback')
    assert.equal(searchParams.get('state'), 'state' in extra ? null : 's t/ä=&')
    assert.ok(searchParams.get('error_description') || searchParams.get('code'))
    return searchParams.get('error')
  }
  assert.equal(await told({ response_type: undefined }), 'invalid_request')
  assert.equal(await told({ response_type: 'token' }), 'unsupported_response_type')
  assert.equal(await told({ scope: 'nothing' }), 'invalid_scope')
  for (const scope of [
    'read:hub',
    'access:servers',
    'access:servers!user=alice',
    'access:servers!server=alice/lab',
    'inherit',
    'self',
    'admin',
  ])
    assert.equal(await told({ scope }), 'invalid_scope', scope)
  assert.equal(await told({ code_challenge: 'x'.repeat(43), code_challenge_method: 'S512' }), 'invalid_request')
  assert.equal(await told({ state: undefined }), null)
  for (const scope of [
    'identify',
    'read:users:name!user',
    'access:servers!server=alice/',
    'access:servers!server',
    'read:users:name!user=alice',
  ])
    assert.equal(await told({ scope }), null, scope)
})

test('one’s own server is opened at once; another’s only after a yes, until it starts anew', async t => {
  const { person, run, authorize, codeFor, exchange, tokens } = await oauthHub(t)
  const [alice, boss] = [await person('alice'), await person('boss', { admin: true })]
  const server = await run(alice)
  const asked = await authorize(boss, server)
  assert.ok(asked.kind === 'confirm')
  assert.equal(asked.client.owner?.name, 'alice')
  assert.deepEqual(asked.scopes, ['read:users:name!user', 'read:users:groups!user', 'access:servers!server=alice/'])
  const code = await codeFor(boss, server, {}, asked.scopes)
  const { body } = await exchange(server, code)
  const { owner, record } = tokens.find(body.access_token!)!
  assert.deepEqual([...tokens.scopes(owner, record)].sort(), [
    'access:servers!server=alice/',
    'read:users:groups!user=boss',
    'read:users:name!user=boss',
  ])
  assert.equal((await authorize(boss, server)).kind, 'redirect', 'agreed before')
  assert.equal(await tokens.revokeIssuedTo(server.id), 1)
  assert.equal((await authorize(boss, await run(alice))).kind, 'confirm')
  const identity = await exchange(server, await codeFor(boss, server, {}, [])).catch(error => error)
  assert.equal(identity.status, 401, 'the old secret is good no more')
  // What is agreed to is never more than what was asked.
  const more = await codeFor(boss, server, {}, ['read:hub', 'inherit'])
  assert.ok(more)
})

test('a code is good once; who uses it again takes the token away from whoever has it', async t => {
  const { person, run, codeFor, exchange, tokens } = await oauthHub(t)
  const alice = await person('alice')
  const server = await run(alice)
  const [one, two] = [await codeFor(alice, server), await codeFor(alice, server)]
  const first = await exchange(server, one)
  assert.equal(first.status, 200)
  const again = await exchange(server, one)
  assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant'])
  assert.equal(tokens.find(first.body.access_token!), undefined)
  // Both at the same time.
  const both = await Promise.all([exchange(server, two), exchange(server, two)])
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 400])
  assert.equal(tokens.find(both.find(({ status }) => status === 200)!.body.access_token!), undefined)
  const tabs = [await codeFor(alice, server), await codeFor(alice, server)]
  for (const code of tabs) assert.equal((await exchange(server, code)).status, 200, 'each tab its own')
})

test('a code is good for its client, user, session and redirect only, and for five minutes', async t => {
  const { person, run, codeFor, exchange, sessions, visit, users } = await oauthHub(t)
  const [alice, bob] = [await person('alice'), await person('bob')]
  const [server, lab, other] = [await run(alice), await run(alice, 'lab'), await run(bob)]
  const error = async (...parameters: Parameters<typeof exchange>) => {
    const { status, body } = await exchange(...parameters)
    return `${status} ${body.error}`
  }
  const code = await codeFor(alice, server)
  assert.equal(await error(lab, code), '400 invalid_grant')
  assert.equal(await error(other, code), '400 invalid_grant')
  assert.equal(await error(server, `${code}x`), '400 invalid_grant')
  assert.equal(await error(server, code, { redirect_uri: lab.redirect }), '400 invalid_request')
  assert.equal(await error(server, code, { redirect_uri: undefined }), '400 invalid_request')
  assert.equal(await error(server, code, { code: undefined }), '400 invalid_request')
  assert.equal(await error(server, code, { code: [code, code] }), '400 invalid_request')
  assert.equal(await error(server, code, { grant_type: 'password' }), '400 unsupported_grant_type')
  assert.equal(await error(server, code, { grant_type: undefined }), '400 unsupported_grant_type')
  assert.equal(await error(server, code, { client_secret: 'x' }), '401 invalid_client')
  assert.equal(await error(server, code, { client_secret: undefined }), '401 invalid_client')
  assert.equal(await error(server, code, { client_secret: other.secret }), '401 invalid_client')
  assert.equal(await error(server, code, { client_id: 'jupyterhub-user-nobody' }), '401 invalid_client')
  assert.equal((await exchange(server, code)).status, 200, 'none of that used it up')

  const late = await codeFor(alice, server)
  await visit(alice.browser, '/hub/logout', c => sessions.close(c))
  assert.equal(await error(server, late), '400 invalid_grant', 'signed out meanwhile')
  const before = await codeFor(bob, other)
  const anew = await run(bob)
  assert.equal(await error(anew, before), '400 invalid_grant', 'of the start before')
  const gone = await codeFor(bob, anew)
  await users.remove(bob.id)
  assert.equal(await error(anew, gone), '401 invalid_client')
})

test('PKCE: who asked with a challenge must have what it was made of', async t => {
  const { person, run, codeFor, exchange } = await oauthHub(t)
  const alice = await person('alice')
  const server = await run(alice)
  const verifier = randomBytes(32).toString('base64url')
  const s256 = createHash('sha256').update(verifier).digest('base64url')
  for (const challenge of [
    { code_challenge: s256, code_challenge_method: 'S256' },
    { code_challenge: verifier, code_challenge_method: 'plain' },
    { code_challenge: verifier },
  ]) {
    const code = await codeFor(alice, server, challenge)
    assert.equal((await exchange(server, code)).body.error, 'invalid_request')
    assert.equal((await exchange(server, code, { code_verifier: verifier })).status, 200)
    const guessed = await codeFor(alice, server, challenge)
    assert.equal((await exchange(server, guessed, { code_verifier: `${verifier}x` })).body.error, 'invalid_grant')
    assert.equal((await exchange(server, guessed, { code_verifier: verifier })).body.error, 'invalid_grant', 'one guess only')
  }
  assert.equal((await exchange(server, await codeFor(alice, server), { code_verifier: 'not asked for' })).status, 200)
})

test('two servers that share a client id are told apart by redirect and secret', async t => {
  const { person, run, authorize, codeFor, exchange, tokens, oauth } = await oauthHub(t)
  const [a, ab] = [await person('a'), await person('a-b')]
  const [one, two] = [await run(a, 'b-c'), await run(ab, 'c')]
  assert.equal(one.id, two.id)
  assert.ok(oauth.client(one.id))
  for (const [owner, server, other] of [
    [a, one, two],
    [ab, two, one],
  ] as const) {
    const code = await codeFor(owner, server)
    assert.equal((await exchange(other, code)).body.error, 'invalid_grant')
    const { body } = await exchange(server, code)
    const found = tokens.find(body.access_token!)!
    assert.ok(tokens.scopes(found.owner, found.record).has(`access:servers!server=${owner.name}/${server.server}`))
    const foreign = await authorize(owner, other)
    assert.equal(foreign.kind === 'refuse' && foreign.status, 403)
    const unclear = await authorize(owner, server, { redirect_uri: undefined })
    assert.equal(unclear.kind === 'refuse' && unclear.status, 400)
  }
})

test('servers and users of any name have a client of their own', async t => {
  const { person, run, codeFor, exchange } = await oauthHub(t)
  for (const name of ['bob@x.org', 'a b', 'é', '__proto__', '50%', "o'neil", 'x'.repeat(200)]) {
    const owner = await person(name)
    for (const server of ['', 'a-b', '__proto__', 'ü', '%2f']) {
      const running = await run(owner, server)
      assert.equal((await exchange(running, await codeFor(owner, running))).status, 200, `${name} ${server}`)
    }
  }
})

test('codes end after five minutes, and are bounded for each user and in all', () => {
  let now = 0
  const codes = createCodes(() => now, 200)
  const grant = (userId: string) => ({
    userId,
    client: { id: 'jupyterhub-user-o', secretHash: 'h' },
    redirectUri: undefined,
    scopes: [],
    sessionId: 's',
    challenge: undefined,
  })
  const first = codes.issue(grant('a'))
  now = 299_999
  assert.ok(codes.find(first))
  now = 300_000
  assert.equal(codes.find(first), undefined)
  const kept = codes.issue(grant('b'))
  const mine = Array.from({ length: 60 }, () => codes.issue(grant('a')))
  assert.equal(mine.filter(code => codes.find(code)).length, 50)
  assert.ok(codes.find(mine.at(-1)!) && codes.find(kept))
  const all = Array.from({ length: 300 }, (_, n) => codes.issue(grant(`u${n}`)))
  assert.equal(codes.find(kept), undefined)
  assert.equal(all.filter(code => codes.find(code)).length, 200)
})
