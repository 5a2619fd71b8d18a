import { OAuthApp } from '@octokit/oauth-app'
import { type Context, HubError, isHubError, spoken } from 'swarmhub'
import { z } from 'zod'
import { boundedFetch } from './bounded-fetch.ts'
import type { GitHubSettings } from './options.ts'

/** What is asked of GitHub. Each throws a HubError with a sentence, and nothing of what was sent in it. */
export interface GitHub {
  /** Where somebody agrees to be signed in. `challenge`: of PKCE, S256. */
  authorizeUrl(login: { callback: URL; state: string; challenge: string }): URL
  /** The token for a code, once. Throws `denied` for a code that is none, or was used. */
  token(login: { code: string; callback: URL; verifier: string }, ctx: Context): Promise<string>
  user(token: string, ctx: Context): Promise<Person>
  /** The address that GitHub has verified, the primary one; undefined when there is none. */
  email(token: string, ctx: Context): Promise<string | undefined>
  /** `acme`, `acme:staff`, in small letters: where this person is an active member. Complete, or it throws. */
  memberships(token: string, ctx: Context): Promise<Set<string>>
}

/** GitHub does not know this token any more: its owner, or an admin there, has taken it back. */
export class TokenGone extends HubError {
  constructor() {
    super('denied', 'GitHub does not know this sign-in any more. Sign in again.')
  }
}

const person = z.object({
  id: z.union([z.int().positive(), z.bigint().positive()]).transform(String),
  login: z.string().min(1),
  name: z.string().nullish(),
})
export type Person = z.output<typeof person>

const emails = z.array(z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() }))
const organization = z.object({ login: z.string().min(1) })
const organizations = z.array(z.object({ state: z.string(), organization }))
const teams = z.array(z.object({ slug: z.string().min(1), organization }))

/** A list that goes on beyond this is refused: half of one is never taken for all of it. */
const mostPages = 50

export function createGitHub({
  url,
  clientId,
  clientSecret,
  scopes,
  membership,
  email,
  allowSignUp,
  timeout,
}: GitHubSettings): GitHub {
  // Only as a client. Its middleware does not check the state, and prints tokens into its pages.
  const app = new OAuthApp({ clientType: 'oauth-app', clientId, clientSecret, allowSignup: allowSignUp })
  const baseUrl = apiOf(url)
  const wanted = [...new Set([...(membership ? ['read:org'] : []), ...(email ? ['user:email'] : []), ...scopes])]
  type Options = Record<string, unknown>

  /** How each request goes out. */
  const going = ({ signal, log }: Context): Options => ({
    baseUrl,
    request: { fetch: boundedFetch, log, signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]) },
  })

  async function asked<T>(ctx: Context, ask: (options: Options) => Promise<T>): Promise<T> {
    try {
      return await ask(going(ctx))
    } catch (error) {
      throw explained(error, timeout)
    }
  }

  async function get<S extends z.ZodType>(token: string, path: string, schema: S, ctx: Context) {
    const octokit = await app.getUserOctokit({ token, scopes: [] })
    const { data, headers } = await asked(ctx, options => octokit.request(`GET ${path}`, options))
    const read = schema.safeParse(data)
    if (!read.success) throw new HubError('unavailable', 'GitHub answered something that cannot be understood. Try again later.')
    return { data: read.data, hasNext: /<[^>]*>\s*;[^,]*\brel="?next"?/i.test(headers.link ?? '') }
  }

  /** By number: an address in an answer is not where a token is sent. */
  async function all<T>(token: string, path: string, schema: z.ZodType<T[]>, ctx: Context): Promise<T[]> {
    const found: T[] = []
    for (let page = 1; page <= mostPages; page++) {
      const { data, hasNext } = await get(token, `${path}${path.includes('?') ? '&' : '?'}per_page=100&page=${page}`, schema, ctx)
      found.push(...data)
      if (!hasNext) return found
    }
    throw new HubError('unavailable', 'GitHub tells of more memberships than can be read.')
  }

  return {
    authorizeUrl({ callback, state, challenge }) {
      const request = app.octokit.request.defaults({ baseUrl })
      const options = { state, redirectUrl: callback.href, scopes: wanted, request }
      const to = new URL(app.getWebFlowAuthorizationUrl(options).url)
      to.searchParams.set('code_challenge', challenge)
      to.searchParams.set('code_challenge_method', 'S256')
      return to
    },

    token: ({ code, callback, verifier }, ctx) =>
      asked(ctx, async options => {
        const request = app.octokit.request.defaults({ ...options, code_verifier: verifier })
        const { authentication } = await app.createToken({ code, redirectUrl: callback.href, ...{ request } })
        if (typeof authentication.token !== 'string' || authentication.token === '') throw new Error('no token')
        return authentication.token
      }),

    async user(token, ctx) {
      return (await get(token, '/user', person, ctx)).data
    },

    async email(token, ctx) {
      return (await all(token, '/user/emails', emails, ctx)).find(({ primary, verified }) => primary && verified)?.email
    },

    async memberships(token, ctx) {
      const [member, inTeams] = await Promise.all([
        all(token, '/user/memberships/orgs?state=active', organizations, ctx),
        all(token, '/user/teams', teams, ctx),
      ])
      const nameOf = ({ organization }: { organization: { login: string } }) => organization.login.toLowerCase()
      const active = new Set(member.filter(({ state }) => state === 'active').map(nameOf))
      const told = inTeams.filter(team => active.has(nameOf(team)))
      return new Set([...active, ...told.map(team => `${nameOf(team)}:${team.slug.toLowerCase()}`)])
    },
  }
}

