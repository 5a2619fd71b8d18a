import type { Context } from 'hono'

/**
 * The `_xsrf` cookie and field (contract 2.7, 2.8): a signed token bound to the login session, or for a visitor to the
 * session id. HttpOnly on the hub's path: forms and scripts get the token from the page.
 */
export interface Xsrf {
  /** The token for this visitor's forms; sets the cookie when there is no valid one. The same for all tabs of one session. */
  token(c: Context): string
  /**
   * Does this request carry a valid token: field or query `_xsrf`, header `X-XSRFToken` or `X-CSRFToken`, equal to one of
   * the `_xsrf` cookies and valid for this session? `field` is what the form's body had.
   */
  valid(c: Context, field?: string): boolean
  /** Must this request carry one? By method and `Sec-Fetch-*`, for pages (`html`) and cookie-authenticated API calls (`api`). */
  needed(c: Context, kind: 'html' | 'api'): boolean
}
