import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { subnet } from '../addresses.ts'
import { accessRules, checkAccess } from '../identity/access.ts'
import { checkPrefixes, isPrefix } from '../identity/prefix.ts'
import { checkRoles } from '../identity/roles.ts'
import { checkSpelling } from '../identity/spelling.ts'
import { isServerName } from '../names.ts'
import type { Hooks, Plugin } from '../plugin.ts'
import { isPlugin } from './filling.ts'
import { nearest } from './nearest.ts'
import { type ConfigIssue, checkShape, dotted } from './options.ts'
import { placeOf } from './place.ts'
import type { Shape } from './profile.ts'
import { config, type Settings } from './schema.ts'
import { checkServices } from './service.ts'
import { mountsIn, networksIn } from './shapes.ts'
import { article } from './wording.ts'

/** A config that can be used, or all that is wrong with it. */
export type Checked = { settings: Settings; plugins: readonly Plugin[]; warnings: string[] } | { issues: readonly ConfigIssue[] }

/** Check a whole config: each key, each plugin, and what must fit together. `folder` is the config file's. */
export function check(value: unknown, folder: string): Checked {
  const shape = checkShape(config, value)
  const found = pluginsIn(value)
  const issues = [...('issues' in shape ? shape.issues : contradictions(shape.data, folder)), ...pluginIssues(found)]
  if ('issues' in shape || issues.length > 0) return { issues }
  const settings = withAbsolutePaths(shape.data, folder)
  const plugins = [...new Set(found.map(({ plugin }) => plugin))]
  return { settings, plugins, warnings: warnings(settings, plugins) }
}

/** Which key of the config holds the plugins of a role. */
export const keyOf = {
  authenticator: 'authenticators',
  network: 'networks',
  mount: 'mounts',
  spawner: 'spawner',
  proxy: 'proxy',
} as const satisfies Partial<Record<keyof Plugin, keyof Settings>>

/** The roles that this plugin fills, and whether the config uses it for them. */
export function rolesOf(plugin: Plugin, settings: Settings): { role: keyof typeof keyOf; used: boolean }[] {
  const roles = Object.keys(keyOf) as (keyof typeof keyOf)[]
  const filling = (role: keyof typeof keyOf): readonly Plugin[] => {
    if (role === 'mount') return mountsIn(settings)
    return role === 'network' ? networksIn(settings) : [settings[keyOf[role]]].flat()
  }
  return roles.filter(role => plugin[role] !== undefined).map(role => ({ role, used: filling(role).includes(plugin) }))
}

interface Found {
  path: PropertyKey[]
  plugin: Plugin
}

/** Which keys lead to more keys that hold plugins. */
const nesting = ['profiles', 'overrides', 'choices', 'options']

/** Order is what you read: that of the keys as they were written. */
function pluginsIn(value: unknown, path: PropertyKey[] = []): Found[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, entry]: [string, unknown]) => {
    const at = [...path, key]
    const entries: [PropertyKey[], unknown][] = Array.isArray(entry)
      ? entry.map((one, index) => [[...at, index], one])
      : [[at, entry]]
    if (nesting.includes(key)) return entries.flatMap(([place, one]) => pluginsIn(one, place))
    if (![...Object.values(keyOf), 'plugins'].includes(key)) return []
    return entries.flatMap(([place, plugin]) => (isPlugin(plugin) ? [{ path: place, plugin }] : []))
  })
}

function pluginIssues(found: readonly Found[]): ConfigIssue[] {
  const firsts = new Map<string, Found>()
  return found.flatMap(({ path, plugin }) => {
    const first = firsts.get(plugin.name)
    if (first?.plugin === plugin) return []
    if (first) {
      const message = `there is another plugin named "${plugin.name}" at ${dotted(first.path)}; give one of them another name`
      return [{ path, message }]
    }
    firsts.set(plugin.name, { path, plugin })
    const shape = checkShape(pluginShape, plugin)
    if (!('issues' in shape)) return []
    return shape.issues.map(issue => ({
      path: [...path, ...issue.path],
      message:
        issue.path.length === 2 && issue.path[0] === 'hooks'
          ? issue.message.replace('unknown key', 'unknown hook')
          : issue.message,
    }))
  })
}

const does = () => z.custom(value => typeof value === 'function', { error: 'expected a function' })
const app = () =>
  z.custom(value => typeof value === 'object' && value !== null && 'fetch' in value && 'routes' in value, {
    error: 'expected a Hono app',
  })

const hooks = {
  'before:login': does().optional(),
  'after:login': does().optional(),
  'failed:login': does().optional(),
  'before:spawn': does().optional(),
  'after:spawn': does().optional(),
  'failed:spawn': does().optional(),
  'before:stop': does().optional(),
  'after:stop': does().optional(),
  'failed:stop': does().optional(),
} satisfies Record<keyof Hooks, z.ZodType>

