import { isDeepStrictEqual } from 'node:util'
import { type Audit, unrecorded } from '../audit.ts'
import { nearest } from '../config/nearest.ts'
import type { ConfigIssue } from '../config/options.ts'
import type { Settings } from '../config/schema.ts'
import { normalizeUsername } from '../names.ts'
import type { Log } from '../plugin.ts'
import type { HubRecord, UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { isGroupName } from './groups.ts'
import { type CustomScopes, expand, type Holder, isScope, scopeNames } from './scopes.ts'
import type { Users } from './users.ts'

/** A named set of scopes. */
export interface Role {
  description: string
  /** As they are written down: `self`, `inherit` and `!user` among them. */
  scopes: readonly string[]
}

/** Who has which roles, and what these allow. Asked at each use: a change of a group's members counts at the next request. */
export interface Roles {
  /** By name: those that there always are, as the config has changed them, and the config's own. */
  readonly all: ReadonlyMap<string, Role>
  /** The scopes of a role, not expanded; none for a role that there is not. */
  scopesOf(role: string): readonly string[]
  /** Scopes of the config, each for whom it means by the name in it, whatever they are called now; without those for who is no more. */
  follow(scopes: readonly string[]): readonly string[]
  /** Names of the roles that are this user's own. */
  of(user: UserRecord): string[]
  ofGroup(name: string): string[]
  ofService(name: string): string[]
  /** Names of all roles that the user's scopes come from: their own, and those of their groups. */
  behind(user: UserRecord): string[]
  /** The name by which the config means whoever is called so now; undefined when it means another by this name. */
  meantBy(name: string): string | undefined
  /** As in scopes.ts, and the config's custom scopes are known. */
  isScope(scope: string): boolean
  expand(scopes: readonly string[], holder?: Holder): ReadonlySet<string>
  /** Make the users and groups that the config names where there are none, and note whom it means. Once, before anybody is served. */
  bind(log: Log, audit?: Audit): Promise<void>
}

/** The roles there always are (contract 5.3). */
export const defaultRoles: ReadonlyMap<string, Role> = new Map(
  Object.entries({
    user: { description: 'Every user: their own servers and tokens', scopes: ['self'] },
    admin: {
      description: 'Everything',
      scopes: [
        'admin-ui',
        'admin:users',
        'admin:servers',
        'admin:services',
        'tokens',
        'admin:groups',
        'list:services',
        'read:services',
        'read:hub',
        'proxy',
        'shutdown',
        'access:services',
        'access:servers',
        'read:roles',
        'read:metrics',
        'shares',
      ],
    },
    server: { description: 'The token of a server', scopes: ['users:activity!user', 'access:servers!server'] },
    token: { description: 'A token, if nothing else is asked for: all that its owner may do', scopes: ['inherit'] },
  }),
)

type Given = Pick<Settings, 'roles' | 'scopes'> & Partial<Pick<Settings, 'groups'>>

interface Parts {
  store: Store
  users: Users
  settings?: Given & Partial<Pick<Settings, 'access' | 'services'>>
}

/**
 * Names in the config's roles and admins mean the user who had the name when the hub first read it there: whoever is renamed keeps the role, and
 * whoever gets the name later does not. That is written down, so it also holds after a restart; to give the role to another of
 * the same name, take the name out of the config for one start.
 */
export function createRoles({ store, users, settings = { roles: [], scopes: {} } }: Parts): Roles {
  const custom = customScopes(settings)
  const all = new Map(defaultRoles)
  for (const { name, description, scopes } of settings.roles) {
    const before = all.get(name)
    all.set(name, { description: description ?? before?.description ?? '', scopes: scopes ?? before?.scopes ?? [] })
  }
  /** The name that the config uses, and the id of whom it means. */
  const meant = () => new Map(store.hub.data.named.map(({ name, id }) => [name, id]))
  let byUser: ReadonlyMap<string, readonly string[]> | undefined

  /** Admins are so by their record, and everybody is a user. */
  const given = settings.roles.filter(({ name }) => name !== 'admin' && name !== 'user')
  const readUsers = () => {
    const ids = meant()
    const roles = new Map<string, string[]>()
    for (const { name, users } of given)
      for (const user of new Set(users.map(spelled))) {
        const id = ids.get(user)
        if (id !== undefined) roles.set(id, [...(roles.get(id) ?? []), name])
      }
    return roles
  }
  const having = (kind: 'groups' | 'services') => (name: string) =>
    settings.roles.filter(role => role[kind].includes(name)).map(role => role.name)
  const ofGroup = having('groups')

  const of: Roles['of'] = ({ id, admin }) => [
    ...(admin ? ['admin', 'user'] : ['user']),
    ...((byUser ??= readUsers()).get(id) ?? []),
  ]

  /** The scope for whom the config means by the name in it; undefined when that user is no more. */
  const followed = (scope: string, ids: ReadonlyMap<string, string>): string | undefined => {
    const { name, before, after } = userIn(scope) ?? {}
    const id = name === undefined ? undefined : ids.get(name)
    if (id === undefined) return scope
    const user = users.byId(id)
    return user && `${before}${user.name}${after}`
  }

  const follow: Roles['follow'] = scopes => {
    if (!scopes.some(userIn)) return scopes
    const ids = meant()
    return scopes.flatMap(scope => followed(scope, ids) ?? [])
  }

  return {
    all,
    scopesOf: role => follow(all.get(role)?.scopes ?? []),
    follow,
    of,
    ofGroup,
    ofService: having('services'),
    behind: user => [
      ...new Set([
        ...of(user),
        // An admin is one by the record, which the sign-in and the start of the hub keep up to date.
        ...users.groups
          .of(user.id)
          .flatMap(ofGroup)
          .filter(role => role !== 'admin'),
      ]),
    ],
    meantBy(name) {
      const id = users.get(name)?.id
      const { named } = store.hub.data
      const known = named.find(one => one.id === id)
      return known ? known.name : named.some(one => one.name === name) ? undefined : name
    },
    isScope: scope => isScope(scope, custom),
    expand: remembered((scopes, holder) => expand(scopes, holder, custom)),
    async bind(log, audit = unrecorded) {
      const declared = Object.entries(settings.groups ?? {})
      const listed = [...settings.roles, ...declared.map(([, group]) => group)].flatMap(({ users }) => users)
      const members = new Set([...(settings.access?.admins ?? []), ...listed].map(spelled))
      const services = settings.services ?? []
      const scopes = [...settings.roles, ...services].flatMap(({ scopes = [] }) => scopes)
      const allowed = services.flatMap(({ oauth }) => oauth?.allowedScopes ?? [])
      const named = new Set([
        ...members,
        ...[...scopes, ...allowed].flatMap(one => userIn(one)?.name ?? []),
        ...services.flatMap(({ access }) => access.users.map(spelled)),
      ])
      const known = meant()
      for (const name of named) {
        if (!known.has(name) && !users.get(name) && members.has(name)) await users.create(name)
        const id = known.get(name) ?? users.get(name)?.id
        if (id === undefined) continue
        known.set(name, id)
        const user = users.byId(id)
        if (user?.name !== name)
          log.warn(
            user
              ? 'the config names a user who is called otherwise now: what it gives stays theirs'
              : 'the config names a user who was deleted: nobody gets by that name what it gives',
            { name, ...(user && { now: user.name }) },
          )
      }
      const before = store.hub.data.roles
      const present = settings.roles.map(({ name, users, groups, services }) => {
        return { name, scopes: [...all.get(name)!.scopes], users, groups, services }
      })
      await store.hub.update(draft => {
        draft.named = [...named].flatMap(name => (known.has(name) ? [{ name, id: known.get(name)! }] : []))
        draft.roles = present
      })
      for (const { name, details } of roleChanges(before, present))
        audit.record({ action: 'role.change', actor: null, target: { role: name }, details })
      const groups = new Set([...settings.roles.flatMap(({ groups }) => groups), ...declared.map(([name]) => name)])
      const missing = [...groups].filter(name => !users.groups.get(name))
      if (missing.length > 0) await users.groups.create(missing)
      for (const [name, group] of declared) {
        const ids = group.users.flatMap(typed => users.byId(known.get(spelled(typed)) ?? '')?.id ?? [])
        if (ids.some(id => !users.groups.get(name)?.users.includes(id))) await users.groups.add(name, ids)
        const { properties } = group
        if (properties && !isDeepStrictEqual(users.groups.get(name)?.properties, properties))
          await users.groups.setProperties(name, properties)
      }
      byUser = undefined
    },
  }
}

/** Results that are kept. */
const mostExpanded = 2000

/** What scopes mean depends on them and their holder alone: it is worked out once, not at each request. */
function remembered(expand: Roles['expand']): Roles['expand'] {
  const known = new Map<string, ReadonlySet<string>>()
  return (scopes, holder) => {
    const key = JSON.stringify([scopes, holder])
    const found = known.get(key)
    if (found) return found
    const expanded = expand(scopes, holder)
    if (known.size >= mostExpanded) for (const oldest of known.keys()) if (known.delete(oldest)) break
    known.set(key, expanded)
    return expanded
  }
}

type GivenRole = HubRecord['roles'][number]

/** What the config says otherwise than at the last start, role by role. */
function roleChanges(before: readonly GivenRole[], present: readonly GivenRole[]) {
  const byName = (roles: readonly GivenRole[]) => new Map(roles.map(role => [role.name, role]))
  const [old, fresh] = [byName(before), byName(present)]
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap(name => {
    const said = (roles: typeof old, key: 'scopes' | 'users' | 'groups' | 'services') => roles.get(name)?.[key].join(' ') ?? ''
    const changed = (['scopes', 'users', 'groups', 'services'] as const).filter(key => said(old, key) !== said(fresh, key))
    const details = Object.fromEntries(changed.map(key => [key, said(fresh, key)]))
    return changed.length > 0 || old.has(name) !== fresh.has(name) ? [{ name, details }] : []
  })
}

/** What is wrong with these roles and custom scopes, each with its place in the config; nothing when all is well. */
export function checkRoles({ roles, scopes, access, services }: Given & Pick<Settings, 'access' | 'services'>): ConfigIssue[] {
  const custom = customScopes({ scopes })
  const blocked = new Set(access.blocked.map(normalizeUsername))
  const unknown = (scope: string) => {
    const meant = nearest(scope, [...scopeNames, ...custom.keys()])
    return `there is no scope "${scope.slice(0, 100)}"${meant ? `, did you mean "${meant}"?` : ''}`
  }
  const programs = services.map(({ name }) => name)
  const inScopes = Object.entries(scopes).flatMap(([name, { subscopes }]) =>
    subscopes.flatMap((scope, index): ConfigIssue[] =>
      custom.has(scope) ? [] : [{ path: ['scopes', name, 'subscopes', index], message: `there is no custom scope "${scope}"` }],
    ),
  )
  const inRoles = roles.flatMap((role, index): ConfigIssue[] => {
    const at = (...path: PropertyKey[]) => ['roles', index, ...path]
    const first = roles.findIndex(({ name }) => name === role.name)
    const redefined = role.name === 'admin' ? (['scopes', 'description'] as const).filter(key => role[key] !== undefined) : []
    return [
      ...(first < index ? [{ path: at('name'), message: `there is another role "${role.name}" at roles[${first}]` }] : []),
      ...redefined.map(key => ({ path: at(key), message: 'what an admin may do cannot be changed; say who has the role' })),
      ...(role.scopes ?? []).flatMap((scope, place) =>
        isScope(scope, custom) ? [] : [{ path: at('scopes', place), message: unknown(scope) }],
      ),
      ...role.users.flatMap((typed, place) => {
        const name = normalizeUsername(typed)
        if (name === undefined) return [{ path: at('users', place), message: "can be nobody's name" }]
        return blocked.has(name)
          ? [{ path: at('users', place), message: `"${name}" is in access.blocked too: leave out one of them` }]
          : []
      }),
      ...role.groups.flatMap((name, place) =>
        isGroupName(name) ? [] : [{ path: at('groups', place), message: "can be no group's name" }],
      ),
      ...role.services.flatMap((name, place) =>
        programs.includes(name) ? [] : [{ path: at('services', place), message: unknownService(name, programs) }],
      ),
    ]
  })
  return [...inScopes, ...inRoles]
}

function unknownService(name: string, services: readonly string[]): string {
  const meant = nearest(name, services)
  const there = services.length === 0 ? '' : `; there are: ${services.join(', ')}`
  return `there is no service "${name.slice(0, 100)}" in services${meant ? `, did you mean "${meant}"?` : there}`
}

const customScopes = ({ scopes }: Pick<Given, 'scopes'>): CustomScopes =>
  new Map(Object.entries(scopes).map(([name, { subscopes }]) => [name, subscopes]))

const spelled = (name: string) => normalizeUsername(name) ?? name

/** The user whom a scope names by its filter. */
function userIn(scope: string): { before: string; name: string; after: string } | undefined {
  const [, before, name, after = ''] = /^([^!]+!(?:user|server)=)([^/]+)(\/.*)?$/s.exec(scope) ?? []
  return before === undefined || name === undefined ? undefined : { before, name, after }
}
