import { createRemoteJWKSet, customFetch, errors, type JWTPayload, jwtVerify } from 'jose'
import type { Configuration } from 'openid-client'
import { HubError, messageOf } from 'swarmhub'

/** Whose sign-in at the provider has ended: of this person, this one, or this one of this person. */
export interface Ended {
  issuer: string
  subject?: string
  session?: string
}

export interface LogoutTokens {
  /**
   * Check a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6) and do what it says, once. Throws `invalid` for one that is not
   * good, or was used; what `act` and the provider's keys throw is thrown on, and the token is good for another try.
   */
  use(token: string, config: Configuration, fetcher: typeof fetch, act: (ended: Ended) => Promise<void>): Promise<void>
}

const event = 'http://schemas.openid.net/event/backchannel-logout'

/** Seconds after which a token is too old, whatever it says itself. */
const oldest = 300

/** Tokens that are remembered; only such count as are the provider's. */
const most = 10_000

/** Asymmetric ones: a secret that the hub has too would let anybody who reads its config sign people out. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

export function createLogoutTokens({ clientId, clockTolerance }: { clientId: string; clockTolerance: number }): LogoutTokens {
  /** By `jti`, when it would be too old anyway, monotonic. */
  const used = new Map<string, number>()
  let keys: { uri: string; get: ReturnType<typeof createRemoteJWKSet> } | undefined

  function spend(id: string): void {
    const now = performance.now()
    for (const [old, until] of used) if (until < now || used.size >= most) used.delete(old)
    if (used.has(id)) throw new HubError('invalid', 'This logout token was used already.')
    used.set(id, now + oldest * 1000 + 2 * clockTolerance)
  }

  return {
    async use(token, config, fetcher, act) {
      const { issuer, jwks_uri: uri } = config.serverMetadata()
      if (uri === undefined) throw new HubError('unavailable', 'The provider does not tell its keys.')
      if (keys?.uri !== uri) keys = { uri, get: createRemoteJWKSet(new URL(uri), { [customFetch]: fetcher }) }
      const { payload, protectedHeader } = await jwtVerify(token, keys.get, {
        issuer,
        audience: clientId,
        algorithms,
        clockTolerance: clockTolerance / 1000,
        maxTokenAge: oldest,
        requiredClaims: ['jti'],
      }).catch(error => {
        throw isOfToken(error) ? new HubError('invalid', `The logout token is not good: ${messageOf(error)}.`) : error
      })
      const ended = { issuer, ...endedBy(payload, protectedHeader.typ) }
      const id = String(payload.jti)
      spend(id)
      try {
        await act(ended)
      } catch (error) {
        used.delete(id)
        throw error
      }
    },
  }
}

function endedBy({ events, nonce, sub, sid }: JWTPayload, type = 'logout+jwt'): Omit<Ended, 'issuer'> {
  const no = (why: string) => new HubError('invalid', `The logout token is not good: ${why}.`)
  if (!/^(application\/)?(logout\+)?jwt$/i.test(type)) throw no('it is of another type')
  const told =
    typeof events === 'object' && events !== null && Object.hasOwn(events, event) ? Reflect.get(events, event) : undefined
  if (typeof told !== 'object' || told === null) throw no('it tells of no logout')
  // With one it may be an ID token that somebody got hold of.
  if (nonce !== undefined) throw no('it has a nonce')
  if (sub === undefined && typeof sid !== 'string') throw no('it does not say whose')
  return { ...(sub !== undefined && { subject: sub }), ...(typeof sid === 'string' && { session: sid }) }
}

/** Is it the token that is wrong, and not that the keys could not be got? */
const isOfToken = (error: unknown) =>
  error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) && error.code !== 'ERR_JOSE_GENERIC'
