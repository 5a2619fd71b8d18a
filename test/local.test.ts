import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Hono } from 'hono'
import { type Caller, type Context, type HubEnv, isHubError, silent, type User } from 'swarmhub'
import { local } from '../plugins/local/index.ts'
import { type Cost, createPasswords } from '../plugins/local/passwords.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { fakeHub } from './roles/hub.ts'

const cheap: Cost = { n: 2 ** 4, r: 8, p: 1 }
const good = 'a horse, a battery'
const ctx = (signal = AbortSignal.timeout(60_000)): Context => ({ log: silent, signal, progress() {} })

/** The plugin in a fake hub, its pages behind a frame of nothing but title and content. */
async function open(t: TestContext, given: { people?: User[]; hub?: Parameters<typeof fakeHub>[1]; cost?: Cost } = {}) {
  const said: string[] = []
  const signedOut: string[] = []
  const hub = fakeHub(t, { people: given.people, said, signOut: async name => void signedOut.push(name), ...given.hub })
  const plugin = local({}, createPasswords(given.cost ?? cheap))
  await plugin.setup(hub)

  const app = new Hono<HubEnv>()
  let caller: Caller | undefined
  app.use(async (c, next) => {
    if (caller) c.set('caller', caller)
    c.set('xsrf', '"token"')
    c.set('address', '192.0.2.1')
    c.set('page', async (title, content, status = 200) => {
      return new Response(`<title>${title}</title>${await content}`, { status, headers: { 'Content-Type': 'text/html' } })
    })
    await next()
  })
  app.onError((error, c) => c.text(error.message, isHubError(error) ? error.status : 500))
  app.route('/hub/x/local', plugin.welcome)
  app.route('/hub/x/local', plugin.web)

  const run = async (verb: keyof typeof plugin.commands, ...args: string[]) => plugin.commands[verb].run(args)
  const path = (text: string) => `/hub/x/local${text.match(/plugin(\/\S+)/)?.[1]}`
  return {
    plugin,
    said,
    signedOut,
    run,
    setupLink: () => path(said.at(-1) ?? ''),
    linkIn: (output: unknown) => path(String(output)),
    async check(username: string, password: string) {
      const said = await plugin.authenticator.check({ username, password }, ctx())
      assert.ok(!said || 'name' in said, 'nothing more is asked')
      return said
    },
    get: async (address: string) => app.request(address),
    post: async (address: string, form: Record<string, string>) =>
      app.request(address, { method: 'POST', body: new URLSearchParams(form) }),
    signIn(user: User) {
      caller = { kind: 'user', name: user.name, user, scopes: new Set(), allows: () => false, holds: () => false }
    },
  }
}

const twice = (password: string) => ({ password, repeated: password })
const person = (name: string, attributes: Record<string, unknown>): User => {
  return { id: name, name, slug: name, admin: false, groups: [], attributes }
}

async function withAlice(t: TestContext, given: Parameters<typeof open>[1] = {}) {
  const it = await open(t, given)
  await it.post(it.linkIn(await it.run('add', 'alice')), twice(good))
  return it
}

testAuthenticator('local', 'password', async t => {
  const { plugin } = await withAlice(t)
  return {
    authenticator: plugin.authenticator,
    known: { username: 'alice', password: good },
    wrong: 'another horse',
    stranger: 'bob',
  }
})

test('local: the first start prints a link that makes the admin, once', async t => {
  const it = await open(t)
  const address = it.setupLink()
  assert.match(address, /^\/hub\/x\/local\/setup\?code=[\w-]{43}$/)
  assert.match(await (await it.get(address)).text(), /name="_xsrf" value="&quot;token&quot;"/)

  const done = await it.post(address, { username: ' Ada ', ...twice(good) })
  assert.equal(done.status, 303)
  const end = new URL(done.headers.get('Location')!, `http://host${address}`)
  assert.equal(end.pathname, '/hub/login')
  const identity = await it.check('ADA', good)
  assert.equal(identity?.name, 'ada')
  assert.equal(identity?.admin, true)

  assert.equal((await it.get(address)).status, 403)
  assert.equal((await it.post(address, { username: 'eve', ...twice(good) })).status, 403)
  assert.equal(await it.check('eve', good), null)
})

test('local: of two who use the set-up link at once one gets the account', async t => {
  const it = await open(t)
  const address = it.setupLink()
  const answers = await Promise.all(['eve', 'ada'].map(username => it.post(address, { username, ...twice(good) })))
  assert.deepEqual(answers.map(answer => answer.status).sort(), [303, 403])
  assert.equal((await it.run('list'))?.split('\n').length, 1)
})

