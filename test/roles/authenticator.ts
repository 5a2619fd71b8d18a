import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import {
  type Authenticator,
  type Awaitable,
  type Challenge,
  type Context,
  type Credentials,
  type Identity,
  normalizeUsername,
  type RedirectAuthenticator,
  silent,
  type User,
} from 'swarmhub'

type Kind<K extends Authenticator['kind']> = Extract<Authenticator, { kind: K }>

/** An authenticator that asks for name and password, and somebody whom it knows. */
export interface PasswordCase {
  authenticator: Kind<'password'>
  known: { username: string; password: string }
  /** A password that is not the known one; left out where any password is right. */
  wrong?: string
  /** A name that nobody has; left out where everybody is let in. */
  stranger?: string
  /** What the person answers when asked for more than a password; called for each challenge. */
  answer?(challenge: Challenge): Awaitable<string>
}

/** An authenticator that sends the browser away, and a provider that lets somebody in. */
export interface RedirectCase {
  authenticator: Kind<'redirect'>
  /** Sign in at the provider, as a browser that was sent to `url` would; resolves with the address it is sent back to. */
  approve(url: URL): Promise<URL>
  /** The name that `finish` tells then. */
  name: string
  /** A code is good only in the sign-in that it was given for, as PKCE or a nonce makes it. */
  bindsCodes?: boolean
  /** Stands in for the hub, which keeps auth state: called with what `finish` and `refresh` tell. */
  keep?(identity: Identity): void
  /** Make the provider say no when it is asked again. */
  forget?(): Promise<void>
}

/** An authenticator that reads the request, and headers by which it knows somebody. */
export interface RequestCase {
  authenticator: Kind<'request'>
  headers: Readonly<Record<string, string>>
  /** The name that it tells then. */
  name: string
}

/**
 * What every authenticator has to keep: registers one test for each promise. `make` is called once for each test; clean up
 * with `t.after`.
 *
 *     testAuthenticator('dummy', 'password', () => ({ authenticator: dummy({ password: 'x' }).authenticator, known: { … }, wrong: 'y' }))
 */
export function testAuthenticator<K extends keyof Cases>(
  name: string,
  kind: K,
  make: (t: TestContext) => Awaitable<Cases[K]>,
): void {
  const promise: Promised<Cases[K]> = (what, check) => void test(`${name}: ${what}`, async t => check(await make(t)))
  promise('has a label for its button', async ({ authenticator }) => {
    assert.equal(authenticator.kind, kind)
    assert.ok(authenticator.label.length > 0 && authenticator.label.length < 60)
  })
  suites[kind](promise)
}

interface Cases {
  password: PasswordCase
  redirect: RedirectCase
  request: RequestCase
  none: { authenticator: Kind<'none'> }
}

type Promised<Case> = (what: string, check: (given: Case) => Promise<void>) => void

const suites: { [K in keyof Cases]: (promise: Promised<Cases[K]>) => void } = {
  password: testPassword,
  redirect: testRedirect,
  request: testRequest,
  none: testNone,
}

