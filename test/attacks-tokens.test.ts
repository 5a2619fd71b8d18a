import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attacked, attackedHub, password } from './hostile.ts'
import { authorizeAddress, codeFor, type Env, exchange, tokenFor } from './notebook-login.ts'
import { ask } from './roles/loopback.ts'
import { visitor } from './visitor.ts'

/*
 * Tokens and codes, on a hub as it runs: what a notebook is given, what it can get out of its visitors, and that all of it
 * ends the moment it should, also for a hub that was killed in between.
 */

/** Everything that takes rights, tried with a token: what was not refused. */
async function tryAll(hub: Attacked, token: string): Promise<string[]> {
  const tries: [string, string, unknown?][] = [
    ['GET', '/users'],
    ['GET', '/users/root/tokens'],
    ['GET', '/users/alice/tokens'],
    ['GET', '/info'],
    ['GET', '/metrics'],
    ['GET', '/proxy'],
    ['GET', '/groups'],
    ['GET', '/services'],
    ['POST', '/users', { usernames: ['new'] }],
    ['POST', '/users', { usernames: ['new'], admin: true }],
    ['POST', '/users/new', { admin: true }],
    ['PATCH', '/users/mallory', { admin: true }],
    ['PATCH', '/users/mallory', { name: 'root2' }],
    ['PATCH', '/users/root', { admin: false }],
    ['DELETE', '/users/alice'],
    ['DELETE', '/users/root'],
    ['POST', '/users/root/server'],
    ['POST', '/users/mallory/servers/more'],
    ['DELETE', '/users/alice/server'],
    ['POST', '/users/root/tokens', {}],
    ['POST', '/users/alice/tokens', {}],
    ['POST', '/users/mallory/tokens', {}],
    ['POST', '/users/mallory/tokens', { scopes: ['admin:users'] }],
    ['POST', '/users/mallory/tokens', { roles: ['admin'] }],
    ['POST', '/users/root/activity', { last_activity: '2026-01-01T00:00:00Z' }],
    ['POST', '/groups/admins/users', { users: ['mallory'] }],
    ['POST', '/shutdown', {}],
    ['PATCH', '/proxy', { api_url: 'http://evil' }],
  ]
  const done: string[] = []
  for (const [method, path, body] of tries) {
    const { status } = await hub.api(token, method, path, body)
    assert.ok(status < 500, `${method} ${path} ${status}`)
    if (status < 300) done.push(`${method} ${path}`)
  }
  return done
}

test('what a notebook is given, and what it gets from an administrator who opens it, opens nothing else', async t => {
  const hub = await attackedHub(t)
  const { env } = await hub.notebook('mallory')
  await hub.notebook('alice')
  assert.deepEqual(await tryAll(hub, env.JUPYTERHUB_API_TOKEN!), [])

  const root = await hub.enter('root')
  const asked = await root.ask(authorizeAddress(env))
  assert.equal(asked.status, 200, 'the administrator is asked first')
  const stolen = await tokenFor(root, env)
  const { json: who } = await hub.api(stolen, 'GET', '/user')
  assert.deepEqual(who.scopes, ['access:servers!server=mallory/', 'read:users:groups!user=root', 'read:users:name!user=root'])
  assert.deepEqual(await tryAll(hub, stolen), [])
  // Nor is it a way to be the administrator on the pages.
  for (const path of ['/hub/home', '/hub/admin', '/hub/token', authorizeAddress(env)])
    for (const [name, value] of [
      ['authorization', `token ${stolen}`],
      ['cookie', `jupyterhub-hub-login=${stolen}`],
    ] as const)
      assert.match(String((await ask(hub.port, path, { headers: { [name]: value } })).headers.location), /^\/hub\/login\?/, path)

  // Asked for more than the notebook may have, an administrator's yes does not make it more.
  for (const scope of [
    'admin:users',
    'inherit',
    'self',
    'admin',
    'access:servers',
    'access:servers!user=root',
    'servers!user=root',
  ])
    assert.equal((await codeFor(root, env, { scope })).get('error'), 'invalid_scope', scope)

  const tokenOfAll = await hub.token('root')
  const { json: users } = await hub.api(tokenOfAll, 'GET', '/users')
  assert.deepEqual(
    users.map(({ name, admin }: { name: string; admin: boolean }) => `${name} ${admin}`),
    ['root true', 'mallory false', 'alice false'],
  )
})