const anyAuthenticator = {
  label: z.string(),
  prefix: z.string().refine(isPrefix, 'expected a prefix such as "gh-"').optional(),
  leave: does().optional(),
  refresh: does().optional(),
}

const pluginShape = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]*$/, 'expected a name of a-z, 0-9 and "-" that starts with a letter'),
  version: z.string().optional(),
  authenticator: z
    .discriminatedUnion('kind', [
      z.looseObject({ kind: z.literal('password'), ...anyAuthenticator, check: does() }),
      z.looseObject({ kind: z.literal('redirect'), ...anyAuthenticator, begin: does(), finish: does() }),
      z.looseObject({
        kind: z.literal('request'),
        ...anyAuthenticator,
        headers: z.array(z.string().min(1)).min(1),
        from: z.array(subnet()).min(1),
        identify: does(),
      }),
    ])
    .optional(),
  network: z.looseObject({ join: does() }).optional(),
  mount: z.looseObject({ attach: does() }).optional(),
  spawner: z.looseObject({ start: does(), poll: does(), stop: does(), list: does() }).optional(),
  proxy: z.looseObject({ add: does(), remove: does(), list: does() }).optional(),
  hooks: z.strictObject(hooks).optional(),
  web: app().optional(),
  links: z.array(z.strictObject({ label: z.string().min(1), page: z.string(), scope: z.string().min(1).optional() })).optional(),
  welcome: app().optional(),
  remote: app().optional(),
  api: app().optional(),
  jobs: z
    .record(
      z.string(),
      z.strictObject({
        every: z.number().positive(),
        atStart: z.boolean().optional(),
        deadline: z.number().positive().optional(),
        run: does(),
      }),
    )
    .optional(),
  commands: z.record(z.string(), z.strictObject({ summary: z.string(), run: does() })).optional(),
  setup: does().optional(),
  health: does().optional(),
} satisfies Record<keyof Plugin, z.ZodType>)

function contradictions(settings: Settings, folder: string): ConfigIssue[] {
  return [
    ...urlIssues(settings),
    ...checkAccess(settings.access),
    ...authenticatorIssues(settings),
    ...checkRoles(settings),
    ...checkSpelling(settings),
    ...cookieIssues(settings),
    ...routeIssues(settings),
    ...limitIssues(settings),
    ...profileIssues(settings),
    ...checkServices(settings.services),
    ...logoIssues(settings, folder),
  ]
}

const unguardable =
  "needs a proxy that is the hub's own front, such as httpProxy(): of no other is it known whom a request comes from"

function authenticatorIssues(settings: Settings): ConfigIssue[] {
  const { authenticators, proxy } = settings
  const unguarded = authenticators.flatMap(({ name, authenticator }, index) =>
    authenticator.kind === 'request' && !proxy.proxy.serve
      ? [{ path: ['authenticators', index], message: `"${name}" ${unguardable}` }]
      : [],
  )
  return [...checkPrefixes(settings), ...unguarded]
}

function urlIssues({ url, base }: Settings): ConfigIssue[] {
  if (url === undefined) return []
  if (base !== undefined) return [{ path: ['base'], message: 'is said by the path of url already: leave out one of them' }]
  const { search, hash, username, password } = new URL(url)
  const extra = search ? 'a query' : hash ? 'a fragment' : username || password ? 'a user or a password' : undefined
  return extra
    ? [{ path: ['url'], message: `has ${extra}: write the address that people open, such as "https://hub.example.org/"` }]
    : []
}

/** `__Host-` cookies go to every path: only a front of ours takes them out of what goes to servers. */
function cookieIssues({ cookies, url, proxy }: Settings): ConfigIssue[] {
  const issue = (message: string) => [{ path: ['cookies', 'hostPrefix'], message }]
  if (!cookies.hostPrefix) return []
  if (!url?.startsWith('https:')) return issue('needs https: say the public address as url, with https')
  return proxy.proxy.serve ? [] : issue(`would show the hub's cookies to servers behind "${proxy.name}": it needs httpProxy()`)
}

function routeIssues(settings: Settings): ConfigIssue[] {
  const { base } = placeOf(settings)
  const own = ['hub/', 'user/', 'services/'].map(path => base + path)
  return Object.keys(settings.extraRoutes).flatMap(path => {
    const taken = own.find(one => path.startsWith(one) || one.startsWith(path))
    const message = path.startsWith(base) ? `is in the way of ${taken}` : `is outside of the hub's prefix ${base}`
    return taken || !path.startsWith(base) ? [{ path: ['extraRoutes', path], message }] : []
  })
}

