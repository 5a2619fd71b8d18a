import type { SessionRecord, TokenRecord, UserRecord } from './records.ts'

/** Something that a user has, with the user. */
export interface Owned<R> {
  owner: UserRecord
  record: R
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
}

/** Lookups, and how one user's record takes the place of another in all of them; undefined stands for no record. */
export function createLookups() {
  const byId = new Map<string, UserRecord>()
  const byName = new Map<string, UserRecord>()
  const bySlug = new Map<string, UserRecord>()
  const byIdentity = new Map<string, UserRecord>()
  const byToken = new Map<string, Owned<TokenRecord>>()
  const bySession = new Map<string, Owned<SessionRecord>>()
  const lookups: Lookups = { byId, byName, bySlug, byIdentity, byToken, bySession }

  return {
    lookups,
    swap(next: UserRecord | undefined, previous: UserRecord | undefined) {
      if (previous) {
        byName.delete(previous.name)
        bySlug.delete(previous.slug)
        if (previous.identity?.id) byIdentity.delete(identityKey(previous.identity.authenticator, previous.identity.id))
        for (const { hash } of previous.tokens) byToken.delete(hash)
        for (const { hash } of previous.sessions) bySession.delete(hash)
      }
      if (next) {
        byId.set(next.id, next)
        byName.set(next.name, next)
        bySlug.set(next.slug, next)
        if (next.identity?.id) byIdentity.set(identityKey(next.identity.authenticator, next.identity.id), next)
        for (const record of next.tokens) byToken.set(record.hash, { owner: next, record })
        for (const record of next.sessions) bySession.set(record.hash, { owner: next, record })
      } else if (previous) byId.delete(previous.id)
    },
  }
}

export const identityKey = (authenticator: string, id: string) => JSON.stringify([authenticator, id])
