import type { StateFile, User } from 'swarmhub'
import { z } from 'zod'

/** Folders by the names of their volumes, which tell all that was said of server and path. */
export const folders = z.object({
  folders: z.record(
    z.string(),
    z.object({
      path: z.string(),
      /** It was there, or was made, on this day. */
      made: z.string().optional(),
      /** The last day on which a server was started with it. */
      used: z.string().optional(),
      /** Whose servers have had it, by slug. */
      users: z.array(z.object({ owner: z.string() })).default([]),
    }),
  ),
})

type Shape = z.output<typeof folders>
export type Folder = Shape['folders'][string]

/** What is known of the folders of one server. Once a day for each of them something is written. */
export interface Folders {
  all(): Readonly<Record<string, Folder>>
  made(id: string, path: string): Promise<void>
  unmade(id: string): Promise<void>
  used(id: string, path: string, user: User): Promise<void>
  forget(id: string): Promise<void>
}

export function openFolders(file: StateFile<Shape>): Folders {
  const entry = (draft: Shape, id: string, path: string) => (draft.folders[id] ??= { path, users: [] })
  return {
    all: () => file.data.folders,
    async made(id, path) {
      await file.update(draft => void (entry(draft, id, path).made = today()))
    },
    async unmade(id) {
      if (file.data.folders[id]?.made) await file.update(draft => void delete draft.folders[id]?.made)
    },
    async used(id, path, { slug }) {
      const known = file.data.folders[id]
      if (known?.used === today() && known.users.some(({ owner }) => owner === slug)) return
      await file.update(draft => {
        const folder = entry(draft, id, path)
        folder.used = today()
        if (!folder.users.some(({ owner }) => owner === slug)) folder.users.push({ owner: slug })
      })
    },
    async forget(id) {
      await file.update(draft => void delete draft.folders[id])
    },
  }
}

const today = () => new Date().toISOString().slice(0, 10)
