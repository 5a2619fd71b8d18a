import { createHash } from 'node:crypto'
import { type Audit, unrecorded } from '../audit.ts'
import { isHubError } from '../errors.ts'
import type { Roles } from '../identity/roles.ts'
import { covers, coversAll, intersect } from '../identity/scopes.ts'
import { fingerprint, same } from '../identity/secrets.ts'
import { identify, type Tokens } from '../identity/tokens.ts'
import type { Users } from '../identity/users.ts'
import type { Services } from '../services/services.ts'
import type { UserRecord } from '../store/records.ts'
import { type KnownClient, type OAuthClient, serverClients, serviceClients } from './clients.ts'
import { createCodes, type Grant } from './codes.ts'

export type { OAuthClient }

/** An error of RFC 6749, told to the client by redirect or as JSON. */
export interface OAuthError {
  error: string
  error_description: string
}

export type AuthorizeResult =
  /** Never redirected: shown as a page with this status. */
  | { kind: 'refuse'; status: 400 | 403 | 500; message: string }
  /** Told to the client. */
  | { kind: 'redirect'; location: string }
  /** The visitor has to agree first. */
  | { kind: 'confirm'; client: OAuthClient; scopes: string[] }

/** The OAuth2 provider that notebooks and services log in through (contract 2). */
export interface OAuthProvider {
  client(id: string): OAuthClient | undefined
  /**
   * Handle an authorization request. `query` as it came (duplicates included). `agreed`: the scopes of the confirmation
   * form, undefined when it was not shown. `sessionId` is the browser's `jupyterhub-session-id`.
   */
  authorize(user: UserRecord, query: URLSearchParams, sessionId: string, agreed?: string[]): Promise<AuthorizeResult>
  /** Handle a token request: form fields in, status and JSON body out. Throws `unavailable` when the token cannot be saved. */
  token(form: URLSearchParams): Promise<{ status: 200 | 400 | 401; body: object }>
}

