import { type Audit, unrecorded } from '../audit.ts'
import { HubError } from '../errors.ts'
import type { Caller } from '../plugin.ts'
import type { TokenRecord, UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Roles } from './roles.ts'
import { covers, holds, intersect } from './scopes.ts'
import { fingerprint, newSecret } from './secrets.ts'
import type { Users } from './users.ts'

/** API tokens, server tokens and OAuth access tokens: 256 random bits, kept as SHA-256, found by their hash. */
export interface Tokens {
  /**
   * Mint a token for a user; durable when it resolves. The secret is told this once. `scopes` are raw; `expires` in
   * milliseconds from now, null for never. A server's token has the scopes of the role `server` unless said. Throws `invalid` for what is no scope and for one token too many, `missing` for
   * a user that is none, and `denied` when the session of `sessionId` is no more.
   */
  create(
    userId: string,
    options: Pick<TokenRecord, 'kind'> &
      Partial<Pick<TokenRecord, 'note' | 'scopes' | 'sessionId' | 'client' | 'server' | 'generation'>> & {
        expires?: number | null
      },
  ): Promise<{ secret: string; record: TokenRecord }>
  /** Who carries this secret? undefined for unknown, expired and revoked ones, and for users whom the config keeps out. Notes its use. */
  find(secret: string): { owner: UserRecord; record: TokenRecord } | undefined
  /** Is this text a token of somebody? It is not used by this: for masking it. */
  isToken(text: string): boolean
  /** By the number in its id `a<number>`. */
  get(userId: string, number: number): TokenRecord | undefined
  /** Revoke all of this user's tokens that match. Durable when it resolves; resolves with how many there were. */
  revoke(userId: string, matches: (token: TokenRecord) => boolean): Promise<number>
  /** Revoke the tokens that were issued to this OAuth client, whoever owns them: when its server stops. As `revoke`. */
  revokeIssuedTo(client: string): Promise<number>
  /** What this token may do now: expanded, cut to what its owner may do now. */
  scopes(owner: UserRecord, record: TokenRecord): ReadonlySet<string>
  /** The scopes that a user has, signed in on the web. */
  userScopes(owner: UserRecord): ReadonlySet<string>
  /** A caller out of a token or of a session (`record` undefined). */
  caller(owner: UserRecord, record?: TokenRecord): Caller
}

/** What every token may do, unless it inherits all: say whose it is. */
export const identify = ['read:users:name!user', 'read:users:groups!user'] as const

