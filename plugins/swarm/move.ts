import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, type Handle, type Hub, isHubError, labelKeys, messageOf, type Plugin, type Status } from 'swarmhub'
import { hasPlaceElsewhere } from './capacity.ts'
import type { Nodes } from './nodes.ts'
import type { Task } from './status.ts'
import type { Keeping } from './storage.ts'

/** So many servers at once: those of a node with hundreds must not keep others from starting. */
const limit = 4

interface MoveParts {
  nodes: Nodes
  /** Where the files of a server are, by its generation. */
  keepingOf(generation: string): Keeping | undefined
  list(signal: AbortSignal): Promise<{ handle: Handle; labels: Record<string, string>; status: Status; task?: Task }[]>
}

/** Starts servers again on another node, when theirs is lost, emptied or closed, and they can and may. Nothing that its user has stopped. */
export function createMover({ nodes, keepingOf, list }: MoveParts) {
  let running: { hub: Hub; signal: AbortSignal } | undefined
  /** Generations that come up again once they are gone. */
  const again = new Set<string>()
  /** Servers on their way, by user and name. */
  const moving = new Set<string>()
  const waiting: (() => Promise<void>)[] = []
  let atWork = 0

  /** Do it when fewer than the limit are at work. Never rejects. */
  function enqueue(user: string, server: string, work: (hub: Hub, signal: AbortSignal) => Promise<void>): void {
    const key = JSON.stringify([user, server])
    const { hub, signal } = running ?? {}
    if (!hub || !signal || moving.has(key)) return
    moving.add(key)
    waiting.push(async () => {
      try {
        await work(hub, signal)
      } catch (error) {
        if (!signal.aborted)
          hub.log.warn('a server could not be started on another node', { user, server, error: messageOf(error) })
      } finally {
        moving.delete(key)
      }
    })
    if (atWork < limit) void drain()
  }

  async function drain(): Promise<void> {
    atWork++
    for (let work = waiting.shift(); work; work = waiting.shift()) await work()
    atWork--
  }

  /** Start it as it was, once what there was of it is cleaned up. Its user may have been quicker. */
  async function startAgain(hub: Hub, user: string, server: string, signal: AbortSignal): Promise<void> {
    const present = () => [...hub.servers()].find(view => view.user.name === user && view.name === server)
    for (let tries = 0; present(); tries++) {
      if (present()?.state === 'starting' || present()?.state === 'running' || tries > 300) return
      await sleep(200, undefined, { signal })
    }
    for (let tries = 0; ; tries++) {
      try {
        await hub.start(user, server)
        return hub.log.info('a server was started on another node', { user, server })
      } catch (error) {
        if (!isHubError(error) || error.retryAfter === undefined || tries > 20) throw error
        await sleep(error.retryAfter * 1000, undefined, { signal })
      }
    }
  }

  const hooks: Plugin['hooks'] = {
    // Only now it can be seen where its files are.
    'before:stop': ({ generation, cause }) => {
      const isGone = cause?.code === 'node-lost' || cause?.code === 'node-drained'
      if (isGone && keepingOf(generation) === 'moving') again.add(generation)
    },
    'after:stop': ({ user, server, generation }) => {
      if (!again.delete(generation)) return
      enqueue(user.name, server.name, (hub, signal) => startAgain(hub, user.name, server.name, signal))
    },
  }

  return {
    hooks,

    /** From now on. Gives how to end it: what is under way is left as it is. */
    begin(hub: Hub) {
      const control = new AbortController()
      running = { hub, signal: control.signal }
      return () => control.abort()
    },

    /**
     * Move what is on a paused node, was warned for long enough and finds a place elsewhere. To be called now and then; without such a
     * node it asks nothing.
     */
    async look({ signal, log }: Context): Promise<void> {
      if (!running || !nodes.someClosed) return
      const { hub } = running
      const due = (await list(signal)).filter(({ labels, status, task }) => {
        const at = nodes.movesAt(task?.NodeID ?? '')
        return (
          status.state === 'running' &&
          at &&
          at.getTime() <= Date.now() &&
          keepingOf(labels[labelKeys.generation] ?? '') === 'moving'
        )
      })
      if (due.length === 0) return
      const rooms = await nodes.room(signal)
      for (const { labels, status, task } of due) {
        const user = [...hub.users()].find(({ id }) => id === labels[labelKeys.userId])?.name
        const server = labels[labelKeys.server] ?? ''
        if (user === undefined || !task) continue
        if (!hasPlaceElsewhere(task, rooms)) {
          log.debug('no other node has room for a server that is to be moved', { user, server })
          continue
        }
        enqueue(user, server, async (hub, signal) => {
          log.info('a server is moved off its node', { user, server, node: status.state === 'running' ? status.node : undefined })
          await hub.stop(user, server, 'admin')
          await startAgain(hub, user, server, signal)
        })
      }
    },
  }
}
