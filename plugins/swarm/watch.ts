import { setTimeout as sleep } from 'node:timers/promises'
import { type Close, type Context, type Handle, messageOf, type Status } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { jsonLines } from '../docker/lines.ts'

/** Milliseconds between two looks at least, whatever happens: events come in bursts. */
const burst = 50
/** How many times as long as the last look took there is none: an engine with much to do is asked less often. */
const rest = 2
/** While something starts, the next look comes after this part of the time in which nothing has changed. */
const patience = 0.1

interface Seen {
  handle: Handle
  status: Status
}

const eventShape = z.object({
  Type: z.string(),
  Actor: z.object({ Attributes: z.record(z.string(), z.string()).default({}) }),
})

/** Something that has happened, as the engine tells it. A container's labels are among its attributes; of a service there is its name. */
export type Event = z.output<typeof eventShape>

export interface Following {
  /** All servers, as they are now. */
  look(signal: AbortSignal): Promise<Seen[]>
  /** Milliseconds. */
  every: number
  /** May this have changed a server? An engine tells of everything that it runs. */
  concerns(event: Event): boolean
  changed(handle: Handle, status?: Status): void
}

/**
 * Tells which servers have changed, and to what: looks at all of them at each event of the engine and, since there are none of what
 * happens on other nodes, every so many milliseconds; sooner while something starts. However many they are, a look is the same few calls.
 * An engine that does not answer is asked again, for as long as it takes.
 */
export async function follow(docker: Docker, { look, every, concerns, changed }: Following, ctx: Context): Promise<Close> {
  const end = new AbortController()
  const signal = AbortSignal.any([ctx.signal, end.signal])
  let known = new Map<string, string>()
  let starts = false
  /** Monotonic: when something was last seen to be other than before. */
  let changedAt = performance.now()
  let wake: () => void = () => {}
  /** The engine has said something since the last look began. */
  let heard = false

  async function compare(tell: typeof changed): Promise<void> {
    heard = false
    try {
      const seen = await look(signal)
      const now = new Map(seen.map(({ handle, status }) => [JSON.stringify(handle), JSON.stringify(status)]))
      const before = known
      known = now
      starts = seen.some(({ status }) => status.state === 'starting')
      const others = seen.filter(({ handle, status }) => before.get(JSON.stringify(handle)) !== JSON.stringify(status))
      const gone = [...before.keys()].filter(handle => !now.has(handle))
      if (others.length + gone.length > 0) changedAt = performance.now()
      for (const { handle, status } of others) tell(handle, status)
      for (const handle of gone) tell(JSON.parse(handle))
    } catch (error) {
      if (!signal.aborted) ctx.log.debug('cannot look for changes', { error: messageOf(error) })
    }
  }

  async function keepLooking(): Promise<void> {
    let took = 0
    while (!signal.aborted) {
      await pause(Math.max(burst, Math.min(every, took * rest)))
      const quiet = performance.now() - changedAt
      const woken = new Promise<void>(resolve => (wake = resolve))
      if (!heard) await Promise.race([woken, pause(starts ? Math.min(every, quiet * patience) : every)])
      const began = performance.now()
      if (!signal.aborted) await compare(changed)
      took = performance.now() - began
    }
  }

  async function keepListening(): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const line of jsonLines(await docker.open({ path: '/events', query: { filters: news } }, signal))) {
          const event = eventShape.safeParse(line)
          if (event.success && !concerns(event.data)) continue
          heard = true
          wake()
        }
      } catch (error) {
        if (!signal.aborted) ctx.log.debug('the engine’s events have ended, asking again', { error: messageOf(error) })
      }
      await pause(500 + Math.random() * 1000)
    }
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)

  await compare(() => {})
  const loops = Promise.all([keepLooking(), keepListening()])
  return async () => {
    end.abort()
    await loops
  }
}

const news = { type: ['service', 'node', 'container'], event: ['create', 'update', 'remove', 'start', 'die'] }
