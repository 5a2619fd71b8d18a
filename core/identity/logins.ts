import type { Context } from 'hono'
import type { Plugin, RedirectAuthenticator } from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'

export type LoginResult =
  | { ok: true; user: UserRecord }
  /** What the form says. `wait`: seconds until the next try is looked at. */
  | { ok: false; reason: 'wrong' | 'denied' | 'unavailable' | 'wait'; message: string; wait?: number }

/**
 * The stage `login`: ask the authenticator, normalise the name, `before:login`, the access rules, then make or bring up to
 * date the user. Fails closed: whatever throws lets nobody in. Counts failures per name and per address and lets them wait.
 */
export interface Logins {
  /** Authenticators in config order. */
  readonly methods: readonly { plugin: Plugin; kind: 'password' | 'redirect'; label: string }[]
  password(method: string, credentials: { username: string; password: string }, address: string): Promise<LoginResult>
  /** Where to send the browser. Sets the state cookie; `next` comes back from `finish`. */
  begin(c: Context, method: string, callback: URL, next: string): Promise<URL>
  /** The provider sent the browser back. Checks the state: once, of this browser, at most ten minutes old. */
  finish(c: Context, method: string, callback: URL, address: string): Promise<LoginResult & { next: string }>
  /** Ask the authenticator again when the last answer is older than `timeouts.refresh`. Resolves false when the user is none any more; their sessions are then closed. */
  refresh(user: UserRecord, authenticator: string): Promise<boolean>
}

export type { RedirectAuthenticator }
