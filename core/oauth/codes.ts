import { randomBytes } from 'node:crypto'
import { fingerprint } from '../identity/secrets.ts'

/** What a code stands for. */
export interface Grant {
  userId: string
  /** Whom it was given to; by the secret each start of a server is a client of its own. */
  client: { id: string; secretHash: string }
  /** As it was asked for; undefined when it was left out. */
  redirectUri: string | undefined
  scopes: string[]
  sessionId: string
  challenge: { method: 'plain' | 'S256'; value: string } | undefined
  /** Set once the code was used: the number of the token that it became. */
  issued?: Promise<number | undefined>
}

/** Authorization codes, in memory. */
export interface Codes {
  /** 32 characters of `[A-Za-z0-9_-]`, good for five minutes. */
  issue(grant: Grant): string
  /** undefined for unknown and expired ones. Used ones stay known, so that a second use is noticed. */
  find(code: string): Grant | undefined
  drop(code: string): void
  /** Take the scopes that match out of what was granted. */
  forget(names: (scope: string) => boolean): void
}

const lifetime = 300_000
const mostOfOneUser = 50

/** Keeps at most `most` codes. `now` in milliseconds, monotonic. */
export function createCodes(now: () => number = () => performance.now(), most = 10_000): Codes {
  const grants = new Map<string, { grant: Grant; until: number }>()

  const tidy = (userId: string) => {
    for (const [hash, { until }] of grants) if (until <= now()) grants.delete(hash)
    const own = [...grants].filter(([, { grant }]) => grant.userId === userId)
    for (const [hash] of own.slice(0, Math.max(0, own.length - mostOfOneUser + 1))) grants.delete(hash)
    for (const oldest of grants.keys()) {
      if (grants.size < most) break
      grants.delete(oldest)
    }
  }

  return {
    issue(grant) {
      tidy(grant.userId)
      const code = randomBytes(24).toString('base64url')
      grants.set(fingerprint(code), { grant, until: now() + lifetime })
      return code
    },
    find(code) {
      const found = grants.get(fingerprint(code))
      return found && found.until > now() ? found.grant : undefined
    },
    drop: code => void grants.delete(fingerprint(code)),
    forget(names) {
      for (const { grant } of grants.values()) grant.scopes = grant.scopes.filter(scope => !names(scope))
    },
  }
}
