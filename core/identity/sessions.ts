import type { Context } from 'hono'
import type { SessionRecord, UserRecord } from '../store/records.ts'

/** Signed-in browsers: the cookies `jupyterhub-hub-login` (path: the hub's) and `jupyterhub-session-id` (path: the base). */
export interface Sessions {
  /** Who is signed in with this request's cookie? undefined for nobody. */
  find(c: Context): { owner: UserRecord; record: SessionRecord } | undefined
  /** Sign in: a new session id and a new cookie, whatever the browser brought. */
  open(c: Context, userId: string, authenticator: string): Promise<void>
  /** Sign out: ends the session, revokes the tokens issued in it, clears the cookies. Without a session it only clears cookies. */
  close(c: Context): Promise<UserRecord | undefined>
  /** End all sessions of a user, and revoke the tokens issued in them. */
  closeAll(userId: string): Promise<void>
  /** The value of `jupyterhub-session-id`; sets the cookie when the browser has none. */
  sessionId(c: Context): string
}
