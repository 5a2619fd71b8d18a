import { z } from 'zod'

/** The schema version of everything in the data folder. A newer one is refused, an older one migrated after a backup. */
export const version = 1

const when = z.iso.datetime({ precision: 3 })

export const token = z.strictObject({
  /** Counted per hub, shown as `a<id>`. */
  id: z.int().positive(),
  /** SHA-256 of the token, hex. The token itself is never stored. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** `api`: made by a person or a program. `server`: minted for one start of one server. `oauth`: issued to an OAuth client. */
  kind: z.enum(['api', 'server', 'oauth']),
  note: z.string(),
  /** As asked for: raw scopes, `inherit` and `!user` included. Expanded and cut at each use. */
  scopes: z.array(z.string()),
  created: when,
  expires: when.nullable(),
  lastActivity: when.nullable(),
  /** Where it was last used from. */
  lastAddress: z.string().optional(),
  /** The browser session it was issued in: the value of `jupyterhub-session-id`. */
  sessionId: z.string().nullable(),
  /** The OAuth client it was issued to. */
  client: z.string().nullable(),
  /** For `server` tokens: which server of the owner, and which start of it. */
  server: z.string().nullable(),
  generation: z.string().nullable(),
})
export type TokenRecord = z.infer<typeof token>

export const session = z.strictObject({
  /** SHA-256 of the login cookie's value, hex. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** The value of `jupyterhub-session-id`. */
  sessionId: z.string(),
  authenticator: z.string(),
  created: when,
  expires: when,
  /** For people to know it by: "Firefox on Linux". */
  browser: z.string().optional(),
  lastActivity: when.optional(),
  lastAddress: z.string().optional(),
  /** How the authenticator's provider calls this sign-in, if it may end it. */
  provider: z.string().optional(),
})
export type SessionRecord = z.infer<typeof session>

export const cause = z.strictObject({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  engine: z.string().optional(),
  exitCode: z.int().optional(),
  log: z.array(z.string()).optional(),
})

/** A server shared with somebody. It is kept with the server, and so goes with it. */
export const share = z.strictObject({
  /** With whom, by an id that is never used again. */
  grantee: z.strictObject({ kind: z.enum(['user', 'group']), id: z.string() }),
  /** What they may do with this server, each scope with those that it implies to be added at each use. Without filters. */
  scopes: z.array(z.string()),
  created: when,
})
export type ShareRecord = z.infer<typeof share>

/** Whoever has the code may take this share of the server. */
export const shareCode = z.strictObject({
  /** Counted per hub, shown as `sc_<id>`. */
  id: z.int().positive(),
  /** SHA-256 of the code, hex. The code itself is never stored. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** As in a share. */
  scopes: z.array(z.string()),
  created: when,
  expires: when,
  /** How often it was taken, and when last. */
  exchanged: z.int().nonnegative(),
  lastExchanged: when.nullable(),
})
export type ShareCodeRecord = z.infer<typeof shareCode>

export const server = z.strictObject({
  name: z.string(),
  displayName: z.string().nullable(),
  created: when,
  started: when.nullable(),
  lastActivity: when.nullable(),
  /** What was last asked for; kept while stopped, so that the next start can use it again. */
  profile: z.string().nullable(),
  choices: z.record(z.string(), z.string()),
  /** `user_options` as a JupyterHub client sent them. */
  userOptions: z.record(z.string(), z.unknown()),
  /** What should be. Durable before the engine is called. */
  intent: z.enum(['stopped', 'running']),
  /** Of the last start. */
  generation: z.string().nullable(),
  /** Set once the spawner has created it; null again after its clean-up. */
  handle: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).nullable(),
  /** Has this generation been ready once? */
  ready: z.boolean(),
  failure: z.strictObject({ cause, at: when }).nullable(),
  shares: z.array(share).default([]),
  shareCodes: z.array(shareCode).default([]),
})
export type ServerRecord = z.infer<typeof server>

/** A server that was never started. */
export const emptyServer = (name: string): ServerRecord => ({
  name,
  displayName: null,
  created: new Date().toISOString(),
  started: null,
  lastActivity: null,
  profile: null,
  choices: {},
  userOptions: {},
  intent: 'stopped',
  generation: null,
  handle: null,
  ready: false,
  failure: null,
  shares: [],
  shareCodes: [],
})

export const user = z.strictObject({
  version: z.literal(version),
  /** Never re-used. */
  id: z.string(),
  /** Order of creation, counted per hub. */
  number: z.int().positive(),
  name: z.string(),
  slug: z.string(),
  admin: z.boolean(),
  /** Who made them an admin, if it was not another admin: the config's rules or their authenticator. Who stops saying so takes it back. */
  adminBy: z.enum(['access', 'authenticator']).optional(),
  created: when,
  lastActivity: when.nullable(),
  /** Which authenticator made this account and under which immutable id it knows its owner. */
  identity: z.strictObject({ authenticator: z.string(), id: z.string().nullable() }).nullable(),
  attributes: z.record(z.string(), z.unknown()),
  /** What their authenticator keeps about them, encrypted: see auth-state.ts. */
  authState: z.string().optional(),
  tokens: z.array(token),
  sessions: z.array(session),
  servers: z.array(server),
})
export type UserRecord = z.infer<typeof user>

export const group = z
  .strictObject({
    /** Never used again, unlike the name. Groups of before there were ids have their name for it. */
    id: z.string().optional(),
    name: z.string(),
    properties: z.record(z.string(), z.unknown()),
    /** User ids. */
    users: z.array(z.string()),
    /** Of these, whom an authenticator put here, by user id: the authenticator's name. All others somebody put here by hand. */
    told: z.record(z.string(), z.string()).default({}),
  })
  .transform(({ id, ...group }) => ({ id: id ?? group.name, ...group }))
export type GroupRecord = z.infer<typeof group>

/** A service that was made over the API. Its token is its OAuth client's secret, too. */
export const service = z.strictObject({
  name: z.string(),
  created: when,
  url: z.string().nullable(),
  /** SHA-256 of its token, hex; null for one that has none. */
  hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  admin: z.boolean(),
  display: z.boolean(),
  info: z.record(z.string(), z.json()),
  /** Null: it is reached through the proxy, or is no OAuth client, as its url and token say. */
  oauth: z
    .strictObject({
      clientId: z.string().nullable(),
      redirectUri: z.string().nullable(),
      allowedScopes: z.array(z.string()),
      noConfirm: z.boolean(),
    })
    .nullable(),
})
export type ServiceRecord = z.infer<typeof service>

export const hub = z.strictObject({
  version: z.literal(version),
  id: z.string(),
  /** Signs `_xsrf` and whatever else must not be forged; 32 bytes, base64url. */
  secret: z.string().min(43),
  groups: z.array(group),
  /** Those that were made over the API; the config has its own. */
  services: z.array(service).default([]),
  /** Whom the config's roles mean by a name: the user who had it when the hub first read it there. */
  named: z.array(z.strictObject({ name: z.string(), id: z.string() })).default([]),
  /** Slugs that were somebody's: what is kept under them is not for the next one who has the name. */
  deleted: z.array(z.strictObject({ name: z.string(), slug: z.string() })).default([]),
  /** The config's roles at the last start, to tell what has changed. */
  roles: z
    .array(
      z.strictObject({
        name: z.string(),
        scopes: z.array(z.string()),
        users: z.array(z.string()),
        groups: z.array(z.string()),
        services: z.array(z.string()),
      }),
    )
    .default([]),
})
export type HubRecord = z.infer<typeof hub>
