import type { z } from 'zod'
import type { Core } from '../core.ts'
import { escapeSegment } from '../names.ts'
import type { Caller, Json } from '../plugin.ts'
import type { Server } from '../servers/server.ts'
import type { Service } from '../services/services.ts'
import type { GroupRecord, TokenRecord, UserRecord } from '../store/records.ts'
import type * as answers from './answers.ts'

/** A moment as JupyterHub writes it: six digits after the point, or none at all. */
export function stamp<T extends string | null>(iso: T): T
export function stamp(iso: string | null): string | null {
  if (iso === null) return null
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : `${iso.slice(0, -1)}000Z`
}

/** What this caller may see of a user; undefined when that is nothing. `stopped`: servers that do not run, too. */
export function userModel(
  core: Core,
  caller: Caller,
  user: UserRecord,
  stopped = false,
): z.output<typeof answers.user> | undefined {
  const target = { user: user.name }
  const may = (scope: string) => caller.allows(scope, target)
  const servers = core.servers.begun(user)
  const model: z.output<typeof answers.user> = { kind: 'user', name: user.name }
  const empty = Object.keys(model).length
  const [named, roles] = [may('read:users:name'), may('read:roles:users')]
  if (named || roles) model.admin = user.admin
  if (named) model.user_info = null
  if (roles) model.roles = core.roles.of(user)
  if (may('read:users:groups')) model.groups = [...core.users.groups.of(user.id)]
  if (may('read:users:activity')) model.last_activity = stamp(core.users.lastActivity(user.id))
  if (may('read:users')) {
    const server = servers.find(({ ref }) => ref.name === '')
    model.server = server?.ready ? server.path : null
    model.pending = server?.pending ?? null
    model.created = stamp(user.created)
    model.roles = core.roles.of(user)
  }
  if (may('admin:auth_state')) model.auth_state = null
  const shown = serversModel(core, caller, user, servers, stopped)
  if (shown) model.servers = shown
  return Object.keys(model).length === empty ? undefined : model
}

/** The answer about one user alone also says what their sign-in keeps; a list never does. */
export function withAuthState<M extends object>(
  core: Core,
  caller: Caller,
  user: UserRecord,
  model: M,
): M & { auth_state?: Json } {
  if (!caller.allows('admin:auth_state', { user: user.name })) return model
  return { ...model, auth_state: core.authStates.open(user) ?? null }
}

/** What this caller may see of a group; undefined when that is nothing. */
export function groupModel(core: Core, caller: Caller, group: GroupRecord): z.output<typeof answers.group> | undefined {
  const may = (scope: string) => caller.allows(scope, { group: group.name })
  if (!groupReaders.some(may)) return undefined
  return {
    kind: 'group',
    name: group.name,
    ...(may('read:groups') && {
      properties: group.properties,
      users: group.users.flatMap(id => core.users.byId(id)?.name ?? []),
    }),
    ...(may('read:roles:groups') && { roles: core.roles.ofGroup(group.name) }),
  }
}

/** Each of these shows something of a group. */
export const groupReaders = ['read:groups', 'read:groups:name', 'read:roles:groups']

/** Those of a user's servers that the caller may see, by name. */
function serversModel(core: Core, caller: Caller, user: UserRecord, servers: Server[], stopped: boolean) {
  const may = (server: string) => caller.allows('read:servers', { user: user.name, server })
  const visible = servers.filter(({ ref }) => may(ref.name))
  // Who may read the default server may also know that there is none yet.
  if (visible.length === 0 && !may('')) return undefined
  const shown = visible.filter(server => isActive(server) || (stopped && exists(server)))
  return Object.fromEntries(shown.map(server => [server.ref.name, serverModel(core, caller, server)]))
}

export const isActive = (server: Server) => server.ready || server.pending !== null

/** A default server that nobody has ever started is not listed. */
const exists = ({ owner, ref }: Server) => owner.servers.some(({ name }) => name === ref.name)

export function serverModel(core: Core, caller: Caller, server: Server): z.output<typeof answers.server> {
  const { record, path, owner } = server
  const { name } = server.ref
  const place = name === '' ? 'server' : `servers/${escapeSegment(name)}`
  const progress = `${core.base}hub/api/users/${escapeSegment(owner.name)}/${place}/progress`
  const active = isActive(server)
  return {
    name,
    display_name: record.displayName ?? '',
    full_name: `${owner.name}/${name}`,
    last_activity: stamp(core.users.lastActivity(owner.id, name)),
    started: active ? stamp(record.started) : null,
    pending: server.pending,
    ready: server.ready,
    stopped: !active,
    url: path,
    user_options: record.userOptions,
    progress_url: progress,
    full_url: core.url ? `${core.url.origin}${path}` : null,
    full_progress_url: core.url ? `${core.url.origin}${progress}` : null,
    ...(caller.allows('admin:server_state', { user: owner.name, server: name }) && { state: record.handle ?? {} }),
  }
}

/** What this caller may see of a service; undefined when that is nothing. */
export function serviceModel(
  { roles: known }: Core,
  caller: Caller,
  { name, path, pid, settings }: Service,
): z.output<typeof answers.service> | undefined {
  const may = (scope: string) => caller.allows(scope, { service: name })
  const { admin, url, command, info, display } = settings
  const roles = [...new Set([...(admin ? ['admin'] : []), ...known.ofService(name)])]
  const model = {
    ...(may('read:services:name') && { admin }),
    ...(may('read:roles:services') && { admin, roles }),
    ...(may('read:services') && { roles, url: url ?? '', prefix: path, command: command ?? [], pid, info, display }),
  }
  return Object.keys(model).length === 0 ? undefined : { kind: 'service', name, ...model }
}

export function tokenModel(core: Core, owner: UserRecord, token: TokenRecord): z.output<typeof answers.token> {
  return {
    user: owner.name,
    id: `a${token.id}`,
    kind: 'api_token',
    roles: [],
    scopes: [...core.tokens.scopes(owner, token)].sort(),
    created: stamp(token.created),
    last_activity: stamp(core.users.lastUse(owner.id, { token: token.id }).at),
    expires_at: stamp(token.expires),
    note: token.note,
    session_id: token.sessionId,
    oauth_client: token.client === null ? 'JupyterHub' : (core.oauth.client(token.client)?.description ?? token.client),
  }
}
