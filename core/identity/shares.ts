import { type Audit, unrecorded } from '../audit.ts'
import { HubError } from '../errors.ts'
import { granteeKey, type OfServer } from '../store/lookups.ts'
import { emptyServer, type ServerRecord, type ShareCodeRecord, type ShareRecord, type UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Roles } from './roles.ts'
import { fingerprint, newSecret } from './secrets.ts'
import type { Users } from './users.ts'

export type Grantee = ShareRecord['grantee']
export type Share = OfServer<ShareRecord>
export type ShareCode = OfServer<ShareCodeRecord>

/**
 * Servers shared with users and groups, and codes that can be taken for a share (contract 4.4, 5.3). All are kept with the
 * server, and name whom they are for by id: they end with the server, the user and the group, and follow them through a new
 * name. What changes something is durable when it resolves, and throws `missing` for a named server that is not there.
 * Who may change it is the caller's to ask.
 */
export interface Shares {
  /** The scopes that this user has by shares now, their own and those of their groups; each for one server. */
  grantedTo(userId: string): string[]
  /** Those of one server, or of all servers of the owner, the oldest first. */
  of(owner: UserRecord, server?: string): Share[]
  /** What is shared with this user or group, the oldest first. For a user: through groups, too. */
  with(grantee: Grantee): Share[]
  get(owner: UserRecord, server: string, grantee: Grantee): Share | undefined
  /** The name of whom it is shared with; undefined when they are no more. */
  nameOf(grantee: Grantee): string | undefined
  /** Add these scopes (names, without filters) to what is shared already. */
  grant(owner: UserRecord, server: string, grantee: Grantee, scopes: readonly string[]): Promise<Share>
  /** Take these scopes back; left out: all of them. Resolves with what is left. Does nothing when nothing is shared. */
  revoke(owner: UserRecord, server: string, grantee: Grantee, scopes?: readonly string[]): Promise<Share | undefined>
  /** Take back everything that is shared of this server; codes stay. */
  revokeAll(owner: UserRecord, server: string): Promise<void>
  /** Those that have not expired, the oldest first, as `of`. */
  codes(owner: UserRecord, server?: string): ShareCode[]
  /** A code for a share with these scopes, good for `lifetime` milliseconds. It is told this once. */
  addCode(
    owner: UserRecord,
    server: string,
    scopes: readonly string[],
    lifetime: number,
  ): Promise<{ code: string; added: ShareCode }>
  /** undefined for unknown and expired ones. */
  findCode(code: string): ShareCode | undefined
  /** Take a code: its scopes are shared with this user from now on, also when the code expires. Throws `missing`, and `denied` to the owner. */
  accept(code: string, user: UserRecord): Promise<Share>
  /** The codes of this server that match are good for nothing from now on. Resolves with how many there were. */
  revokeCodes(owner: UserRecord, server: string, matches: (code: ShareCodeRecord) => boolean): Promise<number>
}

