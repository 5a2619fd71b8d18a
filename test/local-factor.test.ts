import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Secret, TOTP } from 'otpauth'
import { type Context, silent } from 'swarmhub'
import { local } from '../plugins/local/index.ts'
import { createPasswords } from '../plugins/local/passwords.ts'
import { confirmFactor, draftFactor, useCode } from '../plugins/local/second-factor.ts'
import { localHub, pathIn, twice } from './local-hub.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { fakeHub } from './roles/hub.ts'
import { visitor } from './visitor.ts'

const good = 'a horse, a battery'

/** What an app shows that has read the secret, `step` times 30 s from now. */
const shown = (secret: string, step = 0) =>
  TOTP.generate({ secret: Secret.fromBase32(secret), timestamp: Date.now() + step * 30_000 })

/** The drafts that a page or a challenge shows. */
function drawn(text: string) {
  const secret = /<code>((?:[A-Z2-7]{4} ?){8})<\/code>/.exec(text)?.[1]?.replaceAll(' ', '')
  assert.ok(secret, 'a secret is shown')
  return { secret, recovery: [...text.matchAll(/<code>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})<\/code>/g)].map(([, code]) => code!) }
}

/** Far from the border between two codes, so that a slow machine does not cross it. */
const steadyClock = (t: TestContext, at = 1_800_000_015_000) => t.mock.timers.enable({ apis: ['Date'], now: at })

testAuthenticator('local with a second factor', 'password', async t => {
  steadyClock(t)
  const hub = fakeHub(t)
  const passwords = createPasswords({ n: 2 ** 4, r: 8, p: 1 })
  const { authenticator, setup } = local({ secondFactor: 'required' }, passwords)
  const password = await passwords.keep(good, 'alice')
  const draft = draftFactor()
  const secondFactor = { ...confirmFactor(draft, shown(draft.secret, -1))!, last: 0 }
  const { schema, initial } = await import('../plugins/local/accounts.ts')
  const file = await hub.file('accounts', schema, initial)
  await file.update(state => {
    const id = '5e0f5a3c-0f5f-4c5e-8b36-0a9f8a5d2b11'
    const account = { id, name: 'alice', admin: false, created: new Date().toISOString(), password, link: null }
    state.accounts.push({ ...account, waiting: false, secondFactor })
  })
  await setup(hub)
  return {
    authenticator,
    known: { username: 'alice', password: good },
    wrong: 'another horse',
    stranger: 'bob',
    answer() {
      t.mock.timers.tick(30_000)
      return shown(draft.secret)
    },
  }
})

test('second factor: a code is good once, and the one before it no more; one period of clock drift is forgiven', t => {
  steadyClock(t)
  const draft = draftFactor()
  assert.equal(confirmFactor(draft, '12345'), undefined)
  assert.equal(confirmFactor(draft, shown(draft.secret, -2)), undefined)
  assert.equal(confirmFactor(draft, shown(draft.secret, 2)), undefined)
  const factor = confirmFactor(draft, shown(draft.secret, -1))!
  assert.equal(useCode(factor, shown(draft.secret, -1)), undefined, 'the code that set it up')
  const later = useCode(factor, `${shown(draft.secret, 1).slice(0, 3)} ${shown(draft.secret, 1).slice(3)}`)!
  for (const step of [-1, 0, 1]) assert.equal(useCode(later, shown(draft.secret, step)), undefined, String(step))
  t.mock.timers.tick(60_000)
  assert.ok(useCode(later, shown(draft.secret)))
})

test('second factor: a recovery code works once, however it is typed; what is kept shows none', t => {
  steadyClock(t)
  const draft = draftFactor()
  const factor = confirmFactor(draft, shown(draft.secret))!
  const [first, second] = draft.recovery as [string, string]
  assert.equal(new Set(draft.recovery).size, 8)
  const left = useCode(factor, ` ${first.toUpperCase().replaceAll('-', ' ')}`)!
  assert.equal(left.recovery.length, 7)
  assert.equal(useCode(left, first), undefined)
  assert.ok(useCode(left, second))
  for (const code of draft.recovery) assert.ok(!JSON.stringify(factor).includes(code.replaceAll('-', '')))
})

