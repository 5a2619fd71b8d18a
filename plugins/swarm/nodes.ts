import type { Context, Profile } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { placesFor, type Room, roomOf } from './capacity.ts'
import type { Settings } from './settings.ts'
import { type Node, node as nodeShape, task as taskShape } from './status.ts'

/** Milliseconds for which what the nodes have free is taken as known: a class may open the start page at once. */
const fresh = 3000

/** The nodes of the Swarm, and since when each has been down or closed. */
export function createNodes(engine: Docker, settings: Pick<Settings, 'constraints' | 'nodeGrace' | 'moveAfter'>) {
  /** By node, since when it has been down (monotonic milliseconds), or paused or drained (a date): as far as this hub has seen it. */
  const down = new Map<string, number>()
  const closed = new Map<string, Date>()
  let rooms: { at: number; found: Promise<Room[]> } | undefined

  /** All of them by id, as they are now. */
  async function all(signal: AbortSignal): Promise<Map<string, Node>> {
    const nodes = new Map(
      (await engine.ask({ path: '/nodes' }, z.array(nodeShape), signal)).map(node => [node.ID, node] as const),
    )
    for (const seen of [down, closed]) for (const id of seen.keys()) if (!nodes.has(id)) seen.delete(id)
    for (const { ID, Spec, Status } of nodes.values()) {
      if (Status.State !== 'down') down.delete(ID)
      else if (!down.has(ID)) down.set(ID, performance.now())
      if (Spec.Availability === 'active') closed.delete(ID)
      else if (!closed.has(ID)) closed.set(ID, new Date())
    }
    return nodes
  }

  /** What each node has, and has free. */
  async function room(signal: AbortSignal): Promise<Room[]> {
    const query = { filters: { 'desired-state': ['running'] } }
    const [nodes, tasks] = await Promise.all([all(signal), engine.ask({ path: '/tasks', query }, z.array(taskShape), signal)])
    return roomOf(nodes.values(), tasks)
  }

  return {
    all,
    room,

    /** Has it been down for so long that what ran there is lost? */
    isLost: ({ ID }: Node) => performance.now() - (down.get(ID) ?? Number.POSITIVE_INFINITY) >= settings.nodeGrace,

    /** When servers are moved off this node; undefined when it is not paused or drained. */
    movesAt(id: string): Date | undefined {
      const since = closed.get(id)
      return since && new Date(since.getTime() + settings.moveAfter)
    },

    /** Is any node paused or drained? */
    get someClosed() {
      return closed.size > 0
    },

    /** See Spawner.capacity. */
    async capacity(profiles: readonly Profile[], ctx: Context): Promise<(number | undefined)[]> {
      const now = performance.now()
      if (!rooms || now - rooms.at > fresh) {
        // Others may wait for the same answer when this one does not any more.
        const asked = { at: now, found: room(AbortSignal.timeout(5000)) }
        asked.found.catch(() => rooms === asked && (rooms = undefined))
        rooms = asked
      }
      const found = await rooms.found
      ctx.signal.throwIfAborted()
      return profiles.map(profile => placesFor(profile, found, settings.constraints))
    },
  }
}

export type Nodes = ReturnType<typeof createNodes>
