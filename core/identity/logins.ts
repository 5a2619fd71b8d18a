import type { Context as Request } from 'hono'
import type { Audit } from '../audit.ts'
import type { Settings } from '../config/schema.ts'
import { HubError, isHubError } from '../errors.ts'
import { normalizeUsername } from '../names.ts'
import type {
  Authenticator,
  Awaitable,
  Challenge,
  Context,
  Identity,
  Log,
  Login,
  Plugin,
  RequestAuthenticator,
} from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'
import type { Access } from './access.ts'
import type { AuthStates } from './auth-state.ts'
import { isGroupName } from './groups.ts'
import { createKnownBrowsers } from './known-browsers.ts'
import { createLoginStates } from './login-states.ts'
import { createLoginThrottle, type From, forCodes, type LoginThrottle } from './login-throttle.ts'
import { networkOf } from './network.ts'
import { ownerOf } from './prefix.ts'
import type { Sessions } from './sessions.ts'
import { createSpelling, type Spelling } from './spelling.ts'
import type { Users } from './users.ts'

export type LoginResult =
  /** `session`: how the provider calls this sign-in. */
  | { ok: true; user: UserRecord; session?: string }
  /** What the form says. `wait`: seconds until the next try is looked at. */
  | { ok: false; reason: 'wrong' | 'denied' | 'unavailable' | 'wait'; message: string; wait?: number }

/** The authenticator asks one thing more. `held` comes back with the answer. */
export interface Asked {
  ok: false
  reason: 'asked'
  challenge: Challenge
  held: string
}

/**
 * The stage `login`: ask the authenticator, normalise the name, `before:login`, the access rules, then make or bring up to
 * date the user. Fails closed: whatever throws lets nobody in. Counts failures per name and per address and lets them wait.
 */
export interface Logins {
  /** Authenticators in config order. */
  readonly methods: readonly { plugin: Plugin; kind: Authenticator['kind']; label: string }[]
  /** For a program. An account that asks for more than a password is refused. Throws `missing` for a method that there is not. */
  password(method: string, credentials: { username: string; password: string }, address: string): Promise<LoginResult>
  /** For a browser: it can be asked more, and is known again when it comes the next time. */
  signIn(
    c: Request,
    method: string,
    credentials: { username: string; password: string },
    address: string,
  ): Promise<LoginResult | Asked>
  /** The answer to what was asked: once, of the browser that was asked, at most ten minutes later. */
  answer(c: Request, method: string, given: { held: string; answer: string }, address: string): Promise<LoginResult | Asked>
  /** See Hub.attempt. */
  attempt(name: string, address: string, check: () => Promise<boolean>): Promise<boolean>
  /** Where to send the browser. Sets the state cookie; `next` comes back from `finish`. Throws what the authenticator threw. */
  begin(c: Request, method: string, callback: URL, next: string): Promise<URL>
  /**
   * The provider sent the browser back. Checks the state: once, of this browser, at most ten minutes old; throws `invalid`
   * for any other, before the provider is asked.
   */
  finish(c: Request, method: string, callback: URL, address: string): Promise<LoginResult & { next: string }>
  /** Signs in whom the request itself names, by a method of that kind. Throws `missing` for a method that there is not. */
  identify(c: Request, method: string, address: string): Promise<LoginResult>
  /** Does this request, in a session of this user's, name somebody else? A request that names nobody does not. */
  contradicts(c: Request, user: UserRecord, authenticator: string): Promise<boolean>
  /**
   * Ask the authenticator again when the last answer is older than `timeouts.refresh`. Resolves false when the user is none
   * any more; their sessions are then closed. An authenticator that cannot be asked changes nothing.
   */
  refresh(user: UserRecord, authenticator: string): Promise<boolean>
  /** Where the browser of somebody who is signed out goes, to be signed out of the provider, too; undefined: nowhere. Never rejects. */
  leave(user: UserRecord, authenticator: string, back: URL): Promise<URL | undefined>
  /** As `refresh`, whenever the last answer was: of the authenticator that knows this user. True for who has none. */
  recheck(user: UserRecord): Promise<boolean>
}

