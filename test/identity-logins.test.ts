import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../core/errors.ts'
import type { Authenticator, Identity } from '../core/plugin.ts'
import { Browser, identityHub, passwords } from './identity-hub.ts'

const right = (username: string) => ({ username, password: 'right' })
const here = '10.0.0.1'

/** A provider that says of everybody what `identity` is at the time. */
function provider(name = 'provider') {
  const state = { identity: null as Identity | null, asked: 0, down: false, states: [] as string[] }
  const authenticator: Authenticator = {
    kind: 'redirect',
    label: 'Sign in with it',
    begin({ callback, state: given }) {
      state.states.push(given)
      return new URL(`https://idp.test/?state=${given}&callback=${encodeURIComponent(callback.href)}`)
    },
    async finish() {
      state.asked++
      if (state.down) throw new Error('no route to the provider')
      return state.identity
    },
    async refresh() {
      state.asked++
      if (state.down) throw new Error('no route to the provider')
      return state.identity
    },
  }
  return { ...state, state, plugin: { name, authenticator } }
}

test('a name has one spelling: however it is typed, it is one account', async t => {
  const { logins, users } = await identityHub(t)
  for (const typed of ['Alice', 'ALICE', ' alice ', 'ａlice']) {
    const result = await logins.password('passwords', right(typed), here)
    assert.equal(result.ok && result.user.name, 'alice', typed)
  }
  assert.equal((await logins.password('passwords', right('\u212Aarl'), here)).ok, true)
  assert.equal((await logins.password('passwords', right('e\u0301'), here)).ok, true)
  assert.equal((await logins.password('passwords', right('é'), here)).ok, true)
  assert.deepEqual(
    [...users.all()].map(({ name }) => name),
    ['alice', 'karl', 'é'],
  )
})

