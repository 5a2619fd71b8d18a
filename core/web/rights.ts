import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { isServerName } from '../names.ts'
import type { Caller, ScopeTarget } from '../plugin.ts'
import type { Server } from '../servers/server.ts'
import type { UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'

/**
 * The caller must hold one of the scopes for the target. Who holds it for other targets learns `missing`, the same answer
 * as for what does not exist; who does not hold it at all learns `denied` (contract 4.1).
 */
export function demand(caller: Caller, accepted: readonly string[], target?: ScopeTarget): void {
  if (accepted.some(scope => caller.allows(scope, target))) return
  if (target && accepted.some(scope => caller.holds(scope))) throw missing()
  throw new HubError('denied', `You may not do this. It takes the right ${accepted.join(' or ')}.`)
}

/** One answer for what does not exist and for what must not be seen. */
export const missing = () => new HubError('missing', 'There is no such user or server, or you may not see it.')

/** What a page is about: `…/USER/SERVER`, `…/USER` for the default server, nothing for the visitor's own. */
export interface Target {
  owner: UserRecord
  name: string
  /** undefined for a named server that has not been made yet. */
  server: Server | undefined
}

/** The server that the path names, if the visitor holds one of these scopes for it. */
export function target(core: Core, c: PageContext, accepted: readonly string[]): Target {
  const user = c.req.param('user') ?? c.get('visitor')?.name ?? ''
  const name = c.req.param('server') ?? ''
  demand(c.get('caller'), accepted, { user, server: name })
  const owner = core.users.get(user)
  if (!owner || !isServerName(name)) throw missing()
  return { owner, name, server: core.servers.get(owner, name) }
}

/** As `target`, and the server exists. */
export function existing(core: Core, c: PageContext, accepted: readonly string[]): Target & { server: Server } {
  const found = target(core, c, accepted)
  if (!found.server) throw missing()
  return { ...found, server: found.server }
}

/** Who carries the request's `Authorization: token …` (or `bearer`); undefined when there is none that is valid. */
export function bearer(core: Core, c: PageContext): Caller | undefined {
  const [, secret] = /^(?:token|bearer)\s+(\S+)$/i.exec(c.req.header('authorization') ?? '') ?? []
  const found = secret === undefined ? undefined : core.tokens.find(secret)
  return found && core.tokens.caller(found.owner, found.record)
}
