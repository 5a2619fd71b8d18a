import type { Server, Socket } from 'node:net'
import { type Log, networkOf, plainAddress } from 'swarmhub'
import { isTrusted, type Trust } from './forwarded.ts'

/** Milliseconds between two lines in the log. */
const logEvery = 60_000

/** Nobody takes all connections: those of one IPv4 address, or one /64 of IPv6, beyond the limit are closed at once. */
export function limitConnections(server: Server, { connections, trust }: { connections: number; trust: Trust }, log: Log): void {
  if (connections === 0) return
  const open = new Map<string, number>()
  let logged = Number.NEGATIVE_INFINITY

  server.on('connection', (socket: Socket) => {
    const address = plainAddress(socket.remoteAddress ?? '')
    if (isTrusted(address, trust)) return
    const from = networkOf(address)
    const count = open.get(from) ?? 0
    if (count >= connections) {
      socket.destroy()
      if (performance.now() - logged < logEvery) return
      logged = performance.now()
      return log.warn('an address has as many connections as it may have: no more of it are taken', { address, connections })
    }
    open.set(from, count + 1)
    socket.once('close', () => {
      const left = open.get(from)! - 1
      if (left > 0) open.set(from, left)
      else open.delete(from)
    })
  })
}
