import type { Cause, ServerRef } from '../plugin.ts'
import type { ServerRecord, UserRecord } from '../store/records.ts'

/** One line of a start, for who waits. */
export interface StartEvent {
  /** Counts from 1 within one start; what a browser sends back as Last-Event-ID. */
  id: number
  /** Milliseconds since the start was asked for. */
  at: number
  step: 'requested' | 'preparing' | 'queued' | 'placed' | 'pulling' | 'starting' | 'answering' | 'ready' | 'failed' | 'cancelled'
  message: string
  /** 0 to 100 of the whole start; never goes back. */
  progress: number
  /** With `failed`. */
  cause?: Cause
}

/** One server of one user: its record, and what goes on with it now. Created by `Servers`, lives as long as its record. */
export interface Server {
  readonly ref: ServerRef
  readonly owner: UserRecord
  /** As last made durable. For a default server that never ran there is none on disk yet; this is then the empty one. */
  readonly record: ServerRecord
  readonly state: 'stopped' | 'starting' | 'running' | 'stopping' | 'unknown'
  /** JupyterHub's word for what is under way: `check` after a hub restart, until it is known what became of it. */
  readonly pending: null | 'spawn' | 'stop' | 'check'
  /** Runs, answers, and its route is live. */
  readonly ready: boolean
  /** `/user/alice/lab/` */
  readonly path: string
  /** Where it runs, when the engine told. */
  readonly node: string | undefined
  /** What its user should know while it runs, when the engine told. */
  readonly notice: string | undefined
  /** Why the last start failed or the server vanished; null after a good start or a wanted stop. */
  readonly failure: { cause: Cause; at: string } | null
  /** When the present start was asked for; monotonic milliseconds (`performance.now()`). */
  readonly startedAt: number | undefined
  /** Resolves when the start or stop under way has ended, however it ended; at once when there is none. Never rejects. */
  settled(): Promise<void>
  /**
   * The lines of the present or last start, those after `after` first, then new ones as they come. Ends after `ready`,
   * `failed` or `cancelled`, and when the signal aborts. Ends at once when there has been no start in this hub's life.
   */
  events(after: number, signal: AbortSignal): AsyncIterable<StartEvent>
}

/** What to start. */
export interface StartRequest {
  /** A profile's name; left out: the one of the last start, else the first that this user may use. */
  profile?: string
  /** Left out: those of the last start, if the profile is the same. */
  choices?: Record<string, string>
  /** `user_options` as a JupyterHub client sent them; kept and given back. */
  userOptions?: Record<string, unknown>
  displayName?: string
}
