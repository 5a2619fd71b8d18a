import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoginThrottle, forCodes } from '../core/identity/login-throttle.ts'
import { Browser, identityHub, passwords } from './identity-hub.ts'

/** A throttle with a clock in seconds. */
function clocked(limits?: typeof forCodes) {
  let now = 0
  const throttle = createLoginThrottle(() => now * 1000, limits)
  /** One try; false when it is not looked at. */
  const attempt = (name: string, from: { address: string; browser?: string }, outcome: 'right' | 'wrong') => {
    if (throttle.wait(name, from) > 0) return false
    throttle.count(name, from)(outcome)
    return true
  }
  return { throttle, attempt, pass: (seconds: number) => void (now += seconds) }
}

const home = { address: '192.0.2.7' }
/** Another network for each number. */
const network = (n: number) => ({ address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` })

test('10,000 guesses from as many networks: few are looked at, and the owner enters where they have been, in their browser, and else after a bounded wait', () => {
  const { throttle, attempt, pass } = clocked()
  assert.ok(attempt('alice', home, 'right'))
  let looked = 0
  for (let n = 0; n < 10_000; n++) {
    pass(0.1)
    if (attempt('alice', network(n), 'wrong')) looked++
  }
  // 30 at once, then one each half minute: in these 1000 s.
  assert.ok(looked >= 30 && looked < 75, String(looked))
  assert.equal(throttle.wait('alice', home), 0)
  const elsewhere = { address: '198.51.100.1' }
  assert.equal(throttle.wait('alice', { ...elsewhere, browser: 'hers' }), 0)
  const wait = throttle.wait('alice', elsewhere)
  assert.ok(wait > 0 && wait <= 60, String(wait))
  pass(wait)
  assert.equal(throttle.wait('alice', elsewhere), 0)
  assert.equal(throttle.wait('bob', elsewhere), 0, 'nobody else waits')
})

test('who guesses from the same network does not keep the owner out of a browser in which they have signed in before', () => {
  const { throttle, attempt, pass } = clocked()
  const classroom = { address: '192.0.2.200' }
  for (let n = 0; n < 5000; n++) {
    pass(0.5)
    attempt('alice', classroom, 'wrong')
    attempt(`made up ${n}`, classroom, 'wrong')
  }
  assert.ok(throttle.wait('alice', classroom) > 0)
  assert.equal(throttle.wait('alice', { ...classroom, browser: 'hers' }), 0)
  // The mark of a browser is no way to guess faster.
  let looked = 0
  for (let n = 0; n < 1000; n++) if (attempt('alice', { ...classroom, browser: 'stolen' }, 'wrong')) looked++
  assert.equal(looked, 6)
})

test('codes of six digits: a month of guesses from everywhere looks at fewer than it takes', () => {
  const { attempt, pass } = clocked(forCodes)
  let looked = 0
  for (let n = 0; n < 30 * 24 * 60; n++) {
    pass(60)
    if (attempt('alice', network(n), 'wrong')) looked++
  }
  // Three of a million codes are right at any time.
  assert.ok((looked * 3) / 1_000_000 < 0.01, String(looked))
})

test('a browser in which somebody has signed in is known again, for their name and no other', async t => {
  let asked: string | undefined
  const plugin = passwords()
  const check = plugin.authenticator.kind === 'password' ? plugin.authenticator.check : undefined
  const authenticator = {
    ...plugin.authenticator,
    check: (given: Parameters<NonNullable<typeof check>>[0], ctx: Parameters<NonNullable<typeof check>>[1]) => {
      asked = given.from
      return check!(given, ctx)
    },
  } as typeof plugin.authenticator
  const { logins, visit } = await identityHub(t, { authenticators: [{ name: 'passwords', authenticator }] })
  const enter = (browser: Browser, username: string, password: string, address = '192.0.2.7') =>
    visit(browser, '/hub/login', c => logins.signIn(c, 'passwords', { username, password }, address))
  const [mine, theirs] = [new Browser(), new Browser()]
  await enter(mine, 'Alice', 'right')
  assert.equal(asked, '192.0.2.7')
  const cookie = mine.value('swarmhub-known-browser')
  assert.ok(cookie)
  await enter(mine, 'alice', 'right', '198.51.100.1')
  assert.equal(asked, cookie.split('.')[0])
  await enter(mine, 'bob', 'wrong')
  assert.equal(asked, '192.0.2.7', 'bob has not been here')
  await enter(mine, 'bob', 'right')
  await enter(mine, 'bob', 'right')
  assert.equal(asked, cookie.split('.')[0], 'the same browser, now also his')

  for (let n = 0; n < 12; n++) await enter(theirs, 'alice', 'wrong')
  const shut = (await enter(theirs, 'alice', 'right')).result
  assert.ok(!shut.ok && shut.reason === 'wait')
  assert.equal((await enter(mine, 'alice', 'right')).result.ok, true)
  // A mark that nobody has signed is none.
  theirs.keep([`swarmhub-known-browser=${'x'.repeat(43)}.${'y'.repeat(43)}; Path=/hub/login`])
  assert.equal((await enter(theirs, 'alice', 'right')).result.ok, false)
  for (let n = 0; n < 9; n++) await enter(mine, `class mate ${n}`, 'right', network(n).address)
  assert.ok(mine.value('swarmhub-known-browser')!.length < 300, 'a shared computer is known for the last few only')
})
