import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser, identityHub } from './identity-hub.ts'

test('signing in sets three cookies that no script can read, on their paths; the next requests are the user’s', async t => {
  const { users, sessions, visit, store, folder } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  const { set } = await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const shape = set.map(cookie => cookie.replace(/=[^;]*/, ''))
  assert.deepEqual(shape, [
    'jupyterhub-hub-login; Max-Age=1209600; Path=/hub/; HttpOnly; SameSite=Lax',
    'jupyterhub-session-id; Path=/; HttpOnly; SameSite=Lax',
    '_xsrf; Path=/hub/; HttpOnly; SameSite=Lax',
  ])
  assert.match(browser.value('jupyterhub-session-id')!, /^[0-9a-f]{32}$/)
  assert.equal(Buffer.from(browser.value('jupyterhub-hub-login')!, 'base64url').length, 32)
  const found = await visit(browser, '/hub/home', c => sessions.find(c))
  assert.equal(found.result?.owner.name, 'alice')
  assert.equal(found.result?.record.sessionId, browser.value('jupyterhub-session-id'))
  // The cookie of the hub is not sent to servers, the session id is.
  assert.deepEqual(browser.cookies('/user/alice/').split('=')[0], 'jupyterhub-session-id')
  assert.ok(!JSON.stringify(store.byId.get(id)).includes(browser.value('jupyterhub-hub-login')!))
  const again = await identityHub(t, { folder })
  assert.equal((await again.visit(browser, '/hub/home', c => again.sessions.find(c))).result?.owner.name, 'alice')
})

test('cookies follow the prefix, and are Secure when the public came by https', async t => {
  const prefixed = await identityHub(t, { url: 'https://hub.example.org/jupyter/' })
  const { id } = await prefixed.users.create('alice')
  const { set } = await prefixed.visit(new Browser(), '/jupyter/hub/login', c => prefixed.sessions.open(c, id, 'passwords'))
  assert.deepEqual(
    set.map(cookie => /Path=([^;]+)/.exec(cookie)?.[1]),
    ['/jupyter/hub/', '/jupyter/', '/jupyter/hub/'],
  )
  assert.ok(set.every(cookie => cookie.includes('; Secure')))
  const plain = await identityHub(t)
  const user = await plain.users.create('alice')
  for (const [proto, secure] of [
    ['https', true],
    ['https, http', true],
    ['http, https', false],
  ] as const) {
    const headers = { 'X-Forwarded-Proto': proto }
    const visit = await plain.visit(new Browser(), '/hub/login', c => plain.sessions.open(c, user.id, 'passwords'), { headers })
    assert.equal(visit.set[0]?.includes('; Secure'), secure, proto)
  }
})

