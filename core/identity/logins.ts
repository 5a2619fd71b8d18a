import { isIPv6 } from 'node:net'
import type { Context as Request } from 'hono'
import type { Settings } from '../config/schema.ts'
import { HubError, isHubError } from '../errors.ts'
import { normalizeUsername } from '../names.ts'
import type { Authenticator, Awaitable, Context, Identity, Log, Login, Plugin } from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'
import type { Access } from './access.ts'
import { cookieValues, setHubCookie } from './cookies.ts'
import { isGroupName } from './groups.ts'
import { fingerprint, newSecret, same, sign } from './secrets.ts'
import type { Sessions } from './sessions.ts'
import { createThrottle } from './throttle.ts'
import type { Users } from './users.ts'

export type LoginResult =
  | { ok: true; user: UserRecord }
  /** What the form says. `wait`: seconds until the next try is looked at. */
  | { ok: false; reason: 'wrong' | 'denied' | 'unavailable' | 'wait'; message: string; wait?: number }

/**
 * The stage `login`: ask the authenticator, normalise the name, `before:login`, the access rules, then make or bring up to
 * date the user. Fails closed: whatever throws lets nobody in. Counts failures per name and per address and lets them wait.
 */
export interface Logins {
  /** Authenticators in config order. */
  readonly methods: readonly { plugin: Plugin; kind: 'password' | 'redirect'; label: string }[]
  /** Throws `missing` for a method that there is not. */
  password(method: string, credentials: { username: string; password: string }, address: string): Promise<LoginResult>
  /** Where to send the browser. Sets the state cookie; `next` comes back from `finish`. Throws what the authenticator threw. */
  begin(c: Request, method: string, callback: URL, next: string): Promise<URL>
  /**
   * The provider sent the browser back. Checks the state: once, of this browser, at most ten minutes old; throws `invalid`
   * for any other, before the provider is asked.
   */
  finish(c: Request, method: string, callback: URL, address: string): Promise<LoginResult & { next: string }>
  /**
   * Ask the authenticator again when the last answer is older than `timeouts.refresh`. Resolves false when the user is none
   * any more; their sessions are then closed. An authenticator that cannot be asked changes nothing.
   */
  refresh(user: UserRecord, authenticator: string): Promise<boolean>
}

export interface LoginsParts {
  settings: Pick<Settings, 'authenticators' | 'timeouts'>
  /** The hub's, to sign the state of a redirect with. */
  secret: string
  users: Users
  sessions: Sessions
  access: Access
  /** As in Core. */
  base: string
  url: URL | undefined
  /** Run the stage `login` around `act`. */
  stage(subject: Login, act: () => Promise<void>): Promise<void>
  /** Call into an authenticator, with a deadline. */
  ask<T>(plugin: string, hook: string, run: (ctx: Context) => Awaitable<T>): Promise<T>
  log: Log
}

const wrong = { ok: false, reason: 'wrong', message: 'Wrong user name or password.' } as const

/** Milliseconds that a browser may stay at the provider. */
const patience = 600_000

