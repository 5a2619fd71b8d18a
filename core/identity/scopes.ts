import { HubError } from '../errors.ts'
import type { ScopeTarget } from '../plugin.ts'

/*
 * JupyterHub's scopes (contract 5). A scope is `name` or `name!kind=value`: the right, and for what alone it holds. Sets of
 * scopes are *expanded* when every implied scope is in them by its own name and no filter refers to its holder any more;
 * `covers`, `holds` and `intersect` take expanded sets.
 */

/** Every scope, with those that it implies. */
const implied = new Map<string, readonly string[]>(
  Object.entries({
    'admin-ui': [],
    'admin:users': ['admin:auth_state', 'users', 'read:roles:users', 'delete:users'],
    'admin:auth_state': [],
    users: ['read:users', 'list:users', 'users:activity'],
    'delete:users': [],
    'list:users': ['read:users:name'],
    'read:users': ['read:users:name', 'read:users:groups', 'read:users:activity'],
    'read:users:name': [],
    'read:users:groups': [],
    'read:users:activity': [],
    'users:activity': ['read:users:activity'],
    'read:roles': ['read:roles:users', 'read:roles:services', 'read:roles:groups'],
    'read:roles:users': [],
    'read:roles:services': [],
    'read:roles:groups': [],
    'admin:servers': ['admin:server_state', 'servers'],
    'admin:server_state': [],
    servers: ['read:servers', 'start:servers', 'delete:servers'],
    'read:servers': ['read:users:name'],
    'start:servers': [],
    'delete:servers': [],
    tokens: ['read:tokens'],
    'read:tokens': [],
    'admin:groups': ['groups', 'read:roles:groups', 'delete:groups'],
    groups: ['read:groups', 'list:groups'],
    'list:groups': ['read:groups:name'],
    'read:groups': ['read:groups:name'],
    'read:groups:name': [],
    'delete:groups': [],
    'admin:services': ['list:services', 'read:services', 'read:roles:services'],
    'list:services': ['read:services:name'],
    'read:services': ['read:services:name'],
    'read:services:name': [],
    shares: ['access:servers', 'read:shares', 'users:shares', 'groups:shares'],
    'read:shares': [],
    'users:shares': ['read:users:shares'],
    'read:users:shares': [],
    'groups:shares': ['read:groups:shares'],
    'read:groups:shares': [],
    'access:servers': [],
    'access:services': [],
    'read:hub': [],
    'read:metrics': [],
    proxy: [],
    shutdown: [],
  }),
)

/** What `self` stands for, each of them for the user alone. */
const own = ['read:users', 'users:shares', 'read:shares', 'users:activity', 'servers', 'tokens', 'access:servers']

/** Scopes that stand for others; they have no filter. `inherit` is the token's owner's, and is seen to where tokens are. */
const standIns = ['self', 'inherit', '(no_scope)']

const kinds = ['user', 'group', 'server', 'service']

/** All names of scopes that there always are. */
export const scopeNames: readonly string[] = [...implied.keys(), ...standIns]

/** The scopes that a config adds, each with those that it implies. Here they open nothing: services ask for them. */
export type CustomScopes = ReadonlyMap<string, readonly string[]>
const noCustom: CustomScopes = new Map()

/** Who the filters `!user`, `!service` and `!server`, and the scope `self`, refer to. */
export interface Holder {
  /** The name of the user whose scopes they are. */
  owner?: string
  /** Or the name of the service. */
  service?: string
  /** The OAuth client they were issued to: a server as `user/name`, or a service. */
  client?: { server?: string; service?: string }
}

/** Names of the groups that this user is in. */
export type GroupsOf = (user: string) => readonly string[]

const split = (scope: string): { name: string; filter: string | undefined } => {
  const at = scope.indexOf('!')
  return at < 0 ? { name: scope, filter: undefined } : { name: scope.slice(0, at), filter: scope.slice(at + 1) }
}

const join = (name: string, filter: string | undefined) => (filter === undefined ? name : `${name}!${filter}`)

/** Is there such a scope, with such a filter? */
export function isScope(scope: string, custom = noCustom): boolean {
  const { name, filter } = split(scope)
  if (standIns.includes(name)) return filter === undefined
  if (!implied.has(name) && !custom.has(name)) return false
  if (filter === undefined || ['user', 'service', 'server'].includes(filter)) return true
  const [, kind = '', value = ''] = /^([a-z]+)=(.+)$/s.exec(filter) ?? []
  return kinds.includes(kind) && (kind !== 'server' || /^[^/]+\/[^/]*$/.test(value))
}

/** Throws `invalid` for the first that is no scope. */
export function checkScopes(scopes: Iterable<string>, custom = noCustom): void {
  for (const scope of scopes)
    if (!isScope(scope, custom)) throw new HubError('invalid', `There is no scope ${JSON.stringify(scope.slice(0, 100))}.`)
}

