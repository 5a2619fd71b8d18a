import type { Audit } from './audit.ts'
import type { Settings } from './config/schema.ts'
import type { AuthStates } from './identity/auth-state.ts'
import type { Logins } from './identity/logins.ts'
import type { Roles } from './identity/roles.ts'
import type { Sessions } from './identity/sessions.ts'
import type { Shares } from './identity/shares.ts'
import type { Tokens } from './identity/tokens.ts'
import type { Users } from './identity/users.ts'
import type { Xsrf } from './identity/xsrf.ts'
import type { Metrics } from './metrics.ts'
import type { OAuthProvider } from './oauth/provider.ts'
import type { Log, Plugin } from './plugin.ts'
import type { Routes } from './servers/routes.ts'
import type { Servers } from './servers/servers.ts'
import type { Services } from './services/services.ts'
import type { Inventory } from './storage.ts'

/** The parts of a running hub, as pages and endpoints see them. Put together in hub.ts. */
export interface Core {
  settings: Settings
  log: Log
  /** `/` or `/prefix/`: the public path prefix. */
  base: string
  /** The public origin and prefix, if the config says it. */
  url: URL | undefined
  users: Users
  roles: Roles
  shares: Shares
  tokens: Tokens
  sessions: Sessions
  authStates: AuthStates
  xsrf: Xsrf
  logins: Logins
  oauth: OAuthProvider
  servers: Servers
  routes: Routes
  services: Services
  storage: Inventory
  metrics: Metrics
  audit: Audit
  /** In config order, each once. */
  plugins: readonly Plugin[]
  /** When the hub began to shut down; pages say so and streams end. */
  closing: AbortSignal
  /**
   * End this hub in good order. `servers`: after all servers have been stopped; else they go on, for the next hub. `proxy`: with
   * the front that it is a child of; a front that runs by itself goes on. Resolves once the end has begun; may be called twice.
   */
  end(what: { servers: boolean; proxy: boolean }): Promise<void>
}