test('what can be nobody’s name or password is wrong without asking anybody, and logged short', async t => {
  let asked = 0
  const identify = (name: string) => {
    asked++
    return { name }
  }
  const { logins, lines, users } = await identityHub(t, { authenticators: [passwords('passwords', identify)] })
  for (const credentials of [
    ...['', ' ', 'a/b', 'a\nb', '\u200b', '..', 'x'.repeat(256), 'x'.repeat(1_000_000), '\u001b[31m'].map(right),
    { username: 'alice', password: '' },
    { username: 'alice', password: 'x'.repeat(5000) },
  ]) {
    const result = await logins.password('passwords', credentials, here)
    assert.deepEqual([result.ok, !result.ok && result.reason], [false, 'wrong'])
  }
  assert.equal(asked, 0)
  assert.equal(users.count, 0)
  assert.ok(lines.join('').length < 11 * 400)
  assert.ok(!/[\n\u001b]/.test(lines.join('').replaceAll(/\n$|\n(?=\{)/g, '')))
  await assert.rejects(logins.password('provider', right('alice'), here), { code: 'missing' })
})

test('a wrong password is wrong; what throws lets nobody in, and says no more than it should', async t => {
  const errors: [Error, string, RegExp][] = [
    [new Error('secret detail'), 'unavailable', /could not be found out/],
    [new HubError('unavailable', 'The directory does not answer.'), 'unavailable', /directory does not answer/],
    [new HubError('denied', 'Your account has expired.'), 'denied', /has expired/],
    [new HubError('busy', 'Too many at once.', { retryAfter: 7 }), 'wait', /Too many/],
  ]
  for (const [error, reason, message] of errors) {
    const { logins, users } = await identityHub(t, {
      authenticators: [
        passwords('passwords', () => {
          throw error
        }),
      ],
    })
    const result = await logins.password('passwords', right('alice'), here)
    assert.ok(!result.ok)
    assert.equal(result.reason, reason)
    assert.match(result.message, message)
    if (reason === 'wait') assert.equal(result.wait, 7)
    assert.equal(users.count, 0)
  }
  const { logins } = await identityHub(t)
  const result = await logins.password('passwords', { username: 'alice', password: 'no' }, here)
  assert.deepEqual(result, { ok: false, reason: 'wrong', message: 'Wrong user name or password.' })
})

test('an answer that is none, from whatever plugin, lets nobody in', async t => {
  for (const odd of [
    {},
    { name: 7 },
    { name: 'a/b' },
    { name: 'a', id: 7 },
    { name: 'a', id: '' },
    { name: 'a', groups: 'g' },
    { name: 'a', groups: [1] },
  ]) {
    const { logins, users } = await identityHub(t, { authenticators: [passwords('passwords', () => odd as Identity)] })
    assert.equal((await logins.password('passwords', right('alice'), here)).ok, false, JSON.stringify(odd))
    assert.equal(users.count, 0)
  }
})

test('only whom the access rules admit gets in; nothing is written down of all others', async t => {
  const groups = { alice: ['class'], bob: ['other'] } as Record<string, string[]>
  const { logins, users } = await identityHub(t, {
    access: { groups: ['class'], admins: ['boss'], blocked: ['eve'] },
    authenticators: [passwords('passwords', name => ({ name, groups: groups[name] ?? ['class'] }))],
  })
  const enters = async (name: string) => (await logins.password('passwords', right(name), here)).ok
  assert.ok(await enters('alice'))
  assert.ok(!(await enters('bob')))
  assert.ok(!(await enters('Eve')))
  assert.ok(await enters('boss'))
  assert.deepEqual(
    [...users.all()].map(({ name, admin }) => [name, admin]),
    [
      ['alice', false],
      ['boss', true],
    ],
  )
  assert.deepEqual(users.groups.of(users.get('alice')!.id), ['class'])
})

test('a before hook may change who it is, or refuse; the rules see what it made', async t => {
  const { logins, users } = await identityHub(t, {
    access: { users: ['alice', 'gh-bob'] },
    hooks: {
      'before:login': ({ identity, authenticator, address }) => {
        if (identity.name === 'alice') throw new HubError('denied', 'Not today.')
        identity.name = `GH-${identity.name}`
        identity.attributes = { authenticator, address }
      },
    },
  })
  const refused = await logins.password('passwords', right('alice'), here)
  assert.deepEqual(refused, { ok: false, reason: 'denied', message: 'Not today.' })
  assert.ok((await logins.password('passwords', right('Bob'), here)).ok)
  assert.deepEqual(users.get('gh-bob')?.attributes, { authenticator: 'passwords', address: here })
  assert.ok(!(await logins.password('passwords', right('carol'), here)).ok)
  assert.equal(users.count, 1)
})

test('an account is bound to who made it: another id, another authenticator never get it', async t => {
  let id: string | undefined = '1'
  const { logins, users } = await identityHub(t, {
    authenticators: [passwords('one', name => ({ name, ...(id !== undefined && { id }) })), passwords('two')],
  })
  const enters = async (method: string, name: string) => {
    const result = await logins.password(method, right(name), here)
    return result.ok ? result.user.name : result.reason
  }
  assert.equal(await enters('one', 'alice'), 'alice')
  assert.equal(await enters('two', 'alice'), 'denied')
  id = '2'
  assert.equal(await enters('one', 'alice'), 'denied')
  id = undefined
  assert.equal(await enters('one', 'alice'), 'denied')
  id = '1'
  assert.equal(await enters('one', 'alicia'), 'alice', 'renamed at the provider')
  assert.equal(users.count, 1)
  // One that an admin made is nobody's until somebody comes.
  await users.create('carol')
  id = '3'
  assert.equal(await enters('one', 'carol'), 'carol')
  assert.equal(await enters('two', 'carol'), 'denied')
  assert.deepEqual(users.get('carol')?.identity, { authenticator: 'one', id: '3' })
  // Without an id, the name is all there is; one that comes later binds.
  id = '4'
  assert.equal(await enters('two', 'dave'), 'dave')
  assert.equal(await enters('one', 'dave'), 'denied')
})

test('who is renamed at the provider to a name in the rules does not get what that name has', async t => {
  let name = 'mallory'
  const authenticators = [passwords('one', () => ({ name, id: '666' }))]
  const { logins, users, folder } = await identityHub(t, { access: { users: ['mallory'], admins: ['boss'] }, authenticators })
  assert.ok((await logins.password('one', right('x'), here)).ok)
  name = 'boss'
  assert.ok((await logins.password('one', right('x'), here)).ok)
  assert.equal(users.get('mallory')?.admin, false)
  assert.equal(users.get('boss'), undefined)
  const later = await identityHub(t, { folder, access: { users: ['boss'] }, authenticators })
  assert.ok(!(await later.logins.password('one', right('x'), here)).ok)
})

test('who gave the rights of an admin can take them back; what another admin gave stays', async t => {
  let admin: boolean | undefined
  const authenticators = [passwords('one', name => ({ name, ...(admin !== undefined && { admin }) }))]
  const first = await identityHub(t, { access: { everyone: true, admins: ['boss'] }, authenticators })
  const isAdmin = async (hub: typeof first, name: string) => {
    const result = await hub.logins.password('one', right(name), here)
    return result.ok && result.user.admin
  }
  assert.equal(await isAdmin(first, 'boss'), true)
  assert.equal(await isAdmin(first, 'alice'), false)
  admin = true
  assert.equal(await isAdmin(first, 'alice'), true)
  assert.equal(await isAdmin(first, 'hand'), true)
  admin = undefined
  assert.equal(await isAdmin(first, 'alice'), false)
  await first.users.update(first.users.get('alice')!.id, draft => void (draft.admin = true))
  assert.equal(await isAdmin(first, 'alice'), true)

  const second = await identityHub(t, { folder: first.folder, access: { everyone: true, admins: ['bob'] }, authenticators })
  await second.users.create('bob')
  await second.settle()
  assert.deepEqual(
    ['boss', 'alice', 'bob', 'hand'].map(name => second.users.get(name)?.admin),
    [false, true, true, true],
  )
  admin = false
  assert.equal(await isAdmin(second, 'alice'), false)
  assert.equal(await isAdmin(second, 'hand'), false)
})

test('many sign-ins of one newcomer at once make one account', async t => {
  const { logins, users } = await identityHub(t)
  const results = await Promise.all(Array.from({ length: 5 }, () => logins.password('passwords', right('alice'), here)))
  assert.ok(results.every(({ ok }) => ok))
  assert.equal(users.count, 1)
})

test('who guesses waits longer and longer; the one guessed at does not wait where they are', async t => {
  const { logins } = await identityHub(t)
  const home = '192.0.2.7'
  assert.ok((await logins.password('passwords', right('alice'), home)).ok)
  const guess = (name: string, address: string) => logins.password('passwords', { username: name, password: 'guess' }, address)
  const results = []
  for (let n = 0; n < 10; n++) results.push(await guess('alice', here))
  const waits = results.filter(result => !result.ok && result.reason === 'wait')
  assert.equal(waits.length, 4)
  for (const one of waits) assert.ok(!one.ok && one.wait === 1 && one.message.includes('1 second.'))
  const rightly = await logins.password('passwords', right('alice'), here)
  assert.equal(!rightly.ok && rightly.reason, 'wait', 'not even a right one is looked at')
  // From everywhere at once.
  for (let n = 0; n < 60; n++) await guess('alice', `10.9.${n}.1`)
  const elsewhere = await guess('alice', '10.8.8.8')
  assert.equal(!elsewhere.ok && elsewhere.reason, 'wait')
  assert.ok((await logins.password('passwords', right('alice'), home)).ok)
  assert.ok((await logins.password('passwords', right('bob'), here)).ok)
})

test('tries that come all at once gain nothing', async t => {
  let asked = 0
  const { logins } = await identityHub(t, {
    authenticators: [
      {
        name: 'slow',
        authenticator: {
          kind: 'password',
          label: '',
          async check() {
            asked++
            await new Promise(resolve => setTimeout(resolve, 20))
            return null
          },
        },
      },
    ],
  })
  await Promise.all(Array.from({ length: 50 }, () => logins.password('slow', right('alice'), here)))
  assert.equal(asked, 6)
})

test('a redirect comes back once, to the browser that began it, by the method it began with', async t => {
  const [one, two] = [provider('one'), provider('two')]
  const { logins, visit, base } = await identityHub(t, { authenticators: [one.plugin, two.plugin] })
  one.state.identity = { name: 'Alice', id: '1', groups: ['class'] }
  const callback = new URL('https://hub.test/hub/login/one/callback')
  const begin = async (browser: Browser, next = '/hub/home?a=1&b=2') =>
    (await visit(browser, `${base}hub/login/one`, c => logins.begin(c, 'one', callback, next))).result.searchParams.get('state')!
  const finish = (browser: Browser, state: string, method = 'one') =>
    visit(browser, `${base}hub/login/${method}/callback?code=x&state=${state}`, c => logins.finish(c, method, callback, here))

  const browser = new Browser()
  const state = await begin(browser)
  assert.equal(Buffer.from(state, 'base64url').length, 32)
  assert.match([...browser.jar.values()][0]!.path, /^\/hub\/$/)
  const other = await begin(browser, 'x'.repeat(5000))
  const stranger = new Browser()
  await begin(stranger)

  for (const [who, given, method] of [
    [stranger, state, 'one'],
    [new Browser(), state, 'one'],
    [browser, '', 'one'],
    [browser, `${state}x`, 'one'],
    [browser, state, 'two'],
  ] as const)
    await assert.rejects(finish(who, given, method), { code: 'invalid' })
  assert.equal(one.state.asked + two.state.asked, 0, 'no provider was asked')

  const forger = new Browser()
  const forged = Buffer.from(JSON.stringify({ method: 'one', next: '', at: Date.now() })).toString('base64url')
  const name = [...browser.jar.values()][0]!.name
  for (const cookie of [`${forged}.`, `${forged}.x`, forged]) {
    forger.keep([`${name}=${cookie}; Path=/hub/`])
    await assert.rejects(finish(forger, state), { code: 'invalid' })
  }
  assert.equal(one.state.asked, 0)

  const replay = browser.cookies('/hub/login')
  const { result, set } = await finish(browser, state)
  assert.equal(result.ok && result.user.name, 'alice')
  assert.equal(result.next, '/hub/home?a=1&b=2')
  assert.ok(set.some(cookie => cookie.includes('Max-Age=0')))
  browser.keep(replay.split('; ').map(cookie => `${cookie}; Path=/hub/`))
  await assert.rejects(finish(browser, state), { code: 'invalid' })
  assert.equal((await finish(browser, other)).result.next, '')

  one.state.identity = null
  const refused = (await finish(browser, await begin(browser))).result
  assert.equal(!refused.ok && refused.reason, 'denied')
  one.state.down = true
  const down = (await finish(browser, await begin(browser))).result
  assert.equal(!down.ok && down.reason, 'unavailable')
})

test('a redirect that took over ten minutes is begun again', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const one = provider('one')
  const { logins, visit } = await identityHub(t, { authenticators: [one.plugin] })
  const callback = new URL('https://hub.test/cb')
  const browser = new Browser()
  await visit(browser, '/hub/login/one', c => logins.begin(c, 'one', callback, ''))
  t.mock.timers.tick(600_000)
  const path = `/hub/login/one/callback?state=${one.state.states[0]}`
  await assert.rejects(
    visit(browser, path, c => logins.finish(c, 'one', callback, here)),
    { code: 'invalid' },
  )
  assert.equal(one.state.asked, 0)
})