test('second factor: set up, asked for at each sign-in, turned off; on the pages of a real hub', async t => {
  steadyClock(t)
  const { plugin, origin, core, setupPath } = await localHub(t)
  const ada = visitor(origin)
  await ada.submit(setupPath(), 'setup', { username: 'ada', ...twice(good) })
  await ada.signIn('ada', good)

  const page = '/hub/x/local/second-factor'
  const { text } = await ada.open(page)
  assert.match(text, /<svg role="img" aria-label="QR code/)
  assert.doesNotMatch(text, /style=/)
  const wrong = await ada.submit(page, 'second-factor', { current: good, code: '000000' })
  assert.equal(wrong.reply.status, 400)
  const { secret, recovery } = drawn(wrong.text)
  assert.equal(recovery.length, 8)
  // The form that was shown again holds the same secret: an app that has read it is right.
  const draft = JSON.stringify({ secret, recovery })
  assert.equal((await ada.submit(page, 'second-factor', { current: 'a guess', code: shown(secret), draft })).reply.status, 403)
  assert.equal(plugin.accounts().secondFactor, null)
  const thief = visitor(origin)
  await thief.signIn('ada', good)
  assert.equal((await thief.open('/hub/home')).path, '/hub/home')
  const on = await ada.submit(page, 'second-factor', { current: good, code: shown(secret), draft })
  assert.match(on.path, /^\/hub\/login/)
  assert.match((await thief.open('/hub/home')).path, /^\/hub\/login/, 'who came in by the password alone is out')

  const browser = visitor(origin)
  const asked = await browser.signIn('ada', good)
  assert.equal(asked.reply.status, 200)
  assert.match(asked.text, /Code from your app/)
  assert.match((await browser.open('/hub/home')).path, /^\/hub\/login/, 'a password is not enough')
  const heldBy = (text: string) => /name="held" value="([^"]+)"/.exec(text)![1]!
  const answer = (who: ReturnType<typeof visitor>, held: string, code: string) =>
    who.submit('/hub/login?next=%2Fhub%2Ftoken', 'login', { held, answer: code, method: 'local' })

  t.mock.timers.tick(60_000)
  const code = shown(secret)
  // Another browser, which does not have the cookie, gets nowhere with what this one was asked.
  assert.match((await answer(visitor(origin), heldBy(asked.text), code)).text, /another browser/)
  const again = await answer(browser, heldBy(asked.text), '000000')
  assert.equal(again.reply.status, 403)
  assert.match(again.text, /wrong, or was used/)
  assert.match((await answer(browser, heldBy(asked.text), code)).text, /used already/, 'each question is answered once')
  assert.equal((await answer(browser, heldBy(again.text), code)).path, '/hub/token')

  const other = visitor(origin)
  const replayed = await answer(other, heldBy((await other.signIn('ada', good)).text), code)
  assert.equal(replayed.reply.status, 403)
  assert.equal((await answer(other, heldBy(replayed.text), recovery[0]!)).path, '/hub/token')

  // For programs a password is not enough either, and they cannot be asked.
  const program = await core.logins.password('local', { username: 'ada', password: good }, '192.0.2.9')
  assert.ok(!program.ok && program.reason === 'denied' && /browser/.test(program.message))

  t.mock.timers.tick(60_000)
  assert.match((await other.open(page)).text, /It is on.*7 recovery codes/)
  assert.equal((await other.submit(page, 'second-factor', { current: good, code: recovery[0]! })).reply.status, 403, 'used')
  await other.submit(page, 'second-factor', { current: good, code: shown(secret) })
  assert.equal(plugin.accounts().secondFactor, null)
  const trail = await core.audit.read({ user: 'ada' }, 0, 100)
  const lines = JSON.stringify(trail.entries)
  assert.match(lines, /account.second-factor/)
  for (const hidden of [secret, code, ...recovery, good]) assert.ok(!lines.includes(hidden))
})

