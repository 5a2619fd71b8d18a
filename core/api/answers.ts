import { z } from 'zod'

/*
 * What the API answers with. The models are made to fit these (models.ts), the OpenAPI document shows them, and the tests hold
 * every answer against them.
 */

const name = z.string()
const names = z.array(z.string())
/** In UTC; six digits after the point, or none. */
const moment = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
const whatever = z.record(z.string(), z.unknown())
const pending = z.enum(['spawn', 'stop', 'check'])

export const failed = z.strictObject({ status: z.int(), message: z.string() }).meta({ id: 'Error' })

export const server = z
  .strictObject({
    name: name.describe('Empty for the default server.'),
    display_name: z.string(),
    full_name: z.string().describe('`alice/lab`, `alice/` for the default server.'),
    last_activity: moment.nullable(),
    started: moment.nullable(),
    pending: pending.nullable(),
    ready: z.boolean(),
    stopped: z.boolean(),
    url: z.string(),
    user_options: whatever,
    progress_url: z.string(),
    full_url: z.string().nullable(),
    full_progress_url: z.string().nullable(),
    state: whatever.optional().describe('What the spawner finds it by; with `admin:server_state`.'),
  })
  .meta({ id: 'Server' })

/** Beyond the name each field is there for who has the scope that shows it. */
const userFields = z.strictObject({
  kind: z.literal('user'),
  name,
  admin: z.boolean().optional(),
  user_info: z.null().optional(),
  roles: names.optional(),
  groups: names.optional(),
  server: z.string().nullable().optional().describe('The path of the default server, once that is ready.'),
  pending: pending.nullable().optional(),
  created: moment.nullable().optional(),
  last_activity: moment.nullable().optional(),
  auth_state: z.json().optional().describe('Of one user alone, what their sign-in keeps; with `admin:auth_state`.'),
  servers: z.record(z.string(), server).optional(),
})
export const user = userFields.meta({ id: 'User' })

export const group = z
  .strictObject({
    kind: z.literal('group'),
    name,
    properties: whatever.optional(),
    users: names.optional(),
    roles: names.optional(),
  })
  .meta({ id: 'Group' })

const serviceFields = z.strictObject({
  kind: z.literal('service'),
  name,
  admin: z.boolean().optional(),
  roles: names.optional(),
  url: z.string().optional(),
  prefix: z.string().optional(),
  command: names.optional(),
  pid: z.int().optional(),
  info: whatever.optional(),
  display: z.boolean().optional(),
})
export const service = serviceFields.meta({ id: 'Service' })

const asking = {
  token_id: z.string().nullable(),
  session_id: z.string().nullable(),
  scopes: names.describe('All that they mean, by name.'),
}
export const self = z.union([userFields.extend(asking), serviceFields.extend(asking)])

const tokenFields = z.strictObject({
  user: name,
  id: z.string(),
  kind: z.literal('api_token'),
  roles: names,
  scopes: names,
  created: moment.nullable(),
  last_activity: moment.nullable(),
  expires_at: moment.nullable(),
  note: z.string(),
  session_id: z.string().nullable(),
  oauth_client: z.string(),
})
export const token = tokenFields.meta({ id: 'Token' })
export const newToken = tokenFields.extend({ token: z.string().describe('The secret.') })

/** Whose a token is. */
export const bearer = z.union([
  z.strictObject({ kind: z.literal('user'), name, admin: z.boolean(), groups: names, user_info: z.null() }),
  z.strictObject({ kind: z.literal('service'), name, admin: z.boolean() }),
])

export const route = z
  .strictObject({ routespec: z.string(), target: z.string(), data: z.looseObject({ last_activity: moment }) })
  .meta({ id: 'Route' })

/** As much of a server as who has a share of it needs. */
const sharedServer = server
  .pick({ name: true, url: true, full_url: true, ready: true })
  .extend({ user: z.strictObject({ name }) })

export const share = z
  .strictObject({
    server: sharedServer,
    scopes: names,
    user: z.strictObject({ name }).nullable(),
    group: z.strictObject({ name }).nullable(),
    kind: z.enum(['user', 'group']),
    created_at: moment.nullable(),
  })
  .meta({ id: 'Share' })

const codeFields = z.strictObject({
  server: sharedServer,
  scopes: names,
  id: z.string(),
  created_at: moment.nullable(),
  expires_at: moment.nullable(),
  exchange_count: z.int(),
  last_exchanged_at: moment.nullable(),
})
export const shareCode = codeFields.meta({ id: 'ShareCode' })
export const newShareCode = codeFields.extend({
  code: z.string().describe('The code.'),
  accept_url: z.string(),
  full_accept_url: z.string().nullable(),
})

const plugins = z.strictObject({ class: z.string(), version: z.string() })
export const info = z.strictObject({
  version: z.string(),
  python: z.string(),
  sys_executable: z.string(),
  spawner: plugins,
  authenticator: plugins,
})

const pagination = z
  .strictObject({
    offset: z.int(),
    limit: z.int(),
    total: z.int(),
    next: z.strictObject({ offset: z.int(), limit: z.int(), url: z.string() }).nullable(),
  })
  .meta({ id: 'Pagination' })

/** One page of a list. */
export const pageOf = <S extends z.ZodType>(items: S) => z.strictObject({ items, _pagination: pagination })

/** A list as it is, or one page of it. */
export const listOf = <S extends z.ZodType>(items: S) => z.union([items, pageOf(items)])