test('what the browser had before the sign-in is not kept', async t => {
  const { users, sessions, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  const planted = 'ab'.repeat(16)
  browser.keep([
    `jupyterhub-session-id=${planted}; Path=/`,
    '_xsrf=planted; Path=/hub/',
    'jupyterhub-hub-login=planted; Path=/hub/',
  ])
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  for (const name of ['jupyterhub-session-id', '_xsrf', 'jupyterhub-hub-login'])
    assert.ok(![planted, 'planted'].includes(browser.value(name)!), name)
  const first = { ...Object.fromEntries(browser.jar) }
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  for (const [key, { value }] of browser.jar) assert.notEqual(value, first[key]?.value)
  assert.equal(users.get('alice')?.sessions.length, 1)
})

test('signing out ends the session and the tokens issued in it, no others, and clears the cookies', async t => {
  const { users, sessions, tokens, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const [here, there] = [new Browser(), new Browser()]
  for (const browser of [here, there]) await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const issue = (sessionId: string | null) => tokens.create(id, { kind: 'oauth', sessionId, client: 'c' })
  const issued = await issue(here.value('jupyterhub-session-id')!)
  const kept = [await issue(there.value('jupyterhub-session-id')!), await issue(null)]
  const replay = here.cookies('/hub/home')

  const { result, set } = await visit(here, '/hub/logout', c => sessions.close(c))
  assert.equal(result?.name, 'alice')
  assert.deepEqual(
    set.map(cookie => `${cookie.split('=')[0]} ${/Path=([^;]+)/.exec(cookie)?.[1]}`),
    ['jupyterhub-hub-login /hub/', 'jupyterhub-session-id /', '_xsrf /hub/', 'jupyterhub-services /services'],
  )
  assert.equal(here.jar.size, 0)
  assert.equal(tokens.find(issued.secret), undefined)
  for (const { secret } of kept) assert.ok(tokens.find(secret))
  assert.equal((await visit(here, '/hub/home', c => sessions.find(c), { headers: { cookie: replay } })).result, undefined)
  assert.ok((await visit(there, '/hub/home', c => sessions.find(c))).result)
  await assert.rejects(issue(issued.record.sessionId), { code: 'denied' })
  const nobody = await visit(new Browser(), '/hub/logout', c => sessions.close(c))
  assert.equal(nobody.result, undefined)
  assert.ok(tokens.find(kept[0]!.secret))
})

test('all of a user’s sessions end at once, with the tokens issued in them', async t => {
  const { users, sessions, tokens, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const issued = await tokens.create(id, { kind: 'oauth', sessionId: browser.value('jupyterhub-session-id')! })
  const own = await tokens.create(id, { kind: 'api' })
  await sessions.closeAll(id)
  assert.equal((await visit(browser, '/hub/home', c => sessions.find(c))).result, undefined)
  assert.equal(tokens.find(issued.secret), undefined)
  assert.ok(tokens.find(own.secret))
})

test('the browsers of a user are listed, the newest first, with when and from where they came last; one can be ended alone', async t => {
  const { users, sessions, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const [desk, phone] = [new Browser(), new Browser()]
  const agent = (text: string) => ({ headers: { 'user-agent': text } })
  const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
  const safari = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML) Version/18.0 Safari/604.1'
  await visit(desk, '/hub/login', c => sessions.open(c, id, 'passwords'), agent(firefox))
  await visit(phone, '/hub/login', c => sessions.open(c, id, 'passwords'), agent(safari))
  assert.deepEqual(
    sessions.of(id).map(({ browser }) => browser),
    ['Safari on iPhone', 'Firefox on Linux'],
  )
  const [, first] = sessions.of(id)
  assert.ok(users.lastUse(id, { session: first!.hash }).at)
  await sessions.closeAll(id, ({ hash }) => hash === first!.hash)
  assert.equal((await visit(desk, '/hub/home', c => sessions.find(c))).result, undefined)
  assert.ok((await visit(phone, '/hub/home', c => sessions.find(c))).result)
  assert.equal(sessions.of(id).length, 1)
})

test('of several login cookies the one that is good counts, in whatever order', async t => {
  const { users, sessions, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const good = `jupyterhub-hub-login=${browser.value('jupyterhub-hub-login')}`
  const find = (cookie: string) => visit(new Browser(), '/hub/home', c => sessions.find(c)?.owner.name, { headers: { cookie } })
  for (const cookie of [`${good}; jupyterhub-hub-login=evil`, `jupyterhub-hub-login=evil; ${good}`])
    assert.equal((await find(cookie)).result, 'alice')
  for (const cookie of ['', 'jupyterhub-hub-login=', 'jupyterhub-hub-login', `x${good}`])
    assert.equal((await find(cookie)).result, undefined)
})

test('a session lasts as long as the config says, by the hub’s clock', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { users, sessions, visit } = await identityHub(t, { timeouts: { session: '1h' } })
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  t.mock.timers.tick(3_599_999)
  assert.ok((await visit(browser, '/hub/home', c => sessions.find(c))).result)
  t.mock.timers.tick(1)
  assert.equal((await visit(browser, '/hub/home', c => sessions.find(c))).result, undefined)
})

test('a session that nobody uses ends; the browser’s own visits keep it, and so does a notebook that is open in it', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { users, sessions, tokens, visit, ended } = await identityHub(t, { timeouts: { session: '30d', idle: '1h' } })
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const is = async () => Boolean((await visit(browser, '/hub/home', c => sessions.find(c))).result)
  for (let n = 0; n < 3; n++) {
    t.mock.timers.tick(3_599_999)
    assert.ok(await is())
  }
  const sessionId = browser.value('jupyterhub-session-id')!
  const { record } = await tokens.create(id, { kind: 'oauth', sessionId, client: 'c' })
  t.mock.timers.tick(3_000_000)
  users.used(id, { token: record.id }, new Date(), null)
  t.mock.timers.tick(3_000_000)
  assert.equal(sessions.of(id).length, 1)
  await users.flush()
  await sessions.sweep()
  assert.deepEqual(ended, [])
  t.mock.timers.tick(600_000)
  assert.equal(sessions.of(id).length, 0)
  assert.equal(await is(), false)
  await sessions.sweep()
  assert.deepEqual(users.get('alice')?.sessions, [])
  assert.deepEqual(users.get('alice')?.tokens, [])
  assert.deepEqual(ended, [sessionId])
})

test('every session that is no more is told, once, by whatever way it ended', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { users, sessions, visit, ended } = await identityHub(t, { timeouts: { session: '1h' } })
  const { id } = await users.create('alice')
  const [browser, other] = [new Browser(), new Browser()]
  const open = (one: Browser) => visit(one, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const idOf = (one: Browser) => one.value('jupyterhub-session-id')!
  await open(browser)
  const told = [idOf(browser)]
  await open(browser)
  assert.deepEqual(ended, told, 'signed in anew')
  await open(other)
  told.push(idOf(browser), idOf(other))
  await visit(browser, '/hub/logout', c => sessions.close(c))
  await sessions.closeAll(id)
  assert.deepEqual(ended, told, 'signed out, everywhere')
  await open(browser)
  told.push(idOf(browser))
  t.mock.timers.tick(3_600_000)
  await sessions.sweep()
  await sessions.sweep()
  assert.deepEqual(ended, told, 'expired')
})

test('who the config admits no more is not signed in any more, and neither is who came by an authenticator that is gone', async t => {
  const { users, sessions, visit, folder } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  for (const given of [
    { access: { users: ['bob'] } },
    { access: {} },
    { access: { everyone: true, blocked: ['alice'] } },
    { authenticators: [{ name: 'other', authenticator: { kind: 'password', label: '', check: async () => null } as const }] },
  ]) {
    const hub = await identityHub(t, { folder, ...given })
    assert.equal((await hub.visit(browser, '/hub/home', c => hub.sessions.find(c))).result, undefined, JSON.stringify(given))
  }
})

test('a visitor gets a session id once; a strange one is replaced', async t => {
  const { sessions, visit } = await identityHub(t)
  const browser = new Browser()
  const first = await visit(browser, '/hub/login', c => [sessions.sessionId(c), sessions.sessionId(c)])
  assert.equal(first.result[0], first.result[1])
  assert.equal(first.set.length, 1)
  const second = await visit(browser, '/hub/login', c => sessions.sessionId(c))
  assert.equal(second.result, first.result[0])
  assert.deepEqual(second.set, [])
  const odd = new Browser()
  odd.keep(['jupyterhub-session-id=x; Path=/'])
  assert.notEqual((await visit(odd, '/hub/login', c => sessions.sessionId(c))).result, 'x')
})

test('the session id of a signed-in browser is its session’s, whatever other cookie it has', async t => {
  const { users, sessions, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const own = browser.value('jupyterhub-session-id')!
  browser.keep([`jupyterhub-session-id=${'ab'.repeat(16)}; Path=/`])
  const { result, set } = await visit(browser, '/hub/home', c => sessions.sessionId(c))
  assert.equal(result, own)
  assert.equal(set.length, 1)
  assert.equal(browser.value('jupyterhub-session-id'), own)
})