test('local: each start without an account makes a new link and voids the old one; with an account there is none', async t => {
  const said: string[] = []
  const hub = fakeHub(t, { said })
  await local({}, createPasswords(cheap)).setup(hub)
  const plugin = local({}, createPasswords(cheap))
  await plugin.setup(hub)
  assert.equal(said.length, 2)
  assert.notEqual(said[0], said[1])
  assert.ok(
    !JSON.stringify(await hub.file('accounts', (await import('zod')).z.any(), {})).includes(said[1]!.split('code=')[1]!.trim()),
  )

  await plugin.commands.add.run(['ada'])
  await local({}, createPasswords(cheap)).setup(hub)
  assert.equal(said.length, 2)
})

test('local: a link that has expired opens nothing', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const it = await open(t)
  t.mock.timers.tick(25 * 3_600_000)
  assert.equal((await it.get(it.setupLink())).status, 403)
  assert.equal((await it.post(it.setupLink(), { username: 'ada', ...twice(good) })).status, 403)
})

test('local: what is no password, and what two fields disagree about, is shown again with a sentence', async t => {
  const it = await open(t)
  const refused = async (password: string, repeated = password, username = 'ada') => {
    const answer = await it.post(it.setupLink(), { username, password, repeated })
    assert.equal(answer.status, 400, password.slice(0, 20))
    assert.match(await answer.text(), /role="alert"/)
  }
  for (const password of [
    '',
    'short',
    'password',
    'PassWord1',
    '12345678',
    'aaaaaaaaaa',
    'nul\0nulnul',
    'x1'.repeat(513),
    'administrator',
  ]) {
    await refused(password)
  }
  await refused('ada-lovelace', 'ada-lovelace', 'Ada-Lovelace')
  await refused(good, 'a horse, a cow')
  await refused(good, good, 'a/b')
  const script = await it.post(it.setupLink(), { username: '"><script>', ...twice('short') })
  assert.doesNotMatch(await script.text(), /<script>/)
})

test('local: passwords are not cut: 73 bytes and 72, 1024 and 1023 differ', async () => {
  for (const length of [73, 1024]) {
    const passwords = createPasswords(cheap)
    const long = 'long-pw.'.repeat(150).slice(0, length)
    const kept = await passwords.keep(long, 'ada')
    assert.equal(await passwords.matches(long, kept), true)
    assert.equal(await passwords.matches(long.slice(0, -1), kept), false)
    assert.equal(await passwords.matches(`${long.slice(0, -1)}!`, kept), false)
  }
})

test('local: a password is the same however the keyboard composes its letters', async () => {
  const passwords = createPasswords(cheap)
  const kept = await passwords.keep('crème brûlée'.normalize('NFD'), 'ada')
  assert.equal(await passwords.matches('crème brûlée'.normalize('NFC'), kept), true)
})

test('local: for a name that is not known the password is hashed as for one that is', async t => {
  const it = await withAlice(t)
  // A hash takes its turn: two at work and 200 waiting leave no place for three more.
  for (const username of ['alice', 'bob', 'a/b']) {
    const asked = await Promise.allSettled(Array.from({ length: 205 }, () => it.check(username, 'a wrong horse')))
    assert.equal(asked.filter(answer => answer.status === 'rejected').length, 3, username)
  }
})

test('local: two hashes at a time, 200 wait, the next is told to come back', async () => {
  const passwords = createPasswords(cheap)
  const kept = await passwords.keep(good, 'ada')
  const asked = await Promise.allSettled(Array.from({ length: 210 }, () => passwords.matches(good, kept)))
  const busy = asked.filter(answer => answer.status === 'rejected')
  assert.equal(busy.length, 8)
  assert.ok(busy.every(({ reason }) => isHubError(reason) && reason.code === 'busy' && reason.retryAfter! > 0))
  assert.equal(await passwords.matches(good, kept), true)
})

test('local: a password kept at an older cost is hashed anew when its owner signs in', async t => {
  const hub = fakeHub(t)
  const older = local({}, createPasswords(cheap))
  await older.setup(hub)
  const link = String(await older.commands.add.run(['alice'])).match(/link\?code=\S+/)![0]
  const app = new Hono<HubEnv>().use(async (c, next) => {
    c.set('address', '192.0.2.1')
    c.set('page', async (title, _content, status) => new Response(title, { status: status ?? 200 }))
    await next()
  })
  app.route('/', older.welcome)
  await app.request(`/${link}`, { method: 'POST', body: new URLSearchParams(twice(good)) })

  const newer = createPasswords({ n: 2 ** 5, r: 8, p: 1 })
  let renewed = 0
  const renew: typeof newer.renew = (password, asking) => {
    renewed++
    return newer.renew(password, asking)
  }
  const now = local({}, { ...newer, renew })
  await now.setup(hub)
  for (const _ of [1, 2, 3]) assert.ok(await now.authenticator.check({ username: 'alice', password: good }, ctx()))
  assert.equal(await now.authenticator.check({ username: 'alice', password: 'another one' }, ctx()), null)
  assert.equal(renewed, 1)
})