export interface LoginsParts {
  settings: Pick<Settings, 'authenticators' | 'timeouts'>
  /** The hub's, to sign the state of a redirect with. */
  secret: string
  spelling?: Spelling
  users: Users
  sessions: Sessions
  authStates: AuthStates
  access: Access
  /** As in Core. */
  base: string
  url: URL | undefined
  /** Run the stage `login` around `act`. */
  stage(subject: Login, act: () => Promise<void>): Promise<void>
  /** Call into an authenticator, with a deadline. */
  ask<T>(plugin: string, hook: string, run: (ctx: Context) => Awaitable<T>): Promise<T>
  audit: Audit
  log: Log
}

const unasked = {
  ok: false,
  reason: 'denied',
  message: 'This account asks for more than a password: sign in with a browser, and make a token there.',
} as const

type Outcome = 'right' | 'wrong' | 'undecided'

interface Wait {
  ok: false
  reason: 'wait'
  message: string
  wait: number
}

/** Under which a challenge is held: no method of redirecting is called so. */
const challenged = (method: string) => `${method} asks`

const wrong = { ok: false, reason: 'wrong', message: 'Wrong user name or password.' } as const

export function createLogins({
  settings,
  secret,
  spelling = createSpelling({}),
  users,
  sessions,
  authStates,
  access,
  base,
  url,
  stage,
  ask,
  audit,
  log,
}: LoginsParts): Logins {
  const methods = settings.authenticators.map(plugin => {
    const { kind, label } = plugin.authenticator
    return { plugin, kind, label }
  })
  const throttle = createLoginThrottle()
  const codes = createLoginThrottle(undefined, forCodes)
  const browsers = createKnownBrowsers({ secret, base, url })
  const states = createLoginStates({ secret, base, url })
  const oneAtATime = createQueues()
  /** When an authenticator last answered for a user, monotonic; and who is being asked about now. */
  const answered = new Map<string, number>()
  const asking = new Map<string, Promise<boolean>>()

  function method<K extends Authenticator['kind']>(name: string, kind: K): Extract<Authenticator, { kind: K }> {
    const found = settings.authenticators.find(plugin => plugin.name === name)?.authenticator
    if (found?.kind !== kind) throw new HubError('missing', 'There is no such way to sign in.')
    return found as Extract<Authenticator, { kind: K }>
  }

  const prefixOf = (name: string) => settings.authenticators.find(plugin => plugin.name === name)?.authenticator.prefix ?? ''

  /** Whom this authenticator means: who is bound to the id, else who has the name. */
  const accountOf = (authenticator: string, { id, name }: Identity) =>
    (id !== undefined && users.byIdentity(authenticator, id)) || users.get(name)

  /** From what the authenticator said to a user who may come in. */
  async function enter(authenticator: string, address: string, answer: () => Promise<Identity | null>): Promise<LoginResult> {
    const about = { authenticator, address }
    try {
      const identity = await answer()
      if (!identity) return wrong
      const subject: Login = { identity: { ...renamed(identity, prefixOf(authenticator)) }, authenticator, address }
      let user: UserRecord | undefined
      await stage(subject, async () => {
        const { id, name } = checked(subject.identity)
        user = await oneAtATime(id === undefined ? `name ${name}` : `id ${id}`, () => admit(subject))
      })
      if (!user) throw new Error('the stage login did not come to its end')
      answered.set(user.id, performance.now())
      log.info('signed in', { user: user.name, ...about })
      return { ok: true, user, ...(subject.identity.session !== undefined && { session: subject.identity.session }) }
    } catch (error) {
      if (!isHubError(error) || error.status >= 500) {
        log.error('a sign-in could not be decided', { ...about, error })
        const message = isHubError(error)
          ? error.message
          : 'Whether you may sign in could not be found out. Try again in a minute.'
        return { ok: false, reason: 'unavailable', message }
      }
      if (error.code === 'busy') return { ok: false, reason: 'wait', message: error.message, wait: error.retryAfter ?? 5 }
      log.info('a sign-in was refused', { ...about, why: error.message })
      return { ok: false, reason: 'denied', message: error.message }
    }
  }

  /** One line for each decision; who has to wait has not had one. */
  function note(result: LoginResult, claimed: string | undefined, authenticator: string, address: string): void {
    if (!result.ok && result.reason === 'wait') return
    audit.record({
      action: 'sign-in',
      actor: result.ok ? { kind: 'user', name: result.user.name } : null,
      address,
      target: { user: result.ok ? result.user.name : claimed },
      result: result.ok ? 'success' : result.reason === 'unavailable' ? 'failed' : 'denied',
      details: { authenticator, ...(!result.ok && { why: result.reason }) },
    })
  }

  /** As it must be, under the name that the config gives it, behind the authenticator's prefix. */
  const renamed = (identity: Identity, prefix: string): Identity => {
    const { name, ...rest } = checked(identity)
    return checked({ ...rest, name: spelling.mapped(name) }, prefix)
  }

  /** The access rules, then the user as they are now. */
  async function admit({ identity, authenticator }: Login): Promise<UserRecord> {
    const { id, name } = checked(identity)
    if (!spelling.fits(name)) throw new HubError('denied', 'Your name there cannot be the name of a user here. Ask the admin.')
    const account = accountOf(authenticator, { name, ...(id !== undefined && { id }) })
    if (!account?.identity && !ownerOf(name, settings).some(owner => owner.name === authenticator))
      throw new HubError('denied', 'Names that begin like yours belong to those who sign in another way here. Ask the admin.')
    if (account && !isOf(account, authenticator, id))
      throw new HubError('denied', 'This user name belongs to somebody else here.')
    // By the name that the account has here: who is renamed at the provider does not take over another's rights.
    const groups = groupsOf(identity, account)
    if (!access.admits(account?.name ?? name, groups, account !== undefined))
      throw new HubError('denied', 'You may not sign in to this hub. If you think that you should, ask its admin.')
    const user = account ?? (await users.create(name, { identity: { authenticator, id: id ?? null } }))
    return bringUpToDate(user, authenticator, identity, groups)
  }

  const told = (groups: readonly string[]) => [...new Set(groups.filter(isGroupName))]

  /** All that will be theirs: what the authenticator says, if it does, beside what somebody gave them by hand. */
  function groupsOf({ groups }: Identity, account: UserRecord | undefined): readonly string[] {
    if (!groups) return account ? users.groups.of(account.id) : []
    return [...new Set([...told(groups), ...(account ? users.groups.byHand(account.id) : [])])]
  }

  async function bringUpToDate(user: UserRecord, authenticator: string, identity: Identity, groups: readonly string[]) {
    const sealed = identity.authState == null ? null : authStates.seal(user.id, identity.authState)
    if (identity.groups) await users.groups.tell(user.id, told(identity.groups), authenticator)
    const by = access.makesAdmin(user.name, groups) ? 'access' : identity.admin ? 'authenticator' : undefined
    return users.update(user.id, draft => {
      draft.identity = { authenticator, id: identity.id ?? draft.identity?.id ?? null }
      if (identity.attributes) draft.attributes = identity.attributes
      if (sealed !== null) draft.authState = sealed
      else if (identity.authState !== undefined) delete draft.authState
      decideAdmin(draft, by, identity.admin === false)
    })
  }

  /** Is this user still who they were? What the authenticator says now becomes what they are. */
  async function askAgain(user: UserRecord, authenticator: string): Promise<boolean> {
    const found = settings.authenticators.find(({ name }) => name === authenticator)!.authenticator
    let identity: Identity | null
    try {
      const answer = await ask(authenticator, 'authenticator.refresh', ctx => found.refresh!(users.view(user), ctx))
      identity = answer && renamed(answer, prefixOf(authenticator))
    } catch (error) {
      log.warn('whether a user is still one could not be found out', { user: user.name, authenticator, error })
      // Not with each click while a provider is down.
      answered.set(user.id, performance.now() - settings.timeouts.refresh + Math.min(settings.timeouts.refresh, 30_000))
      return true
    }
    answered.set(user.id, performance.now())
    const current = users.byId(user.id)
    if (!current) return false
    const groups = identity ? groupsOf(identity, current) : []
    if (identity && isOf(current, authenticator, identity.id) && access.admits(current.name, groups, true)) {
      await bringUpToDate(current, authenticator, identity, groups)
      return true
    }
    log.info('a user may not be signed in any more', { user: user.name, authenticator })
    await sessions.closeAll(user.id)
    return false
  }

  /** Who asks while it is being asked waits for the same answer. */
  function askOnce(user: UserRecord, authenticator: string): Promise<boolean> {
    const key = `${authenticator} ${user.id}`
    const running = asking.get(key) ?? audit.byItself(() => askAgain(user, authenticator)).finally(() => asking.delete(key))
    asking.set(key, running)
    return running
  }

  /** One try: not looked at while its time has not come, counted while it goes on. */
  async function guarded<R>(
    by: LoginThrottle,
    name: string | undefined,
    from: From,
    run: () => Promise<{ result: R; outcome: Outcome }>,
  ): Promise<R | Wait> {
    const wait = by.wait(name, from)
    if (wait > 0) {
      const message = `There were too many failed tries. Try again in ${wait} second${wait === 1 ? '' : 's'}.`
      return { ok: false, reason: 'wait', message, wait }
    }
    const done = by.count(name, from)
    let outcome: Outcome = 'undecided'
    try {
      const decided = await run()
      outcome = decided.outcome
      return decided.result
    } finally {
      done(outcome)
    }
  }

  /** What an authenticator says to a password or an answer: who it is, that it is nobody, or that it wants to know more. */
  async function decide(
    { name, user, from, c }: { name: string; user: string; from: From; c: Request | undefined },
    hook: string,
    run: (ctx: Context) => Promise<Identity | Challenge | null>,
  ): Promise<LoginResult | Asked> {
    let challenge: Challenge | undefined
    const result = await enter(name, from.address, async () => {
      const said = await ask(name, hook, run)
      if (!said || !('question' in said)) return said
      challenge = said
      return null
    })
    if (!challenge) return result
    if (!c) return unasked
    const text = JSON.stringify({ user, state: challenge.state })
    if (text.length > 1800) throw new Error(`the state of a challenge of ${name} is too long`)
    return { ok: false, reason: 'asked', challenge, held: states.begin(c, challenged(name), text) }
  }

  async function byPassword(
    name: string,
    { username, password }: { username: string; password: string },
    address: string,
    c?: Request,
  ): Promise<LoginResult | Asked> {
    const authenticator = method(name, 'password')
    const user = username.length > 1024 ? undefined : normalizeUsername(username)
    const from = { address, browser: c && user !== undefined ? browsers.of(c, user) : undefined }
    return guarded<LoginResult | Asked>(throttle, user, from, async () => {
      const canBe = user !== undefined && password !== '' && password.length <= 4096
      const check = (ctx: Context) =>
        authenticator.check({ username: user!, password, from: from.browser ?? networkOf(address) }, ctx)
      const result = canBe ? await decide({ name, user, from, c }, 'authenticator.check', check) : wrong
      if (isAsked(result)) return { result, outcome: 'undecided' }
      note(result, user ?? username, name, address)
      if (result === wrong) log.info('a sign-in failed', { name: username.slice(0, 64), authenticator: name, address })
      if (result.ok && c) browsers.remember(c, user!)
      return { result, outcome: outcomeOf(result) }
    })
  }

  return {
    methods,

    async password(name, credentials, address) {
      const result = await byPassword(name, credentials, address)
      return isAsked(result) ? unasked : result
    },

    signIn: (c, name, credentials, address) => byPassword(name, credentials, address, c),

    async answer(c, name, { held, answer }, address) {
      const authenticator = method(name, 'password')
      const kept = states.finish(c, challenged(name), held)
      if (!kept || !authenticator.answer)
        return {
          ok: false,
          reason: 'denied',
          message: 'This sign-in took too long, was used already, or was begun in another browser. Sign in again.',
        }
      const { user, state }: { user: string; state: string } = JSON.parse(kept)
      const from = { address, browser: browsers.of(c, user) }
      return guarded<LoginResult | Asked>(codes, user, from, async () => {
        const ask = (ctx: Context) => authenticator.answer!({ state, answer: answer.slice(0, 1024) }, ctx)
        const result = await decide({ name, user, from, c }, 'authenticator.answer', ask)
        if (isAsked(result)) {
          if (result.challenge.problem === undefined) return { result, outcome: 'undecided' }
          note(wrong, user, name, address)
          return { result, outcome: 'wrong' }
        }
        note(result, user, name, address)
        if (result.ok) {
          throttle.count(user, from)('right')
          browsers.remember(c, user)
        }
        return { result, outcome: outcomeOf(result) }
      })
    },

    async attempt(name, address, check) {
      const result = await guarded<boolean>(throttle, name, { address }, async () => {
        const result = await check()
        return { result, outcome: result ? 'right' : 'wrong' }
      })
      if (typeof result === 'boolean') return result
      throw new HubError('busy', result.message, { retryAfter: result.wait })
    },

    async begin(c, name, callback, next) {
      const authenticator = method(name, 'redirect')
      const state = states.begin(c, name, next)
      return ask(name, 'authenticator.begin', ctx => authenticator.begin({ callback, state }, ctx))
    },

    async finish(c, name, callback, address) {
      const authenticator = method(name, 'redirect')
      const query = new URL(c.req.url).searchParams
      const next = states.finish(c, name, query.get('state') ?? '')
      if (next === undefined)
        throw new HubError(
          'invalid',
          'This sign-in took too long, was used already, or was begun in another browser. Sign in again.',
        )
      let claimed: string | undefined
      const result = await enter(name, address, async () => {
        const identity = await ask(name, 'authenticator.finish', ctx => authenticator.finish({ callback, query }, ctx))
        if (typeof identity?.name === 'string') claimed = identity.name
        return identity
      })
      note(result, claimed, name, address)
      if (result !== wrong) return { ...result, next }
      return { ok: false, reason: 'denied', message: 'The sign-in was refused there, or given up.', next }
    },

    async identify(c, name, address) {
      const authenticator = method(name, 'request')
      let claimed: string | undefined
      const result = await enter(name, address, async () => {
        const identity = await ask(name, 'authenticator.identify', ctx => authenticator.identify(shown(c, authenticator), ctx))
        if (typeof identity?.name === 'string') claimed = identity.name
        return identity
      })
      note(result, claimed, name, address)
      if (result !== wrong) return result
      const message = 'Nothing in front of this hub says who you are. Open it by the address that your organisation gave you.'
      return { ok: false, reason: 'denied', message }
    },

    async contradicts(c, user, name) {
      const found = settings.authenticators.find(plugin => plugin.name === name)?.authenticator
      if (found?.kind !== 'request') return false
      const headers = shown(c, found)
      if (headers.size === 0) return false
      const said = await ask(name, 'authenticator.identify', ctx => found.identify(headers, ctx))
      return said !== null && accountOf(name, renamed(said, prefixOf(name)))?.id !== user.id
    },

    async refresh(user, authenticator) {
      const found = settings.authenticators.find(({ name }) => name === authenticator)?.authenticator
      if (!found) {
        await sessions.closeAll(user.id)
        return false
      }
      const age = performance.now() - (answered.get(user.id) ?? Number.NEGATIVE_INFINITY)
      return !found.refresh || age < settings.timeouts.refresh || askOnce(user, authenticator)
    },

    async recheck(user) {
      const authenticator = user.identity?.authenticator
      const found = settings.authenticators.find(({ name }) => name === authenticator)?.authenticator
      if (authenticator === undefined) return true
      return found !== undefined && (!found.refresh || askOnce(user, authenticator))
    },

    async leave(user, authenticator, back) {
      const found = settings.authenticators.find(({ name }) => name === authenticator)?.authenticator
      if (!found?.leave) return undefined
      try {
        return (await ask(authenticator, 'authenticator.leave', ctx => found.leave!(users.view(user), back, ctx))) ?? undefined
      } catch (error) {
        log.warn('where somebody signs out at the provider could not be found out', { user: user.name, authenticator, error })
        return undefined
      }
    },
  }
}

