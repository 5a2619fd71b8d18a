import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../core/errors.ts'
import type { Authenticator, ServerSpec } from '../core/plugin.ts'
import { settingsHub } from './settings-hub.ts'
import { visitor } from './visitor.ts'

const location = (reply: Response) => reply.headers.get('location')

test('landing: home unless the config says the server, a path or a function', async t => {
  const after = async (landing: Parameters<typeof settingsHub>[1]) => {
    const hub = await settingsHub(t, landing)
    const alice = await hub.signedIn('alice')
    assert.ok(alice.page.trail.length > 1)
    return [
      location(await alice.ask('/hub/')),
      location(await alice.ask('/hub/login')),
      location(await alice.ask('/hub/?next=/a')),
    ]
  }
  assert.deepEqual(await after({}), ['/hub/home', '/hub/home', '/a'])
  assert.deepEqual(await after({ landing: '/hub/token' }), ['/hub/token', '/hub/token', '/a'])
  assert.deepEqual(await after({ landing: user => `/hub/x?${user.name}` }), ['/hub/x?alice', '/hub/x?alice', '/a'])
  // It may come from somewhere else: no way off this host.
  assert.deepEqual(await after({ landing: () => '//evil.example/' }), ['/hub/home', '/hub/home', '/a'])
})

test('landing: the server, which is started if need be; the one that the config names', async t => {
  const hub = await settingsHub(t, { landing: 'server', servers: { defaultName: 'lab' } })
  const alice = visitor(hub.origin)
  const { trail } = await alice.signIn('alice', 'right')
  assert.ok(trail.includes('/hub/spawn/alice/lab'), trail.join(' '))
  const ask = await hub.api('alice')
  for (let i = 0; i < 100 && (await ask('GET', '/users/alice/servers/lab')).json.ready !== true; i++);
  assert.equal(location(await alice.ask('/hub/')), '/user/alice/lab/')
  assert.equal(location(await alice.ask('/hub/spawn')), '/user/alice/lab/')
})

test('user-redirect: to the server that the config names, or where its function says', async t => {
  const usual = await settingsHub(t, { servers: { defaultName: 'lab' } })
  const alice = await usual.signedIn('alice')
  const usualWay = location(await alice.ask('/hub/user-redirect/tree/a%20b?x=1'))
  assert.equal(usualWay, '/hub/spawn/alice/lab?next=%2Fuser%2Falice%2Flab%2Ftree%2Fa%2520b%3Fx%3D1')

  const hooked = await settingsHub(t, {
    userRedirect: ({ path, query, user }) =>
      path === 'usual' ? undefined : path === 'out' ? 'https://evil.example/' : `/to/${user.name}/${path}${query}`,
  })
  const bob = await hooked.signedIn('bob')
  assert.equal(location(await bob.ask('/hub/user-redirect/lab?x=1')), '/to/bob/lab?x=1')
  assert.equal(location(await bob.ask('/hub/user-redirect/usual')), '/hub/spawn/bob?next=%2Fuser%2Fbob%2Fusual')
  assert.equal(location(await bob.ask('/hub/user-redirect/out')), '/hub/spawn/bob?next=%2Fuser%2Fbob%2Fout')
})

test('base: the prefix of everything without a public address', async t => {
  const hub = await settingsHub(t, { base: '/jupyter' })
  const browser = visitor(hub.origin)
  assert.equal(location(await browser.ask('/jupyter/')), '/jupyter/hub/')
  const page = await browser.open('/jupyter/hub/login')
  assert.match(page.text, /action="\/jupyter\/hub\/login"/)
  assert.match(browser.cookie('_xsrf') ?? '', /./)
})