test('rights that are filtered or fewer are not a way to more', async t => {
  const hub = await attackedHub(t)
  const root = await hub.token('root')
  await hub.token('alice')
  assert.equal((await hub.api(root, 'POST', '/users/other', { admin: true })).status, 201)
  const with_ = async (...scopes: string[]) =>
    (await hub.api(root, 'POST', '/users/root/tokens', { scopes })).json.token as string
  const refused = async (token: string, method: string, path: string, body?: unknown) => {
    const { status } = await hub.api(token, method, path, body)
    assert.ok(status === 403 || status === 404, `${method} ${path} ${JSON.stringify(body)}: ${status}`)
  }
  const users = await with_('admin:users')
  await refused(users, 'PATCH', '/users/alice', { admin: true })
  await refused(users, 'PATCH', '/users/other', { admin: false })
  await refused(users, 'PATCH', '/users/other', { name: 'r' })
  await refused(users, 'POST', '/users', { usernames: ['n'], admin: true })
  await refused(users, 'POST', '/users/n', { admin: true })
  await refused(users, 'DELETE', '/users/other')
  const alice = await with_('admin:users!user=alice')
  await refused(alice, 'POST', '/users', { usernames: ['n'] })
  await refused(alice, 'POST', '/users/n')
  await refused(alice, 'GET', '/users/other')
  const tokens = await with_('tokens')
  await refused(tokens, 'POST', '/users/root/server')
  // For oneself at most what one is; for another administrator it takes all rights.
  assert.equal((await hub.api(root, 'PATCH', '/users/alice', { admin: true })).status, 200)
  await refused(tokens, 'POST', '/users/alice/tokens', { scopes: ['inherit'] })
  assert.equal((await hub.api(root, 'PATCH', '/users/alice', { admin: false })).status, 200)
  const listed = await hub.api(await with_('list:users!user=alice'), 'GET', '/users')
  assert.deepEqual(
    listed.json.map((user: { name: string }) => user.name),
    ['alice'],
  )
})