function limitIssues({ limits, api, servers }: Settings): ConfigIssue[] {
  return [
    ...(limits.retry[0] > limits.retry[1] ? [{ path: ['limits', 'retry'], message: 'ends before it begins' }] : []),
    ...(api.pageSize > api.maxPageSize ? [{ path: ['api', 'pageSize'], message: 'is more than api.maxPageSize' }] : []),
    ...(servers.defaultName !== '' && limits.namedServers === 0
      ? [{ path: ['servers', 'defaultName'], message: 'is a named server, but limits.namedServers is 0' }]
      : []),
    ...(isServerName(servers.defaultName)
      ? []
      : [{ path: ['servers', 'defaultName'], message: 'cannot be the name of a server' }]),
  ]
}

function profileIssues({ profiles, overrides }: Settings): ConfigIssue[] {
  return [
    ...profiles.flatMap((profile, index) => [
      ...repeated(profiles, index, ['profiles'], 'profile'),
      ...guarantees(profile, ['profiles', index]),
      ...(profile.choices ?? []).flatMap((choice, place) =>
        choiceIssues(profile.choices!, choice, place, ['profiles', index, 'choices']),
      ),
    ]),
    ...overrides.flatMap((override, index) => [
      ...guarantees(override, ['overrides', index]),
      ...(override.profiles ?? []).flatMap((name, place) =>
        profiles.some(profile => profile.name === name)
          ? []
          : [{ path: ['overrides', index, 'profiles', place], message: unknown('profile', name, profiles) }],
      ),
    ]),
  ]
}

type ChoiceSettings = NonNullable<Settings['profiles'][number]['choices']>[number]

function choiceIssues(choices: ChoiceSettings[], choice: ChoiceSettings, place: number, at: PropertyKey[]): ConfigIssue[] {
  const issues = repeated(choices, place, at, 'choice')
  if ('pattern' in choice) return issues
  const { options, default: usual } = choice
  const path = [...at, place]
  return [
    ...issues,
    ...options.flatMap((option, index) => [
      ...repeated(options, index, [...path, 'options'], 'option'),
      ...guarantees(option, [...path, 'options', index]),
    ]),
    ...(usual === undefined || options.some(({ name }) => name === usual)
      ? []
      : [{ path: [...path, 'default'], message: unknown('option', usual, options) }]),
  ]
}

function repeated(all: readonly { name: string }[], index: number, at: PropertyKey[], kind: string): ConfigIssue[] {
  const { name } = all[index]!
  const first = all.findIndex(other => other.name === name)
  if (first === index) return []
  return [{ path: [...at, index, 'name'], message: `there is another ${kind} named "${name}" at ${dotted([...at, first])}` }]
}

function unknown(kind: string, name: string, all: readonly { name: string }[]): string {
  const names = all.map(({ name }) => name)
  const meant = nearest(name, names)
  return `there is no ${kind} "${name}", ${meant ? `did you mean "${meant}"?` : `there are ${names.join(', ')}`}`
}

function guarantees({ memory, memoryGuarantee, cpus, cpuGuarantee }: Shape, at: PropertyKey[]): ConfigIssue[] {
  const isMore = (guarantee: unknown, limit: unknown) =>
    typeof guarantee === 'number' && typeof limit === 'number' && guarantee > limit
  return [
    ...(isMore(memoryGuarantee, memory) ? [{ path: [...at, 'memoryGuarantee'], message: 'is more than memory, the limit' }] : []),
    ...(isMore(cpuGuarantee, cpus) ? [{ path: [...at, 'cpuGuarantee'], message: 'is more than cpus, the limit' }] : []),
  ]
}

function logoIssues({ branding: { logo } }: Settings, folder: string): ConfigIssue[] {
  if (logo === undefined || statSync(resolve(folder, logo), { throwIfNoEntry: false })?.isFile()) return []
  return [{ path: ['branding', 'logo'], message: `there is no file ${resolve(folder, logo)}` }]
}

function withAbsolutePaths(settings: Settings, folder: string): Settings {
  const { logo } = settings.branding
  return {
    ...settings,
    branding: logo === undefined ? settings.branding : { ...settings.branding, logo: resolve(folder, logo) },
    services: settings.services.map(service => ({ ...service, cwd: resolve(folder, service.cwd ?? '') })),
  }
}

function warnings(settings: Settings, plugins: readonly Plugin[]): string[] {
  const { blocked: _, ...rules } = accessRules(settings)
  const anybody = Object.values(rules).some(rule => (Array.isArray(rule) ? rule.length > 0 : rule))
  return [
    ...(anybody
      ? []
      : ['nobody may sign in: access has no rule; say who, such as access: { users: ["ann"] } or access: { everyone: true }']),
    ...plugins.flatMap(plugin =>
      rolesOf(plugin, settings)
        .filter(({ used }) => !used)
        .map(({ role }) => `"${plugin.name}" is not used as ${article(role)}: for that it has to stand in ${keyOf[role]}`),
    ),
  ]
}
