import { closeSync, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Adapter } from 'lowdb'
import { HubError, isHubError, messageOf } from '../errors.ts'
import { syncFolder } from './folder.ts'

/** Takes what a file holds, as JSON has it; returns it checked, or throws what is wrong with it. */
export type Check<T> = (raw: unknown) => T | Promise<T>

/** Where the next content of a file is written before it takes the file's place. What a crash left there is overwritten. */
export const draftOf = (path: string) => join(dirname(path), `.${basename(path)}.tmp`)

/**
 * A lowdb adapter for one JSON file of mode 0600. A write is durable when it resolves, and whatever happens during it the
 * file holds the old content or the new one. `read` answers null only for a file that is not there: a damaged one, and one
 * that others may read, is refused with `config` and left as it is.
 */
export function durableFile<T>(path: string, check: Check<T>): Adapter<T> {
  return {
    async read() {
      const text = readPrivate(path)
      if (text === undefined) return null
      if (text.trim() === '') throw unusable(path, 'it is empty')
      let raw: unknown
      try {
        raw = JSON.parse(text)
      } catch {
        // Node's own words would quote from the file.
        throw unusable(path, 'it is damaged or cut off, and no JSON')
      }
      try {
        return await check(raw)
      } catch (error) {
        throw isHubError(error) ? error : unusable(path, messageOf(error))
      }
    },
    async write(data) {
      const draft = draftOf(path)
      try {
        await writeAndSync(draft, `${JSON.stringify(data, null, 2)}\n`)
        await rename(draft, path)
      } catch (error) {
        // Leaves room on a full disk. That this may fail too matters less than the first error.
        await rm(draft, { force: true }).catch(() => {})
        throw error
      }
      await syncFolder(dirname(path))
    },
  }
}

/** Files are read once, before the hub serves anybody; for ten thousand small ones this way is several times as fast. */
function readPrivate(path: string): string | undefined {
  let file: number | undefined
  try {
    // A link that leads nowhere is not a missing file: who made it wants its target.
    if (!lstatSync(path, { throwIfNoEntry: false })) return undefined
    file = openSync(path, 'r')
    const info = fstatSync(file)
    if (!info.isFile()) throw unusable(path, 'it is not a file')
    if (info.mode & 0o077)
      throw new HubError('config', `${path} can be read or written by other users of this machine. Run: chmod 600 ${path}`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw isHubError(error) ? error : unusable(path, messageOf(error))
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

async function writeAndSync(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** What the hub says of a state file that it will not use. */
export function unusable(path: string, why: string): HubError {
  return new HubError(
    'config',
    `${path} cannot be used: ${why}. It was left as it is. Put back a backup of it; without one, move it away and what it held is lost.`,
  )
}
