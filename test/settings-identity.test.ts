import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOAuthProvider } from '../core/oauth/provider.ts'
import { cleanAnswer, cleanRequest } from '../plugins/http-proxy/hygiene.ts'
import { Browser, identityHub, passwords } from './identity-hub.ts'
import { settingsHub } from './settings-hub.ts'
import { visitor } from './visitor.ts'

const right = (username: string) => ({ username, password: 'right' })

test('names: only those that fit the pattern, whole, sign in or are made', async t => {
  const hub = await settingsHub(t, { signIn: { pattern: /[a-z]{3}|admin/g }, access: { everyone: true, admins: ['admin'] } })
  const refusal = async (name: string) => (await visitor(hub.origin).signIn(name, 'right')).reply.status
  assert.deepEqual(
    [await refusal('ann'), await refusal('Bob'), await refusal('anna'), await refusal('xann')],
    [200, 200, 403, 403],
  )
  const admin = await hub.api('admin')
  assert.equal((await admin('POST', '/users/cy')).status, 400)
  assert.equal((await admin('POST', '/users/cyd')).status, 201)
})

test('names: who is called so there is called otherwise here, by a table or a function, once', async t => {
  const byTable = await settingsHub(t, { signIn: { map: { 'A.Smith': 'ann', ann: 'other' } } })
  assert.match((await byTable.signedIn('a.smith')).page.text, /signed in as ann"/)
  const byFunction = await settingsHub(t, { signIn: { map: name => name.replace(/@.*/, '') } })
  assert.match((await byFunction.signedIn('Bob@Example.org')).page.text, /signed in as bob"/)
})

test('access.existing: those who are users already, and no others', async t => {
  const hub = await settingsHub(t, { access: { existing: true, admins: ['boss'] } })
  const boss = await hub.api('boss')
  assert.equal((await visitor(hub.origin).signIn('ann', 'right')).reply.status, 403)
  assert.equal((await boss('POST', '/users/ann')).status, 201)
  const ann = await hub.signedIn('ann')
  assert.equal((await ann.open('/hub/home')).reply.status, 200)
  const off = await settingsHub(t, { access: { admins: ['boss'] } })
  const other = await off.api('boss')
  assert.equal((await other('POST', '/users/ann')).status, 201)
  assert.equal((await visitor(off.origin).signIn('ann', 'right')).reply.status, 403)
})

test('groups of the config are there at start, with their users and properties; nobody else’s membership is touched', async t => {
  const first = await settingsHub(t, { groups: { physics: { users: ['Ann', 'bob'], properties: { room: 12 } }, empty: {} } })
  const admin = { access: { everyone: true, admins: ['boss'] } }
  await first.close()
  const second = await settingsHub(t, { ...admin, groups: { physics: { users: ['cy'] } } }, first.folder)
  const boss = await second.api('boss')
  const { json } = await boss('GET', '/groups/physics')
  assert.deepEqual([json.users, json.properties], [['ann', 'bob', 'cy'], { room: 12 }])
  assert.equal((await boss('GET', '/groups/empty')).status, 200)
  // The name stays the user's who had it: whoever is called so later is somebody else.
  await boss('PATCH', '/users/cy', { name: 'cyril' })
  await boss('POST', '/users/cy')
  await second.close()
  const third = await settingsHub(t, { ...admin, groups: { physics: { users: ['cy'] } } }, first.folder)
  const again = await third.api('boss')
  assert.deepEqual((await again('GET', '/groups/physics')).json.users, ['ann', 'bob', 'cyril'])
})

test('tokens last as long as the config says, unless somebody says otherwise; none goes beyond the longest', async t => {
  const lifetimes = async (tokens: object, asked: object) => {
    const hub = await settingsHub(t, { tokens })
    const ann = await hub.api('ann')
    const { status, json } = await ann('POST', '/users/ann/tokens', asked)
    if (status !== 201) return status
    return json.expires_at && Math.round((Date.parse(json.expires_at) - Date.parse(json.created)) / 1000)
  }
  assert.equal(await lifetimes({}, {}), null)
  assert.equal(await lifetimes({ lifetime: '1h' }, {}), 3600)
  assert.equal(await lifetimes({ lifetime: '1h' }, { expires_in: 60 }), 60)
  assert.equal(await lifetimes({ lifetime: '1h' }, { expires_in: 0 }), null)
  assert.equal(await lifetimes({ longest: '2h' }, {}), 7200)
  assert.equal(await lifetimes({ longest: '2h' }, { expires_in: 0 }), 7200)
  assert.equal(await lifetimes({ longest: '2h' }, { expires_in: 7200 }), 7200)
  assert.equal(await lifetimes({ longest: '2h' }, { expires_in: 7201 }), 400)
  assert.equal(await lifetimes({ lifetime: '1d', longest: '2h' }, {}), 7200)
})

test('the tokens page offers nothing beyond the longest', async t => {
  const hub = await settingsHub(t, { tokens: { longest: '2d' } })
  const ann = await hub.signedIn('ann')
  const { text } = await ann.open('/hub/token')
  const offered = [...text.matchAll(/<option value="([^"]*)"[^>]*>([^<]*)</g)].map(([, value, label]) => [value, label]).slice(4)
  assert.deepEqual(offered, [
    ['1h', '1 hour'],
    ['1d', '1 day'],
    ['', 'The longest: 2 days'],
  ])
  const sent = await ann.submit('/hub/token', 'token', { note: 'x', scopes: 'read', expires: '' })
  assert.match(sent.text, /In 2 days/)
  assert.equal((await ann.submit('/hub/token', 'token', { note: 'x', scopes: 'read', expires: '7d' })).reply.status, 400)
})

test('OAuth: lifetime of its tokens, PKCE where it is required, what notebooks may ask for', async t => {
  const { users, roles, services, tokens, sessions, visit } = await identityHub(t)
  const made = {
    users,
    roles,
    services,
    tokens,
    base: '/',
    lifetime: 5000,
    requirePkce: true,
    serverScopes: ['read:servers!user'],
  }
  const oauth = createOAuthProvider(made)
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  await tokens.create(id, { kind: 'server', server: '', generation: 'g' })
  await users.updateServer(id, '', draft => void Object.assign(draft, { intent: 'running', generation: 'g' }))
  const ask = async (extra: Record<string, string>) => {
    const query = { client_id: 'jupyterhub-user-alice', response_type: 'code', ...extra }
    const result = await oauth.authorize(users.get('alice')!, new URLSearchParams(query), browser.value('jupyterhub-session-id')!)
    return result.kind === 'redirect' ? result.location : result
  }
  assert.match(String(await ask({})), /error=invalid_request&error_description=Code%20challenge%20required/)
  const pkce = { code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' }
  assert.match(String(await ask(pkce)), /oauth_callback\?code=/)
  assert.match(String(await ask({ ...pkce, scope: 'read:servers!user' })), /oauth_callback\?code=/)
  assert.match(String(await ask({ ...pkce, scope: 'tokens!user' })), /error=invalid_scope/)
  const without = createOAuthProvider({ ...made, requirePkce: false, serverScopes: [] })
  const strict = new URLSearchParams({ client_id: 'jupyterhub-user-alice', response_type: 'code', scope: 'read:servers!user' })
  const refused = await without.authorize(users.get('alice')!, strict, browser.value('jupyterhub-session-id')!)
  assert.match(refused.kind === 'redirect' ? refused.location : '', /error=invalid_scope/)
})

test('cookies with the prefix are for this host alone, and the front shows them to no server', async t => {
  const hub = await settingsHub(t, { url: 'https://hub.example.org/', cookies: { hostPrefix: true } })
  const browser = visitor(hub.origin)
  const page = await browser.ask('/hub/login')
  assert.match(page.headers.getSetCookie().join('\n'), /^__Host-_xsrf=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax/m)
  const { reply } = await browser.signIn('ann', 'right')
  assert.equal(reply.status, 200)
  const sent = browser.cookieFor('/user/ann/')
  assert.match(sent, /__Host-jupyterhub-hub-login=/)
  assert.ok(!sent.includes('; jupyterhub-hub-login=') && !/(^|; )_xsrf=/.test(sent))
  // One without the prefix is not taken: that is what it is for.
  const bare = sent.replaceAll('__Host-', '')
  assert.equal((await visitor(hub.origin).ask('/hub/home', { headers: { cookie: bare } })).status, 302)

  const headers = { cookie: sent }
  cleanRequest(headers)
  assert.match(headers.cookie, /^jupyterhub-session-id=[0-9a-f]{32}$/)
  const answer = { 'set-cookie': ['__Host-jupyterhub-hub-login=evil; Path=/; Secure', 'own=1; Path=/user/ann/'] }
  cleanAnswer(answer, ['user', 'ann'], ['user', 'ann', 'lab'])
  assert.deepEqual(answer['set-cookie'], ['own=1; Path=/user/ann/'])
})

test('another cookie secret ends no session, but forms that are open', async t => {
  const first = await identityHub(t)
  const { id } = await first.users.create('ann')
  const browser = new Browser()
  await first.visit(browser, '/hub/login', c => first.sessions.open(c, id, 'passwords'))
  const before = browser.value('_xsrf')
  const second = await identityHub(t, { folder: first.folder, cookies: { secret: 'a secret of at least thirty-two characters' } })
  const { result } = await second.visit(
    browser,
    '/hub/home',
    c => [second.sessions.find(c)?.owner.name, second.xsrf.token(c)] as const,
  )
  assert.equal(result[0], 'ann')
  assert.notEqual(result[1], before)
})

test('the API pages as the config says', async t => {
  const hub = await settingsHub(t, { api: { pageSize: 2, maxPageSize: 3 }, access: { everyone: true, admins: ['boss'] } })
  const boss = await hub.api('boss')
  await boss('POST', '/users', { usernames: ['a', 'b', 'c', 'd'] })
  const paged = { accept: 'application/jupyterhub-pagination+json' }
  assert.equal((await boss('GET', '/users', undefined, paged)).json.items.length, 2)
  assert.equal((await boss('GET', '/users?limit=9', undefined, paged)).json.items.length, 3)
  assert.equal((await boss('GET', '/users')).json.length, 3)
})

test('metrics are for everybody only where the config says so; they count who was active within its window', async t => {
  const closed = await settingsHub(t)
  assert.equal((await fetch(`${closed.origin}/hub/metrics`)).status, 403)
  const open = await settingsHub(t, { api: { openMetrics: true }, activity: { window: '5m' } })
  for (let i = 0; i < 100; i++) {
    const text = await (await fetch(`${open.origin}/hub/metrics`)).text()
    if (/jupyterhub_active_users\{period="5m"\} 0/.test(text)) return
  }
  assert.fail('there is no period of its own')
})

test('who is active again within the resolution is not noted anew', async t => {
  const noted = async (resolution: '30s' | '0s') => {
    const { users } = await identityHub(t, { activity: { resolution } })
    const { id } = await users.create('ann')
    const at = new Date(Date.now() - 60_000)
    users.active(id, at)
    users.active(id, new Date(at.getTime() + 20_000))
    const near = users.lastActivity(id)
    users.active(id, new Date(at.getTime() + 31_000))
    return [near, users.lastActivity(id)].map(iso => Math.round((Date.parse(iso!) - at.getTime()) / 1000))
  }
  assert.deepEqual(await noted('30s'), [0, 31])
  assert.deepEqual(await noted('0s'), [20, 31])
})

test('a renamed identity stays one account: the name that is asked for again is the mapped one', async t => {
  const { logins, users } = await identityHub(t, { signIn: { map: { smith: 'ann' } }, authenticators: [passwords()] })
  for (const typed of ['smith', 'SMITH', 'ann']) assert.equal((await logins.password('passwords', right(typed), 'x')).ok, true)
  assert.deepEqual(
    [...users.all()].map(({ name }) => name),
    ['ann'],
  )
})
