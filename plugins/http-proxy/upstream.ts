import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect as open, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds for a connection to be made. */
const connectTime = 10_000
/** Milliseconds that a connection is kept without use. */
const idleTime = 60_000

/** A server behind the front: a notebook, or the hub. Every connection to it is known here. */
export interface Upstream {
  /** What http-proxy wants to be told. The agents below decide where a connection really leads. */
  readonly target: { protocol: string; hostname: string; port: string }
  /** Connections that are kept between requests. */
  readonly kept: Agent
  /** Does a new connection wait for the server to come back? */
  readonly patient: boolean
  /** A connection that is used once; for what must not be sent twice. Rejects when none could be made, or on the signal. */
  dial(signal: AbortSignal): Promise<Socket>
  /** Cut every connection, idle or in use, and make no new one: the address may be somebody else's from now on. */
  cut(): void
}

/** `patience`: milliseconds for which `dial` tries again while nobody listens. */
export function upstream(at: { socket: string } | { host: string; port: number }, patience = 0): Upstream {
  const connections = new Set<Socket>()
  let isCut = false
  const connect = () => {
    if (isCut) throw new Error('its route is gone')
    const socket = open({
      ...('socket' in at ? { path: at.socket } : at),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    })
    const deadline = setTimeout(() => socket.destroy(new Error(`no connection after ${connectTime} ms`)), connectTime)
    connections.add(socket)
    socket.once('connect', () => clearTimeout(deadline))
    socket.once('close', () => {
      clearTimeout(deadline)
      connections.delete(socket)
    })
    // whoever uses the connection hears of it too; between two users an error is no reason to crash
    socket.on('error', () => {})
    return socket
  }
  const kept = new Agent({ keepAlive: true, timeout: idleTime })
  kept.createConnection = connect

  return {
    target:
      'socket' in at
        ? { protocol: 'http:', hostname: 'localhost', port: '80' }
        : { protocol: 'http:', hostname: at.host, port: String(at.port) },
    kept,
    patient: patience > 0,
    async dial(signal) {
      const start = performance.now()
      for (let pause = 20; ; pause = Math.min(pause * 2, 500)) {
        signal.throwIfAborted()
        const socket = connect()
        try {
          await once(socket, 'connect', { signal })
          return socket
        } catch (error) {
          socket.destroy()
          if (signal.aborted || performance.now() - start + pause > patience) throw error
        }
        await sleep(pause * (0.5 + Math.random()), undefined, { signal })
      }
    },
    cut() {
      isCut = true
      for (const socket of connections) socket.destroy()
    },
  }
}

/** An agent for one request on this connection. */
export function only(socket: Socket): Agent {
  // It says keep-alive: a server that was told to close may do so while it is still being sent to, and its answer is lost.
  const agent = new Agent({ keepAlive: true })
  agent.createConnection = () => socket
  agent.keepSocketAlive = () => false
  return agent
}