/** `lifetime`: milliseconds that an access token is good for. `serverScopes`: what notebooks may ask for beyond identity. */
export function createOAuthProvider({
  users,
  tokens,
  audit = unrecorded,
  roles,
  services,
  base,
  lifetime = 14 * 86_400_000,
  requirePkce = false,
  serverScopes = [],
}: {
  users: Users
  tokens: Tokens
  audit?: Audit
  roles: Roles
  services: Services
  base: string
  lifetime?: number
  requirePkce?: boolean
  serverScopes?: readonly string[]
}): OAuthProvider {
  const { expand, isScope } = roles
  const codes = createCodes()
  users.onForget(codes.forget)
  const clients = (id: string) => [...serviceClients(services, id), ...serverClients(id, users, base, serverScopes)]

  const groupsOf = (name: string) => {
    const user = users.get(name)
    return user ? users.groups.of(user.id) : []
  }

  /** The raw scopes that are asked for, identity and access always among them; undefined when there is one that may not be. */
  function requested(param: string | null, client: KnownClient, user: UserRecord): string[] | undefined {
    const { service } = client
    const server = client.owner && `${client.owner.name}/${client.server}`
    const holder = { owner: user.name, client: { server, service } }
    const concrete = (scope: string) =>
      scope.replace(/!(server|service)$/, (filter, kind: 'server' | 'service') =>
        holder.client[kind] === undefined ? filter : `${filter}=${holder.client[kind]}`,
      )
    const asked = param?.split(' ').filter(scope => scope !== '' && scope !== 'identify') ?? []
    const named = asked.flatMap(scope => (roles.all.has(scope) ? roles.scopesOf(scope) : [scope]))
    const wanted = (param ? named : client.allowedScopes).map(concrete)
    if (!wanted.every(isScope)) return undefined
    if (wanted.includes('inherit') && !client.allowedScopes.includes('inherit')) return undefined
    const always = [...identify, client.accessScope]
    if (!coversAll(expand([...always, ...client.allowedScopes], holder), expand(wanted, holder), groupsOf)) return undefined
    // What the user does not hold is left out in silence; each use of the token is cut to it once more.
    const held = tokens.userScopes(user)
    const kept = wanted.filter(scope => scope === 'inherit' || intersect(expand([scope], holder), held, groupsOf).size > 0)
    return [...new Set([...always, ...kept])]
  }

  /** Is it their own server, or have they agreed to as much for this client before? */
  function needsNoConsent(user: UserRecord, client: KnownClient, scopes: readonly string[]): boolean {
    if (client.noConfirm || client.owner?.id === user.id) return true
    const issued = user.tokens.filter(token => token.client === client.id && tokens.get(user.id, token.id))
    // It stands for more than can be compared: whoever has agreed to anything less has not agreed to it.
    if (scopes.includes('inherit') && !issued.some(token => token.scopes.includes('inherit'))) return false
    const agreed = new Set(issued.flatMap(token => [...tokens.scopes(user, token)]))
    return coversAll(agreed, expand(scopes, { owner: user.name }), groupsOf)
  }

  return {
    client: id => clients(id)[0],

    async authorize(user, query, sessionId, agreed) {
      const repeated = duplicate(query, [
        'client_id',
        'response_type',
        'redirect_uri',
        'scope',
        'state',
        'code_challenge',
        'code_challenge_method',
      ])
      if (repeated) return refuse(400, `The parameter ${repeated} came more than once.`)
      const id = query.get('client_id')
      if (!id) return refuse(400, 'The parameter client_id is missing.')
      const known = clients(id)
      if (known.length === 0)
        return refuse(400, 'The server or service that sent you here is not known, or does not run any more.')
      const redirectUri = query.get('redirect_uri') || undefined
      const client = redirectUri === undefined ? known[0]! : known.find(one => one.redirectUri === redirectUri)
      if (!client || (redirectUri === undefined && known.length > 1))
        return refuse(400, 'The parameter redirect_uri is not the address that it is registered with.')

      const back = (answer: Record<string, string>): AuthorizeResult => {
        const state = query.get('state')
        return { kind: 'redirect', location: withQuery(client.redirectUri, { ...answer, ...(state !== null && { state }) }) }
      }
      const type = query.get('response_type')
      if (!type) return back({ error: 'invalid_request', error_description: 'Missing response_type parameter.' })
      if (type !== 'code') return back({ error: 'unsupported_response_type', error_description: 'Only code is supported.' })
      const challenge = challengeOf(query)
      if (challenge === 'unsupported')
        return back({ error: 'invalid_request', error_description: 'Transform algorithm not supported.' })
      if (requirePkce && !challenge) return back({ error: 'invalid_request', error_description: 'Code challenge required.' })
      const scopes = requested(query.get('scope'), client, user)
      if (!scopes) return back({ error: 'invalid_scope', error_description: 'A scope is unknown or not allowed.' })

      const note = (result: 'success' | 'denied') => {
        // One's own servers, and services, are opened all day long.
        if (!client.owner || client.owner.id === user.id) return
        const target = { user: client.owner.name, server: client.server }
        audit.record({ action: 'server.open', actor: { kind: 'user', name: user.name }, target, result })
      }
      if (!covers(tokens.userScopes(user), client.access.scope, client.access.target, groupsOf)) {
        note('denied')
        return refuse(403, `You do not have permission to access ${client.description}.`)
      }
      if (agreed === undefined && !needsNoConsent(user, client, scopes)) return { kind: 'confirm', client, scopes }

      const always: string[] = [...identify, client.accessScope]
      const code = codes.issue({
        userId: user.id,
        client: keyOf(client),
        redirectUri,
        scopes: scopes.filter(scope => always.includes(scope) || (agreed?.includes(scope) ?? true)),
        sessionId,
        challenge,
      })
      note('success')
      return back({ code })
    },

    async token(form) {
      const repeated = duplicate(form, ['grant_type', 'code', 'client_id', 'client_secret', 'redirect_uri', 'code_verifier'])
      if (repeated) return fail('invalid_request', `Duplicate ${repeated} parameter.`)
      if (form.get('grant_type') !== 'authorization_code')
        return fail('unsupported_grant_type', 'Only authorization_code is supported.')
      const code = form.get('code')
      if (!code) return fail('invalid_request', 'Missing code parameter.')
      const secretHash = fingerprint(form.get('client_secret') ?? '')
      const client = clients(form.get('client_id') ?? '').find(one => one.secretHash === secretHash)
      // The token of a server may have run out, and its owner may be blocked.
      if (!client || (client.owner && !tokens.find(form.get('client_secret') ?? '')))
        return fail('invalid_client', 'Unknown client, or wrong secret.', 401)

      const grant = codes.find(code)
      if (!grant || !isFor(grant, client)) return fail('invalid_grant', 'The code is not valid.')
      if (grant.issued) {
        const number = await grant.issued
        await tokens.revoke(grant.userId, token => token.id === number)
        return fail('invalid_grant', 'The code was used already.')
      }
      const redirectUri = form.get('redirect_uri') || undefined
      if (redirectUri !== undefined && redirectUri !== client.redirectUri)
        return fail('invalid_request', 'Mismatching redirect URI.')
      if (redirectUri === undefined && grant.redirectUri !== undefined) return fail('invalid_request', 'Missing redirect URI.')
      const verifier = form.get('code_verifier')
      if (grant.challenge && !verifier) return fail('invalid_request', 'Code verifier required.')

      if (grant.challenge && !matches(grant.challenge, verifier ?? '')) {
        codes.drop(code)
        return fail('invalid_grant', 'The code verifier does not match.')
      }
      return redeem(grant, client)
    },
  }

  /** Nothing is awaited before the code counts as used: of two requests at once only one gets a token. */
  async function redeem(grant: Grant, client: KnownClient): Promise<TokenResult> {
    const { userId, scopes, sessionId } = grant
    try {
      const creating = tokens.create(userId, { kind: 'oauth', scopes, sessionId, client: client.id, expires: lifetime })
      grant.issued = creating.then(
        ({ record }) => record.id,
        () => undefined,
      )
      const { secret } = await creating
      const body = {
        access_token: secret,
        expires_in: Math.floor(lifetime / 1000),
        token_type: 'Bearer',
        scope: scopes.join(' '),
      }
      return { status: 200, body }
    } catch (error) {
      // The user is no more, or has signed out meanwhile.
      if (isHubError(error) && ['missing', 'denied'].includes(error.code)) return fail('invalid_grant', 'The code is not valid.')
      delete grant.issued
      throw error
    }
  }
}