test('announcements, terms and headers are on their pages', async t => {
  const hub = await settingsHub(t, {
    headers: { 'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer' },
    branding: {
      terms: 'https://example.org/terms',
      announcements: { all: 'For <all>', login: 'Hello', home: 'Maintenance at noon', start: 'Be brief', logout: 'Bye' },
    },
    profiles: [
      { name: 'a', label: 'A' },
      { name: 'b', label: 'B' },
    ],
  })
  const alice = visitor(hub.origin)
  const login = await alice.open('/hub/login')
  assert.match(login.text, /<p class="notice announcement">Hello<\/p>/)
  assert.match(login.text, /<a href="https:\/\/example\.org\/terms">terms of use<\/a>/)
  assert.equal(login.reply.headers.get('x-frame-options'), 'DENY')
  assert.equal(login.reply.headers.get('referrer-policy'), 'no-referrer')
  await alice.signIn('alice', 'right')
  const announced = async (path: string) => /announcement">([^<]*)</.exec((await alice.open(path)).text)?.[1]
  assert.equal(await announced('/hub/home'), 'Maintenance at noon')
  assert.equal(await announced('/hub/spawn'), 'Be brief')
  assert.equal(await announced('/hub/token'), 'For &lt;all&gt;')
  assert.equal(await announced('/hub/logout'), 'Bye')
  const reply = await fetch(`${hub.origin}/hub/api/`)
  assert.equal(reply.headers.get('x-frame-options'), 'DENY')
  const plain = await settingsHub(t)
  assert.doesNotMatch((await visitor(plain.origin).open('/hub/login')).text, /announcement|terms/)
})

test('auto: to the one provider at once; after signing out, and where there are several ways, only on a click', async t => {
  const authenticator: Authenticator = {
    kind: 'redirect',
    label: 'Sign in there',
    begin: ({ state }) => new URL(`https://idp.test/?state=${state}`),
    finish: async () => null,
  }
  const hub = await settingsHub(t, { authenticators: [{ name: 'idp', authenticator }], signIn: { auto: true } })
  const browser = visitor(hub.origin)
  assert.equal(location(await browser.ask('/hub/login?next=/hub/token')), '/hub/login/idp?next=%2Fhub%2Ftoken')
  assert.match(location(await browser.ask('/hub/login/idp')) ?? '', /^https:\/\/idp\.test\//)
  const out = await browser.ask('/hub/logout')
  assert.equal(out.status, 200)
  assert.match(await out.text(), /You are signed out/)

  const several = ['one', 'two'].map(name => ({ name, authenticator }))
  const other = await settingsHub(t, { authenticators: several, signIn: { auto: true } })
  assert.equal((await visitor(other.origin).ask('/hub/login')).status, 200)
  const off = await settingsHub(t, { authenticators: [{ name: 'idp', authenticator }] })
  assert.equal((await visitor(off.origin).ask('/hub/login')).status, 200)
})

test('signing out stops the servers where the config says so, and only one’s own', async t => {
  for (const [stopOnSignOut, left] of [
    [true, ['bob']],
    [false, ['alice', 'alice', 'bob']],
  ] as const) {
    const hub = await settingsHub(t, { servers: { stopOnSignOut } })
    const [alice, bob] = [await hub.api('alice'), await hub.api('bob')]
    assert.equal((await alice('POST', '/users/alice/server')).status, 201)
    assert.equal((await alice('POST', '/users/alice/servers/lab')).status, 201)
    assert.equal((await bob('POST', '/users/bob/server')).status, 201)
    const browser = await hub.signedIn('alice')
    await browser.open('/hub/logout')
    const owners = () => [...hub.made.values()].map(({ spec }) => spec.user.name).sort()
    for (let i = 0; i < 100 && owners().length > left.length; i++) await alice('GET', '/users/alice')
    assert.deepEqual(owners(), left)
  }
})

test('a stopped server’s page starts it after a while where the config says so: for its owner alone', async t => {
  const hub = await settingsHub(t, { servers: { startAfter: '3s' }, access: { everyone: true, admins: ['boss'] } })
  const alice = await hub.signedIn('alice')
  const page = await alice.open('/hub/user/alice/lab?x=1')
  assert.equal(page.reply.status, 424)
  assert.match(page.text, /<noscript><meta http-equiv="refresh" content="3; url=\/hub\/spawn\/alice\?next=[^"]+"/)
  assert.match(page.text, /href="\/hub\/spawn\/alice\?next=[^"]+" data-keep-hash(="[^"]*")? data-after="3"/)
  assert.match(page.text, /<span data-countdown="3">3<\/span>/)
  const boss = await hub.signedIn('boss')
  assert.doesNotMatch((await boss.open('/hub/user/alice/lab')).text, /data-after|http-equiv/)
  const plain = await settingsHub(t)
  const bob = await plain.signedIn('bob')
  assert.doesNotMatch((await bob.open('/hub/user/bob/lab')).text, /data-after|http-equiv/)
})