/** `isOut` is asked at each use, and so is `granted`: the scopes that somebody has beside those of their roles. */
export function createTokens({
  store,
  users,
  roles,
  audit = unrecorded,
  isOut = () => false,
  granted = () => [],
}: {
  store: Store
  users: Users
  roles: Roles
  audit?: Audit
  isOut?: (owner: UserRecord) => boolean
  granted?: (owner: UserRecord) => readonly string[]
}): Tokens {
  let last = 0
  for (const { tokens } of store.byId.values()) for (const { id } of tokens) last = Math.max(last, id)

  const groupsOf = (name: string) => {
    const user = store.byName.get(name)
    return user ? users.groups.of(user.id) : []
  }

  const nameOf = (userId: string) => store.byId.get(userId)?.name ?? ''

  const userScopes: Tokens['userScopes'] = owner =>
    roles.expand([...roles.behind(owner).flatMap(roles.scopesOf), ...granted(owner)], { owner: owner.name })

  const scopes: Tokens['scopes'] = (owner, record) => {
    const held = userScopes(owner)
    if (record.scopes.includes('inherit')) return held
    // A scope that is known no more grants nothing.
    const raw = [...record.scopes.filter(roles.isScope), ...identify]
    return intersect(roles.expand(raw, { owner: owner.name }), held, groupsOf)
  }

  const serverScopes = (userId: string, server: string) => {
    const place = `!server=${users.byId(userId)?.name}/${server}`
    return roles.scopesOf('server').map(scope => scope.replace(/!server$/, place))
  }

  async function take(userId: string, matches: (token: TokenRecord) => boolean): Promise<TokenRecord[]> {
    let taken: TokenRecord[] = []
    if (!store.byId.has(userId)) return taken
    await users.update(userId, draft => {
      taken = draft.tokens.filter(matches)
      draft.tokens = draft.tokens.filter(token => !matches(token))
    })
    return taken
  }

  return {
    async create(userId, { kind, note = '', expires = null, ...rest }) {
      const scopes = rest.scopes ?? (kind === 'server' ? serverScopes(userId, rest.server ?? '') : [])
      roles.expand(scopes)
      const secret = newSecret()
      const now = Date.now()
      const record: TokenRecord = {
        id: ++last,
        hash: fingerprint(secret),
        kind,
        note,
        scopes: [...new Set(scopes)],
        created: new Date(now).toISOString(),
        expires: expires === null ? null : new Date(now + expires).toISOString(),
        lastActivity: null,
        sessionId: rest.sessionId ?? null,
        client: rest.client ?? null,
        server: rest.server ?? null,
        generation: rest.generation ?? null,
      }
      await users.update(userId, draft => {
        if (record.sessionId !== null && !draft.sessions.some(({ sessionId }) => sessionId === record.sessionId))
          throw new HubError('denied', 'The session was closed.')
        draft.tokens = [...withRoom(draft.tokens.filter(isAlive), record), record]
      })
      if (kind !== 'server')
        audit.record({
          action: 'token.create',
          // A program hands in what its user has just agreed to in the browser.
          ...(kind === 'oauth' && { actor: { kind: 'user', name: nameOf(userId) } }),
          target: { user: nameOf(userId), token: `a${record.id}` },
          details: { kind, scopes: record.scopes.join(' '), expires: record.expires, client: record.client },
        })
      return { secret, record }
    },
    find(secret) {
      const found = store.byToken.get(fingerprint(secret))
      if (!found || !isAlive(found.record) || isOut(found.owner)) return undefined
      users.used(found.owner.id, { token: found.record.id }, new Date(), audit.address())
      return found
    },
    isToken: text => store.byToken.has(fingerprint(text)),
    get: (userId, number) => store.byId.get(userId)?.tokens.find(token => token.id === number && isAlive(token)),
    async revoke(userId, matches) {
      const user = nameOf(userId)
      const taken = await take(userId, matches)
      // Those of servers come and go with them.
      const told = taken.filter(({ kind }) => kind !== 'server').map(({ id }) => `a${id}`)
      if (told.length > 0)
        audit.record({ action: 'token.revoke', target: { user, token: told.join(' ') }, details: { count: told.length } })
      return taken.length
    },
    async revokeIssuedTo(client) {
      let count = 0
      for (const { id, tokens } of store.byId.values())
        if (tokens.some(token => token.client === client)) count += (await take(id, token => token.client === client)).length
      return count
    },
    scopes,
    userScopes,
    caller(owner, record) {
      const held = record ? scopes(owner, record) : userScopes(owner)
      return {
        kind: 'user',
        name: owner.name,
        user: users.view(owner),
        scopes: held,
        allows: (scope, target) => covers(held, scope, target, groupsOf),
        holds: scope => holds(held, scope),
      }
    },
  }
}

/** Tokens that people and programs make for one user; and those that one client has of one user, where the oldest gives way. */
const mostMade = 1000
const mostIssued = 100

/** Each write of a user's record takes as long as it has tokens: nobody may make others wait. */
function withRoom(tokens: TokenRecord[], { kind, client }: TokenRecord): TokenRecord[] {
  if (kind === 'api' && tokens.filter(token => token.kind === 'api').length >= mostMade)
    throw new HubError('invalid', `There are ${mostMade} tokens of this user already. Revoke those that nobody needs.`)
  if (kind !== 'oauth') return tokens
  const issued = tokens.filter(token => token.kind === 'oauth' && token.client === client)
  const oldest = new Set(issued.slice(0, Math.max(0, issued.length - mostIssued + 1)))
  return tokens.filter(token => !oldest.has(token))
}

const isAlive = ({ expires }: { expires: string | null }) => expires === null || Date.parse(expires) > Date.now()