/** https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api: GitHub's own, that of ghe.com, an Enterprise server's. */
function apiOf(url: string): string {
  const { host, origin, protocol } = new URL(url)
  if (host === 'github.com') return 'https://api.github.com'
  return host.endsWith('.ghe.com') ? `${protocol}//api.${host}` : `${origin}/api/v3`
}

/** What went wrong as a sentence. Not as the cause of it: errors of the library hold the request, with its secrets. */
function explained(error: unknown, timeout: number): HubError {
  const { status, cause, response, name } = error as {
    status?: number
    cause?: unknown
    name?: string
    response?: { status?: number; headers?: Record<string, string | undefined>; data?: unknown }
  }
  if (isHubError(error)) return error
  if (isHubError(cause)) return cause
  const late = [name, (cause as Error | undefined)?.name].some(name => name === 'TimeoutError' || name === 'AbortError')
  if (late) return new HubError('unavailable', `GitHub did not answer within ${spoken(timeout)}. Try again in a minute.`)
  const code = (response?.data as { error?: unknown } | undefined)?.error
  if (response?.status === 200 && typeof code === 'string') return refusalOf(code)
  const { headers = {} } = response ?? {}
  if (response && (status === 429 || headers['x-ratelimit-remaining'] === '0' || headers['retry-after'] !== undefined)) {
    const message = 'GitHub answers no more questions of this hub for the moment. Try again in some minutes.'
    return new HubError('unavailable', message, { retryAfter: 60 })
  }
  if (response && status === 401) return new TokenGone()
  if (response && status === 403)
    return new HubError(
      'denied',
      'GitHub does not let this hub see where you are a member. Sign in again and allow it, or ask the admin of the organization to.',
    )
  return new HubError(
    'unavailable',
    response
      ? `GitHub answered with an error (${status}). Try again in a minute.`
      : 'GitHub cannot be reached. Try again in a minute.',
  )
}

/** https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors */
function refusalOf(code: string): HubError {
  if (code === 'bad_verification_code')
    return new HubError('denied', 'This sign-in was used already or took too long. Sign in again.')
  if (code === 'unverified_user_email')
    return new HubError('denied', 'GitHub has not verified your e-mail address yet. Do that there, and sign in again.')
  const name = /^\w{1,40}$/.test(code) ? ` (${code})` : ''
  return new HubError(
    'unavailable',
    `GitHub does not accept this hub${name}. The admin has to look at the client id, its secret and the callback address.`,
  )
}
