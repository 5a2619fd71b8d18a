import { isHubError } from '../errors.ts'
import { inParallel } from '../store/parallel.ts'
import type { UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'

/** When something was last done: by a user, in one of their servers, with one of their tokens. */
export interface Activity {
  note(id: string, at: Date, what: { server?: string; token?: number }): void
  /** ISO, null for never. Never in the future. */
  last(id: string, server?: string): string | null
  /** Write what was noted since the last time. What could not be written is kept for the next one. */
  flush(): Promise<void>
}

/** By what it was done: `user`, `server lab`, `token 17`; milliseconds. */
type Noted = ReadonlyMap<string, number>

/** Activity in memory, ahead of what the records say. What came within `resolution` milliseconds of the last time is not noted. */
export function createActivity(store: Store, resolution = 0): Activity {
  const pending = new Map<string, Noted>()

  const written = (record: UserRecord | undefined, key: string): string | null | undefined => {
    if (key === 'user') return record?.lastActivity
    if (key.startsWith('server ')) return record?.servers.find(({ name }) => `server ${name}` === key)?.lastActivity
    return record?.tokens.find(({ id }) => `token ${id}` === key)?.lastActivity
  }

  const known = (id: string, key: string): number => {
    const stored = written(store.byId.get(id), key)
    // A time in the future was written while the clock was wrong: it counts as now, and the next activity replaces it.
    const past = stored ? Math.min(Date.parse(stored), Date.now()) : 0
    return Math.max(past, Math.min(pending.get(id)?.get(key) ?? 0, Date.now()))
  }

  return {
    note(id, at, { server, token }) {
      const key = server !== undefined ? `server ${server}` : token !== undefined ? `token ${token}` : 'user'
      const last = known(id, key)
      const time = Math.max(Math.min(at.getTime(), Date.now()), last)
      const isAhead = Date.parse(written(store.byId.get(id), key) ?? '') > Date.now()
      if (time - last < resolution && !isAhead) return
      // A copy, so that `flush` can tell whether something was noted while it wrote.
      if (!Number.isNaN(time)) pending.set(id, new Map(pending.get(id)).set(key, time))
    },
    last(id, server) {
      const time = known(id, server === undefined ? 'user' : `server ${server}`)
      return time > 0 ? new Date(time).toISOString() : null
    },
    async flush() {
      await inParallel([...pending], 8, async ([id, noted]) => {
        try {
          await store.update(id, draft => {
            const iso = (key: string, old: string | null) => {
              const time = noted.get(key)
              const past = old === null ? 0 : Date.parse(old)
              return time === undefined || (past >= time && past <= Date.now()) ? old : new Date(time).toISOString()
            }
            draft.lastActivity = iso('user', draft.lastActivity)
            for (const server of draft.servers) server.lastActivity = iso(`server ${server.name}`, server.lastActivity)
            for (const token of draft.tokens) token.lastActivity = iso(`token ${token.id}`, token.lastActivity)
          })
        } catch (error) {
          if (!isHubError(error) || error.code !== 'missing') throw error
        }
        if (pending.get(id) === noted) pending.delete(id)
      })
    },
  }
}
