import { setTimeout as pause } from 'node:timers/promises'
import { stream } from 'hono/streaming'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { Server, StartEvent } from '../servers/server.ts'
import type { Endpoint } from './endpoint.ts'
import { namedServer } from './servers.ts'

/** Milliseconds between two empty lines, so that nobody on the way takes the silence for the end. */
const beat = 8000

/** How a start goes on, as server-sent events: from its first line to `ready` or `failed`, then it closes (contract 4.6). */
export const followStart: Endpoint = {
  access: ['read:servers'],
  run(core, c) {
    const server = namedServer(core, c)
    const starts = server.pending === 'spawn' || server.pending === 'check'
    if (!starts && !server.ready && !server.failure) throw new HubError('invalid', 'The server is not starting.')
    c.header('Content-Type', 'text/event-stream')
    c.header('Cache-Control', 'no-cache')
    // For an nginx before the hub: it would keep the lines back otherwise.
    c.header('X-Accel-Buffering', 'no')
    return stream(c, async out => {
      const gone = new AbortController()
      out.onAbort(() => gone.abort())
      const told = starts ? events(core, server, AbortSignal.any([core.closing, gone.signal])) : [outcome(server)]
      for await (const event of told) await out.write(event ? `data: ${JSON.stringify(event)}\n\n` : '\n\n')
    })
  },
}

/** What there is to tell, undefined from time to time when there is nothing; the last one ends it. */
async function* events(core: Core, server: Server, signal: AbortSignal): AsyncGenerator<object | undefined> {
  const lines = server.events(0, signal)[Symbol.asyncIterator]()
  const silence = () => pause(beat, undefined, { ref: false })
  let line = lines.next()
  let quiet = silence()
  for (;;) {
    const step = await Promise.race([line, quiet])
    if (step?.done) break
    yield step && shown(server, step.value)
    if (step && isLast(step.value)) return
    if (step) line = lines.next()
    else quiet = silence()
  }
  // Found by a new hub, and not looked at yet.
  while (server.pending === 'check' && !signal.aborted) {
    yield undefined
    await core.servers.check(server)
    await pause(500)
  }
  if (!signal.aborted) yield outcome(server)
}

const isLast = ({ step }: StartEvent) => step === 'ready' || step === 'failed' || step === 'cancelled'

function shown(server: Server, { step, message, progress }: StartEvent): object {
  if (step === 'ready') return ready(server)
  if (step === 'cancelled') return failed('Spawn cancelled')
  if (step === 'failed') return failed(`Spawn failed: ${message}`)
  return { progress, message }
}

/** Of a start that is over. */
function outcome(server: Server): object {
  return server.ready ? ready(server) : failed(`Spawn failed: ${server.failure?.cause.message ?? 'The server is not running.'}`)
}

function ready({ path }: Server): object {
  // Quotes and angle brackets are percent-encoded in a path; the ampersand is not.
  const link = path.replaceAll('&', '&amp;')
  const html_message = `Server ready at <a href="${link}">${link}</a>`
  return { progress: 100, ready: true, message: `Server ready at ${path}`, html_message, url: path }
}

const failed = (message: string) => ({ progress: 100, failed: true, message })
