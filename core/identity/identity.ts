import type { Settings } from '../config/schema.ts'
import { call, type Stager } from '../hooks.ts'
import type { Log } from '../plugin.ts'
import { createServices, type Services } from '../services/services.ts'
import type { Store } from '../store/store.ts'
import { createAccess } from './access.ts'
import { createLogins, decideAdmin, type Logins } from './logins.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { createTokens, type Tokens } from './tokens.ts'
import { createUsers, type Users } from './users.ts'
import { createXsrf, type Xsrf } from './xsrf.ts'

export interface Parts {
  users: Users
  tokens: Tokens
  sessions: Sessions
  xsrf: Xsrf
  logins: Logins
  services: Services
  /** Apply what the config says of admins and services to those who are users already. Once, before anybody is served. */
  settle(): Promise<void>
}

/** Everything that knows who somebody is and what they may do. */
export function createIdentity({
  store,
  settings,
  base,
  url,
  stager,
  log,
  closing,
}: {
  store: Store
  settings: Settings
  base: string
  url: URL | undefined
  stager: Stager
  log: Log
  closing: AbortSignal
}): Parts {
  const { secret } = store.hub.data
  const access = createAccess(settings.access)
  const authenticators = new Set(settings.authenticators.map(({ name }) => name))

  const users = createUsers({ store })
  const groupsOf = (name: string) => users.groups.of(users.get(name)?.id ?? '')
  const services = createServices({ settings: settings.services, base, groupsOf })
  const tokens = createTokens({
    store,
    users,
    isBlocked: ({ name }) => access.blocks(name),
    granted: ({ name, id }) => services.grantedTo(name, users.groups.of(id)),
  })
  const sessions = createSessions({
    store,
    users,
    base,
    url,
    lifetime: settings.timeouts.session,
    admits: (owner, { authenticator }) =>
      authenticators.has(authenticator) && access.admits(owner.name, users.groups.of(owner.id)),
  })
  const xsrf = createXsrf({ secret, sessions, base, url })
  const logins = createLogins({
    settings,
    secret,
    users,
    sessions,
    access,
    base,
    url,
    stage: (subject, act) => stager.run('login', subject, act, { log, signal: closing, after: 'background' }),
    ask: (plugin, hook, run) => call({ plugin, hook }, run, { log, signal: closing, deadline: settings.timeouts.hook }),
    log,
  })

  return {
    users,
    tokens,
    sessions,
    xsrf,
    logins,
    services,
    async settle() {
      for (const { id, name, adminBy, tokens: held } of users.all()) {
        const by = access.makesAdmin(name, users.groups.of(id)) ? 'access' : undefined
        // What an authenticator gave, it is asked about at the next sign-in.
        if (by || adminBy === 'access') await users.update(id, draft => decideAdmin(draft, by))
        // A service that is no more must not go on in its users' names.
        const isLost = ({ client }: { client: string | null }) =>
          client?.startsWith('service-') === true && !services.byClient(client)
        if (held.some(isLost)) await tokens.revoke(id, isLost)
      }
    },
  }
}