function testPassword(promise: Promised<PasswordCase>): void {
  promise('the right password tells who it is, each time, and leaves what it was given as it is', async given => {
    const credentials = Object.freeze({ ...given.known })
    for (const _ of [1, 2]) assertIs(given.known.username, await signIn(given, credentials))
  })

  promise('a wrong password is an answer, not an error', async ({ authenticator, known, wrong }) => {
    if (wrong === undefined) return
    for (const password of [
      wrong,
      '',
      ' ',
      `${known.password} `,
      ` ${known.password}`,
      `${known.password}\0`,
      'x'.repeat(100_000),
    ]) {
      assert.equal(await authenticator.check({ ...known, password }, context()), null, JSON.stringify(password.slice(0, 50)))
    }
  })

  promise('nobody is let in under a name that is not known', async ({ authenticator, known, stranger }) => {
    if (stranger === undefined) return
    const tricks = ['*', '*)(uid=*', `${known.username})(|(uid=*`, "' OR 1=1 --", '__proto__', 'constructor', 'toString']
    for (const username of [stranger, ...tricks]) {
      assert.equal(await authenticator.check({ ...known, username }, context()), null, username)
    }
  })

  promise('what can be nobody’s name is nobody', async given => {
    const { known } = given
    for (const username of ['', ' ', '.', '..', '../x', 'a/b', 'a\\b', 'a\0b', 'a\nb', 'a\u200bb', 'x'.repeat(100_000)]) {
      const answer = await signIn(given, { ...known, username })
      assert.equal(answer && (normalizeUsername(answer.name) ?? null), null, JSON.stringify(username.slice(0, 50)))
    }
  })

  promise('another spelling of a name is the same person or nobody', async given => {
    const { known } = given
    const { username } = known
    for (const spelling of [
      username.toUpperCase(),
      ` ${username} `,
      username.normalize('NFD'),
      username.replace('k', '\u212a'),
    ]) {
      const answer = await signIn(given, { ...known, username: spelling })
      if (answer) assertIs(username, answer)
    }
  })

  promise('questions that are asked at once do not mix', async ({ authenticator, known, wrong }) => {
    const asked = Array.from({ length: 10 }, (_, i) => (i % 2 > 0 && wrong !== undefined ? wrong : known.password))
    const answers = await Promise.all(asked.map(password => authenticator.check({ ...known, password }, context())))
    assert.deepEqual(
      answers.map(answer => answer !== null),
      asked.map(password => password === known.password),
    )
  })

  promise('a question that nobody waits for any more lets nobody in', async ({ authenticator, known }) => {
    const gone = authenticator.check(known, context(AbortSignal.abort())).then(
      answer => answer,
      () => null,
    )
    assert.equal(await gone, null)
  })

  promise('a wrong answer to what is asked beyond the password lets nobody in, nor does one that was used', async given => {
    const { authenticator, known, answer } = given
    if (!answer) return
    const asked = async () => {
      const challenge = await authenticator.check(known, context())
      assert.ok(challenge && 'question' in challenge && authenticator.answer, 'something is asked')
      assert.ok(Buffer.byteLength(challenge.state) <= 1000 && challenge.question !== '')
      return challenge
    }
    for (const wrong of ['', ' ', '0', '000000', 'x'.repeat(1024), '\0', '__proto__']) {
      const { state } = await asked()
      const said = await authenticator.answer!({ state, answer: wrong }, context())
      assert.ok(!said || ('question' in said && said.problem), JSON.stringify(wrong))
    }
    const challenge = await asked()
    const right = await answer(challenge)
    assert.ok(isIdentity(await authenticator.answer!({ state: challenge.state, answer: right }, context())))
    const again = await asked()
    assert.ok(!isIdentity(await authenticator.answer!({ state: again.state, answer: right }, context())), 'used once more')
  })

  promise('who was signed in is still the same when asked again; who is unknown is nobody', async given => {
    const { authenticator, known, stranger } = given
    if (!authenticator.refresh) return
    const identity = await signIn(given, known)
    assert.ok(identity)
    assertIs(identity.name, await authenticator.refresh(userOf(identity), context()))
    if (stranger !== undefined) assert.equal(await authenticator.refresh(userOf({ name: stranger }), context()), null)
  })
}

function testNone(promise: Promised<Cases['none']>): void {
  promise('has nothing that could let anybody in', async ({ authenticator }) => {
    assert.deepEqual(Object.keys(authenticator).sort(), ['kind', 'label'])
  })
}

function testRedirect(promise: Promised<RedirectCase>): void {
  promise('sends the browser to its provider with state and callback, and takes it back', async given => {
    const url = await begin(given.authenticator, 'state-1')
    assert.match(url.protocol, /^https?:$/)
    assert.equal(url.searchParams.get('state'), 'state-1')
    assert.equal(url.searchParams.get('redirect_uri'), String(callback))
    const back = await given.approve(url)
    assert.equal(back.searchParams.get('state'), 'state-1')
    assertIs(given.name, await given.authenticator.finish({ callback, query: back.searchParams }, context()))
  })

  promise('a refusal by the provider is an answer', async ({ authenticator }) => {
    const url = await begin(authenticator, 'state-2')
    const query = new URLSearchParams({ error: 'access_denied', state: url.searchParams.get('state')! })
    assert.equal(await authenticator.finish({ callback, query }, context()), null)
  })

  promise('nobody is let in without a code, with a wrong one, or with one that was used', async given => {
    const answer = (query: URLSearchParams) =>
      given.authenticator.finish({ callback, query }, context()).then(
        identity => identity,
        () => null,
      )
    for (const wrong of ['', '&code=', '&code=made-up']) {
      const url = await begin(given.authenticator, 'state-3')
      const state = url.searchParams.get('state')!
      assert.equal(await answer(new URLSearchParams(`state=${encodeURIComponent(state)}${wrong}`)), null, wrong)
    }
    const back = await given.approve(await begin(given.authenticator, 'state-4'))
    assert.ok(await answer(back.searchParams))
    assert.equal(await answer(back.searchParams), null)
  })

  promise('a code is good in its own sign-in alone', async given => {
    if (!given.bindsCodes) return
    await begin(given.authenticator, 'state-5')
    const query = (await given.approve(await begin(given.authenticator, 'state-6'))).searchParams
    query.set('state', 'state-5')
    await assert.rejects(given.authenticator.finish({ callback, query }, context()))
  })

  promise('a question that nobody waits for any more lets nobody in', async given => {
    const { searchParams: query } = await given.approve(await begin(given.authenticator, 'state-7'))
    const gone = async () => given.authenticator.finish({ callback, query }, context(AbortSignal.abort()))
    assert.equal(await gone().catch(() => null), null)
  })

  promise('who was signed in is still the same when asked again, and nobody once the provider says no', async given => {
    const { authenticator } = given
    if (!authenticator.refresh) return
    const { searchParams: query } = await given.approve(await begin(authenticator, 'state-8'))
    const identity = await authenticator.finish({ callback, query }, context())
    assert.ok(identity)
    given.keep?.(identity)
    for (const _ of [1, 2]) {
      const again = await authenticator.refresh(userOf(identity), context())
      assertIs(given.name, again)
      assert.equal(again?.id, identity.id)
      given.keep?.(again!)
    }
    if (!given.forget) return
    await given.forget()
    assert.equal(await authenticator.refresh(userOf(identity), context()), null)
  })
}

