import type { Caller, Cause, Profile, StopReason } from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'
import type { Server, StartRequest } from './server.ts'

/** All servers of the hub and their lives. */
export interface Servers {
  /** A user's server, running or not. The default server (`''`) always exists; a named one only once it was made. */
  get(user: UserRecord, name: string): Server | undefined
  /** All of a user's servers, the default one first. */
  of(user: UserRecord): Server[]
  /** Those that are not stopped. */
  active(): Iterable<Server>
  /** The profiles that this user may use, in config order. */
  profiles(user: UserRecord): Profile[]
  /**
   * Begin to start. Resolves once the intent is durable; `settled()` tells when it has ended. While it starts already it
   * only answers with it. Throws: `invalid` (unknown profile, choice or name; runs already; is being stopped), `denied`
   * (profile not for this user), `busy` (limits), `unavailable` (the engine cannot be asked; the hub is closing).
   */
  start(user: UserRecord, name: string, request: StartRequest, by: Caller | undefined): Promise<Server>
  /** Stop, or cancel a start. Resolves when it is gone; does nothing when it is stopped. */
  stop(user: UserRecord, name: string, reason: StopReason, by?: Caller): Promise<void>
  /** Stop and forget a named server. */
  remove(user: UserRecord, name: string, by?: Caller): Promise<void>
  /** Look now instead of at the next poll. */
  check(server: Server): Promise<void>
  /** The last lines of the server's log, then new ones. */
  logs(server: Server, signal: AbortSignal): AsyncIterable<string>
  /** Somebody came back from the server: its first call to the hub proves that it runs. Ends the waiting for its HTTP port early. */
  heard(user: UserRecord, name: string): void
  /** Can the engine be asked? */
  readonly engine: { ok: true } | { ok: false; why: string }
}

export type { Cause }
