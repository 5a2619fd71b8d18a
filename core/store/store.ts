import { randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HubError } from '../errors.ts'
import { unusable } from './adapter.ts'
import { openFile, type StateFile } from './file.ts'
import { makeFolder } from './folder.ts'
import { createLookups, type Lookups } from './lookups.ts'
import { migrate } from './migrations.ts'
import { type HubRecord, hub as hubSchema, type UserRecord, user as userSchema, version } from './records.ts'

/**
 * The hub's state: `hub.json`, and `users/<id>.json` for each user. All of it is in memory; the files are the durable copy,
 * and memory only ever shows what is durable. Records are frozen.
 */
export interface Store extends Lookups {
  readonly folder: string
  readonly hub: StateFile<HubRecord>
  /** Add a user; durable when it resolves. That id, name and slug are free is the caller's to see to. */
  add(record: UserRecord): Promise<UserRecord>
  /** See StateFile.update. Rejects with `missing` for a user that is none. */
  update(id: string, change: (draft: UserRecord) => void): Promise<UserRecord>
  /** Forget a user for good. May come twice. */
  remove(id: string): Promise<void>
  /** The folder of a plugin's own, mode 0700; made when it is missing. */
  pluginFolder(name: string): Promise<string>
}

/**
 * Open the state in this folder, or begin one. The caller holds the folder's lock. Throws `config` for whatever is damaged,
 * readable by others, from a newer version, or missing beside what is there; all files are left as they are then.
 */
export async function openStore(folder: string): Promise<Store> {
  const usersFolder = join(folder, 'users')
  const pathOf = (id: string) => join(usersFolder, `${id}.json`)
  const { lookups, swap } = createLookups()
  const files = new Map<string, StateFile<UserRecord>>()

  const openUser = (id: string, initial: UserRecord | null) =>
    openFile(pathOf(id), userSchema, initial, { migrate: (raw, path) => migrate('user', raw, path), swapped: swap })

  await makeFolder(folder)
  await makeFolder(usersFolder)
  const names = await readdir(usersFolder)
  const known = names.filter(name => /^[^.].*\.json$/.test(name))
  const hub = await openFile(join(folder, 'hub.json'), hubSchema, known.length === 0 ? newHub() : null, {
    migrate: (raw, path) => migrate('hub', raw, path),
  })
  for (const name of known) {
    const id = name.slice(0, -'.json'.length)
    files.set(id, await openUser(id, null))
  }
  for (const [id, { data }] of [...files].sort(([, a], [, b]) => a.data.number - b.data.number)) {
    const twin = data.id === id ? (lookups.byName.get(data.name) ?? lookups.bySlug.get(data.slug)) : data
    if (twin) throw unusable(pathOf(id), `it is of the same user as ${twin.id}.json`)
    swap(data, undefined)
  }
  // Users whose making a crash cut short.
  for (const name of names.filter(name => name.endsWith('.tmp'))) await rm(join(usersFolder, name))

  return {
    ...lookups,
    folder,
    hub,
    async add(record) {
      const file = await openUser(record.id, record)
      files.set(record.id, file)
      swap(file.data, undefined)
      return file.data
    },
    async update(id, change) {
      const file = files.get(id)
      if (!file) throw new HubError('missing', 'There is no such user.')
      return file.update(change)
    },
    async remove(id) {
      await files.get(id)?.remove()
      files.delete(id)
    },
    async pluginFolder(name) {
      const path = join(folder, 'plugins', name)
      await makeFolder(join(folder, 'plugins'))
      await makeFolder(path)
      return path
    },
  }
}

const newHub = (): HubRecord => ({
  version,
  id: randomBytes(6).toString('hex'),
  secret: randomBytes(32).toString('base64url'),
  groups: [],
  services: [],
  named: [],
  deleted: [],
  roles: [],
})
