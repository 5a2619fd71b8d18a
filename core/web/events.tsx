import { setTimeout as pause } from 'node:timers/promises'
import type { MiddlewareHandler } from 'hono'
import { type SSEStreamingApi, streamSSE } from 'hono/streaming'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { UserRecord } from '../store/records.ts'
import { ServerCard, serverLabel, stateOf } from './card.tsx'
import type { PageContext, WebEnv } from './environment.ts'
import { greet, whoIs } from './guard.ts'
import { logScopes } from './logs.tsx'
import { eventId } from './pending.tsx'
import { existing } from './rights.ts'

/*
 * Streams for our own pages. Unlike the API's `progress`, whose form JupyterHub's clients know, their events carry ids, so
 * that a browser that comes back gets only what it missed. EventSource cannot send headers: the token is in the address.
 */

/** Before a stream: who is not signed in any more is told so by the stream, for a script does not see a redirect. */
export const signedInStream = (core: Core): MiddlewareHandler<WebEnv> =>
  async function signedInStream(c, next) {
    const visitor = await whoIs(core, c)
    if (!visitor) return stream(core, c, send => send({ event: 'settled', data: '{}' }))
    greet(core, c, visitor)
    await next()
  }

/** `events/USER[/SERVER]`: each line of a start, then `settled` if the end was not among them. */
export const startEvents = (core: Core) =>
  function startEvents(c: PageContext): Response {
    onlyOurScript(core, c)
    const { server } = existing(core, c, ['start:servers', 'read:servers'])
    const seen = c.req.header('last-event-id') ?? c.req.query('after') ?? ''
    const after = seen.startsWith(`${server.record.generation ?? ''}.`) ? Number(seen.slice(seen.lastIndexOf('.') + 1)) || 0 : 0
    return stream(core, c, async (send, signal) => {
      let ended = false
      // The lines of a start that is over tell nothing about the stop.
      for await (const event of server.pending === 'stop' ? [] : server.events(after, signal)) {
        const { step, at, message, progress } = event
        await send({ id: eventId(server, event), data: JSON.stringify({ step, at, message, progress }) })
        ended = step === 'ready' || step === 'failed' || step === 'cancelled'
      }
      // Stopping, or taken over from a hub that ran before: there are no lines, only an end.
      while (!ended && server.pending !== null && !signal.aborted) {
        await Promise.race([server.settled(), aborted(signal)])
        if (server.pending !== null) await pause(1000, undefined, { signal }).catch(() => {})
      }
      if (!ended && !signal.aborted) await send({ event: 'settled', data: '{}' })
    })
  }

/** `log-events/USER[/SERVER]`: `begin`, the last lines of its log, then those that come; `settled` when it is not there. */
export const logEvents = (core: Core) =>
  function logEvents(c: PageContext): Response {
    onlyOurScript(core, c)
    const { server } = existing(core, c, logScopes)
    return stream(core, c, async (send, signal) => {
      if (server.record.handle === null) return server.pending === 'spawn' ? undefined : send({ event: 'settled', data: '{}' })
      await send({ event: 'begin', data: '{}' })
      for await (const line of core.servers.logs(server, { follow: true }, signal)) await send({ data: JSON.stringify(line) })
    })
  }

/** `events`: the visitor's cards as they change, each as the home page would show it. */
export const cardEvents = (core: Core) =>
  function cardEvents(c: PageContext): Response {
    onlyOurScript(core, c)
    const { id } = c.get('visitor') as UserRecord
    const caller = c.get('caller')
    const xsrf = core.xsrf.token(c)
    return stream(core, c, async (send, signal) => {
      let last = ''
      while (!signal.aborted) {
        const visitor = core.sessions.find(c) && core.users.byId(id)
        if (!visitor) return send({ event: 'settled', data: '{}' })
        const cards = core.servers.of(visitor).map(server => ({
          name: server.ref.name,
          said: `${serverLabel(server, caller)}: ${stateOf(server)[1]}`,
          html: String(<ServerCard core={core} caller={caller} server={server} xsrf={xsrf} />),
        }))
        const data = JSON.stringify(cards)
        if (data !== last) await send({ data })
        last = data
        await pause(1000, undefined, { signal }).catch(() => {})
      }
    })
  }

type Send = SSEStreamingApi['writeSSE']

/** An event stream that lives until the browser leaves or the hub closes, with a sign of life for proxies in between. */
function stream(core: Core, c: PageContext, write: (send: Send, signal: AbortSignal) => Promise<void>): Response {
  c.header('X-Accel-Buffering', 'no')
  return streamSSE(c, async out => {
    const gone = new AbortController()
    const end = () => gone.abort()
    out.onAbort(end)
    core.closing.addEventListener('abort', end)
    if (core.closing.aborted) end()
    const beat = setInterval(() => void out.write(': \n\n'), 8000)
    try {
      await write(message => out.writeSSE(message), gone.signal)
    } catch (error) {
      core.log.error('an event stream broke', { request: c.get('requestId'), path: c.req.path, error })
    } finally {
      clearInterval(beat)
      core.closing.removeEventListener('abort', end)
      end()
    }
  })
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Another user's notebook on this origin could open the stream in its visitor's name; it has no token. */
function onlyOurScript(core: Core, c: PageContext): void {
  const site = c.req.header('sec-fetch-site')
  if ((site !== undefined && site !== 'same-origin') || !core.xsrf.valid(c))
    throw new HubError('denied', 'These events are for the hub’s own pages.')
}
