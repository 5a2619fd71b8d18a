import { HubError, type StateFile, type User } from 'swarmhub'
import { z } from 'zod'

/** By volume: the hostname of the node that has it, and whose it is. */
export const homes = z.object({
  nodes: z.record(z.string(), z.string()),
  owners: z
    .record(
      z.string(),
      z.object({
        /** The user's id: a name may become somebody else's. */
        id: z.string(),
        slug: z.string(),
        /** The last day on which a server was started with it. */
        used: z.string(),
      }),
    )
    .default({}),
})
type Shape = z.output<typeof homes>

export interface Home {
  volume: string
  node: string | undefined
  owner: Shape['owners'][string] | undefined
}

/** Which volumes there are, whose and where. */
export interface Homes {
  all(): Home[]
  get(volume: string): Home | undefined
  /** The volume that the user has; the name that `choose` gives when there is none yet. Says it to nobody. */
  of(user: User, choose: (user: User) => string): string
  /** It is this user's, and is used today. Throws `conflict` when it is somebody else's. */
  claim(volume: string, user: User): Promise<void>
  /** The user gets it, whosever it was. */
  give(volume: string, user: User): Promise<void>
  place(volume: string, node: string): Promise<void>
  unplace(volume: string): Promise<void>
  forget(volume: string): Promise<void>
}

export function openHomes(file: StateFile<Shape>): Homes {
  const get = (volume: string): Home | undefined => {
    const { nodes, owners } = file.data
    const [node, owner] = [own(nodes, volume), own(owners, volume)]
    return node === undefined && !owner ? undefined : { volume, node, owner }
  }

  return {
    get,
    all: () => [...new Set([...Object.keys(file.data.owners), ...Object.keys(file.data.nodes)])].map(volume => get(volume)!),
    of: (user, choose) => Object.entries(file.data.owners).find(([, { id }]) => id === user.id)?.[0] ?? choose(user),
    async claim(volume, { id, slug }) {
      const owner = own(file.data.owners, volume)
      if (owner && owner.id !== id) throw taken(volume)
      if (owner?.used === today()) return
      await file.update(draft => {
        if ((own(draft.owners, volume)?.id ?? id) !== id) throw taken(volume)
        draft.owners[volume] = { id, slug, used: today() }
      })
    },
    async give(volume, { id, slug }) {
      await file.update(draft => {
        for (const [other, owner] of Object.entries(draft.owners)) if (owner.id === id) delete draft.owners[other]
        draft.owners[volume] = { id, slug, used: today() }
      })
    },
    async place(volume, node) {
      await file.update(draft => void (draft.nodes[volume] = node))
    },
    async unplace(volume) {
      await file.update(draft => void delete draft.nodes[volume])
    },
    async forget(volume) {
      await file.update(draft => {
        delete draft.nodes[volume]
        delete draft.owners[volume]
      })
    },
  }
}

/** A volume may be called `constructor`. */
const own = <T>(record: Record<string, T>, key: string) => (Object.hasOwn(record, key) ? record[key] : undefined)

const today = () => new Date().toISOString().slice(0, 10)

function taken(volume: string): HubError {
  const message = `The volume ${volume} is somebody else’s, or was: of a user who has been deleted.`
  const hint = 'Tell your administrator: the command `give` hands it over.'
  return new HubError('conflict', message, { details: { code: 'mount', message, hint } })
}
