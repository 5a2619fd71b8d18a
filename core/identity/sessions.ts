import { randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import { type Audit, unrecorded } from '../audit.ts'
import type { SessionRecord, UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Means } from './activity.ts'
import { browserName } from './browser-name.ts'
import { cookieNames, cookieValues, hubCookie, setHubCookie } from './cookies.ts'
import { fingerprint, newSecret } from './secrets.ts'
import type { Users } from './users.ts'
import { xsrfToken } from './xsrf.ts'

/** Signed-in browsers: the cookies `jupyterhub-hub-login` (path: the hub's) and `jupyterhub-session-id` (path: the base). */
export interface Sessions {
  /** Who is signed in with this request's cookie? undefined for nobody, and for whom the access rules do not admit any more. */
  find(c: Context): { owner: UserRecord; record: SessionRecord } | undefined
  /**
   * Sign in: a new session id and a new login cookie, whatever the browser brought, and the `_xsrf` cookie that goes with them.
   * `provider`: how the authenticator's provider calls this sign-in.
   */
  open(c: Context, userId: string, authenticator: string, provider?: string): Promise<void>
  /** Sign out: ends the session, revokes the tokens issued in it, clears the cookies. Without a session it only clears cookies. */
  close(c: Context): Promise<UserRecord | undefined>
  /** The browsers that a user is signed in with, the one that came last first. */
  of(userId: string): readonly SessionRecord[]
  /** End all sessions of a user, or those that match, and revoke the tokens issued in them. Does nothing for nobody. */
  closeAll(userId: string, matches?: (session: SessionRecord) => boolean): Promise<void>
  /** End what has expired, and what nobody has used for too long: until then it opens nothing, but is told to nobody. */
  sweep(): Promise<void>
  /** The value of `jupyterhub-session-id`; sets the cookie when the browser has none, or not the one of its session. */
  sessionId(c: Context): string
}

/** Browsers that one user may be signed in with at the same time; the one that signed in first gives way. */
const most = 100

/**
 * `base` and `url` as in Core; `secret` and `hostPrefix` as for Xsrf; `admits` is asked at each request. `lifetime` and `idle` in
 * milliseconds: from the sign-in, and from the last use of the session or of a token issued in it. `ended` is called for each
 * session that is no more, when that is written down.
 */
export function createSessions({
  store,
  users,
  audit = unrecorded,
  base,
  url,
  lifetime,
  idle = Number.POSITIVE_INFINITY,
  secret = store.hub.data.secret,
  hostPrefix = false,
  admits = () => true,
  ended = () => {},
}: {
  store: Store
  users: Users
  audit?: Audit
  base: string
  url: URL | undefined
  lifetime: number
  idle?: number | undefined
  secret?: string
  hostPrefix?: boolean
  admits?: (owner: UserRecord, session: SessionRecord) => boolean
  ended?: ((sessionId: string) => void) | undefined
}): Sessions {
  const login = hubCookie(cookieNames.login, { base, hostPrefix })
  const xsrf = hubCookie(cookieNames.xsrf, { base, hostPrefix })
  /** What this request has changed: its cookies still tell how it was before. */
  const changed = new WeakMap<Context, { hash?: string; sessionId?: string }>()

  const find: Sessions['find'] = c => {
    const now = changed.get(c)
    const hashes = now && 'hash' in now ? [now.hash ?? ''] : cookieValues(c, login.name).slice(0, 8).map(fingerprint)
    const found = hashes
      .map(hash => store.bySession.get(hash))
      .find(found => found && isAlive(found.owner, found.record) && admits(found.owner, found.record))
    if (found) users.used(found.owner.id, { session: found.record.hash }, new Date(), audit.address())
    return found
  }

  function isAlive(owner: UserRecord, { hash, sessionId, created, expires }: SessionRecord): boolean {
    const now = Date.now()
    if (Date.parse(expires) <= now) return false
    const isRecent = (at: string | null) => at !== null && now - Date.parse(at) < idle
    const used = (by: Means) => isRecent(users.lastUse(owner.id, by).at)
    return (
      isRecent(created) ||
      used({ session: hash }) ||
      owner.tokens.some(one => one.sessionId === sessionId && used({ token: one.id }))
    )
  }

  /** The tokens that were issued in a session end with it. */
  async function keep(userId: string, choose: (sessions: SessionRecord[]) => SessionRecord[]): Promise<void> {
    let gone: SessionRecord[] = []
    await users.update(userId, draft => {
      const kept = choose(draft.sessions)
      const ids = new Set(kept.map(({ sessionId }) => sessionId))
      gone = draft.sessions.filter(({ sessionId }) => !ids.has(sessionId))
      draft.sessions = kept
      draft.tokens = draft.tokens.filter(({ sessionId }) => sessionId === null || ids.has(sessionId))
    })
    for (const { sessionId } of gone) ended(sessionId)
  }

  const end = (userId: string, ends: (session: SessionRecord) => boolean) =>
    keep(userId, sessions => sessions.filter(session => !ends(session)))

  return {
    find,
    async open(c, userId, authenticator, provider) {
      const [value, sessionId, now] = [newSecret(), newSessionId(), Date.now()]
      const record: SessionRecord = {
        hash: fingerprint(value),
        sessionId,
        authenticator,
        created: new Date(now).toISOString(),
        expires: new Date(now + lifetime).toISOString(),
        browser: browserName(c.req.header('user-agent')),
        ...(provider !== undefined && { provider }),
      }
      const before = find(c)
      if (before) await end(before.owner.id, ({ hash }) => hash === before.record.hash)
      const owner = store.byId.get(userId)
      await keep(userId, sessions => [...sessions.filter(session => owner && isAlive(owner, session)), record].slice(-most))
      users.used(userId, { session: record.hash }, new Date(now), audit.address())
      changed.set(c, { hash: record.hash, sessionId })
      setHubCookie(c, login.name, value, { path: login.path, url, maxAge: Math.floor(lifetime / 1000) })
      setHubCookie(c, cookieNames.session, sessionId, { path: base, url })
      setHubCookie(c, xsrf.name, xsrfToken(secret, { session: record.hash }), { path: xsrf.path, url })
    },
    async close(c) {
      const found = find(c)
      if (found) await end(found.owner.id, ({ hash }) => hash === found.record.hash)
      changed.set(c, { hash: undefined, sessionId: undefined })
      setHubCookie(c, login.name, '', { path: login.path, url, maxAge: 0 })
      setHubCookie(c, cookieNames.session, '', { path: base, url, maxAge: 0 })
      setHubCookie(c, xsrf.name, '', { path: xsrf.path, url, maxAge: 0 })
      setHubCookie(c, cookieNames.services, '', { path: `${base}services`, url, maxAge: 0 })
      const owner = found && store.byId.get(found.owner.id)
      if (owner) audit.record({ action: 'sign-out', actor: { kind: 'user', name: owner.name }, target: { user: owner.name } })
      return owner
    },
    of(userId) {
      const owner = store.byId.get(userId)
      return owner ? owner.sessions.filter(session => isAlive(owner, session)).reverse() : []
    },
    async closeAll(userId, matches = () => true) {
      const { sessions = [], name } = store.byId.get(userId) ?? {}
      const count = sessions.filter(matches).length
      await end(userId, matches)
      if (count > 0) audit.record({ action: 'sign-out', target: { user: name }, details: { sessions: count } })
    },
    async sweep() {
      for (const owner of [...users.all()]) {
        if (owner.sessions.some(session => !isAlive(owner, session))) await end(owner.id, session => !isAlive(owner, session))
      }
    },
    sessionId(c) {
      const own = find(c)?.record.sessionId
      const now = changed.get(c)
      const has = now && 'sessionId' in now ? [now.sessionId ?? ''] : cookieValues(c, cookieNames.session)
      const kept = has.find(id => (own === undefined ? /^[0-9a-f]{32}$/.test(id) : id === own))
      if (kept !== undefined) return kept
      const id = own ?? newSessionId()
      changed.set(c, { ...now, sessionId: id })
      setHubCookie(c, cookieNames.session, id, { path: base, url })
      return id
    },
  }
}

/** It looks as JupyterHub's does: servers read it. */
const newSessionId = () => randomBytes(16).toString('hex')