test('a code is good once, for its notebook, with its secret, at its address', async t => {
  const hub = await attackedHub(t)
  const { env: mallory } = await hub.notebook('mallory')
  const { env, owner } = await hub.notebook('alice')
  const fresh = async () => (await codeFor(owner, env)).get('code')!

  const answer = await codeFor(owner, env)
  assert.equal(answer.get('state'), 's/+=&é')
  const code = answer.get('code')!
  const { status, json } = await exchange(env, code)
  assert.equal(status, 200)
  assert.equal((await hub.api(json.access_token!, 'GET', '/user')).json.name, 'alice')
  const again = await exchange(env, code)
  assert.deepEqual([again.status, again.json.error], [400, 'invalid_grant'])
  assert.equal(
    (await hub.api(json.access_token!, 'GET', '/user')).status,
    403,
    'whoever has it was not the only one with the code',
  )

  const as = (client: Env) => ({ client_id: client.JUPYTERHUB_CLIENT_ID!, client_secret: client.JUPYTERHUB_API_TOKEN! })
  const tries: [Record<string, string>, number][] = [
    [{ ...as(mallory), redirect_uri: mallory.JUPYTERHUB_OAUTH_CALLBACK_URL! }, 400],
    [{ ...as(mallory) }, 400],
    [{ client_secret: mallory.JUPYTERHUB_API_TOKEN! }, 401],
    [{ client_secret: '' }, 401],
    [{ client_secret: await hub.token('alice') }, 401],
    [{ client_id: 'jupyterhub-user-nobody' }, 401],
    [{ redirect_uri: `${env.JUPYTERHUB_OAUTH_CALLBACK_URL}/` }, 400],
    [{ redirect_uri: `${hub.origin}${env.JUPYTERHUB_OAUTH_CALLBACK_URL}` }, 400],
    [{ redirect_uri: '' }, 400],
    [{ grant_type: 'client_credentials' }, 400],
    [{ grant_type: 'password' }, 400],
    [{ code: 'x' }, 400],
  ]
  for (const [more, wanted] of tries) {
    const { status, json } = await exchange(env, await fresh(), more)
    assert.equal(status, wanted, JSON.stringify(more))
    assert.equal(json.access_token, undefined)
  }

  const redirects = [
    'https://evil.example/',
    '//evil.example/user/alice/oauth_callback',
    '/user/mallory/oauth_callback',
    '/user/alice/oauth_callback?x',
    '/user/alice/oauth_callback#x',
    '/user/alice/../mallory/oauth_callback',
    '/user/alice/OAUTH_CALLBACK',
    `${hub.origin}/user/alice/oauth_callback`,
    'javascript:alert(1)',
  ]
  for (const redirect_uri of redirects) {
    const reply = await owner.ask(authorizeAddress(env, { redirect_uri }))
    assert.equal(reply.status, 400, redirect_uri)
    assert.equal(reply.headers.get('location'), null)
    assert.doesNotMatch(await reply.text(), /href="(javascript|https?:|\/\/)/)
  }
  const twice = await owner.ask(`${authorizeAddress(env)}&redirect_uri=https%3A%2F%2Fevil.example`)
  assert.equal(twice.status, 400)

  const verifier = 'v'.repeat(43)
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  const sent = { code_challenge: challenge, code_challenge_method: 'S256' }
  for (const [more, wanted] of [
    [{ code_verifier: verifier }, 200],
    [{ code_verifier: challenge }, 400],
    [{}, 400],
  ] as const)
    assert.equal((await exchange(env, (await codeFor(owner, env, sent)).get('code')!, more)).status, wanted)

  // The browser's sign-in is not the notebook's to use: no code without the visitor's own cookie.
  const bare = await ask(hub.port, authorizeAddress(env), { headers: { authorization: `token ${env.JUPYTERHUB_API_TOKEN}` } })
  assert.match(String(bare.headers.location), /^\/hub\/login\?next=/)
})

test('two tabs: signing out in one ends what was signed in through the other, in the hub and in the notebooks', async t => {
  const hub = await attackedHub(t)
  const { env, owner: alice, base } = await hub.notebook('alice')
  const token = await tokenFor(alice, env)
  const code = (await codeFor(alice, env)).get('code')!
  const elsewhere = await hub.enter('alice')
  const other = await tokenFor(elsewhere, env)
  const jar = alice.cookieFor('/hub/home')
  const session = alice.cookie('jupyterhub-session-id')

  const out = await alice.ask('/hub/logout')
  const cleared = out.headers.getSetCookie().map(line => /^([^=]+)=;.*Path=([^;]+)/i.exec(line)?.slice(1).join(' '))
  for (const name of ['jupyterhub-hub-login /hub/', 'jupyterhub-session-id /', '_xsrf /hub/'])
    assert.ok(cleared.includes(name), name)

  // The other tab still has all of it.
  const headers = { cookie: jar }
  assert.match(String((await ask(hub.port, '/hub/home', { headers })).headers.location), /^\/hub\/login/)
  assert.equal((await ask(hub.port, '/hub/api/user', { headers })).status, 403)
  assert.match(String((await ask(hub.port, authorizeAddress(env), { headers })).headers.location), /^\/hub\/login/)
  assert.equal((await hub.api(token, 'GET', '/user')).status, 403)
  assert.equal((await hub.api(env.JUPYTERHUB_API_TOKEN!, 'GET', `/authorizations/token/${token}`)).status, 404)
  const late = await exchange(env, code)
  assert.deepEqual([late.status, late.json.error], [400, 'invalid_grant'])
  assert.match((await alice.open(`/hub${base}`)).path, /^\/hub\/login/)

  // Another sign-in of the same user goes on, and is not the same session.
  assert.equal((await hub.api(other, 'GET', '/user')).status, 200)
  assert.equal((await elsewhere.open('/hub/home')).path, '/hub/home')
  assert.notEqual(elsewhere.cookie('jupyterhub-session-id'), session)
  await hub.killHub()
  assert.equal((await hub.api(token, 'GET', '/user')).status, 403)
  assert.equal((await hub.api(other, 'GET', '/user')).status, 200)
})

test('what is revoked, expired or deleted is refused at the very next request, and by the hub after a kill', async t => {
  const hub = await attackedHub(t)
  const root = await hub.token('root')
  const { env, owner: alice, base } = await hub.notebook('alice')
  const made = (await hub.api(await hub.token('alice'), 'POST', '/users/alice/tokens', {})).json
  const issued = await tokenFor(alice, env)
  const { json: brief } = await hub.api(root, 'POST', '/users/alice/tokens', { expires_in: 1 })
  assert.equal((await hub.api(brief.token, 'GET', '/user')).status, 200)
  const gone: string[] = []
  const assertGone = async (when: string) => {
    for (const token of gone) {
      assert.equal((await hub.api(token, 'GET', '/user')).status, 403, when)
      assert.equal((await hub.api(root, 'GET', `/authorizations/token/${token}`)).status, 404, when)
    }
  }

  assert.equal((await hub.api(made.token, 'DELETE', `/users/alice/tokens/${made.id}`)).status, 204)
  gone.push(made.token)
  await assertGone('revoked')
  await hub.killHub()
  await assertGone('revoked, after a kill')
  assert.equal((await hub.api(issued, 'GET', '/user')).status, 200, 'others are kept')

  // A server that was stopped has no token, and neither have its visitors.
  assert.equal((await hub.api(root, 'DELETE', '/users/alice/server')).status, 204)
  gone.push(env.JUPYTERHUB_API_TOKEN!, issued)
  await assertGone('stopped')
  const { env: next } = await hub.notebook('alice')
  assert.notEqual(next.JUPYTERHUB_API_TOKEN, env.JUPYTERHUB_API_TOKEN)
  await assertGone('started anew')

  await sleep(1100 - Math.min(1000, Date.now() - Date.parse(brief.created)))
  gone.push(brief.token)
  await assertGone('expired')

  const code = (await codeFor(alice, next)).get('code')!
  const last = await tokenFor(alice, next)
  const own = await hub.token('alice')
  assert.equal((await hub.api(root, 'DELETE', '/users/alice')).status, 204)
  gone.push(last, own, next.JUPYTERHUB_API_TOKEN!)
  await assertGone('deleted')
  assert.match((await alice.open('/hub/home')).path, /^\/hub\/login/)
  assert.equal((await exchange(next, code)).status, 401)
  assert.notEqual((await ask(hub.port, base)).status, 200)
  await assert.rejects(fetch(next.JUPYTERHUB_SERVICE_URL!), 'its process is gone')
  await hub.killHub()
  await assertGone('deleted, after a kill')

  // Whoever gets the name next gets none of it.
  const { json: again } = await hub.api(root, 'POST', '/users/alice')
  assert.deepEqual([again.admin, again.groups, again.servers], [false, [], {}])
  await assertGone('made anew')
  assert.match((await alice.open('/hub/home')).path, /^\/hub\/login/)
})

test('a name that was given up takes no rights along, and leaves none behind', async t => {
  const hub = await attackedHub(t)
  const root = await hub.token('root')
  const { env } = await hub.notebook('alice')
  const bob = await hub.enter('root')
  const visit = await tokenFor(bob, env)
  const own = await hub.token('alice', ['servers!user=alice', 'access:servers!user=alice'])
  const all = await hub.token('alice')
  const granted = await hub.token('root', ['servers!user=alice', 'access:servers!server=alice/'])
  assert.equal((await hub.api(root, 'DELETE', '/users/alice/server')).status, 204)
  assert.equal((await hub.api(root, 'PATCH', '/users/alice', { name: 'former' })).status, 200)
  assert.equal((await hub.api(root, 'POST', '/users/alice')).status, 201)

  const { json: who } = await hub.api(all, 'GET', '/user')
  assert.equal(who.name, 'former')
  for (const token of [own, all]) {
    assert.equal((await hub.api(token, 'POST', '/users/alice/server')).status, token === all ? 404 : 403)
    assert.doesNotMatch(JSON.stringify((await hub.api(token, 'GET', '/user')).json.scopes), /=alice/)
  }
  assert.equal((await hub.api(visit, 'GET', '/user')).status, 403)
  assert.equal((await hub.api(granted, 'POST', '/users/alice/server')).status, 403)
  assert.doesNotMatch(JSON.stringify((await hub.api(granted, 'GET', '/user')).json.scopes), /alice/)
})

test('a token in an address is none; a token in a header is no way to the pages', async t => {
  const hub = await attackedHub(t)
  const token = await hub.token('root')
  for (const path of ['/hub/api/users', '/hub/api/user', '/hub/api/info', '/hub/metrics', '/hub/health?full'])
    for (const name of ['token', 'access_token', 'auth_token', 'api_key']) {
      const { status } = await ask(hub.port, `${path}${path.includes('?') ? '&' : '?'}${name}=${token}`)
      assert.equal(status, 403, `${path} ${name}`)
    }
  for (const path of ['/hub/home', '/hub/admin', '/hub/token', '/hub/spawn', '/hub/home?token=', '/hub/x/dummy/'])
    for (const authorization of [`token ${token}`, `Bearer ${token}`, `Basic ${btoa(`root:${token}`)}`]) {
      const { status, headers } = await ask(hub.port, path.endsWith('=') ? path + token : path, { headers: { authorization } })
      assert.ok(status === 404 || (status === 302 && headers.location!.startsWith('/hub/login')), `${path} ${status}`)
    }
  // Only the two schemes, one secret, nothing around it.
  for (const authorization of [
    `Basic ${token}`,
    token,
    `token  ${token} x`,
    `token "${token}"`,
    `token ${token}\u00a0`,
    `tokentoken ${token}`,
  ])
    assert.equal((await ask(hub.port, '/hub/api/user', { headers: { authorization } })).status, 403, authorization)
})

test('a session that somebody else has begun is not the one that signs in', async t => {
  const hub = await attackedHub(t)
  const mallory = visitor(hub.origin)
  await mallory.open('/hub/login')
  const planted = { session: mallory.cookie('jupyterhub-session-id'), xsrf: mallory.cookie('_xsrf') }
  assert.ok(planted.session && planted.xsrf)

  // The victim's browser has what was planted there.
  const cookie = `jupyterhub-session-id=${planted.session}; _xsrf=${planted.xsrf}; jupyterhub-hub-login=planted`
  const body = new URLSearchParams({ username: 'alice', password, _xsrf: planted.xsrf })
  const headers = { cookie, 'content-type': 'application/x-www-form-urlencoded' }
  const { status, headers: answer } = await ask(hub.port, '/hub/login', { method: 'POST', headers, body: String(body) })
  assert.equal(status, 302)
  const set = new Map(answer['set-cookie']!.map(line => line.split(';')[0]!.split('=') as [string, string]))
  assert.notEqual(set.get('jupyterhub-session-id'), planted.session)
  assert.notEqual(set.get('_xsrf'), planted.xsrf)
  assert.notEqual(set.get('jupyterhub-hub-login'), 'planted')
  // What was planted is worth nothing now, alone or beside what the victim has.
  assert.match(String((await ask(hub.port, '/hub/home', { headers: { cookie } })).headers.location), /^\/hub\/login/)
  const victim = [...set].map(pair => pair.join('=')).join('; ')
  const forged = { ...headers, cookie: `${victim}; _xsrf=${planted.xsrf}` }
  const form = String(new URLSearchParams({ _xsrf: planted.xsrf, scopes: 'all', expires: '1h' }))
  assert.equal((await ask(hub.port, '/hub/token', { method: 'POST', headers: forged, body: form })).status, 403)
})

test('whom the new config does not let in has nothing left: no session, no token, no code', async t => {
  const hub = await attackedHub(t)
  const { env, owner: alice } = await hub.notebook('alice')
  const token = await hub.token('alice')
  const issued = await tokenFor(alice, env)
  const root = await hub.token('root')
  await hub.api(root, 'POST', '/users/program')
  const { json: program } = await hub.api(root, 'POST', '/users/program/tokens', {})
  const file = join(hub.folder, 'hub.config.ts')
  await writeFile(file, (await readFile(file, 'utf8')).replace('everyone: true', "users: ['bob']"))
  const restarted = await hub.run('restart')
  assert.equal(restarted.code, 0, restarted.output)
  for (const one of [token, issued, env.JUPYTERHUB_API_TOKEN!]) assert.equal((await hub.api(one, 'GET', '/user')).status, 403)
  assert.match((await alice.open('/hub/home')).path, /^\/hub\/login/)
  assert.equal((await alice.signIn('alice', password)).reply.status, 403)
  assert.equal((await hub.api('', 'POST', '/users/alice/tokens', { auth: { username: 'alice', password } })).status, 403)
  for (const one of [root, program.token]) assert.equal((await hub.api(one, 'GET', '/user')).status, 200)
})

test('what is revoked or signed out on a page is so at the very next request, and for the hub after a kill', async t => {
  const hub = await attackedHub(t)
  const [alice, phone, root] = [await hub.enter('alice'), await hub.enter('alice'), await hub.enter('root')]
  const make = async (note: string) => {
    const { text } = await alice.submit('/hub/token', 'hub/token', { note, scopes: 'all', expires: '1h' })
    return /id="secret"[^>]*value="([^"]+)"/.exec(text)![1]!
  }
  const [own, kept, byRoot] = [await make('own'), await make('kept'), await make('by root')]
  const works = async (token: string) => (await hub.api(token, 'GET', '/user')).status === 200
  const idOf = async (note: string) => {
    const { json } = await hub.api(kept, 'GET', '/users/alice/tokens')
    return json.api_tokens.find((token: { note: string }) => token.note === note).id.slice(1)
  }
  const [ownId, byRootId] = [await idOf('own'), await idOf('by root')]
  await alice.submit('/hub/token', 'token/revoke', { id: ownId })
  assert.deepEqual([await works(own), await works(kept), await works(byRoot)], [false, true, true])
  await root.submit('/hub/admin/users/alice', 'alice/revoke', { id: byRootId })
  assert.equal(await works(byRoot), false)
  await alice.submit('/hub/sessions', 'sessions/end', { all: '1' })
  const out = async () => Promise.all([alice, phone].map(async browser => (await browser.open('/hub/home')).path.split('?')[0]))
  assert.deepEqual(await out(), ['/hub/login', '/hub/login'])
  await hub.killHub()
  assert.deepEqual(await out(), ['/hub/login', '/hub/login'])
  assert.deepEqual([await works(own), await works(kept), await works(byRoot)], [false, true, false])
})
