import assert from 'node:assert/strict'
import { test } from 'node:test'
import { browse, type FakeCore, fakeCore } from './fake-core.ts'

const methods: FakeCore['logins']['methods'] = [
  { plugin: { name: 'local' }, kind: 'password', label: 'Sign in' },
  { plugin: { name: 'ldap' }, kind: 'password', label: 'Sign in with LDAP' },
  { plugin: { name: 'github' }, kind: 'redirect', label: 'Sign in with GitHub' },
]

test('the sign-in page has one form or button for each authenticator, and carries next', async () => {
  const page = await (await browse(fakeCore({ methods })).get('/hub/login?next=/user/a/lab%3Fx%3D1')).text()
  assert.equal(page.match(/<form/g)?.length, 2)
  assert.match(page, /action="\/hub\/login\?next=%2Fuser%2Fa%2Flab%3Fx%3D1"/)
  assert.match(page, /href="\/hub\/login\/github\?next=%2Fuser%2Fa%2Flab%3Fx%3D1"/)
  assert.match(page, /name="_xsrf" value="good"/)
})

test('forms and buttons are in the order of the config', async () => {
  const wayOf = { form: methods[0]!, second: methods[1]!, button: methods[2]! }
  for (const order of [
    ['button', 'form', 'second'],
    ['form', 'button', 'second'],
    ['form', 'second', 'button'],
  ] as const) {
    const page = await (await browse(fakeCore({ methods: order.map(name => wayOf[name]) })).get('/hub/login')).text()
    const found = [...page.matchAll(/value="(local|ldap)"|login\/(github)"/g)].map(([, form, button]) => form ?? button)
    assert.deepEqual(
      found,
      order.map(name => wayOf[name].plugin.name),
    )
    assert.equal(page.match(/class="or"/g)?.length, 2)
  }
})

test('who signs in gets a session and goes to next', async () => {
  const core = fakeCore()
  core.addUser('alice')
  const answer = await browse(core).post(
    '/hub/login?next=/user/alice/lab',
    { username: 'alice', password: 'right' },
    { 'x-forwarded-for': '192.0.2.7' },
  )
  assert.equal(answer.status, 302)
  assert.equal(answer.headers.get('location'), '/user/alice/lab')
  assert.deepEqual(core.calls, [
    ['password', 'fake', 'alice', '192.0.2.7'],
    ['open', 'alice', 'fake'],
  ])
})

test('without next the way leads home; next never leaves the host', async () => {
  const core = fakeCore({ base: '/prefix/' })
  core.addUser('alice')
  for (const next of ['', '?next=//evil', '?next=https://evil/', '?next=/%2509/evil', '?next=http://hub.test%2F%2Fevil/']) {
    const answer = await browse(core).post(`/prefix/hub/login${next}`, { username: 'alice', password: 'right' })
    const location = answer.headers.get('location') ?? ''
    assert.equal(new URL(location, 'http://hub.test').host, 'hub.test', next)
    assert.match(location, /^\/(?!\/)/)
  }
})

test('a wrong password is 403 and the form again, with the name and without the password', async () => {
  const core = fakeCore({ methods })
  const answer = await browse(core).post('/hub/login', { username: '"><img src=x>', password: 'hunter2', method: 'ldap' })
  const page = await answer.text()
  assert.equal(answer.status, 403)
  assert.match(page, /value="&quot;&gt;&lt;img src=x&gt;"/)
  assert.match(page, /The user name or the password is wrong/)
  assert.doesNotMatch(page, /hunter2|<img src=x>/)
  assert.deepEqual(core.calls[0]?.slice(0, 2), ['password', 'ldap'])
})

test('who has to wait is told how long; an authenticator that does not answer is 503', async () => {
  const core = fakeCore()
  core.answers.password = { ok: false, reason: 'wait', message: 'Too many tries.', wait: 12.2 }
  const waiting = await browse(core).post('/hub/login', { username: 'a', password: 'b' })
  assert.equal(waiting.status, 429)
  assert.equal(waiting.headers.get('retry-after'), '13')
  assert.match(await waiting.text(), /data-countdown="13"/)
  core.answers.password = { ok: false, reason: 'unavailable', message: 'The directory does not answer.' }
  assert.equal((await browse(core).post('/hub/login', { username: 'a', password: 'b' })).status, 503)
})

test('a form without a valid _xsrf is shown again with what was typed; nobody is asked', async () => {
  const core = fakeCore()
  const answer = await browse(core).request('/hub/login?next=/x', {
    method: 'POST',
    body: new URLSearchParams({ username: 'alice', password: 'right', _xsrf: 'evil' }),
  })
  const page = await answer.text()
  assert.equal(answer.status, 403)
  assert.match(page, /value="alice"/)
  assert.match(page, /action="\/hub\/login\?next=%2Fx"/)
  assert.deepEqual(core.calls, [])
})

test('a sign-in body over 16 KiB is refused, with and without a length, and not echoed', async () => {
  const core = fakeCore()
  const body = `username=${'u'.repeat(20_000)}`
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const stream = () => new Blob([body]).stream()
  const chunked = await browse(core).request('/hub/login', {
    method: 'POST',
    body: stream(),
    headers: type,
    duplex: 'half',
  } as object)
  const whole = await browse(core).request('/hub/login', {
    method: 'POST',
    body,
    headers: { ...type, 'content-length': String(body.length) },
  })
  for (const answer of [chunked, whole]) {
    assert.equal(answer.status, 413)
    assert.doesNotMatch(await answer.text(), /uuuu/)
  }
  assert.deepEqual(core.calls, [])
})

test('who is signed in does not see the form', async () => {
  const core = fakeCore()
  core.addUser('alice')
  assert.equal((await browse(core, 'alice').get('/hub/login?next=/x')).headers.get('location'), '/x')
})

test('signing in by redirect: begin carries next and the configured address, the callback opens the session', async () => {
  const core = fakeCore({ methods, url: 'https://hub.example.org/' })
  const alice = core.addUser('alice')
  const begun = await browse(core).get('/hub/login/github?next=/user/alice/', { host: 'evil.test' })
  assert.equal(begun.headers.get('location'), 'https://provider.example/authorize?state=abc')
  const callback = 'https://hub.example.org/hub/login/github/callback'
  assert.deepEqual(core.calls.pop(), ['begin', 'github', callback, '/user/alice/'])

  core.answers.finish = { ok: true, user: alice, next: '/user/alice/' }
  const finished = await browse(core).get('/hub/login/github/callback?code=c&state=abc')
  assert.equal(finished.headers.get('location'), '/user/alice/')
  assert.deepEqual(core.calls, [
    ['finish', 'github', callback],
    ['open', 'alice', 'github'],
  ])

  core.answers.finish = { ok: true, user: alice, next: 'https://evil/' }
  assert.equal((await browse(core).get('/hub/oauth_callback?code=c')).headers.get('location'), '/hub/home')
  core.answers.finish = { ok: false, reason: 'denied', message: '<b>no</b>', next: '/' }
  const refused = await browse(core).get('/hub/login/github/callback?error=x')
  assert.equal(refused.status, 403)
  assert.match(await refused.text(), /&lt;b&gt;no&lt;\/b&gt;/)
  assert.equal((await browse(core).get('/hub/login/nobody')).status, 404)
})

test('without a configured address the provider is told the one by which the browser came, as the front says', async () => {
  const core = fakeCore({ methods })
  const begin = async (headers: Record<string, string>) => {
    await browse(core).get('/hub/login/github', headers)
    return (core.calls.pop() as string[])[2]
  }
  const callback = 'hub/login/github/callback'
  assert.equal(await begin({ host: 'inside:8000' }), `http://inside:8000/${callback}`)
  const outside = { host: 'inside:8000', 'x-forwarded-host': 'hub.example.org', 'x-forwarded-proto': 'https' }
  assert.equal(await begin(outside), `https://hub.example.org/${callback}`)
  assert.equal(await begin({ ...outside, 'x-forwarded-host': 'evil"/x' }), `https://localhost/${callback}`)
})

test('signing out needs no token and ends at the sign-in page', async () => {
  const core = fakeCore()
  core.addUser('alice')
  const answer = await browse(core, 'alice').get('/hub/logout')
  assert.equal(answer.headers.get('location'), '/hub/login')
  assert.deepEqual(core.calls, [['close', 'alice']])
})

test('pages send visitors to sign in and back; their forms are refused', async () => {
  const core = fakeCore({ base: '/b/' })
  core.addUser('alice')
  for (const path of [
    'home',
    'token',
    'admin',
    'spawn',
    'spawn/alice?profile=x&next=/y',
    'spawn-pending/alice',
    'user/alice/lab?a=1',
  ]) {
    const answer = await browse(core).get(`/b/hub/${path}`)
    assert.equal(answer.status, 302, path)
    assert.equal(answer.headers.get('location'), `/b/hub/login?${new URLSearchParams({ next: `/b/hub/${path}` })}`)
  }
  for (const path of ['home', 'token', 'token/revoke', 'spawn', 'stop/alice', 'admin/users'])
    assert.equal((await browse(core).post(`/b/hub/${path}`)).status, 403, path)
  // A token opens no page.
  core.bearers.set('t', { user: 'alice' })
  assert.equal((await browse(core).get('/b/hub/home', { authorization: 'token t' })).status, 302)
  assert.equal((await browse(core).get('/b/hub/home?token=t')).status, 302)
})

test('a user whom the authenticator does not know any more is signed out', async () => {
  const core = fakeCore()
  core.addUser('alice')
  core.answers.known = false
  assert.equal((await browse(core, 'alice').get('/hub/home')).headers.get('location'), '/hub/login?next=%2Fhub%2Fhome')
})