export function createShares({
  store,
  users,
  roles,
  audit = unrecorded,
}: {
  store: Store
  users: Users
  roles: Pick<Roles, 'isScope'>
  audit?: Audit
}): Shares {
  let last = 0
  for (const { servers } of store.byId.values())
    for (const { shareCodes } of servers) for (const { id } of shareCodes) last = Math.max(last, id)

  const direct = (grantee: Grantee): Share[] => [...(store.byGrantee.get(granteeKey(grantee))?.values() ?? [])].flat()

  const received = (grantee: Grantee): Share[] => {
    const { groups } = users
    const byGroup = grantee.kind === 'user' ? groups.of(grantee.id).flatMap(name => groups.get(name) ?? []) : []
    return [...direct(grantee), ...byGroup.flatMap(({ id }) => direct({ kind: 'group', id }))]
  }

  const nameOf: Shares['nameOf'] = ({ kind, id }) => (kind === 'user' ? users.byId(id) : users.groups.byId(id))?.name

  /** A server's share or code, of the owner's record as it is now. */
  const each = <R extends { created: string }>(owner: UserRecord, server: string | undefined, list: (s: ServerRecord) => R[]) => {
    const present = users.byId(owner.id) ?? owner
    return present.servers
      .filter(({ name }) => server === undefined || name === server)
      .flatMap(record => list(record).map(one => ({ owner: present, server: record.name, record: one })))
      .sort(byAge)
  }

  const get: Shares['get'] = (owner, server, grantee) =>
    each(owner, server, ({ shares }) => shares.filter(share => isSame(share.grantee, grantee)))[0]

  /** Change what is shared of one server. The default one is always there, also when it has no record yet. */
  const change = (owner: UserRecord, server: string, edit: (draft: ServerRecord) => void) =>
    users.update(owner.id, draft => {
      const found = draft.servers.find(({ name }) => name === server)
      if (!found && server !== '') throw new HubError('missing', 'There is no such server.')
      const record = found ?? emptyServer('')
      record.shareCodes = record.shareCodes.filter(isAlive)
      edit(record)
      if (!found && record.shares.length + record.shareCodes.length > 0) draft.servers.push(record)
    })

  const target = (owner: UserRecord, server: string, { kind, id }: Partial<Grantee> = {}) => ({
    user: owner.name,
    server,
    ...(kind === 'group' && id !== undefined && { group: users.groups.byId(id)?.name }),
  })
  const told = (grantee: Grantee, scopes: readonly string[]) => ({
    with: nameOf(grantee) ?? null,
    kind: grantee.kind,
    scopes: scopes.join(' '),
  })

  return {
    // A scope that is known no more grants nothing.
    grantedTo: userId => received({ kind: 'user', id: userId }).flatMap(scopesOf).filter(roles.isScope),
    of: (owner, server) => each(owner, server, ({ shares }) => shares.filter(({ grantee }) => nameOf(grantee) !== undefined)),
    with: grantee => received(grantee).sort(byAge),
    get,
    nameOf,
    async grant(owner, server, grantee, scopes) {
      await change(owner, server, draft => {
        // Deleted since it was looked up.
        if (nameOf(grantee) === undefined) throw new HubError('missing', 'There is no such user or group.')
        add(draft, grantee, scopes)
      })
      audit.record({
        action: 'share.create',
        target: target(owner, server, grantee),
        details: told(grantee, scopes),
      })
      return get(owner, server, grantee)!
    },
    async revoke(owner, server, grantee, scopes) {
      const before = get(owner, server, grantee)
      if (!before) return undefined
      await change(owner, server, draft => {
        for (const share of draft.shares)
          if (isSame(share.grantee, grantee)) share.scopes = scopes ? share.scopes.filter(one => !scopes.includes(one)) : []
        draft.shares = draft.shares.filter(share => share.scopes.length > 0)
      })
      audit.record({
        action: 'share.revoke',
        target: target(owner, server, grantee),
        details: told(grantee, scopes ?? before.record.scopes),
      })
      return get(owner, server, grantee)
    },
    async revokeAll(owner, server) {
      const count = each(owner, server, ({ shares }) => shares).length
      await change(owner, server, draft => void (draft.shares = []))
      if (count > 0) audit.record({ action: 'share.revoke', target: target(owner, server), details: { count } })
    },
    codes: (owner, server) => each(owner, server, ({ shareCodes }) => shareCodes.filter(isAlive)),
    async addCode(owner, server, scopes, lifetime) {
      const code = newSecret()
      const now = Date.now()
      const record: ShareCodeRecord = {
        id: ++last,
        hash: fingerprint(code),
        scopes: [...new Set(scopes)].sort(),
        created: new Date(now).toISOString(),
        expires: new Date(now + lifetime).toISOString(),
        exchanged: 0,
        lastExchanged: null,
      }
      await change(owner, server, draft => {
        if (draft.shareCodes.length >= mostCodes)
          throw new HubError('invalid', `There are ${mostCodes} links to this server already. Revoke those that nobody needs.`)
        draft.shareCodes.push(record)
      })
      const details = { code: codeId(record), scopes: record.scopes.join(' '), expires: record.expires }
      audit.record({ action: 'share.create', target: target(owner, server), details })
      return { code, added: { owner: users.byId(owner.id) ?? owner, server, record } }
    },
    findCode(code) {
      const found = store.byShareCode.get(fingerprint(code))
      return found && isAlive(found.record) ? found : undefined
    },
    async accept(code, user) {
      const hash = fingerprint(code)
      const found = store.byShareCode.get(hash)
      const gone = () => new HubError('missing', 'This invitation is no longer valid. Ask for a new one.')
      if (!found) throw gone()
      const { owner, server, record } = found
      if (owner.id === user.id)
        throw new HubError('denied', 'This invitation is to a server of your own. Send it to somebody else.')
      const grantee = { kind: 'user', id: user.id } as const
      await change(owner, server, draft => {
        const used = draft.shareCodes.find(one => one.hash === hash)
        if (!used || !users.byId(user.id)) throw gone()
        used.exchanged += 1
        used.lastExchanged = new Date().toISOString()
        add(draft, grantee, used.scopes)
      })
      audit.record({
        action: 'share.accept',
        target: target(owner, server),
        details: { code: codeId(record), scopes: record.scopes.join(' ') },
      })
      return get(owner, server, grantee)!
    },
    async revokeCodes(owner, server, matches) {
      let taken: ShareCodeRecord[] = []
      await change(owner, server, draft => {
        taken = draft.shareCodes.filter(matches)
        draft.shareCodes = draft.shareCodes.filter(code => !matches(code))
      })
      if (taken.length > 0)
        audit.record({
          action: 'share.revoke',
          target: target(owner, server),
          details: { code: taken.map(codeId).join(' '), count: taken.length },
        })
      return taken.length
    },
  }
}

