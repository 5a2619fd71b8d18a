import assert from 'node:assert/strict'
import { test } from 'node:test'
import { prefixed, type RequestAuthenticator } from 'swarmhub'
import { normalizeUsername } from '../core/names.ts'
import type { Authenticator, Identity } from '../core/plugin.ts'
import { header } from '../plugins/header/index.ts'
import { Browser, identityHub, passwords } from './identity-hub.ts'
import { load, refusal } from './written-config.ts'

const right = (username: string) => ({ username, password: 'right' })
const here = '10.0.0.1'
const callback = new URL('https://hub.test/cb')

type Enters = (name: string, id?: string) => Promise<string>

/** A hub with one authenticator of each kind, and how somebody signs in by each: resolves with the name here, or why not. */
function ways() {
  let said: Identity = { name: 'nobody' }
  const redirect: Authenticator = {
    kind: 'redirect',
    label: 'Away',
    begin: ({ state }) => new URL(`https://idp.test/?state=${state}`),
    finish: async () => said,
  }
  const request: RequestAuthenticator = { ...header({ from: ['127.0.0.1'] }).authenticator, identify: () => said }
  const all = {
    password: passwords('password', () => said),
    redirect: { name: 'redirect', authenticator: redirect },
    request: { name: 'request', authenticator: request as Authenticator },
  }
  const enters = (kind: keyof typeof all, hub: Awaited<ReturnType<typeof identityHub>>): Enters =>
    async function enter(name, id) {
      said = { name, ...(id !== undefined && { id }) }
      const browser = new Browser()
      const { logins, visit } = hub
      const state = async () =>
        (await visit(browser, '/hub/login/x', c => logins.begin(c, kind, callback, ''))).result.searchParams.get('state')
      const result =
        kind === 'password'
          ? await logins.password(kind, right(name), here)
          : kind === 'request'
            ? (await visit(browser, '/hub/login/x', c => logins.identify(c, kind, here))).result
            : (await visit(browser, `/hub/login/x?state=${await state()}`, c => logins.finish(c, kind, callback, here))).result
      return result.ok ? result.user.name : result.reason
    }
  return { all, enters }
}

/** For each: what is typed or told, and the one account that it is, or undefined for nobody's name. */
const spellings: [string, string | undefined][] = [
  ['Alice', 'alice'],
  ['ALICE', 'alice'],
  ['alice ', 'alice'],
  ['\u00a0alice\u3000', 'alice'],
  ['ａｌｉｃｅ', 'alice'],
  ['\u{1d51e}lice', 'alice'],
  ['\u212aarl', 'karl'],
  ['KARL', 'karl'],
  ['e\u0301va', 'éva'],
  ['ÉVA', 'éva'],
  ['E\u0301VA', 'éva'],
  ['ﬁn', 'fin'],
  ['ΟΔΟΣ', 'οδοσ'],
  ['οδος', 'οδοσ'],
  ['οδοσ', 'οδοσ'],
  ['al\u00adice', undefined],
  ['al\u200bice', undefined],
  ['alice\u3164', undefined],
  ['alice\ufe0f', undefined],
  ['al\u034fice', undefined],
  ['\u202ealice', undefined],
  ['alice\u0000', undefined],
  ['alice\ud800', undefined],
  ['al/ice', undefined],
  ['al\uff0fice', undefined],
  ['..', undefined],
  ['\u2025', undefined],
  ['', undefined],
  ['   ', undefined],
]

test('by whatever way somebody comes, every spelling of a name is the same account, before any rule, or nobody', async t => {
  const { all, enters } = ways()
  for (const kind of ['password', 'redirect', 'request'] as const) {
    const hub = await identityHub(t, {
      authenticators: [all[kind]],
      access: { users: ['ALICE', 'K\u0061rl', 'e\u0301VA', 'ﬁn', 'οδος'], blocked: ['ｅｖｅ'] },
    })
    const enter = enters(kind, hub)
    for (const [spelling, account] of spellings) {
      const outcome = await enter(spelling)
      if (account === undefined)
        assert.ok(['denied', 'wrong'].includes(outcome), `${kind} ${JSON.stringify(spelling)}: ${outcome}`)
      else assert.equal(outcome, account, `${kind} ${JSON.stringify(spelling)}`)
    }
    for (const blocked of ['eve', 'EVE ', 'ｅve']) assert.equal(await enter(blocked), 'denied', `${kind} ${blocked}`)
    assert.equal(hub.users.count, 5, kind)
  }
})

test('what looks like a name and is another is nobody’s', () => {
  for (const [spelling, account] of spellings) assert.equal(normalizeUsername(spelling), account, JSON.stringify(spelling))
})

test('a name that was normalised is its own spelling, for every character that there is', () => {
  for (let code = 0; code < 0x11_0000; code++) {
    const name = normalizeUsername(`a${String.fromCodePoint(code)}a`)
    if (name !== undefined && normalizeUsername(name) !== name) assert.fail(`U+${code.toString(16)}`)
  }
})

