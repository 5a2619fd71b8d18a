import type { ConnectionOptions } from 'node:tls'
import { HubError, isHubError, type Log, messageOf } from 'swarmhub'
import { type Connection, connected, type Say, type Server } from './connection.ts'

export interface ServersOptions {
  servers: readonly Server[]
  tls: ConnectionOptions
  /** Milliseconds for one server, from connecting to the last answer. */
  timeout: number
  /** Milliseconds for all of them together, the wait for a free connection included. */
  deadline: number
  /** Connections at a time; further work waits. */
  connections: number
}

/** Milliseconds for which a server that did not answer is asked last. */
const setAside = 30_000

/** How many may wait for a connection. */
const mostWaiting = 500

export interface Asking {
  signal: AbortSignal
  log: Log
  say?: Say
}

/** The servers of one directory, which all know the same. */
export interface Servers {
  /**
   * Do this with the first server that answers, from the start with each. A HubError of the work is an answer and thrown on; anything
   * else is the server's failure. Throws `unavailable` when none answers, `busy` when too many wait, and the signal's reason.
   */
  ask<T>(asking: Asking, work: (connection: Connection) => Promise<T>): Promise<T>
}

export function createServers({ servers, tls, timeout, deadline, connections }: ServersOptions): Servers {
  /** When each of those that failed is asked in its turn again, monotonic. */
  const aside = new Map<Server, number>()
  const enter = createGate(connections)

  const inOrder = () => {
    const isAside = (server: Server) => (aside.get(server) ?? 0) > performance.now()
    return [...servers.filter(server => !isAside(server)), ...servers.filter(isAside)]
  }

  async function askEach<T>({ log, say }: Asking, signal: AbortSignal, work: (connection: Connection) => Promise<T>): Promise<T> {
    const tell = say ?? (line => log.debug(line))
    for (const server of inOrder()) {
      try {
        const answer = await within(timeout, signal, signal => connected(server, tls, { signal, say: tell }, work))
        aside.delete(server)
        return answer
      } catch (error) {
        if (isHubError(error) || signal.aborted) throw error
        aside.set(server, performance.now() + setAside)
        tell(`${server.url}: ${messageOf(error)}`)
        log.warn('a server of the directory did not answer', { server: server.url, error: messageOf(error) })
      }
    }
    throw new Error('no server answered')
  }

  return {
    async ask(asking, work) {
      try {
        return await within(deadline, asking.signal, signal => enter(signal, () => askEach(asking, signal, work)))
      } catch (error) {
        if (isHubError(error)) throw error
        asking.signal.throwIfAborted()
        throw new HubError('unavailable', 'The directory does not answer. Try again in a minute.', { cause: error })
      }
    },
  }
}

/** Do this for so many milliseconds at most. Rejects at once at the deadline and when the outer signal aborts; the inner one aborts at any end. */
async function within<T>(ms: number, outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  outer.throwIfAborted()
  const control = new AbortController()
  const stopped = () => control.abort(outer.reason)
  outer.addEventListener('abort', stopped)
  const timer = setTimeout(() => control.abort(new Error(`no answer within ${ms / 1000} seconds`)), ms)
  try {
    const aborted = new Promise<never>((_, reject) => {
      control.signal.addEventListener('abort', () => reject(control.signal.reason))
    })
    return await Promise.race([work(control.signal), aborted])
  } finally {
    clearTimeout(timer)
    outer.removeEventListener('abort', stopped)
    control.abort(new Error('this is over'))
  }
}

/** Lets so many in at a time; the others wait in order, until their signal aborts. */
function createGate(atOnce: number) {
  const waiting = new Set<() => void>()
  let inside = 0

  const turn = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const admit = () => {
        waiting.delete(admit)
        resolve()
      }
      waiting.add(admit)
      signal.addEventListener('abort', () => {
        if (waiting.delete(admit)) reject(signal.reason)
      })
    })

  return async function enter<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (inside < atOnce) inside++
    else if (waiting.size < mostWaiting) await turn(signal)
    else throw new HubError('busy', 'Too many people sign in at this moment. Try again in some seconds.', { retryAfter: 10 })
    try {
      return await work()
    } finally {
      // The place goes from hand to hand: nobody who comes now can overtake.
      const [next] = waiting
      if (next) next()
      else inside--
    }
  }
}
