import { createHash } from 'node:crypto'
import { Secret, TOTP } from 'otpauth'
import { z } from 'zod'

/** The second factor of an account: codes of six digits that change each 30 s (TOTP, RFC 6238), and recovery codes. */
export const secondFactor = z.strictObject({
  /** Base32, 160 bits. Kept as it is: codes cannot be computed from a hash of it. */
  secret: z.string().regex(/^[A-Z2-7]{32}$/),
  /** Number of the 30 s whose code was used last: this one and those before are good for nothing any more. */
  last: z.int().nonnegative(),
  /** SHA-256 of each code that is left, hex. They have 80 bits: nobody finds them by trying. */
  recovery: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
  since: z.iso.datetime(),
})
export type SecondFactor = z.infer<typeof secondFactor>

/** What the owner gets to see once, before it is theirs. */
export const draft = z.strictObject({
  secret: z.string().regex(/^[A-Z2-7]{32}$/),
  recovery: z.array(z.string().regex(/^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/)).length(8),
})
export type FactorDraft = z.infer<typeof draft>

/** A new secret and eight recovery codes. */
export function draftFactor(): FactorDraft {
  const random = (bytes: number) => new Secret({ size: bytes }).base32
  const code = () => random(10).toLowerCase().match(/.{4}/g)!.join('-')
  return { secret: random(20), recovery: Array.from({ length: 8 }, code) }
}

/** The draft becomes what is kept, when the code shows that the owner's app has it; undefined for a wrong code. */
export function confirmFactor({ secret, recovery }: FactorDraft, typed: string): SecondFactor | undefined {
  const last = periodOf(secret, plain(typed))
  return last === undefined ? undefined : { secret, last, recovery: recovery.map(hashOf), since: new Date().toISOString() }
}

/** What is left of the factor when this code has been used; undefined for a wrong code, or one that was used. */
export function useCode(factor: SecondFactor, typed: string): SecondFactor | undefined {
  const code = plain(typed)
  const period = periodOf(factor.secret, code)
  if (period !== undefined) return period > factor.last ? { ...factor, last: period } : undefined
  const hash = hashOf(code)
  return factor.recovery.includes(hash) ? { ...factor, recovery: factor.recovery.filter(one => one !== hash) } : undefined
}

/** The address that a QR code holds for an app (Google Authenticator's key URI format). */
export const uriOf = (secret: string, account: string, issuer: string) =>
  new TOTP({ issuer, label: account, secret: Secret.fromBase32(secret) }).toString()

const plain = (typed: string) => typed.toLowerCase().replace(/[\s-]/g, '')
const hashOf = (code: string) => createHash('sha256').update(plain(code)).digest('hex')

/** Which 30 s this code is of: the present ones, or those before or after (RFC 6238, 5.2 and 6). */
function periodOf(secret: string, code: string): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined
  const timestamp = Date.now()
  const delta = TOTP.validate({ token: code, secret: Secret.fromBase32(secret), timestamp, window: 1 })
  return delta === null ? undefined : TOTP.counter({ timestamp }) + delta
}
