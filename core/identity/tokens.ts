import type { Caller } from '../plugin.ts'
import type { TokenRecord, UserRecord } from '../store/records.ts'

/** API tokens, server tokens and OAuth access tokens: 256 random bits, kept as SHA-256, found by their hash. */
export interface Tokens {
  /** Mint a token for a user. The secret is told this once. `scopes` are raw; `expires` in milliseconds from now, null for never. */
  create(
    userId: string,
    options: Pick<TokenRecord, 'kind'> &
      Partial<Pick<TokenRecord, 'note' | 'scopes' | 'sessionId' | 'client' | 'server' | 'generation'>> & {
        expires?: number | null
      },
  ): Promise<{ secret: string; record: TokenRecord }>
  /** Who carries this secret? undefined for unknown, expired and revoked ones. Notes its use. */
  find(secret: string): { owner: UserRecord; record: TokenRecord } | undefined
  /** By the number in its id `a<number>`. */
  get(userId: string, number: number): TokenRecord | undefined
  /** Revoke all of this user's tokens that match. Durable when it resolves; resolves with how many there were. */
  revoke(userId: string, matches: (token: TokenRecord) => boolean): Promise<number>
  /** What this token may do now: expanded, cut to what its owner may do now. */
  scopes(owner: UserRecord, record: TokenRecord): ReadonlySet<string>
  /** The scopes that a user has, signed in on the web. */
  userScopes(owner: UserRecord): ReadonlySet<string>
  /** A caller out of a token or of a session (`record` undefined). */
  caller(owner: UserRecord, record?: TokenRecord): Caller
}
