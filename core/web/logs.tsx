import type { Core } from '../core.ts'
import type { Server } from '../servers/server.ts'
import { serverPage } from './address.ts'
import { serverLabel, stateOf } from './card.tsx'
import type { PageContext } from './environment.ts'
import { page } from './layout.tsx'
import { existing } from './rights.ts'

/** Who may use a server: all that its programs do is open to them anyway. */
export const logScopes = ['access:servers']

/** Lines that the page begins with, and keeps. */
const most = 1000

/** `logs/USER[/SERVER]`: what the programs in a server write, as it is now; a script goes on from there. */
export const showLogs = (core: Core) =>
  async function showLogs(c: PageContext): Promise<Response> {
    const { server } = existing(core, c, logScopes)
    const caller = c.get('caller')
    const label = serverLabel(server, caller)
    const at = { user: server.owner.name, name: server.ref.name }
    const lines = await lastLines(core, server, c.req.raw.signal)
    const runs = server.record.handle !== null || server.pending === 'spawn'
    const feed = serverPage(core, 'log-events', at, { _xsrf: core.xsrf.token(c) })
    return page(
      core,
      c,
      { title: `Log of ${label}` },
      <section class="panel">
        <h1>Log of {label}</h1>
        <p class="muted" role="status" data-log-state>
          {runs ? `${stateOf(server)[1]}. These are its last lines; load the page again for newer ones.` : why(server)}
        </p>
        <pre
          id="server-log"
          class="server-log"
          tabindex={0}
          role="log"
          aria-live="off"
          aria-label={`Log of ${label}`}
          {...(runs && { 'data-events': feed, 'data-most': String(most) })}
        >
          {lines.map(line => `${line}\n`).join('')}
        </pre>
        <div class="actions">
          {!runs && server.failure && (
            <a class="button" href={serverPage(core, 'spawn-pending', at)}>
              Why it is not running
            </a>
          )}
          <a class="button" href={`${core.base}hub/home`}>
            My servers
          </a>
        </div>
      </section>,
    )
  }

const why = ({ failure }: Server) =>
  failure ? 'It is not running. These are the last lines before it failed.' : 'It is not running, so there is no log.'

async function lastLines(core: Core, server: Server, signal: AbortSignal): Promise<string[]> {
  const lines: string[] = []
  for await (const line of core.servers.logs(server, { follow: false }, signal)) if (lines.push(line) > most) lines.shift()
  return lines
}