/**
 * Make or unmake an admin: `by` is who says so now. What the config or the authenticator gave, they can take back; what
 * another admin gave stays, unless the authenticator says no outright.
 */
export function decideAdmin(draft: UserRecord, by: UserRecord['adminBy'], refused = false): void {
  if (by && (!draft.admin || draft.adminBy)) Object.assign(draft, { admin: true, adminBy: by })
  if (!by && (draft.adminBy || refused)) {
    draft.admin = false
    delete draft.adminBy
  }
}

const isAsked = (result: LoginResult | Asked): result is Asked => !result.ok && result.reason === 'asked'

const outcomeOf = (result: LoginResult): Outcome => (result.ok ? 'right' : result.reason === 'wrong' ? 'wrong' : 'undecided')

/** May this account be had by whom this authenticator knows under this id? One that nobody has yet is theirs from then on. */
function isOf({ identity }: UserRecord, authenticator: string, id: string | undefined): boolean {
  if (!identity) return true
  return identity.authenticator === authenticator && (identity.id === null || identity.id === id)
}

/** Of the headers that the authenticator looks at, those that came. See front-door.ts for whom they come from. */
function shown(c: Request, { headers }: RequestAuthenticator): ReadonlyMap<string, string> {
  const names = headers.map(name => name.toLowerCase())
  return new Map(names.flatMap((name): [string, string][] => (c.req.header(name) ? [[name, c.req.header(name)!]] : [])))
}

