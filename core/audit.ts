import { AsyncLocalStorage } from 'node:async_hooks'
import { z } from 'zod'
import type { Log, ScopeTarget } from './plugin.ts'
import { openJournal } from './store/journal.ts'

/** Everything that is written down. Reading is not. */
export const actions = [
  'sign-in',
  'sign-out',
  'token.create',
  'token.revoke',
  'user.create',
  'user.rename',
  'user.admin',
  'user.delete',
  'group.create',
  'group.change',
  'group.delete',
  'role.change',
  'storage.erase',
  'share.create',
  'share.accept',
  'share.revoke',
  'account.create',
  'account.approve',
  'account.invite',
  'account.password',
  'account.second-factor',
  'account.reset',
  'account.change',
  'account.delete',
  'server.start',
  'server.stop',
  'server.crash',
  'server.delete',
  /** Somebody opens a server that is not theirs. */
  'server.open',
  'service.create',
  'service.delete',
  'hub.shutdown',
  /** Something was asked for without the right to it. */
  'refused',
] as const

const text = z.string().max(1024)

const entry = z.object({
  /** ISO 8601, UTC. */
  time: text,
  action: z.enum(actions),
  /** Who did it; null for the hub itself and for who has not said who they are. */
  actor: z.object({ kind: z.enum(['user', 'service', 'command']), name: text }).nullable(),
  /** Of the client, as the front tells it; null when there was no request. */
  address: text.nullable(),
  /** Whom and what it was done to. `token` is its id, as on the page for tokens. */
  target: z.object({
    user: text.optional(),
    server: text.optional(),
    token: text.optional(),
    group: text.optional(),
    role: text.optional(),
    service: text.optional(),
  }),
  /** `denied`: somebody may not. `failed`: it could not be done. */
  result: z.enum(['success', 'denied', 'failed']),
  details: z.record(text, z.union([text, z.number(), z.boolean(), z.null()])),
})

/** One line of the trail. */
export type AuditEntry = z.output<typeof entry>
export const auditEntry = entry

export type Actor = NonNullable<AuditEntry['actor']>

/** What who records has to say; the rest is known from the request that is being answered, and a success is the default. */
export type Told = Pick<AuditEntry, 'action'> & Partial<Omit<AuditEntry, 'time' | 'action'>>

export interface AuditFilter {
  /** As actor or as target. */
  user?: string
  action?: AuditEntry['action']
  from?: Date
  until?: Date
}

/**
 * Who did what to whom, from where, with which result: one line each, in `audit.jsonl` in the data folder. No line ever
 * holds a secret; what people typed is cut and made visible.
 */
export interface Audit {
  /** Never throws and waits for nothing: a full disk must not keep anybody from what they do. */
  record(told: Told): void
  /** A request is answered: what is recorded from here on, also after the answer, comes from this address. `changes`: it asks for more than to read. */
  during<T>(origin: { address: string | null; changes: boolean }, run: () => T): T
  /** The request under way is made by this one. */
  by(actor: Actor): void
  /** Where the request under way comes from; null when there is none. */
  address(): string | null
  /** What this does is done by the hub, whoever made the request in which it notices that it has to. */
  byItself<T>(run: () => T): T
  /** Those that match, the newest first: `limit` of them after the first `offset`, and whether there are more. */
  read(filter: AuditFilter, offset: number, limit: number): Promise<{ entries: AuditEntry[]; more: boolean }>
  flush(): Promise<void>
}

interface Request {
  address: string | null
  changes: boolean
  actor: Actor | null
  refused(told: Told): void
}

/** Milliseconds: the same refusal is not written down again sooner. Nobody may fill the trail until it forgets. */
const refusalEvery = 60_000

/**
 * Where a request came from and who makes it is known at the door; what it does is known far behind it, in places that
 * pages, endpoints and plugins all lead to and that take no request. This carries the one to the other.
 */
const requests = new AsyncLocalStorage<Request | undefined>()

export function createAudit(folder: string, options: { size: number; files: number; log: Log }): Audit {
  const journal = openJournal(folder, 'audit', options)
  const refusals = new Map<string, number>()
  const record: Audit['record'] = told => journal.append(complete(told))

  function refused(told: Told): void {
    const { actor, target, details } = complete(told)
    const what = JSON.stringify([actor, Object.keys(target), details])
    const now = performance.now()
    if (now - (refusals.get(what) ?? Number.NEGATIVE_INFINITY) < refusalEvery) return
    if (refusals.size > 10_000) refusals.clear()
    refusals.set(what, now)
    record(told)
  }

  return {
    ...context,
    record,
    during: (origin, run) => requests.run({ ...origin, actor: null, refused }, run),
    async read(filter, offset, limit) {
      const entries: AuditEntry[] = []
      const wanted = matches(filter)
      let found = 0
      for await (const line of journal.newestFirst()) {
        const { data } = entry.safeParse(line)
        if (!data || !wanted(data) || found++ < offset) continue
        if (entries.length === limit) return { entries, more: true }
        entries.push(data)
      }
      return { entries, more: false }
    },
    flush: journal.flush,
  }
}

const context = {
  by(actor: Actor) {
    const request = requests.getStore()
    if (request) request.actor = actor
  },
  address: () => requests.getStore()?.address ?? null,
  byItself: <T>(run: () => T) => requests.run(undefined, run),
}

/** Keeps nothing. */
export const unrecorded: Audit = {
  ...context,
  record() {},
  during: (_origin, run) => run(),
  read: async () => ({ entries: [], more: false }),
  flush: async () => {},
}

/** Whoever makes the request under way lacks a right that it takes. Reading leaves no line: there would be one for each look. */
export function noteRefusal(target: ScopeTarget | undefined, needed: string): void {
  const request = requests.getStore()
  if (request?.changes) request.refused({ action: 'refused', target: target ?? {}, result: 'denied', details: { needed } })
}

function complete({ action, actor, address, target = {}, result = 'success', details = {} }: Told): AuditEntry {
  const request = requests.getStore()
  const who = actor === undefined ? (request?.actor ?? null) : actor
  const from = address === undefined ? (request?.address ?? null) : address
  return {
    time: new Date().toISOString(),
    action,
    actor: who && { kind: who.kind, name: shown(who.name) },
    address: from === null ? null : shown(from),
    target: map(target, value => shown(value)),
    result,
    details: map(details, value => (typeof value === 'string' ? shown(value, 256) : value)),
  }
}

function map<T>(from: Record<string, T | undefined>, change: (value: T) => T): Record<string, T> {
  const given = Object.entries(from).filter((pair): pair is [string, T] => pair[1] !== undefined)
  return Object.fromEntries(given.map(([key, value]) => [key, change(value)]))
}

/** Cut, and with everything visible that could hide or forge what is on the screen. */
const shown = (text: string, length = 64) =>
  [...text.slice(0, 4 * length)]
    .slice(0, length)
    .join('')
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, c => `\\u{${c.codePointAt(0)!.toString(16)}}`)

function matches({ user, action, from, until }: AuditFilter): (entry: AuditEntry) => boolean {
  const name = user === undefined ? undefined : shown(user)
  const [first, last] = [from?.toISOString() ?? '', until?.toISOString() ?? '\uffff']
  return entry =>
    (name === undefined || entry.actor?.name === name || entry.target.user === name) &&
    (action === undefined || entry.action === action) &&
    entry.time >= first &&
    entry.time <= last
}