function testRequest(promise: Promised<RequestCase>): void {
  const identify = async ({ authenticator }: RequestCase, headers: Record<string, string>) =>
    authenticator.identify(new Map(Object.entries(headers)), context())

  promise('says which headers it believes, and from whom', async ({ authenticator, headers }) => {
    assert.ok(authenticator.from.length > 0)
    const looked = authenticator.headers.map(name => name.toLowerCase())
    for (const name of Object.keys(headers)) assert.ok(looked.includes(name), `${name} is guarded`)
    assert.ok(!looked.some(name => /_|^(cookie|host|x-forwarded-for)$/.test(name)))
  })

  promise('the headers tell who it is, each time', async given => {
    for (const _ of [1, 2]) assertIs(given.name, await identify(given, given.headers))
  })

  promise('no headers, or nothing in them, is nobody', async given => {
    assert.equal(await identify(given, {}), null)
    for (const nothing of ['', ' ', '\xff'])
      assert.equal(await identify(given, Object.fromEntries(Object.keys(given.headers).map(name => [name, nothing]))), null)
  })

  promise('what can be nobody’s name is nobody', async given => {
    for (const odd of ['..', 'a/b', 'a\\b', '\xe2\x80\x8b', 'x'.repeat(100_000), '(null)']) {
      const answer = await identify(given, Object.fromEntries(Object.keys(given.headers).map(name => [name, odd])))
      assert.equal(answer && (normalizeUsername(answer.name) ?? null), null, JSON.stringify(odd.slice(0, 50)))
    }
  })
}

const callback = new URL('https://hub.example.org/hub/oauth_callback')

const begin = async (authenticator: RedirectAuthenticator, state: string) => authenticator.begin({ callback, state }, context())

const isIdentity = (said: Identity | Challenge | null): said is Identity => said !== null && !('question' in said)

/** As the hub does it: what is asked beyond the password is answered. */
async function signIn({ authenticator, answer }: PasswordCase, credentials: Credentials): Promise<Identity | null> {
  let said = await authenticator.check(credentials, context())
  while (said && !isIdentity(said)) {
    assert.ok(authenticator.answer && answer, 'who is asked more can answer')
    assert.equal(said.problem, undefined)
    said = await authenticator.answer({ state: said.state, answer: await answer(said) }, context())
  }
  return said
}

const context = (signal: AbortSignal = AbortSignal.timeout(60_000)): Context => ({ log: silent, signal, progress() {} })

/** The hub normalises names; an authenticator must tell one that stays the same person by that. */
function assertIs(username: string, identity: Identity | null): void {
  assert.ok(identity, `${username} is known`)
  assert.equal(normalizeUsername(identity.name), normalizeUsername(username))
  if (identity.id !== undefined) assert.ok(typeof identity.id === 'string' && identity.id.length > 0)
  if (identity.groups !== undefined) assert.ok(identity.groups.every(group => typeof group === 'string'))
}

const userOf = ({ name, admin = false, groups = [], attributes = {} }: Identity): User => {
  return { id: 'u1', name: normalizeUsername(name)!, slug: 'u1', admin, groups, attributes }
}
