import { createHmac, randomBytes } from 'node:crypto'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { decodeJwt } from 'jose'
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  type Configuration,
  calculatePKCECodeChallenge,
  fetchUserInfo,
  refreshTokenGrant,
  type TokenEndpointResponse,
} from 'openid-client'
import {
  type Hub,
  HubError,
  type Identity,
  isHubError,
  type Json,
  messageOf,
  type Plugin,
  parseOptions,
  type RemoteEnv,
  type User,
} from 'swarmhub'
import { z } from 'zod'
import { type Finding, judge, merged } from './claims.ts'
import { createLogoutTokens } from './logout-token.ts'
import { type Claims, type OidcOptions, options } from './options.ts'
import { createProvider, isRefusal } from './provider.ts'

export type { Claims, OidcOptions, Tokens } from './options.ts'
export { cilogon, entra, gitlab, globus, google, keycloak } from './presets.ts'

/** What is kept of a sign-in as auth state; hooks find it by `hub.authState(user.name)`. */
const state = z.object({
  issuer: z.string(),
  subject: z.string(),
  idToken: z.string(),
  accessToken: z.string(),
  refreshToken: z.string().optional(),
  /** When the access token ends, ISO 8601. */
  expires: z.string().optional(),
  scope: z.string().optional(),
})
export type OidcState = z.infer<typeof state>

/** What the provider answers when the person says no, or is not let in there (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6). */
const refusals = new Set([
  ...['access_denied', 'login_required', 'consent_required', 'interaction_required', 'account_selection_required'],
  'unmet_authentication_requirements',
])