/**
 * All that these scopes mean for this holder. Filters that refer to what the holder has not (`!server` without a client)
 * grant nothing, and so does `inherit`. Throws `invalid` for what is no scope.
 */
export function expand(scopes: Iterable<string>, holder: Holder = {}, custom = noCustom): Set<string> {
  const expanded = new Set<string>()
  for (const scope of scopes) {
    checkScopes([scope], custom)
    if (scope === 'self') {
      if (holder.owner !== undefined) for (const name of own) add(expanded, name, `user=${holder.owner}`, custom)
    } else if (!standIns.includes(scope)) {
      const { name, filter } = split(scope)
      const meant = filter === undefined || filter.includes('=') ? filter : refer(filter, holder)
      if (meant !== null) add(expanded, name, meant, custom)
    }
  }
  return reduce(expanded)
}

function add(expanded: Set<string>, name: string, filter: string | undefined, custom: CustomScopes): void {
  const scope = join(name, filter)
  if (expanded.has(scope)) return
  expanded.add(scope)
  // Whoever may read one server of a user may not for that read the user.
  const server = filter?.startsWith('server=')
  for (const next of implied.get(name) ?? custom.get(name) ?? [])
    if (!server || !next.startsWith('read:user')) add(expanded, next, filter, custom)
}

/** The filter that `!user`, `!server` or `!service` stands for; null for nothing. */
function refer(kind: string, { owner, service, client }: Holder): string | null {
  const value = { user: owner, service: client?.service ?? service, server: client?.server }[kind]
  return value === undefined ? null : `${kind}=${value}`
}

/** Without the filtered forms of what is there unfiltered. */
export function reduce(scopes: Iterable<string>): Set<string> {
  const all = new Set(scopes)
  return new Set([...all].filter(scope => !scope.includes('!') || !all.has(split(scope).name)))
}

/** Is this right held for that target? Without a target: for everything. */
export function covers(held: ReadonlySet<string>, scope: string, target: ScopeTarget | undefined, groupsOf: GroupsOf): boolean {
  if (held.has(scope)) return true
  if (!target) return false
  if ('group' in target) return held.has(`${scope}!group=${target.group}`)
  if ('service' in target) return held.has(`${scope}!service=${target.service}`)
  const { user, server } = target
  return (
    held.has(`${scope}!user=${user}`) ||
    (server !== undefined && held.has(`${scope}!server=${user}/${server}`)) ||
    groupsOf(user).some(group => held.has(`${scope}!group=${group}`))
  )
}

/** Is this right held at all, be it for whatever? */
export function holds(held: ReadonlySet<string>, scope: string): boolean {
  if (held.has(scope)) return true
  for (const one of held) if (one.startsWith(`${scope}!`)) return true
  return false
}

/** What two expanded sets both allow: of each pair where one contains the other, the narrower one. */
export function intersect(a: ReadonlySet<string>, b: ReadonlySet<string>, groupsOf: GroupsOf): Set<string> {
  const both = new Set<string>()
  const [filtersA, filtersB] = [byName(a), byName(b)]
  for (const [name, inA] of filtersA) {
    for (const filterA of inA)
      for (const filterB of filtersB.get(name) ?? []) {
        if (contains(filterA, filterB, groupsOf)) both.add(join(name, filterB))
        else if (contains(filterB, filterA, groupsOf)) both.add(join(name, filterA))
      }
  }
  return reduce(both)
}

function byName(scopes: ReadonlySet<string>): Map<string, (string | undefined)[]> {
  const filters = new Map<string, (string | undefined)[]>()
  for (const scope of scopes) {
    const { name, filter } = split(scope)
    const known = filters.get(name)
    if (known) known.push(filter)
    else filters.set(name, [filter])
  }
  return filters
}

/** Is everything that `narrow` names among what `wide` names? No filter names everything. */
function contains(wide: string | undefined, narrow: string | undefined, groupsOf: GroupsOf): boolean {
  if (wide === undefined || wide === narrow) return true
  if (narrow === undefined) return false
  const user = /^user=(.+)$/s.exec(narrow)?.[1] ?? /^server=([^/]+)\//s.exec(narrow)?.[1]
  if (user === undefined) return false
  if (wide.startsWith('group=')) return groupsOf(user).includes(wide.slice('group='.length))
  return wide === `user=${user}`
}

/** Does `held` allow all that these expanded scopes allow? */
export function coversAll(held: ReadonlySet<string>, scopes: ReadonlySet<string>, groupsOf: GroupsOf): boolean {
  const within = intersect(scopes, held, groupsOf)
  return [...scopes].every(scope => within.has(scope) || within.has(split(scope).name))
}
