import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'

/*
 * Which browser sessions have ended, as the hub tells. A notebook asks the hub who somebody is once in five minutes and never for a
 * WebSocket that is open: so these are cut here, and no server sees the id of that session again, by which it would remember it.
 */
export interface BrowserSessions {
  /** A WebSocket with these cookies goes with the session that they are of. */
  hold(headers: IncomingHttpHeaders, socket: Socket): void
  /** Take the ids of sessions that have ended out of a request to a server. */
  clean(headers: IncomingHttpHeaders): void
  /** Cut what the session holds. May be called twice, and for one that nobody knows. */
  end(id: string): void
}

/** Ended sessions that are remembered, those that ended last; some megabytes. */
const most = 50_000

export function browserSessions(): BrowserSessions {
  const held = new Map<string, Set<Socket>>()
  const ended = new Set<string>()

  return {
    hold({ cookie = '' }, socket) {
      for (const id of new Set(pairsOf(cookie).flatMap(pair => idIn(pair) ?? []))) {
        const sockets = held.get(id) ?? new Set()
        held.set(id, sockets.add(socket))
        socket.once('close', () => {
          sockets.delete(socket)
          if (sockets.size === 0 && held.get(id) === sockets) held.delete(id)
        })
      }
    },
    clean(headers) {
      if (ended.size === 0 || !headers.cookie?.includes(cookieName)) return
      const kept = pairsOf(headers.cookie).filter(pair => !ended.has(idIn(pair) ?? ''))
      if (kept.length > 0) headers.cookie = kept.join(';').trim()
      else delete headers.cookie
    },
    end(id) {
      ended.delete(id)
      ended.add(id)
      if (ended.size > most) for (const oldest of ended) return void ended.delete(oldest)
      for (const socket of held.get(id) ?? []) socket.destroy()
    },
  }
}

const cookieName = 'jupyterhub-session-id'

const pairsOf = (cookie: string) => cookie.split(';')

/** As the hub makes them, so that nobody fills the memory with others; a quoted value is read as servers read it. */
const idIn = (pair: string) => /^\s*jupyterhub-session-id\s*=\s*"?([0-9a-f]{32})"?\s*$/.exec(pair)?.[1]
