import type { Audit } from '../audit.ts'
import type { Settings } from '../config/schema.ts'
import { call, type Stager } from '../hooks.ts'
import type { Log } from '../plugin.ts'
import { createServices, type Services } from '../services/services.ts'
import type { UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { type Access, accessRules, createAccess } from './access.ts'
import { type AuthStates, createAuthStates } from './auth-state.ts'
import { createLogins, decideAdmin, type Logins } from './logins.ts'
import { createRoles, type Roles } from './roles.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { createShares, type Shares } from './shares.ts'
import { createSpelling } from './spelling.ts'
import { createTokens, type Tokens } from './tokens.ts'
import { createUsers, type Users } from './users.ts'
import { createXsrf, type Xsrf } from './xsrf.ts'

export interface Parts {
  users: Users
  roles: Roles
  shares: Shares
  tokens: Tokens
  sessions: Sessions
  authStates: AuthStates
  xsrf: Xsrf
  logins: Logins
  services: Services
  /** Apply what the config says of roles, services, and of admins to those who are users already. Once, before anybody is served. */
  settle(): Promise<void>
}

/** Everything that knows who somebody is and what they may do. */
export function createIdentity({
  store,
  settings,
  base,
  url,
  stager,
  audit,
  log,
  closing,
  ended,
}: {
  store: Store
  settings: Settings
  base: string
  url: URL | undefined
  stager: Stager
  audit: Audit
  log: Log
  closing: AbortSignal
  /** See createSessions. */
  ended?: (sessionId: string) => void
}): Parts {
  const { secret = store.hub.data.secret, hostPrefix } = settings.cookies
  const spelling = createSpelling(settings.signIn)
  const authenticators = new Set(settings.authenticators.map(({ name }) => name))

  const users = createUsers({ store, audit, resolution: settings.activity.resolution, isName: spelling.fits })
  const roles = createRoles({ store, users, settings })
  const rules = createAccess(accessRules(settings))
  const access: Access = {
    ...rules,
    makesAdmin: (name, groups) => !rules.blocks(name) && rules.makesAdmin(roles.meantBy(name) ?? '', groups),
    admits: (name, groups, known) => rules.admits(name, groups, known) || access.makesAdmin(name, groups),
  }
  const admits = ({ id, name }: UserRecord) => access.admits(name, users.groups.of(id), true)
  // Who has never signed in is an account that an admin made for a program: no rule need name it.
  const isOut = (owner: UserRecord) => access.blocks(owner.name) || (owner.identity !== null && !admits(owner))
  const groupsOf = (name: string) => users.groups.of(users.get(name)?.id ?? '')
  const services = createServices({ settings: settings.services, base, groupsOf, roles, records: store.hub })
  users.onForget(services.forget)
  const shares = createShares({ store, users, roles, audit })
  const granted = ({ name, id }: UserRecord) => [
    ...services.grantedTo(roles.meantBy(name) ?? '', users.groups.of(id)),
    ...shares.grantedTo(id),
  ]
  const tokens = createTokens({ store, users, roles, audit, isOut, granted })
  const sessions = createSessions({
    store,
    users,
    audit,
    base,
    url,
    lifetime: settings.timeouts.session,
    idle: settings.timeouts.idle,
    ended,
    secret,
    hostPrefix,
    admits: (owner, { authenticator }) => authenticators.has(authenticator) && admits(owner),
  })
  const authStates = createAuthStates({ keys: settings.authState.keys, log })
  const xsrf = createXsrf({ secret, sessions, base, url, hostPrefix })
  const logins = createLogins({
    settings,
    secret,
    spelling,
    users,
    sessions,
    authStates,
    access,
    base,
    url,
    stage: (subject, act) => stager.run('login', subject, act, { log, signal: closing, after: 'background' }),
    audit,
    ask: (plugin, hook, run) => call({ plugin, hook }, run, { log, signal: closing, deadline: settings.timeouts.hook }),
    log,
  })

  return {
    users,
    roles,
    shares,
    tokens,
    sessions,
    authStates,
    xsrf,
    logins,
    services,
    async settle() {
      await roles.bind(log, audit)
      for (const user of users.all()) {
        const { id, name, adminBy, tokens: held } = user
        const by = access.makesAdmin(name, users.groups.of(id)) ? 'access' : undefined
        // What an authenticator gave, it is asked about at the next sign-in.
        if (by || adminBy === 'access') await users.update(id, draft => decideAdmin(draft, by))
        // So that the old key can go from the config, once the hub has started with the new one.
        const state = user.authState !== undefined && authStates.isOld(user.authState) ? authStates.open(user) : undefined
        const sealed = state === undefined ? null : authStates.seal(id, state)
        if (sealed !== null) await users.update(id, draft => void (draft.authState = sealed))
        // A service that is no more must not go on in its users' names.
        const isLost = ({ client }: { client: string | null }) =>
          client?.startsWith('service-') === true && !services.byClient(client)
        if (held.some(isLost)) await tokens.revoke(id, isLost)
      }
    },
  }
}
