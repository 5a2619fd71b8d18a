import { spoken } from '../duration.ts'
import { accessRules, describeAccess } from '../identity/access.ts'
import type { Plugin, User } from '../plugin.ts'
import { rolesOf } from './check.ts'
import type { LoadedConfig } from './load.ts'
import { placeOf } from './place.ts'
import type { Settings } from './schema.ts'

/** What a hub with this config would be, as text for a terminal: what `swarmhub check` prints. Nothing is started for it. */
export function plan({ file, dataFolder, settings, plugins, warnings }: LoadedConfig): string {
  const { base } = placeOf(settings)
  return [
    `config   ${file}`,
    `data     ${dataFolder}`,
    `address  ${settings.url ?? `any host, path ${base}, plain http`}`,
    `access   ${describeAccess(accessRules(settings))}`,
    ...section(
      'plugins, in this order',
      plugins.flatMap((plugin, index) => [`${index + 1}. ${plugin.name}`, ...details(plugin, settings, base)]),
    ),
    ...section('profiles', settings.profiles.map(profile)),
    ...section('overrides', settings.overrides.map(override)),
    ...section('roles', settings.roles.map(role)),
    ...section('services', settings.services.map(service(base))),
    ...section('warnings', warnings),
    '',
  ].join('\n')
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map(line => `  ${line}`)]
}

function details(plugin: Plugin, settings: Settings, base: string): string[] {
  const { authenticator, hooks = {}, web, welcome, remote, api, jobs = {}, commands = {} } = plugin
  const lists: Record<string, string[]> = {
    role: rolesOf(plugin, settings).map(({ role, used }) => {
      const kind = role === 'authenticator' ? ` by ${authenticator?.kind}: ${authenticator?.label}` : ''
      return `${role}${kind}${used ? '' : ', not used'}`
    }),
    hooks: Object.keys(hooks).length === 0 ? [] : [Object.keys(hooks).join(', ')],
    pages: [welcome, web].flatMap(app => routes(app, `${base}hub/x/${plugin.name}`)),
    endpoints: [...routes(remote, `${base}hub/x/${plugin.name}`), ...routes(api, `${base}hub/api/x/${plugin.name}`)],
    jobs: Object.entries(jobs).map(([name, { every }]) => `${name}, every ${spoken(every)}`),
    verbs: Object.entries(commands).map(([verb, { summary }]) => `swarmhub ${plugin.name} ${verb}  ${summary}`),
  }
  return Object.entries(lists).flatMap(([title, entries]) =>
    entries.map((entry, place) => `   ${(place === 0 ? title : '').padEnd(11)}${entry}`),
  )
}

/** Without middleware, which Hono keeps as a route for any method. */
function routes(app: { routes: { method: string; path: string }[] } | undefined, base: string): string[] {
  const own = app?.routes.filter(({ method, path }) => method !== 'ALL' || !path.endsWith('*')) ?? []
  return [...new Set(own.map(({ method, path }) => `${method} ${base}${path === '/' ? '' : path}`))]
}

function profile({ name, label, image, cpus, memory, placement, groups, choices = [] }: Settings['profiles'][number]): string {
  const facts = [
    image ?? 'no image of its own',
    ...(cpus === undefined ? [] : [perUser(cpus, cpus => `${cpus} CPU${cpus === 1 ? '' : 's'}`, 'CPUs')]),
    ...(memory === undefined ? [] : [perUser(memory, memory => `${bytes(memory)} of memory`, 'memory')]),
    ...(placement?.constraints ?? []),
    groups === undefined ? 'for everybody' : `for ${groups.join(', ')}`,
    ...choices.map(choice => {
      const what = 'options' in choice ? choice.options.map(({ name }) => name).join(', ') : `text like ${choice.pattern.source}`
      return `choose ${choice.name}: ${what}`
    }),
  ]
  return `${name} (${label}): ${facts.join('; ')}`
}

const perUser = (value: number | ((user: User) => number), tell: (value: number) => string, what: string) =>
  typeof value === 'function' ? `${what} by user` : tell(value)

function override({ users, groups, profiles, ...changes }: Settings['overrides'][number]): string {
  const who = [...(users ?? []), ...(groups ?? []).map(group => `members of ${group}`)].join(', ') || 'everybody'
  return `${who}, in ${profiles?.join(', ') ?? 'every profile'}: ${Object.keys(changes).join(', ') || 'nothing'}`
}

function role({ name, scopes, users, groups, services }: Settings['roles'][number]): string {
  const who = Object.entries({ users, groups, services }).filter(([, names]) => names.length > 0)
  return [
    `${name}: ${scopes === undefined ? 'its usual scopes' : scopes.join(', ') || 'no scopes'}`,
    ...who.map(([kind, names]) => `${kind} ${names.join(', ')}`),
  ].join('; ')
}
/** Without its token, its environment and the arguments of its command: there may be secrets among them. */
const service =
  (base: string) =>
  ({ name, url, command, access, admin, scopes }: Settings['services'][number]): string => {
    const who = [...access.users, ...access.groups.map(group => `members of ${group}`)]
    const facts = [
      ...(url === undefined ? [] : [`${base}services/${name}/ at ${url}`]),
      command === undefined ? 'runs elsewhere' : `runs ${command[0]}`,
      access.everyone ? 'for everybody' : `for ${['administrators', ...who].join(', ')}`,
      ...(admin ? ['may do everything'] : scopes.length > 0 ? [`may ${scopes.join(', ')}`] : []),
    ]
    return `${name}: ${facts.join('; ')}`
  }

function bytes(count: number): string {
  const power = [4, 3, 2, 1].find(power => count % 1024 ** power === 0) ?? 0
  return `${count / 1024 ** power}${[' bytes', 'K', 'M', 'G', 'T'][power]}`
}
