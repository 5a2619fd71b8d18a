import type { Core } from '../core.ts'
import { isServerName } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, missing } from '../rights.ts'
import type { Server } from '../servers/server.ts'
import type { UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'

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
  // Who names nobody means their own server, the one that links mean.
  const name = c.req.param('server') ?? (c.req.param('user') === undefined ? core.settings.servers.defaultName : '')
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
export async function bearer(core: Core, c: PageContext): Promise<Caller | undefined> {
  const [, secret] = /^(?:token|bearer)\s+(\S+)$/i.exec(c.req.header('authorization') ?? '') ?? []
  const service = secret === undefined ? undefined : core.services.find(secret)
  if (service) return core.services.caller(service)
  const found = secret === undefined ? undefined : core.tokens.find(secret)
  if (!found) return undefined
  const authenticator = found.record.kind !== 'server' && found.owner.identity?.authenticator
  if (authenticator && !(await core.logins.refresh(found.owner, authenticator))) return undefined
  const owner = core.users.byId(found.owner.id)
  return owner && core.tokens.caller(owner, found.record)
}
