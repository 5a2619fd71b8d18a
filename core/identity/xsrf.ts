import type { Context } from 'hono'
import { cookieNames, cookieValues, hubCookie, setHubCookie } from './cookies.ts'
import { same, sign } from './secrets.ts'
import type { Sessions } from './sessions.ts'

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

/** `secret` is the hub's; `base` and `url` as in Core; `hostPrefix`: see hubCookie. */
export function createXsrf({
  secret,
  sessions,
  base,
  url,
  hostPrefix = false,
}: {
  secret: string
  sessions: Sessions
  base: string
  url: URL | undefined
  hostPrefix?: boolean
}): Xsrf {
  const cookie = hubCookie(cookieNames.xsrf, { base, hostPrefix })
  const expected = (c: Context) => {
    const found = sessions.find(c)
    return xsrfToken(secret, found ? { session: found.record.hash } : { visitor: sessions.sessionId(c) })
  }
  const isSet = (c: Context, token: string) =>
    cookieValues(c, cookie.name)
      .slice(0, 8)
      .some(value => same(value, token))
  const given = new WeakMap<Context, string>()

  return {
    token(c) {
      const token = expected(c)
      if (!isSet(c, token) && given.get(c) !== token) {
        given.set(c, token)
        setHubCookie(c, cookie.name, token, { path: cookie.path, url })
      }
      return token
    },
    valid(c, field) {
      const sent = field || c.req.query('_xsrf') || c.req.header('x-xsrftoken') || c.req.header('x-csrftoken')
      if (!sent) return false
      const token = expected(c)
      return same(sent, token) && isSet(c, token)
    },
    needed(c, kind) {
      const { method } = c.req
      if (method === 'HEAD' || method === 'OPTIONS') return false
      if (method !== 'GET') return true
      if (kind === 'html') return false
      // A read by a link, a socket, or an image of our own page, and by browsers that do not say.
      const mode = c.req.header('sec-fetch-mode') ?? 'navigate'
      if (mode === 'no-cors') return c.req.header('sec-fetch-site') !== 'same-origin'
      return mode !== 'navigate' && mode !== 'websocket'
    },
  }
}

/** What is bound to what: to a login by the hash of its cookie, to a visitor by the session id. */
export const xsrfToken = (secret: string, to: { session: string } | { visitor: string }) =>
  sign(secret, 'xsrf', JSON.stringify(to))
