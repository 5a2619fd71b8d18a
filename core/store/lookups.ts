import type { SessionRecord, ShareCodeRecord, ShareRecord, TokenRecord, UserRecord } from './records.ts'

/** Something that a user has, with the user. */
export interface Owned<R> {
  owner: UserRecord
  record: R
}

/** Something that a user has with one of their servers. */
export interface OfServer<R> extends Owned<R> {
  /** Its name. */
  server: string
}

/** Every way in which a user is looked up. All of them are exact; none is ever out of step with the records. */
export interface Lookups {
  /** In order of creation. */
  readonly byId: ReadonlyMap<string, UserRecord>
  readonly byName: ReadonlyMap<string, UserRecord>
  readonly bySlug: ReadonlyMap<string, UserRecord>
  /** By `identityKey`. */
  readonly byIdentity: ReadonlyMap<string, UserRecord>
  /** By the SHA-256 of the token. */
  readonly byToken: ReadonlyMap<string, Owned<TokenRecord>>
  /** By the SHA-256 of the login cookie. */
  readonly bySession: ReadonlyMap<string, Owned<SessionRecord>>
  /** By `granteeKey`, what is shared with them: by the owner's id. */
  readonly byGrantee: ReadonlyMap<string, ReadonlyMap<string, readonly OfServer<ShareRecord>[]>>
  /** By the SHA-256 of the code. */
  readonly byShareCode: ReadonlyMap<string, OfServer<ShareCodeRecord>>
}

/** Lookups, and how one user's record takes the place of another in all of them; undefined stands for no record. */
export function createLookups() {
  const byId = new Map<string, UserRecord>()
  const byName = new Map<string, UserRecord>()
  const bySlug = new Map<string, UserRecord>()
  const byIdentity = new Map<string, UserRecord>()
  const byToken = new Map<string, Owned<TokenRecord>>()
  const bySession = new Map<string, Owned<SessionRecord>>()
  const byGrantee = new Map<string, Map<string, OfServer<ShareRecord>[]>>()
  const byShareCode = new Map<string, OfServer<ShareCodeRecord>>()
  const lookups: Lookups = { byId, byName, bySlug, byIdentity, byToken, bySession, byGrantee, byShareCode }

  function forgetShares({ id, servers }: UserRecord): void {
    for (const { shares, shareCodes } of servers) {
      for (const { hash } of shareCodes) byShareCode.delete(hash)
      for (const { grantee } of shares) {
        const key = granteeKey(grantee)
        const given = byGrantee.get(key)
        given?.delete(id)
        if (given?.size === 0) byGrantee.delete(key)
      }
    }
  }

  function noteShares(owner: UserRecord): void {
    for (const { name: server, shares, shareCodes } of owner.servers) {
      for (const record of shareCodes) byShareCode.set(record.hash, { owner, server, record })
      for (const record of shares) {
        const key = granteeKey(record.grantee)
        const given = byGrantee.get(key) ?? new Map<string, OfServer<ShareRecord>[]>()
        byGrantee.set(key, given.set(owner.id, [...(given.get(owner.id) ?? []), { owner, server, record }]))
      }
    }
  }

  return {
    lookups,
    swap(next: UserRecord | undefined, previous: UserRecord | undefined) {
      if (previous) {
        byName.delete(previous.name)
        bySlug.delete(previous.slug)
        if (previous.identity?.id) byIdentity.delete(identityKey(previous.identity.authenticator, previous.identity.id))
        for (const { hash } of previous.tokens) byToken.delete(hash)
        for (const { hash } of previous.sessions) bySession.delete(hash)
        forgetShares(previous)
      }
      if (next) {
        byId.set(next.id, next)
        byName.set(next.name, next)
        bySlug.set(next.slug, next)
        if (next.identity?.id) byIdentity.set(identityKey(next.identity.authenticator, next.identity.id), next)
        for (const record of next.tokens) byToken.set(record.hash, { owner: next, record })
        for (const record of next.sessions) bySession.set(record.hash, { owner: next, record })
        noteShares(next)
      } else if (previous) byId.delete(previous.id)
    },
  }
}

export const identityKey = (authenticator: string, id: string) => JSON.stringify([authenticator, id])

export const granteeKey = ({ kind, id }: ShareRecord['grantee']) => `${kind} ${id}`
