import { clientIdOf, type ServiceSettings } from '../config/service.ts'
import type { Roles } from '../identity/roles.ts'
import { covers, holds } from '../identity/scopes.ts'
import { fingerprint, newSecret } from '../identity/secrets.ts'
import { normalizeUsername } from '../names.ts'
import type { Caller, Route } from '../plugin.ts'

/** A program beside the hub, as the config has it. */
export interface Service {
  readonly name: string
  readonly settings: ServiceSettings
  /** `/services/grades/`; empty for one without a url. */
  readonly path: string
  readonly clientId: string
  /** Where a browser returns to after signing in: a path, for one that is reached through the proxy. */
  readonly redirectUri: string
  /** Its token; undefined for one that has none. */
  readonly secret: string | undefined
  /** The hash of it. */
  readonly secretHash: string | undefined
  /** Of its process; 0 while there is none of ours. */
  pid: number
  /** Of its process: when it was started last, ISO, and how often in the life of this hub. */
  started: string | undefined
  starts: number
  /** What came of the last look at one that runs elsewhere; undefined before the first. `why`: it does not answer. */
  probe: { at: string; why: string | undefined } | undefined
}

/** The services of the config (contract 10): who they are, what they may do, and who may use them. */
export interface Services {
  get(name: string): Service | undefined
  /** In config order. */
  all(): Iterable<Service>
  byClient(clientId: string): Service | undefined
  /** Whose token is this? */
  find(secret: string): Service | undefined
  /** What a service may do. */
  caller(service: Service): Caller
  /** The scopes that the services' rules give to somebody of this name, in these groups. */
  grantedTo(name: string, groups: readonly string[]): string[]
  /** Those with a page that this caller may open, for links. */
  shownTo(caller: Caller): Service[]
  /** Their places in the proxy, by path. */
  readonly routes: ReadonlyMap<string, Route>
}

export function createServices({
  settings,
  base,
  groupsOf,
  roles,
}: {
  settings: readonly ServiceSettings[]
  base: string
  groupsOf: (user: string) => readonly string[]
  roles: Pick<Roles, 'ofService' | 'scopesOf' | 'expand'>
}): Services {
  const services = settings.map(one => serviceOf(one, base))
  const byName = new Map(services.map(service => [service.name, service]))
  const byClient = new Map(services.map(service => [service.clientId, service]))
  const byToken = new Map(services.flatMap(service => (service.secretHash ? [[service.secretHash, service] as const] : [])))
  const rules = services.map(({ name, settings: { access } }) => ({
    scope: `access:services!service=${name}`,
    everyone: access.everyone,
    users: new Set(access.users.map(normalizeUsername)),
    groups: new Set(access.groups),
  }))
  const accessTo = ({ name }: Service, caller: Caller) => caller.allows('access:services', { service: name })

  return {
    get: name => byName.get(name),
    all: () => services,
    byClient: clientId => byClient.get(clientId),
    find: secret => byToken.get(fingerprint(secret)),
    caller({ name, settings: { admin, scopes } }) {
      const ofRoles = [...roles.ofService(name), ...(admin ? ['admin'] : [])].flatMap(roles.scopesOf)
      const held = roles.expand([...scopes, ...ofRoles, `read:services:name!service=${name}`], { service: name })
      return {
        kind: 'service',
        name,
        scopes: held,
        allows: (scope, target) => covers(held, scope, target, groupsOf),
        holds: scope => holds(held, scope),
      }
    },
    grantedTo: (name, groups) =>
      rules
        .filter(rule => rule.everyone || rule.users.has(name) || groups.some(group => rule.groups.has(group)))
        .map(({ scope }) => scope),
    shownTo: caller => services.filter(service => service.path && service.settings.display && accessTo(service, caller)),
    routes: new Map(services.flatMap(service => (service.path ? [[service.path, routeOf(service)] as const] : []))),
  }
}

function serviceOf(settings: ServiceSettings, base: string): Service {
  const { name, url, command, oauth } = settings
  const path = url === undefined ? '' : `${base}services/${name}/`
  // One that the hub starts learns its token from the environment, so it need not be the same twice.
  const secret = settings.token ?? (command && newSecret())
  return {
    name,
    settings,
    path,
    clientId: clientIdOf(settings),
    redirectUri: oauth?.redirectUri ?? (path && `${path}oauth_callback`),
    secret,
    secretHash: secret && fingerprint(secret),
    pid: 0,
    started: undefined,
    starts: 0,
    probe: undefined,
  }
}

const routeOf = ({ name, path, settings: { url } }: Service): Route => ({
  path,
  target: new URL(url!).origin,
  data: { jupyterhub: true, service: name },
})
