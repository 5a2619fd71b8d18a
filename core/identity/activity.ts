import { isHubError } from '../errors.ts'
import { inParallel } from '../store/parallel.ts'
import type { UserRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'

/** What something was done with: a token by its number, a session by its hash. Nothing of it: by the user. */
export type Means = { server: string } | { token: number } | { session: string }

/** When something was last done, and from which address if that was told. */
export interface Use {
  /** ISO, null for never. Never in the future. */
  at: string | null
  from: string | null
}

/** When something was last done: by a user, in one of their servers, with one of their tokens or sessions. */
export interface Activity {
  note(id: string, at: Date, by?: Means, from?: string | null, told?: boolean): void
  last(id: string, by?: Means): Use
  /** Write what was noted since the last time. What could not be written is kept for the next one. */
  flush(): Promise<void>
}

/** By what it was done: `user`, `server lab`, `token 17`; milliseconds. */
type Noted = ReadonlyMap<string, { time: number; from: string | null }>

interface Dated {
  lastActivity?: string | null | undefined
  lastAddress?: string | undefined
}

/** Activity in memory, ahead of what the records say. What the hub itself sees within `resolution` milliseconds of the last time is not noted. */
export function createActivity(store: Store, resolution = 0): Activity {
  const pending = new Map<string, Noted>()

  const written = (record: UserRecord | undefined, by: Means | undefined): Dated | undefined => {
    if (!by) return record
    if ('server' in by) return record?.servers.find(({ name }) => name === by.server)
    if ('token' in by) return record?.tokens.find(({ id }) => id === by.token)
    return record?.sessions.find(({ hash }) => hash === by.session)
  }

  const known = (id: string, by: Means | undefined): { time: number; from: string | null } => {
    const stored = written(store.byId.get(id), by)
    // A time in the future was written while the clock was wrong: it counts as now, and the next activity replaces it.
    const past = stored?.lastActivity ? Math.min(Date.parse(stored.lastActivity), Date.now()) : 0
    const noted = pending.get(id)?.get(keyOf(by))
    const time = Math.min(noted?.time ?? 0, Date.now())
    return noted && time >= past ? { time, from: noted.from } : { time: past, from: stored?.lastAddress ?? null }
  }

  let now = { at: 0, text: '' }
  /** Lists ask this of everybody at once. Such texts stand in the order of the times that they tell. */
  const isPast = (iso: string) => {
    const at = Date.now()
    if (at - now.at > 1000 || at < now.at) now = { at, text: new Date(at).toISOString() }
    return iso <= now.text
  }

  return {
    note(id, at, by, from = null, told = false) {
      const last = known(id, by)
      const time = Math.max(Math.min(at.getTime(), Date.now()), last.time)
      const isAhead = Date.parse(written(store.byId.get(id), by)?.lastActivity ?? '') > Date.now()
      if (!told && time - last.time < resolution && from === last.from && !isAhead) return
      // A copy, so that `flush` can tell whether something was noted while it wrote.
      if (!Number.isNaN(time)) pending.set(id, new Map(pending.get(id)).set(keyOf(by), { time, from }))
    },
    last(id, by) {
      if (!pending.has(id)) {
        const { lastActivity: at = null, lastAddress: from = null } = written(store.byId.get(id), by) ?? {}
        if (at === null || isPast(at)) return { at, from }
      }
      const { time, from } = known(id, by)
      return { at: time > 0 ? new Date(time).toISOString() : null, from }
    },
    async flush() {
      await inParallel([...pending], 8, async ([id, noted]) => {
        try {
          await store.update(id, draft => {
            const bring = (record: Dated, by?: Means) => {
              const use = noted.get(keyOf(by))
              const past = record.lastActivity ? Date.parse(record.lastActivity) : 0
              if (!use || (past >= use.time && past <= Date.now())) return
              record.lastActivity = new Date(use.time).toISOString()
              if (use.from === null) delete record.lastAddress
              else record.lastAddress = use.from
            }
            bring(draft)
            for (const server of draft.servers) bring(server, { server: server.name })
            for (const token of draft.tokens) bring(token, { token: token.id })
            for (const session of draft.sessions) bring(session, { session: session.hash })
          })
        } catch (error) {
          if (!isHubError(error) || error.code !== 'missing') throw error
        }
        if (pending.get(id) === noted) pending.delete(id)
      })
    },
  }
}

function keyOf(by: Means | undefined): string {
  if (!by) return 'user'
  if ('server' in by) return `server ${by.server}`
  return 'token' in by ? `token ${by.token}` : `session ${by.session}`
}
