import { type Awaitable, duration } from 'swarmhub'
import { z } from 'zod'

/** What the provider says of somebody: the ID token's claims and the userinfo endpoint's. An `email` that is not verified is not among them. */
export type Claims = Readonly<Record<string, unknown>>

/** For a function that asks elsewhere in the person's name. */
export interface Tokens {
  readonly accessToken: string
  /** Aborts at the deadline. */
  readonly signal: AbortSignal
}

const fn = <F extends (...given: never[]) => unknown>(what: string) =>
  z.custom<F>(value => typeof value === 'function', `expected ${what}, or a function of the claims`)

const path = z.string().min(1)

const issuer = z
  .url({ protocol: /^https?$/, error: 'expected the issuer, such as "https://sso.example.org/realms/example"' })
  .refine(text => !/[?#]/.test(text), 'is an address without a query')
  .refine(text => !text.includes('/.well-known/'), 'is what stands in front of "/.well-known/openid-configuration"')

/** What the plugin itself says to the provider. */
const reserved = new Set([
  ...['client_id', 'response_type', 'response_mode', 'redirect_uri', 'scope', 'state', 'nonce', 'code_challenge'],
  ...['code_challenge_method', 'max_age', 'request', 'request_uri', 'registration'],
])

const wanted = z.union([z.string(), z.number(), z.boolean()])

const claims = z.strictObject({
  /** Who somebody is here. */
  name: z.union([path, fn<(claims: Claims) => string>('a claim')]).default('preferred_username'),
  /** Left out: this plugin does not tell groups. */
  groups: z.union([path, fn<(claims: Claims, tokens: Tokens) => Awaitable<readonly string[]>>('a claim')]).optional(),
  /** true, and nothing else, makes an administrator, all else none. Left out: this plugin does not decide. */
  admin: z.union([path, fn<(claims: Claims) => boolean>('a claim')]).optional(),
  /** What hooks, mounts and the spawner find in `user.attributes`, and the claim that it is; `issuer` and `subject` are always there. */
  attributes: z
    .union([z.record(z.string(), path), fn<(claims: Claims) => Record<string, unknown>>('names and claims')])
    .default({ fullName: 'name', mail: 'email' }),
  /** Does the provider vouch for the address in `email`? */
  emailVerified: fn<(claims: Claims) => boolean>('a function').default(
    () => (claims: Claims) => claims.email_verified === true || claims.email_verified === 'true',
  ),
})

export const options = z
  .strictObject({
    /** The plugin's name, in the addresses of its pages; two providers need two. */
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]*$/, 'expected a name of a-z, 0-9 and "-"')
      .default('oidc'),
    /** On the button. */
    label: z.string().min(1).max(59).default('Sign in with OpenID Connect'),
    /** The provider: what its discovery document says it is, without `/.well-known/…`. */
    issuer,
    /** `http://` beyond this machine: everybody on the way can sign in as anybody. */
    plaintext: z.boolean().default(false),
    clientId: z.string().min(1),
    clientSecret: z.string().min(1).optional(),
    /** For `private-key-jwt`: PKCS #8 as PEM, the text or a file's path, and what the provider knows it by. */
    clientKey: z
      .strictObject({ pem: z.string().min(1), algorithm: z.string().default('RS256'), id: z.string().optional() })
      .optional(),
    /** How the hub proves who it is. Left out: by what is given of the two above, the secret as the provider likes it. */
    clientAuthentication: z.enum(['basic', 'post', 'secret-jwt', 'private-key-jwt', 'none']).optional(),
    scopes: z.array(z.string().min(1)).default(['openid', 'profile', 'email']),
    /** More to say when somebody is sent there: `prompt`, `acr_values`, `access_type`. */
    parameters: z
      .record(
        z.string().refine(name => !reserved.has(name), 'is said by the plugin itself'),
        z.string(),
      )
      .default({}),
    /** How long ago the person may have proved there who they are, at most. */
    maxAge: duration().optional(),
    /** Ask the userinfo endpoint too, where there is one. */
    userinfo: z.boolean().default(true),
    claims: claims.prefault({}),
    /** What must be so beside the rules of `access`: claims and the values that will do, one or several; of a list one must do. */
    require: z
      .record(
        path,
        z.union([wanted, z.array(wanted).min(1), fn<(value: unknown, claims: Claims) => boolean>('a value, a list of values')]),
      )
      .default({}),
    /** Only people whose verified address is of one of these domains. */
    emailDomains: z
      .array(
        z
          .string()
          .regex(/^[^@\s]+$/, 'expected a domain, such as "example.org"')
          .toLowerCase(),
      )
      .min(1)
      .optional(),
    /** After signing out here: sign out there, too, where the provider has a page for it; or open this page. */
    logout: z.union([z.boolean(), z.url({ protocol: /^https?$/ })]).default(true),
    /** How far the clocks may be apart. */
    clockTolerance: duration().prefault('30s'),
    /** For all that is asked for one sign-in. */
    timeout: duration().prefault('10s'),
  })
  .superRefine(({ clientSecret, clientKey, clientAuthentication: way, claims, issuer, plaintext }, ctx) => {
    const wrong = (path: string[], message: string) => ctx.addIssue({ code: 'custom', path, message })
    if (way === 'private-key-jwt' && !clientKey) wrong(['clientKey'], 'is what private-key-jwt needs')
    if (way !== undefined && ['basic', 'post', 'secret-jwt'].includes(way) && clientSecret === undefined)
      wrong(['clientSecret'], `is what ${way} needs`)
    if (clientSecret !== undefined && clientKey) wrong(['clientKey'], 'is of no use beside clientSecret: leave out one of them')
    if (typeof claims.attributes === 'object' && ('issuer' in claims.attributes || 'subject' in claims.attributes))
      wrong(['claims', 'attributes'], 'issuer and subject are told by themselves: choose other names')
    if (issuer.startsWith('http:') && !isLoopback(issuer) && !plaintext)
      wrong(['issuer'], 'is not encrypted: use https, or say plaintext: true')
  })

const isLoopback = (address: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(address).hostname)

export type OidcOptions = z.input<typeof options>
export type OidcSettings = z.output<typeof options>