test('an authenticator is asked again in good time: what it says now holds, null ends the sessions, an outage changes nothing', async t => {
  const one = provider('one')
  const { logins, users, sessions, visit, folder } = await identityHub(t, {
    authenticators: [one.plugin, passwords()],
    access: { groups: ['class'], users: ['bob'] },
    timeouts: { refresh: '1ms' },
  })
  one.state.identity = { name: 'alice', id: '1', groups: ['class'] }
  const browser = new Browser()
  await visit(browser, '/hub/login/one', c => logins.begin(c, 'one', new URL('https://hub.test/cb'), ''))
  await visit(browser, `/hub/x?state=${one.state.states[0]}`, c => logins.finish(c, 'one', new URL('https://hub.test/cb'), here))
  const alice = () => users.get('alice')!
  const pause = () => new Promise(resolve => setTimeout(resolve, 5))
  const signIn = () => visit(browser, '/hub/login', c => sessions.open(c, alice().id, 'one'))
  await signIn()

  await pause()
  one.state.asked = 0
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => logins.refresh(alice(), 'one'))), [true, true, true])
  assert.equal(one.state.asked, 1, 'asked once for all who want to know')
  one.state.identity = { name: 'renamed', id: '1', groups: ['class', 'lab'], admin: true }
  await pause()
  assert.ok(await logins.refresh(alice(), 'one'))
  assert.deepEqual(users.view(alice()).groups, ['class', 'lab'])
  assert.equal(alice().admin, true)
  one.state.down = true
  await pause()
  assert.ok(await logins.refresh(alice(), 'one'))
  assert.equal(alice().sessions.length, 1)
  one.state.down = false

  for (const gone of [null, { name: 'alice', id: '1', groups: [] }, { name: 'alice', id: '2', groups: ['class'] }]) {
    one.state.identity = gone
    await pause()
    assert.equal(await logins.refresh(alice(), 'one'), false, JSON.stringify(gone))
    assert.equal(alice().sessions.length, 0)
    await users.groups.tell(alice().id, ['class'], 'one')
    await signIn()
  }
  const bob = await users.create('bob')
  assert.ok(await logins.refresh(bob, 'passwords'), 'one that cannot say is believed')
  const later = await identityHub(t, { folder })
  assert.equal(await later.logins.refresh(alice(), 'one'), false, 'one that is gone is not')
  assert.equal(later.users.get('alice')!.sessions.length, 0)
})
