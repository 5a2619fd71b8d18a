import { clientIdOf, type ServiceSettings } from '../config/service.ts'
import { HubError } from '../errors.ts'
import type { Roles } from '../identity/roles.ts'
import { covers, holds } from '../identity/scopes.ts'
import { fingerprint, newSecret } from '../identity/secrets.ts'
import { normalizeUsername } from '../names.ts'
import type { Caller, Route } from '../plugin.ts'
import type { StateFile } from '../store/file.ts'
import type { HubRecord, ServiceRecord } from '../store/records.ts'

/** A program beside the hub, of the config or made over the API. */
export interface Service {
  readonly name: string
  readonly settings: ServiceSettings
  /** The config has it: only there can it be changed. */
  readonly fromConfig: boolean
  /** `/services/grades/`; empty for one without a url. */
  readonly path: string
  readonly clientId: string
  /** Where a browser returns to after signing in: a path, for one that is reached through the proxy. */
  readonly redirectUri: string
  /** Its token, for its own process; undefined where the hub has none to give. */
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

/**
 * The services (contract 10): who they are, what they may do, and who may use them. Where the config has one by the name, the client id
 * or the token of one that was made over the API, only that of the config counts.
 */
export interface Services {
  get(name: string): Service | undefined
  /** In config order, then in order of creation. */
  all(): Iterable<Service>
  byClient(clientId: string): Service | undefined
  /** What it may ask of its users, beyond who they are. */
  allowedTo(service: Service): readonly string[]
  /** Whose token is this? */
  find(secret: string): Service | undefined
  /** What a service may do. */
  caller(service: Service): Caller
  /** The scopes that the services' rules give to whom the config means by this name, in these groups. */
  grantedTo(name: string, groups: readonly string[]): string[]
  /** Those with a page that this caller may open, for links. */
  shownTo(caller: Caller): Service[]
  /** Their places in the proxy, by path; another map when there are others. */
  readonly routes: ReadonlyMap<string, Route>
  /** Make one over the API; durable when it resolves. Throws `conflict` when there is one by its name, client id or token. */
  add(record: ServiceRecord): Promise<Service>
  /** Take the scopes that match out of what those that were made over the API may ask for. Durable when it resolves. */
  forget(names: (scope: string) => boolean): Promise<void>
  /** Forget one that was made over the API; durable when it resolves. Does nothing when there is none. */
  remove(name: string): Promise<void>
}

export function createServices({
  settings,
  base,
  groupsOf,
  roles,
  records,
}: {
  settings: readonly ServiceSettings[]
  base: string
  groupsOf: (user: string) => readonly string[]
  roles: Pick<Roles, 'ofService' | 'scopesOf' | 'follow' | 'expand'>
  /** Where those that are made over the API are kept. */
  records: Pick<StateFile<Pick<HubRecord, 'services'>>, 'data' | 'update'>
}): Services {
  const configured = settings.map(one => configuredService(one, base))
  const rules = configured.map(({ name, settings: { access } }) => ({
    scope: `access:services!service=${name}`,
    everyone: access.everyone,
    users: new Set(access.users.map(normalizeUsername)),
    groups: new Set(access.groups),
  }))
  const accessTo = ({ name }: Service, caller: Caller) => caller.allows('access:services', { service: name })

  let seen: unknown
  let known = indexed(configured)
  /** Read from the hub's record again when that is another one. */
  const lookUp = () => {
    const { services: made } = records.data
    if (seen === made) return known
    const ofConfig = indexed(configured)
    const others = made.map(record => madeService(record, base)).filter(service => !twinOf(service, ofConfig))
    known = indexed([...configured, ...others])
    seen = made
    return known
  }

  return {
    get: name => lookUp().byName.get(name),
    all: () => lookUp().services,
    byClient: clientId => lookUp().byClient.get(clientId),
    find: secret => lookUp().byToken.get(fingerprint(secret)),
    allowedTo: ({ fromConfig, settings: { oauth } }) => {
      const scopes = oauth?.allowedScopes ?? []
      return fromConfig ? roles.follow(scopes) : scopes
    },
    caller({ name, settings: { admin, scopes } }) {
      const ofRoles = [...roles.ofService(name), ...(admin ? ['admin'] : [])].flatMap(roles.scopesOf)
      const held = roles.expand([...roles.follow(scopes), ...ofRoles, `read:services:name!service=${name}`], { service: name })
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
    shownTo: caller => lookUp().services.filter(service => service.path && service.settings.display && accessTo(service, caller)),
    get routes() {
      return lookUp().routes
    },
    async add(record) {
      const service = madeService(record, base)
      await records.update(draft => {
        const others = draft.services.map(one => madeService(one, base))
        const twin = twinOf(service, indexed([...configured, ...others]))
        if (twin) throw new HubError('conflict', `The service ${twin.name} has this name, OAuth client id or token already.`)
        draft.services.push(record)
      })
      return lookUp().byName.get(record.name)!
    },
    async forget(names) {
      const has = ({ oauth }: ServiceRecord) => oauth?.allowedScopes.some(names)
      if (!records.data.services.some(has)) return
      await records.update(draft => {
        for (const { oauth } of draft.services)
          if (oauth) oauth.allowedScopes = oauth.allowedScopes.filter(scope => !names(scope))
      })
    },
    async remove(name) {
      await records.update(draft => void (draft.services = draft.services.filter(one => one.name !== name)))
    },
  }
}

function indexed(services: readonly Service[]) {
  return {
    services,
    byName: new Map(services.map(service => [service.name, service])),
    byClient: new Map(services.map(service => [service.clientId, service])),
    byToken: new Map(services.flatMap(service => (service.secretHash ? [[service.secretHash, service] as const] : []))),
    routes: new Map(services.flatMap(service => (service.path ? [[service.path, routeOf(service)] as const] : []))),
  }
}

/** Which of these would be taken for this one? */
const twinOf = ({ name, clientId, secretHash }: Service, { byName, byClient, byToken }: ReturnType<typeof indexed>) =>
  byName.get(name) ?? byClient.get(clientId) ?? byToken.get(secretHash ?? '')

function configuredService(settings: ServiceSettings, base: string): Service {
  // One that the hub starts learns its token from the environment, so it need not be the same twice.
  const secret = settings.token ?? (settings.command && newSecret())
  return { ...serviceOf(settings, base), fromConfig: true, secret, secretHash: secret && fingerprint(secret) }
}

/** What it may do and who may use it is for roles in the config to say. */
function madeService({ name, url, hash, admin, display, info, oauth }: ServiceRecord, base: string): Service {
  const settings: ServiceSettings = {
    name,
    url: url ?? undefined,
    admin,
    display,
    info,
    scopes: [],
    access: { everyone: false, users: [], groups: [] },
    environment: {},
    oauth: oauth ? { ...oauth, clientId: oauth.clientId ?? undefined, redirectUri: oauth.redirectUri ?? undefined } : undefined,
  }
  return { ...serviceOf(settings, base), fromConfig: false, secret: undefined, secretHash: hash ?? undefined }
}

function serviceOf(settings: ServiceSettings, base: string) {
  const { name, url, oauth } = settings
  const path = url === undefined ? '' : `${base}services/${name}/`
  return {
    name,
    settings,
    path,
    clientId: clientIdOf(settings),
    redirectUri: oauth?.redirectUri ?? (path && `${path}oauth_callback`),
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