test('local: add and reset print links; a link sets the password once and ends the sessions of its owner', async t => {
  const people: User[] = []
  const it = await withAlice(t, { people })
  const identity = await it.check('alice', good)
  assert.equal(identity?.admin, undefined)
  // The hub may have another name for the person by now.
  people.push(person('alice-renamed', identity!.attributes!), person('bob', {}))

  const link = it.linkIn(await it.run('reset', 'Alice'))
  assert.ok(await it.check('alice', good), 'the old password stays until the link is used')
  assert.equal((await it.post(link, { password: 'a newer horse', repeated: 'another' })).status, 400)
  assert.equal((await it.post(link, twice('a newer horse'))).status, 303)
  assert.deepEqual(it.signedOut, ['alice-renamed'])
  assert.equal((await it.post(link, twice('a third horse'))).status, 403)
  assert.equal(await it.check('alice', good), null)
  assert.ok(await it.check('alice', 'a newer horse'))
})

test('local: an account without a password lets nobody in', async t => {
  const it = await open(t)
  await it.run('add', 'alice', '--admin')
  for (const password of ['', 'null', 'undefined', good]) assert.equal(await it.check('alice', password), null)
  assert.equal((await it.get(it.setupLink())).status, 403)
})

test('local: who is signed in changes the password, knowing the current one', async t => {
  const it = await withAlice(t)
  const identity = await it.check('alice', good)
  it.signIn(person('alice', identity!.attributes!))
  assert.equal((await it.get('/hub/x/local/password')).status, 200)
  const change = (current: string, password: string, repeated = password) =>
    it.post('/hub/x/local/password', { current, password, repeated })
  assert.equal((await change('a guess at it', 'a newer horse')).status, 403)
  assert.equal((await change(good, 'a newer horse', 'an older horse')).status, 400)
  assert.equal((await change(good, 'password')).status, 400)
  assert.ok(await it.check('alice', good))
  assert.equal((await change(good, 'a newer horse')).status, 303)
  assert.equal(await it.check('alice', good), null)
  assert.ok(await it.check('alice', 'a newer horse'))

  it.signIn(person('ldap-user', {}))
  assert.equal((await it.get('/hub/x/local/password')).status, 404)
  assert.equal((await change(good, 'a newer horse')).status, 404)
})

test('local: an account that is removed is nobody, and made anew it is somebody else', async t => {
  const it = await withAlice(t)
  const before = await it.check('alice', good)
  const user = person('alice', before!.attributes!)
  assert.ok(await it.plugin.authenticator.refresh(user))
  await it.run('remove', 'alice')
  assert.equal(await it.check('alice', good), null)
  assert.equal(await it.plugin.authenticator.refresh(user), null)

  await it.post(it.linkIn(await it.run('add', 'alice')), twice(good))
  const after = await it.check('alice', good)
  assert.notEqual(after?.id, before?.id)
  assert.equal(await it.plugin.authenticator.refresh(user), null)
})

test('local: the verb admin decides who is an administrator', async t => {
  const it = await withAlice(t)
  await it.run('admin', 'alice', 'yes')
  assert.equal((await it.check('alice', good))?.admin, true)
  await it.run('admin', 'alice', 'no')
  assert.equal((await it.check('alice', good))?.admin, undefined)
})

test('local: verbs refuse what they do not understand, with a sentence', async t => {
  const it = await withAlice(t)
  const refused = async (code: string, verb: Parameters<typeof it.run>[0], ...args: string[]) =>
    assert.rejects(it.run(verb, ...args), error => isHubError(error) && error.code === code, [verb, ...args].join(' '))
  await refused('conflict', 'add', 'ALICE')
  await refused('invalid', 'add')
  await refused('invalid', 'add', 'a', 'b')
  await refused('invalid', 'add', 'a/b')
  await refused('invalid', 'add', 'a', '--root')
  await refused('invalid', 'reset', 'alice', '--admin')
  await refused('invalid', 'admin', 'alice', 'maybe')
  await refused('missing', 'reset', 'bob')
  await refused('missing', 'remove', 'bob')
  await refused('missing', 'admin', 'bob', 'yes')
})

test('local: an unknown option is refused', () => {
  assert.throws(() => local(JSON.parse('{"signup":true}')), { code: 'config' })
})