/** People of an OpenID Connect provider: Keycloak, Google, Microsoft Entra, GitLab, Globus, CILogon, and what speaks as they do. */
export function oidc(given: OidcOptions) {
  const settings = parseOptions('oidc', options, given)
  const { name, label, clientId, maxAge, clockTolerance } = settings
  const scope = [...new Set(['openid', ...settings.scopes])].join(' ')
  const age = maxAge === undefined ? {} : { maxAge: Math.floor(maxAge / 1000) }
  const provider = createProvider(settings)
  const logoutTokens = createLogoutTokens({ clientId, clockTolerance })
  let key = randomBytes(32).toString('base64url')
  let hub: Hub | undefined

  /**
   * What belongs to one sign-in and only the hub knows: made of its state, which is random, so that nothing need be kept. 43 characters
   * of `[A-Za-z0-9_-]`, as PKCE wants them (RFC 7636 4.1).
   */
  const secretOf = (purpose: 'pkce' | 'nonce', state: string) =>
    createHmac('sha256', key).update(`${purpose}\0${state}`).digest('base64url')

  const moreOf = async (config: Configuration, accessToken: string, subject: string): Promise<Claims> =>
    settings.userinfo && config.serverMetadata().userinfo_endpoint ? fetchUserInfo(config, accessToken, subject) : {}

  function keptOf(user: User): OidcState | undefined {
    const kept = state.safeParse(hub?.authState(user.name)).data
    return kept?.issuer === user.attributes.issuer && kept?.subject === user.attributes.subject ? kept : undefined
  }

  async function again(user: User, kept: OidcState & { refreshToken: string }, config: Configuration, signal: AbortSignal) {
    const { issuer, subject, refreshToken, idToken } = kept
    const tokens = await refreshTokenGrant(config, refreshToken).catch(error => {
      if (isRefusal(error)) return undefined
      throw error
    })
    if (!tokens) return null
    const authState: Json = { ...kept, ...stateOf(tokens, issuer, subject) }
    try {
      const now = tokens.claims()
      if (now && (now.iss !== issuer || now.sub !== subject)) throw new Error('the provider answers for somebody else')
      const more = await moreOf(config, tokens.access_token, subject)
      const claims = merged(decodeJwt(idToken), more, now ?? {})
      const identity = identityOf(await judge(settings, claims, { accessToken: tokens.access_token, signal }))
      return identity && { ...identity, authState }
    } catch (error) {
      // The old refresh token may be good no more: without the new one the next time would end the sessions.
      hub?.log.warn('what the provider says of a user now could not be read', { user: user.name, error: messageOf(error) })
      return { ...unchanged(user), authState }
    }
  }

  const remote = new Hono<RemoteEnv>().post('/logout', bodyLimit({ maxSize: 65_536 }), async c => {
    c.header('Cache-Control', 'no-store')
    try {
      const { logout_token: token } = await c.req.parseBody()
      if (typeof token !== 'string') throw new HubError('invalid', 'There is no logout token.')
      await provider.ask(c.req.raw.signal, config =>
        logoutTokens.use(token, config, provider.fetch, async ({ issuer, subject, session }) => {
          const id = subject === undefined ? {} : { id: `${issuer} ${subject}` }
          const users = await hub!.endSessions({ ...id, ...(session !== undefined && { session }) })
          c.get('log').info('the provider has signed somebody out', { users })
        }),
      )
      return c.body(null, 200)
    } catch (error) {
      c.get('log').warn('a logout told by the provider was not carried out', { error: messageOf(error) })
      const isInvalid = isHubError(error) && error.code === 'invalid'
      const description = isInvalid ? error.message : 'It could not be carried out. Try again.'
      return c.json(
        { error: isInvalid ? 'invalid_request' : 'server_error', error_description: description },
        isInvalid ? 400 : 503,
      )
    }
  })

  return {
    name,

    authenticator: {
      kind: 'redirect',
      label,

      begin({ callback, state }, ctx) {
        return provider.ask(ctx.signal, async config =>
          buildAuthorizationUrl(config, {
            ...settings.parameters,
            ...(age.maxAge !== undefined && { max_age: String(age.maxAge) }),
            redirect_uri: callback.href,
            scope,
            state,
            nonce: secretOf('nonce', state),
            code_challenge: await calculatePKCECodeChallenge(secretOf('pkce', state)),
            code_challenge_method: 'S256',
          }),
        )
      },

      async finish({ callback, query }, ctx) {
        const refusal = query.get('error')
        if (refusal !== null && refusals.has(refusal)) return null
        const begun = query.get('state') ?? ''
        const url = new URL(callback)
        url.search = query.toString()
        const finding = await provider.ask(ctx.signal, async (config, signal): Promise<Finding> => {
          const tokens = await authorizationCodeGrant(config, url, {
            expectedState: begun,
            expectedNonce: secretOf('nonce', begun),
            pkceCodeVerifier: secretOf('pkce', begun),
            idTokenExpected: true,
            ...age,
          })
          const told = tokens.claims()!
          const claims = merged(await moreOf(config, tokens.access_token, told.sub), told)
          const found = await judge(settings, claims, { accessToken: tokens.access_token, signal })
          if ('refused' in found) return found
          return { identity: { ...found.identity, authState: stateOf(tokens, told.iss, told.sub) } }
        })
        if ('refused' in finding) throw new HubError('denied', finding.refused)
        return finding.identity
      },

      async refresh(user, ctx) {
        const kept = keptOf(user)
        const { refreshToken } = kept ?? {}
        if (!kept || refreshToken === undefined) return unchanged(user)
        return provider.ask(ctx.signal, (config, signal) => again(user, { ...kept, refreshToken }, config, signal))
      },

      async leave(user, back, ctx) {
        if (typeof settings.logout === 'string') return new URL(settings.logout)
        if (!settings.logout) return null
        const hint: Record<string, string> = {}
        const idToken = keptOf(user)?.idToken
        if (idToken !== undefined) hint.id_token_hint = idToken
        return provider.ask(ctx.signal, async config => {
          if (config.serverMetadata().end_session_endpoint === undefined) return null
          return buildEndSessionUrl(config, { post_logout_redirect_uri: back.href, ...hint })
        })
      },
    },

    remote,

    async setup(given) {
      hub = given
      const file = await hub.file('key', z.strictObject({ key: z.string().min(43) }), { key })
      key = file.data.key
      if (!hub.keepsAuthState)
        hub.log.warn(
          'whoever is disabled at the provider stays signed in until the session ends: give authState.keys, for the refresh token',
        )
      if (settings.plaintext) hub.log.warn('the provider is asked unencrypted: plaintext is set')
    },

    async health(signal) {
      await provider.ask(signal, async () => {})
    },
  } satisfies Plugin
}

const identityOf = (finding: Finding): Identity | null => ('identity' in finding ? finding.identity : null)

function stateOf(tokens: TokenEndpointResponse & { expiresIn(): number | undefined }, issuer: string, subject: string) {
  const seconds = tokens.expiresIn()
  return {
    issuer,
    subject,
    ...(tokens.id_token !== undefined && { idToken: tokens.id_token }),
    accessToken: tokens.access_token,
    ...(tokens.refresh_token !== undefined && { refreshToken: tokens.refresh_token }),
    ...(seconds !== undefined && { expires: new Date(Date.now() + seconds * 1000).toISOString() }),
    ...(tokens.scope !== undefined && { scope: tokens.scope }),
  }
}

/** There is nothing to ask with: they are who they were. */
function unchanged({ name, attributes: { issuer, subject } }: User): Identity {
  if (typeof issuer !== 'string' || typeof subject !== 'string')
    throw new HubError('unavailable', 'A hook has taken issuer and subject out of the attributes of this user.')
  return { name, id: `${issuer} ${subject}` }
}
