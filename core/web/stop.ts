import { setTimeout as pause } from 'node:timers/promises'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost } from './address.ts'
import type { PageContext } from './environment.ts'
import { safeNext } from './next.ts'
import { existing } from './rights.ts'

/** `stop/USER[/SERVER]`, the form sent: stops this very server or cancels its start, then back to where it was asked. */
export const stop = (core: Core) =>
  async function stop(c: PageContext): Promise<Response> {
    const { owner, name, server } = existing(core, c, ['delete:servers'])
    const visitor = c.get('visitor') as UserRecord
    const reason = server.state === 'starting' ? 'cancelled' : owner.id === visitor.id ? 'user' : 'admin'
    await patiently(core, core.servers.stop(owner, name, reason, c.get('caller')))
    return c.redirect(back(core, c), 303)
  }

/** `delete/USER/SERVER`, the form sent: a named server is stopped and forgotten. */
export const removeServer = (core: Core) =>
  async function removeServer(c: PageContext): Promise<Response> {
    const { owner, name } = existing(core, c, ['delete:servers'])
    if (name === '') throw new HubError('invalid', 'The default server cannot be deleted, only stopped.')
    await core.servers.remove(owner, name, c.get('caller'))
    return c.redirect(back(core, c), 303)
  }

/** Long enough to see most of them end, short enough for who waits; the rest goes on behind the page. */
export async function patiently(core: Core, work: Promise<unknown>): Promise<void> {
  let waits = true
  work.catch(error => waits || core.log.error('a stop that was asked for on a page failed', { error }))
  await Promise.race([work, pause(Math.min(core.settings.timeouts.slowStop ?? core.settings.timeouts.slow, 3000))])
  waits = false
}

const back = (core: Core, c: PageContext) => safeNext(c.get('fields').get('next'), publicHost(core, c)) ?? `${core.base}hub/home`
