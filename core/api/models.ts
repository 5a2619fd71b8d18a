import type { z } from 'zod'
import type { Core } from '../core.ts'
import { escapeSegment } from '../names.ts'
import type { Caller } from '../plugin.ts'
import type { Server } from '../servers/server.ts'
import type { Service } from '../services/services.ts'
import type { GroupRecord, TokenRecord, UserRecord } from '../store/records.ts'
import type * as answers from './answers.ts'

/** A moment as JupyterHub writes it: six digits after the point, or none at all. */
export function stamp<T extends string | null>(iso: T): T
export function stamp(iso: string | null): string | null {
  return iso?.replace(/\.000Z$/, 'Z').replace(/\.(\d{3})Z$/, '.$1000Z') ?? null
}

/** What this caller may see of a user; undefined when that is nothing. `stopped`: servers that do not run, too. */
export function userModel(
  core: Core,
  caller: Caller,
  user: UserRecord,
  stopped = false,
): z.output<typeof answers.user> | undefined {
  const may = (scope: string) => caller.allows(scope, { user: user.name })
  const server = core.servers.get(user, '')
  const model = {
    ...(may('read:users:name') && { admin: user.admin, user_info: null }),
    ...(may('read:roles:users') && { admin: user.admin, roles: core.roles.of(user) }),
    ...(may('read:users:groups') && { groups: [...core.users.groups.of(user.id)] }),
    ...(may('read:users:activity') && { last_activity: stamp(core.users.lastActivity(user.id)) }),
    ...(may('read:users') && {
      server: server?.ready ? server.path : null,
      pending: server?.pending ?? null,
      created: stamp(user.created),
      roles: core.roles.of(user),
    }),
    ...(may('admin:auth_state') && { auth_state: null }),
    ...serversModel(core, caller, user, stopped),
  }
  return Object.keys(model).length === 0 ? undefined : { kind: 'user', name: user.name, ...model }
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
function serversModel(core: Core, caller: Caller, user: UserRecord, stopped: boolean) {
  const visible = core.servers.of(user).filter(({ ref }) => caller.allows('read:servers', { user: user.name, server: ref.name }))
  if (visible.length === 0 && !caller.allows('read:servers', { user: user.name })) return {}
  const shown = visible.filter(server => isActive(server) || (stopped && exists(server)))
  return { servers: Object.fromEntries(shown.map(server => [server.ref.name, serverModel(core, caller, server)])) }
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
    last_activity: stamp(token.lastActivity),
    expires_at: stamp(token.expires),
    note: token.note,
    session_id: token.sessionId,
    oauth_client: token.client === null ? 'JupyterHub' : (core.oauth.client(token.client)?.description ?? token.client),
  }
}