test('second factor: where it is required, who has none sets it up when signing in; an admin takes it away', async t => {
  steadyClock(t)
  const { plugin, origin, setupPath } = await localHub(t, { secondFactor: 'required' })
  const ada = visitor(origin)
  await ada.submit(setupPath(), 'setup', { username: 'ada', ...twice(good) })
  const enrol = async () => {
    const asked = await ada.signIn('ada', good)
    const { secret } = drawn(asked.text)
    const held = /name="held" value="([^"]+)"/.exec(asked.text)![1]!
    const wrong = await ada.submit('/hub/login', 'login', { held, answer: '123', method: 'local' })
    assert.equal(drawn(wrong.text).secret, secret, 'the one that the app may have read already')
    assert.equal(plugin.accounts().secondFactor, null)
    const next = /name="held" value="([^"]+)"/.exec(wrong.text)![1]!
    return ada.submit('/hub/login', 'login', { held: next, answer: shown(secret), method: 'local' })
  }
  assert.equal((await enrol()).path, '/hub/home')
  assert.ok(plugin.accounts().secondFactor)
  await plugin.commands['forget-factor'].run(['ada'])
  await ada.open('/hub/logout')
  t.mock.timers.tick(60_000)
  assert.equal((await enrol()).path, '/hub/home')
})

test('second factor: for administrators alone, whether the account or the hub says that they are', async t => {
  steadyClock(t)
  const { plugin, origin, core, setupPath } = await localHub(t, { secondFactor: 'admins' })
  const ada = visitor(origin)
  await ada.submit(setupPath(), 'setup', { username: 'ada', ...twice(good) })
  assert.match((await ada.signIn('ada', good)).text, /asks administrators for a second factor/)
  await ada.submit(pathIn(String(await plugin.commands.add.run(['bob']))), 'link', twice(good))
  const bob = visitor(origin)
  assert.equal((await bob.signIn('bob', good)).path, '/hub/home')
  await core.users.update(core.users.get('bob')!.id, draft => void (draft.admin = true))
  await bob.open('/hub/logout')
  assert.match((await bob.signIn('bob', good)).text, /asks administrators for a second factor/)
})

test('second factor: a question is void when the password has changed meanwhile', async t => {
  steadyClock(t)
  const hub = fakeHub(t)
  const passwords = createPasswords({ n: 2 ** 4, r: 8, p: 1 })
  const plugin = local({ secondFactor: 'required' }, passwords)
  await plugin.setup(hub)
  const ctx: Context = { log: silent, signal: AbortSignal.timeout(60_000), progress() {} }
  await plugin.commands.add.run(['alice'])
  const { schema, initial } = await import('../plugins/local/accounts.ts')
  const file = await hub.file('accounts', schema, initial)
  const set = async (password: string) => {
    const kept = await passwords.keep(password, 'alice')
    await file.update(state => void (state.accounts[0]!.password = kept))
  }
  await set(good)
  const asked = await plugin.authenticator.check({ username: 'alice', password: good }, ctx)
  assert.ok(asked && 'question' in asked)
  const { secret } = drawn(String(await asked.content))
  await set('a newer horse')
  assert.equal(await plugin.authenticator.answer({ state: asked.state, answer: shown(secret) }, ctx), null)
})

test('second factor: who has the password and tries codes waits, and goes on waiting', async t => {
  steadyClock(t)
  const { origin, setupPath } = await localHub(t, { secondFactor: 'required' })
  const eve = visitor(origin)
  await eve.submit(setupPath(), 'setup', { username: 'ada', ...twice(good) })
  const statuses: number[] = []
  for (let n = 0; n < 8; n++) {
    const asked = await eve.signIn('ada', good)
    const held = /name="held" value="([^"]+)"/.exec(asked.text)?.[1] ?? ''
    const { reply } = await eve.submit('/hub/login', 'login', { held, answer: '000000', method: 'local' })
    statuses.push(reply.status)
    if (reply.status === 429) assert.ok(Number(reply.headers.get('retry-after')) > 0)
  }
  assert.deepEqual(statuses, [403, 403, 403, 403, 403, 403, 429, 429])
})
