import type { Core } from '../core.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost, serverPage } from './address.ts'
import type { PageContext } from './environment.ts'
import { safeNext } from './next.ts'

/** Where somebody goes who has not said where to. What is no path on this host leads to the page of their servers. */
export async function landing(core: Core, c: PageContext, visitor: UserRecord): Promise<string> {
  const { landing, servers } = core.settings
  const home = `${core.base}hub/home`
  if (landing === 'home') return home
  if (landing === 'server') {
    const name = servers.defaultName
    const server = core.servers.get(visitor, name)
    return server?.ready ? server.path : serverPage(core, 'spawn', { user: visitor.name, name })
  }
  const wanted = typeof landing === 'string' ? landing : await landing(core.users.view(visitor))
  return safeNext(wanted, publicHost(core, c)) ?? home
}
