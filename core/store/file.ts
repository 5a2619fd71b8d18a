import { rm, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Low } from 'lowdb'
import { type ZodType, z } from 'zod'
import { HubError, messageOf } from '../errors.ts'
import { durableFile, unusable } from './adapter.ts'
import { syncFolder } from './folder.ts'

/** A value in memory with its durable copy in one file. What is read has always been on disk before. */
export interface StateFile<T> {
  /** The value as last made durable. Frozen. */
  readonly data: T
  /**
   * Change the value. `change` gets a copy; it must not wait for anything, and may be called again when another change fails.
   * Resolves with the new value after fsync, rename and fsync of the folder; changes made at the same time share one write.
   * When `change` throws or makes a value that does not fit the schema, only this call rejects; when the write fails, all of
   * its changes are rolled back and reject with `unavailable`. A change that changes nothing writes nothing.
   */
  update(change: (draft: T) => void): Promise<T>
  /** Remove the file. Later updates reject with `missing`. May come twice. */
  remove(): Promise<void>
}

export interface FileOptions<T> {
  /** Brings what an older version wrote up to date, before the schema sees it. */
  migrate?: (raw: unknown, path: string) => Promise<unknown>
  /** Called the moment an update has made `data` another one; with undefined when the file has been removed. */
  swapped?: (next: T | undefined, previous: T) => void
}

/**
 * Open a state file, or make it of `initial`; with `initial` null it has to be there. A file that is empty, cut off, not
 * JSON or does not fit the schema is refused with `config` and left as it is. The schema's output must be what JSON can
 * carry. To be called once per path: two at a time do not know of each other.
 */
export async function openFile<T>(
  path: string,
  schema: ZodType<T>,
  initial: T | null,
  options: FileOptions<T> = {},
): Promise<StateFile<T>> {
  const fit = (raw: unknown): T => {
    const result = schema.safeParse(raw)
    if (result.success) return freeze(result.data)
    throw new Error(`it does not hold what it should: ${z.prettifyError(result.error).replaceAll(/\s+/g, ' ')}`)
  }
  const migrate = options.migrate ?? (async raw => raw)
  const db = new Low<T | null>(
    durableFile<T | null>(path, async raw => fit(await migrate(raw, path))),
    null,
  )
  await db.read()
  if (db.data === null) {
    if (initial === null) throw unusable(path, 'it is not there')
    const first = fit(initial)
    try {
      await db.adapter.write(first)
    } catch (cause) {
      await rm(path, { force: true }).catch(() => {})
      throw unwritten(path, cause)
    }
    db.data = first
  }

  type Waiting = { change: (draft: T) => void; resolve: (value: T) => void; reject: (error: unknown) => void }
  const waiting: Waiting[] = []
  let last = db.data
  let unsure = false

  const swap = (next: T | null) => {
    const previous = last
    db.data = next
    if (next !== null) last = next
    options.swapped?.(next ?? undefined, previous)
  }

  const apply = (value: T, changes: Waiting[]): T => {
    const before = JSON.stringify(value)
    const draft: T = JSON.parse(before)
    for (const { change } of changes) {
      const result: unknown = change(draft)
      if (result instanceof Promise) throw new TypeError(`a change of ${path} waits for something: what it does then is lost`)
    }
    // Through JSON, so that memory never holds what a restart would read differently.
    const after = JSON.stringify(draft)
    return after === before ? value : fit(JSON.parse(after))
  }

  /** All changes that can be made, one after the other; the others are rejected. */
  const applyEach = (value: T, changes: Waiting[]): { next: T; kept: Waiting[] } => {
    let next = value
    const kept = changes.filter(one => {
      try {
        next = apply(next, [one])
        return true
      } catch (error) {
        one.reject(error)
        return false
      }
    })
    return { next, kept }
  }

  const applyAll = (value: T, changes: Waiting[]): { next: T; kept: Waiting[] } => {
    try {
      return { next: apply(value, changes), kept: changes }
    } catch {
      // Whose fault it is shows one by one.
      return applyEach(value, changes)
    }
  }

  /** Make one value durable for all who wait now. */
  const flush = async () => {
    const taken = waiting.splice(0)
    const durable = db.data
    if (durable === null) return taken.forEach(({ reject }) => void reject(removed()))
    const { next, kept } = applyAll(durable, taken)
    if (unsure || next !== durable) {
      try {
        await db.adapter.write(next)
      } catch (cause) {
        await putBack(durable)
        return kept.forEach(({ reject }) => void reject(unwritten(path, cause)))
      }
      unsure = false
      swap(next)
    }
    for (const { resolve } of kept) resolve(last)
  }

  /** When only the last fsync failed, the new content is in place already. If this fails too, the next update settles it. */
  const putBack = (value: T) =>
    db.adapter.write(value).then(
      () => void (unsure = false),
      () => void (unsure = true),
    )

  let before: Promise<unknown> = Promise.resolve()
  const inTurn = <R>(work: () => Promise<R>): Promise<R> => {
    const turn = before.then(work)
    before = turn.catch(() => {})
    return turn
  }

  return {
    get data() {
      return last
    },
    update(change) {
      return new Promise((resolve, reject) => {
        waiting.push({ change, resolve, reject })
        if (waiting.length === 1) void inTurn(flush)
      })
    },
    remove: () =>
      inTurn(async () => {
        if (db.data === null) return
        try {
          await unlink(path).catch(error => {
            if (error.code !== 'ENOENT') throw error
          })
          await syncFolder(dirname(path))
        } catch (cause) {
          await putBack(db.data)
          throw unwritten(path, cause)
        }
        swap(null)
      }),
  }
}

const removed = () => new HubError('missing', 'This has been removed meanwhile.')

const unwritten = (path: string, cause: unknown) =>
  new HubError('unavailable', 'The hub could not save this, and nothing was changed. Try again, and tell the admin.', {
    cause: new Error(`${path} could not be written: ${messageOf(cause)}`, { cause }),
  })

function freeze<V>(value: V): V {
  if (typeof value === 'object' && value !== null) {
    for (const key in value) freeze(value[key])
    Object.freeze(value)
  }
  return value
}