export function createLogins({ settings, secret, users, sessions, access, base, url, stage, ask, log }: LoginsParts): Logins {
  const methods = settings.authenticators.map(plugin => {
    const { kind, label } = plugin.authenticator
    return { plugin, kind, label }
  })
  const throttle = createLoginThrottle()
  const oneAtATime = createQueues()
  /** States of redirects that came back, until they would be too old anyway. */
  const spent = new Map<string, number>()
  /** When an authenticator last answered for a user, monotonic; and who is being asked about now. */
  const answered = new Map<string, number>()
  const asking = new Map<string, Promise<boolean>>()

  function method<K extends Authenticator['kind']>(name: string, kind: K): Extract<Authenticator, { kind: K }> {
    const found = settings.authenticators.find(plugin => plugin.name === name)?.authenticator
    if (found?.kind !== kind) throw new HubError('missing', 'There is no such way to sign in.')
    return found as Extract<Authenticator, { kind: K }>
  }

  /** From what the authenticator said to a user who may come in. */
  async function enter(authenticator: string, address: string, answer: () => Promise<Identity | null>): Promise<LoginResult> {
    const about = { authenticator, address }
    try {
      const identity = await answer()
      if (!identity) return wrong
      const subject: Login = { identity: { ...checked(identity) }, authenticator, address }
      let user: UserRecord | undefined
      await stage(subject, async () => {
        const { id, name } = checked(subject.identity)
        user = await oneAtATime(id === undefined ? `name ${name}` : `id ${id}`, () => admit(subject))
      })
      if (!user) throw new Error('the stage login did not come to its end')
      answered.set(user.id, performance.now())
      log.info('signed in', { user: user.name, ...about })
      return { ok: true, user }
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

  /** The access rules, then the user as they are now. */
  async function admit({ identity, authenticator }: Login): Promise<UserRecord> {
    const { id, name } = checked(identity)
    const account = (id !== undefined && users.byIdentity(authenticator, id)) || users.get(name)
    if (account && !isOf(account, authenticator, id))
      throw new HubError('denied', 'This user name belongs to somebody else here.')
    // By the name that the account has here: who is renamed at the provider does not take over another's rights.
    const groups = groupsOf(identity, account)
    if (!access.admits(account?.name ?? name, groups))
      throw new HubError('denied', 'You may not sign in to this hub. If you think that you should, ask its admin.')
    const user = account ?? (await users.create(name, { identity: { authenticator, id: id ?? null } }))
    return bringUpToDate(user, authenticator, identity, groups)
  }

  const groupsOf = ({ groups }: Identity, account: UserRecord | undefined): readonly string[] =>
    groups ? [...new Set(groups.filter(isGroupName))] : account ? users.groups.of(account.id) : []

  async function bringUpToDate(user: UserRecord, authenticator: string, identity: Identity, groups: readonly string[]) {
    if (identity.groups) await users.groups.set(user.id, groups)
    const by = access.makesAdmin(user.name, groups) ? 'access' : identity.admin ? 'authenticator' : undefined
    return users.update(user.id, draft => {
      draft.identity = { authenticator, id: identity.id ?? draft.identity?.id ?? null }
      if (identity.attributes) draft.attributes = identity.attributes
      decideAdmin(draft, by, identity.admin === false)
    })
  }

  /** Is this user still who they were? What the authenticator says now becomes what they are. */
  async function askAgain(user: UserRecord, authenticator: string): Promise<boolean> {
    const { refresh } = settings.authenticators.find(({ name }) => name === authenticator)!.authenticator
    let identity: Identity | null
    try {
      const answer = await ask(authenticator, 'authenticator.refresh', ctx => refresh!(users.view(user), ctx))
      identity = answer && checked(answer)
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
    if (identity && isOf(current, authenticator, identity.id) && access.admits(current.name, groups)) {
      await bringUpToDate(current, authenticator, identity, groups)
      return true
    }
    log.info('a user may not be signed in any more', { user: user.name, authenticator })
    await sessions.closeAll(user.id)
    return false
  }

  const stateCookie = (state: string) => `swarmhub-login-${fingerprint(state).slice(0, 8)}`
  const sealed = (state: string, text: string) => `${text}.${sign(secret, 'login', `${state}\0${text}`)}`

  /** What `begin` put into the cookie, if it is of this state. */
  function unseal(cookie: string, state: string): { method: string; next: string; at: number } | undefined {
    const text = cookie.slice(0, Math.max(0, cookie.indexOf('.')))
    return same(cookie, sealed(state, text)) ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined
  }

  function spend(state: string): boolean {
    const now = performance.now()
    for (const [old, until] of spent) if (until < now || spent.size > 10_000) spent.delete(old)
    if (spent.has(state)) return false
    spent.set(state, now + patience)
    return true
  }

  return {
    methods,

    async password(name, { username, password }, address) {
      const authenticator = method(name, 'password')
      const user = username.length > 1024 ? undefined : normalizeUsername(username)
      const wait = throttle.wait(user, address)
      if (wait > 0) {
        const message = `There were too many failed sign-ins. Try again in ${wait} second${wait === 1 ? '' : 's'}.`
        return { ok: false, reason: 'wait', message, wait }
      }
      const done = throttle.count(user, address)
      const canBe = user !== undefined && password !== '' && password.length <= 4096
      const check = (ctx: Context) => authenticator.check({ username: user!, password }, ctx)
      const result = canBe ? await enter(name, address, async () => ask(name, 'authenticator.check', check)) : wrong
      done(result.ok ? 'right' : result.reason === 'wrong' ? 'wrong' : 'undecided')
      if (result === wrong) log.info('a sign-in failed', { name: username.slice(0, 64), authenticator: name, address })
      return result
    },

    async begin(c, name, callback, next) {
      const authenticator = method(name, 'redirect')
      const state = newSecret()
      const text = JSON.stringify({ method: name, next: next.length > 2000 ? '' : next, at: Date.now() })
      setHubCookie(c, stateCookie(state), sealed(state, Buffer.from(text).toString('base64url')), {
        path: `${base}hub/`,
        url,
        maxAge: patience / 1000,
      })
      return ask(name, 'authenticator.begin', ctx => authenticator.begin({ callback, state }, ctx))
    },

    async finish(c, name, callback, address) {
      const authenticator = method(name, 'redirect')
      const query = new URL(c.req.url).searchParams
      const state = query.get('state') ?? ''
      const cookies = cookieValues(c, stateCookie(state)).slice(0, 8)
      const begun = cookies.map(cookie => unseal(cookie, state)).find(begun => begun !== undefined)
      if (cookies.length > 0) setHubCookie(c, stateCookie(state), '', { path: `${base}hub/`, url, maxAge: 0 })
      const age = begun ? Date.now() - begun.at : Number.NaN
      if (begun?.method !== name || !(age >= 0 && age < patience) || !spend(state))
        throw new HubError(
          'invalid',
          'This sign-in took too long, was used already, or was begun in another browser. Sign in again.',
        )
      const result = await enter(name, address, async () =>
        ask(name, 'authenticator.finish', ctx => authenticator.finish({ callback, query }, ctx)),
      )
      if (result !== wrong) return { ...result, next: begun.next }
      return { ok: false, reason: 'denied', message: 'The sign-in was refused there, or given up.', next: begun.next }
    },

    async refresh(user, authenticator) {
      const found = settings.authenticators.find(({ name }) => name === authenticator)?.authenticator
      if (!found) {
        await sessions.closeAll(user.id)
        return false
      }
      const age = performance.now() - (answered.get(user.id) ?? Number.NEGATIVE_INFINITY)
      if (!found.refresh || age < settings.timeouts.refresh) return true
      const key = `${authenticator} ${user.id}`
      const running = asking.get(key) ?? askAgain(user, authenticator).finally(() => asking.delete(key))
      asking.set(key, running)
      return running
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

/** May this account be had by whom this authenticator knows under this id? One that nobody has yet is theirs from then on. */
function isOf({ identity }: UserRecord, authenticator: string, id: string | undefined): boolean {
  if (!identity) return true
  return identity.authenticator === authenticator && (identity.id === null || identity.id === id)
}

/** An identity as it must be, whoever wrote the plugin, with the name in its one spelling. Nothing else is taken over. */
function checked({ name, id, groups, admin, attributes }: Identity): Identity {
  const spelled = typeof name === 'string' ? normalizeUsername(name) : undefined
  if (spelled === undefined) throw new HubError('denied', 'Your name there cannot be the name of a user here. Ask the admin.')
  if (id !== undefined && (typeof id !== 'string' || id === '')) throw new TypeError('the id of an identity is not a text')
  if (groups !== undefined && !(Array.isArray(groups) && groups.every(group => typeof group === 'string')))
    throw new TypeError('the groups of an identity are not a list of texts')
  return {
    name: spelled,
    ...(id !== undefined && { id }),
    ...(groups && { groups }),
    ...(admin !== undefined && { admin: admin === true }),
    ...(attributes && { attributes }),
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

/**
 * Who guesses waits, who is guessed at does not: the delay grows for a name from one address. A name that is guessed from
 * everywhere waits as well, but not where its owner has come from before. An address alone is slowed down only gently: a
 * whole class may be behind it.
 */
function createLoginThrottle() {
  const pairs = createThrottle({ free: 5, memory: 60, longest: 300 })
  const names = createThrottle({ free: 30, memory: 30, longest: 60 })
  const addresses = createThrottle({ free: 100, memory: 1, longest: 20 })
  /** Pairs that were right once. */
  const known = new Set<string>()

  return {
    wait(name: string | undefined, address: string): number {
      const from = networkOf(address)
      const waits = [addresses.wait(from)]
      if (name !== undefined) {
        const pair = `${from} ${name}`
        waits.push(pairs.wait(pair))
        if (!known.has(pair)) waits.push(names.wait(name))
      }
      return Math.max(...waits)
    },
    /** A try begins; tell how it ended. */
    count(name: string | undefined, address: string): (outcome: 'right' | 'wrong' | 'undecided') => void {
      const from = networkOf(address)
      const pair = `${from} ${name}`
      if (name !== undefined) {
        pairs.count(pair)
        names.count(name)
      }
      return outcome => {
        if (outcome === 'wrong') return addresses.count(from)
        if (name === undefined) return
        pairs.takeBack(pair)
        names.takeBack(name)
        if (outcome !== 'right') return
        pairs.forget(pair)
        known.add(pair)
        if (known.size > 10_000) for (const oldest of known) return void known.delete(oldest)
      }
    },
  }
}

/** An IPv4 address, or the /64 of an IPv6 one: that much a single household has. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (!isIPv6(plain)) return plain.slice(0, 64)
  const [left = [], right = []] = plain.split('::').map(part => part.split(':').filter(Boolean))
  const groups = [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
