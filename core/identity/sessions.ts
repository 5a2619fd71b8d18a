import { randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import { type Audit, unrecorded } from '../audit.ts'
import type { SessionRecord, UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
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
  /** The value of `jupyterhub-session-id`; sets the cookie when the browser has none, or not the one of its session. */
  sessionId(c: Context): string
}

/** Browsers that one user may be signed in with at the same time; the one that signed in first gives way. */
const most = 100

/** `base` and `url` as in Core; `secret` and `hostPrefix` as for Xsrf; `lifetime` in milliseconds; `admits` is asked at each request. */
export function createSessions({
  store,
  users,
  audit = unrecorded,
  base,
  url,
  lifetime,
  secret = store.hub.data.secret,
  hostPrefix = false,
  admits = () => true,
}: {
  store: Store
  users: Users
  audit?: Audit
  base: string
  url: URL | undefined
  lifetime: number
  secret?: string
  hostPrefix?: boolean
  admits?: (owner: UserRecord, session: SessionRecord) => boolean
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
      .find(found => found && isAlive(found.record) && admits(found.owner, found.record))
    if (found) users.used(found.owner.id, { session: found.record.hash }, new Date(), audit.address())
    return found
  }

  const end = (userId: string, ends: (session: SessionRecord) => boolean) =>
    users.update(userId, draft =>
      keepOnly(
        draft,
        draft.sessions.filter(session => !ends(session)),
      ),
    )

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
      await users.update(userId, draft => {
        const alive = draft.sessions.filter(({ expires }) => Date.parse(expires) > now)
        keepOnly(draft, [...alive, record].slice(-most))
      })
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
    of: userId => (store.byId.get(userId)?.sessions ?? []).filter(isAlive).reverse(),
    async closeAll(userId, matches = () => true) {
      const { sessions = [], name } = store.byId.get(userId) ?? {}
      const count = sessions.filter(matches).length
      await end(userId, matches)
      if (count > 0) audit.record({ action: 'sign-out', target: { user: name }, details: { sessions: count } })
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

/** Sessions end together with the tokens that were issued in them. */
function keepOnly(draft: UserRecord, sessions: SessionRecord[]): void {
  const kept = new Set(sessions.map(({ sessionId }) => sessionId))
  draft.sessions = sessions
  draft.tokens = draft.tokens.filter(({ sessionId }) => sessionId === null || kept.has(sessionId))
}

const isAlive = ({ expires }: SessionRecord) => Date.parse(expires) > Date.now()

/** It looks as JupyterHub's does: servers read it. */
const newSessionId = () => randomBytes(16).toString('hex')