test('a prefix keeps names apart: in rules, in accounts, at sign-in and when asked again', async t => {
  const { all, enters } = ways()
  let asked = ''
  const redirect = {
    ...all.redirect,
    authenticator: {
      ...all.redirect.authenticator,
      refresh: async (user: { name: string }) => {
        asked = user.name
        return { name: 'alice' }
      },
    } as Authenticator,
  }
  const authenticators = [all.password, prefixed('gh-', redirect), prefixed('gh-x-', all.request)]
  const hub = await identityHub(t, {
    authenticators,
    access: { users: ['alice', 'gh-alice', 'gh-x-alice'], admins: ['gh-boss'] },
    timeouts: { refresh: '1ms' },
  })
  const [password, away, request] = (['password', 'redirect', 'request'] as const).map(kind => enters(kind, hub)) as [
    Enters,
    Enters,
    Enters,
  ]
  assert.equal(await away(' ALICE'), 'gh-alice')
  assert.equal(await password('alice'), 'alice')
  assert.equal(await request('alice'), 'gh-x-alice')
  assert.equal(await away('boss', '1'), 'gh-boss')
  assert.equal(await password('boss'), 'denied')
  assert.equal(hub.users.get('gh-boss')?.admin, true)
  // Whoever is called as if they had a prefix is none of those who do.
  assert.equal(await password('gh-carol'), 'denied')
  assert.equal(await password('GH-alice'), 'denied')
  assert.equal(await away('x-alice'), 'denied')
  assert.equal(hub.users.count, 4)
  await new Promise(resolve => setTimeout(resolve, 5))
  assert.ok(await hub.logins.refresh(hub.users.get('gh-alice')!, 'redirect'))
  assert.equal(asked, 'gh-alice')
  assert.equal(hub.users.get('gh-alice')?.identity?.authenticator, 'redirect')
})

test('an account made by hand under a prefix is for whoever has that prefix', async t => {
  const { all, enters } = ways()
  const hub = await identityHub(t, { authenticators: [all.password, prefixed('gh-', all.redirect)] })
  await hub.users.create('gh-dora')
  assert.equal(await enters('password', hub)('gh-dora'), 'denied')
  assert.equal(await enters('redirect', hub)('dora'), 'gh-dora')
})

const two = (more: string) => `
const named = (name: string) => ({ ...ask(), name })
import { prefixed } from 'swarmhub'
export default defineConfig({ ...rest, ${more} })`

test('two authenticators that could give one name to two people do not start', async t => {
  const wrong = await refusal(t, two('authenticators: [named("one"), named("two")]'))
  assert.match(
    wrong,
    /authenticators\[1\].*"two" and "one" could both know an "alice".*prefixed\("two-", …\).*sameNames: true \}/s,
  )
  assert.match(
    await refusal(t, two('authenticators: [prefixed("a-", named("one")), named("x"), prefixed("a-", named("two"))]')),
    /"two" and "one"/,
  )
  await load(t, two('authenticators: [named("one"), prefixed("two-", named("two")), prefixed("two-x-", named("three"))]'))
  await load(t, two('authenticators: [named("one"), named("two")], signIn: { sameNames: true }'))
})

test('a prefix that names could run into is refused', async t => {
  for (const prefix of ['', 'gh', 'GH-', 'é-', '-', 'gh:', 'g h-', `${'x'.repeat(40)}-`])
    assert.throws(() => prefixed(prefix, passwords()), { code: 'config', message: /^prefixed.*expected a prefix such as "gh-"/ })
  const given = 'authenticators: [{ ...ask(), authenticator: { ...ask().authenticator, prefix: "GH" } }]'
  assert.match(await refusal(t, two(given)), /authenticator\.prefix: expected a prefix/)
})

test('headers are believed only where the hub’s own front says whom they come from', async t => {
  const text = `authenticators: [{ name: 'h', authenticator: { kind: 'request', label: 'x', headers: ['Remote-User'], from: ['127.0.0.1'], identify: () => null } }]`
  assert.match(await refusal(t, two(text)), /"h" needs a proxy that is the hub's own front/)
  assert.match(await refusal(t, two(text.replace("['127.0.0.1']", "['proxy']"))), /from\[0\]: expected an address/)
})

test('who is named an admin and blocked at once stops the start, at the place where it says so', async t => {
  const wrong = await refusal(t, two('access: { everyone: true, blocked: ["Ann"] }, roles: [{ name: "admin", users: ["ann"] }]'))
  assert.match(wrong, /roles\[0\]\.users\[0\]: "ann" is in access\.blocked too/)
})

test('no rule lets nobody in, and the start says so; what an authenticator throws lets nobody in', async t => {
  const { warnings } = await load(t, two('access: {}'))
  assert.match(warnings.join(), /nobody may sign in: access has no rule/)
  const { all, enters } = ways()
  for (const kind of ['password', 'redirect', 'request'] as const) {
    const closed = await identityHub(t, { authenticators: [all[kind]], access: {} })
    assert.equal(await enters(kind, closed)('alice', '1'), 'denied', kind)
    const failing = {
      ...all[kind].authenticator,
      ...Object.fromEntries(
        ['check', 'finish', 'identify'].map(name => [
          name,
          () => {
            throw new Error('the provider is away')
          },
        ]),
      ),
    } as Authenticator
    const broken = await identityHub(t, { authenticators: [{ name: kind, authenticator: failing }] })
    assert.equal(await enters(kind, broken)('alice'), 'unavailable', kind)
    assert.equal(closed.users.count + broken.users.count, 0)
  }
})