test('a form of one’s own: shown below the profiles, read, applied, kept for the next start, and for API clients too', async t => {
  const seen: unknown[] = []
  const hub = await settingsHub(t, {
    optionsForm: {
      html: user => `<label>Course of ${user.name} <input name="course"></label>`,
      apply(options, draft, user) {
        seen.push(options)
        if (options.course === 'secret') throw new HubError('denied', `${user.name} is not in this course.`)
        draft.env.COURSE = String(options.course)
      },
    },
  })
  const alice = await hub.signedIn('alice')
  const ask = await hub.api('alice')
  const spec = (): ServerSpec => [...hub.made.values()].at(-1)!.spec
  assert.match((await alice.open('/hub/spawn')).text, /<fieldset class="own"><label>Course of alice <input name="course">/)
  // A link, which can come from anybody, does not start what only `apply` checks.
  assert.match((await alice.open('/hub/spawn?opt-course=art')).text, /<fieldset class="own">/)
  assert.deepEqual([hub.made.size, seen], [0, []])
  const stop = () => ask('DELETE', '/users/alice/server')
  const ready = async () => {
    for (let i = 0; i < 200 && (await ask('GET', '/users/alice')).json.servers['']?.ready !== true; i++);
  }

  await alice.submit('/hub/spawn', 'spawn', { course: 'physics', profile: 'notebook' })
  await ready()
  assert.deepEqual(seen, [{ course: 'physics', profile: 'notebook' }])
  assert.equal(spec().env.COURSE, 'physics')
  await stop()
  assert.equal((await ask('POST', '/users/alice/server')).status, 201)
  assert.equal(spec().env.COURSE, 'physics')
  await stop()
  assert.equal((await ask('POST', '/users/alice/server', { course: 'art', more: { deep: [1] } })).status, 201)
  assert.deepEqual(seen.at(-1), { course: 'art', more: { deep: [1] } })
  await stop()
  const refused = await ask('POST', '/users/alice/server', { course: 'secret' })
  assert.deepEqual([refused.status, refused.json.message], [403, 'alice is not in this course.'])
  assert.equal(hub.made.size, 0)

  const without = await settingsHub(t)
  const bob = await without.api('bob')
  assert.equal((await bob('POST', '/users/bob/server', { course: 'art' })).status, 400)
})

test('a form of one’s own: fields are read as the config says, else as they are', async t => {
  const seen: unknown[] = []
  const apply = (options: unknown) => void seen.push(options)
  const send = async (read: undefined | ((fields: object) => Record<string, unknown>)) => {
    const hub = await settingsHub(t, { optionsForm: { html: '<input name="a">', apply, ...(read && { read }) } })
    const browser = await hub.signedIn('ann')
    const page = await browser.open('/hub/spawn')
    const xsrf = /name="_xsrf" value="([^"]+)"/.exec(page.text)![1]!
    await browser.open('/hub/spawn', {
      method: 'POST',
      body: new URLSearchParams([
        ['_xsrf', xsrf],
        ['a', '1'],
        ['a', '2'],
        ['b', '3'],
      ]),
    })
    for (let i = 0; i < 200 && seen.length === 0; i++) await browser.ask('/hub/home')
    return seen.pop()
  }
  assert.deepEqual(await send(undefined), { a: ['1', '2'], b: '3' })
  assert.deepEqual(await send(fields => ({ names: Object.keys(fields) })), { names: ['a', 'b'] })
})
