import { setTimeout as sleep } from 'node:timers/promises'
import { type Close, type Context, type Handle, messageOf, type Status } from 'swarmhub'
import type { Docker } from '../docker/client.ts'
import { jsonLines } from '../docker/lines.ts'

/** Milliseconds in which events that come together are taken for one. */
const burst = 100

interface Seen {
  handle: Handle
  status: Status
}

/**
 * Tells which servers have changed: looks at all of them at each event of the engine and, since there are none of what happens
 * on other nodes, every so many milliseconds. An engine that does not answer is asked again, for as long as it takes.
 */
export async function follow(
  docker: Docker,
  { look, every, changed }: { look(signal: AbortSignal): Promise<Seen[]>; every: number; changed(handle: Handle): void },
  ctx: Context,
): Promise<Close> {
  const end = new AbortController()
  const signal = AbortSignal.any([ctx.signal, end.signal])
  let known = new Map<string, string>()
  let wake: () => void = () => {}

  async function compare(tell: (handle: Handle) => void): Promise<void> {
    try {
      const now = new Map((await look(signal)).map(({ handle, status }) => [JSON.stringify(handle), JSON.stringify(status)]))
      const before = known
      known = now
      for (const [handle, status] of now) if (before.get(handle) !== status) tell(JSON.parse(handle))
      for (const handle of before.keys()) if (!now.has(handle)) tell(JSON.parse(handle))
    } catch (error) {
      if (!signal.aborted) ctx.log.debug('cannot look for changes', { error: messageOf(error) })
    }
  }

  async function keepLooking(): Promise<void> {
    while (!signal.aborted) {
      const woken = new Promise<true>(resolve => (wake = () => resolve(true)))
      if (await Promise.race([woken, pause(every)])) await pause(burst)
      if (!signal.aborted) await compare(changed)
    }
  }

  async function keepListening(): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const _ of jsonLines(await docker.open({ path: '/events', query: { filters: news } }, signal))) wake()
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
