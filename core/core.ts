import type { Audit } from './audit.ts'
import type { Settings } from './config/schema.ts'
import type { Logins } from './identity/logins.ts'
import type { Roles } from './identity/roles.ts'
import type { Sessions } from './identity/sessions.ts'
import type { Tokens } from './identity/tokens.ts'
import type { Users } from './identity/users.ts'
import type { Xsrf } from './identity/xsrf.ts'
import type { Metrics } from './metrics.ts'
import type { OAuthProvider } from './oauth/provider.ts'
import type { Log, Plugin } from './plugin.ts'
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
  tokens: Tokens
  sessions: Sessions
  xsrf: Xsrf
  logins: Logins
  oauth: OAuthProvider
  servers: Servers
  services: Services
  storage: Inventory
  metrics: Metrics
  audit: Audit
  /** In config order, each once. */
  plugins: readonly Plugin[]
  /** When the hub began to shut down; pages say so and streams end. */
  closing: AbortSignal
}