/** The scopes of a share or a code, each for its server and nothing else: `access:servers!server=alice/`. */
export const scopesOf = ({ owner, server, record }: OfServer<{ scopes: readonly string[] }>): string[] =>
  record.scopes.map(scope => `${scope}!server=${owner.name}/${server}`)

/** How a code is called in lists, by people and by programs. */
export const codeId = ({ id }: Pick<ShareCodeRecord, 'id'>) => `sc_${id}`

/** Nothing is shared any more with a user or group that is gone. */
export async function forgetGrantee(store: Store, grantee: Grantee): Promise<void> {
  for (const owner of [...(store.byGrantee.get(granteeKey(grantee))?.keys() ?? [])])
    await store.update(owner, draft => {
      for (const server of draft.servers) server.shares = server.shares.filter(share => !isSame(share.grantee, grantee))
    })
}

/** Each write of a user's record takes as long as much is in it, and each request of a member as long as much is shared. */
const mostShares = 1000
const mostCodes = 100

function add(draft: ServerRecord, grantee: Grantee, scopes: readonly string[]): void {
  const known = draft.shares.find(share => isSame(share.grantee, grantee))
  if (known) known.scopes = [...new Set([...known.scopes, ...scopes])].sort()
  else if (draft.shares.length >= mostShares)
    throw new HubError('invalid', `This server is shared ${mostShares} times already. Share it with a group instead.`)
  else draft.shares.push({ grantee, scopes: [...new Set(scopes)].sort(), created: new Date().toISOString() })
}

const isSame = (a: Grantee, b: Grantee) => a.kind === b.kind && a.id === b.id

const isAlive = ({ expires }: ShareCodeRecord) => Date.parse(expires) > Date.now()

const byAge = (a: OfServer<{ created: string }>, b: OfServer<{ created: string }>) =>
  a.record.created < b.record.created ? -1 : a.record.created > b.record.created ? 1 : a.owner.number - b.owner.number