type TokenResult = Awaited<ReturnType<OAuthProvider['token']>>

const fail = (error: string, error_description: string, status: 400 | 401 = 400): TokenResult => ({
  status,
  body: { error, error_description } satisfies OAuthError,
})

const refuse = (status: 400 | 403 | 500, message: string): AuthorizeResult => ({ kind: 'refuse', status, message })

const duplicate = (params: URLSearchParams, names: readonly string[]) => names.find(name => params.getAll(name).length > 1)

const keyOf = ({ id, secretHash }: KnownClient): Grant['client'] => ({ id, secretHash })

const isFor = ({ client }: Grant, { id, secretHash }: KnownClient) => client.id === id && client.secretHash === secretHash

/** `state` is given back byte for byte; the address may be a path only. */
function withQuery(address: string, params: Record<string, string>): string {
  const pairs = Object.entries(params).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  return `${address}${address.includes('?') ? '&' : '?'}${pairs.join('&')}`
}

/** PKCE, which is up to the client unless the config requires it. */
function challengeOf(query: URLSearchParams): Grant['challenge'] | 'unsupported' {
  const value = query.get('code_challenge')
  const method = query.get('code_challenge_method') ?? 'plain'
  if (method !== 'plain' && method !== 'S256') return 'unsupported'
  if (value === null) return undefined
  return /^[A-Za-z0-9._~-]{43,128}$/.test(value) ? { method, value } : 'unsupported'
}

function matches({ method, value }: NonNullable<Grant['challenge']>, verifier: string): boolean {
  return same(method === 'plain' ? verifier : createHash('sha256').update(verifier).digest('base64url'), value)
}