/** An identity as it must be, whoever wrote the plugin, with the name in its one spelling. Nothing else is taken over. */
function checked({ name, id, groups, admin, attributes, authState, session }: Identity, prefix = ''): Identity {
  const own = typeof name === 'string' ? normalizeUsername(name) : undefined
  const spelled = own === undefined ? undefined : normalizeUsername(prefix + own)
  if (spelled === undefined) throw new HubError('denied', 'Your name there cannot be the name of a user here. Ask the admin.')
  if (id !== undefined && (typeof id !== 'string' || id === '')) throw new TypeError('the id of an identity is not a text')
  if (groups !== undefined && !(Array.isArray(groups) && groups.every(group => typeof group === 'string')))
    throw new TypeError('the groups of an identity are not a list of texts')
  if (session !== undefined && typeof session !== 'string') throw new TypeError('the session of an identity is not a text')
  return {
    name: spelled,
    ...(id !== undefined && { id }),
    ...(groups && { groups }),
    ...(admin !== undefined && { admin: admin === true }),
    ...(attributes && { attributes }),
    ...(authState !== undefined && { authState }),
    ...(session !== undefined && { session }),
  }
}

/** Work with the same key, one after the other. */
function createQueues() {
  const ends = new Map<string, Promise<unknown>>()
  return async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const turn = (ends.get(key) ?? Promise.resolve()).then(work, work)
    ends.set(key, turn)
    try {
      return await turn
    } finally {
      if (ends.get(key) === turn) ends.delete(key)
    }
  }
}
