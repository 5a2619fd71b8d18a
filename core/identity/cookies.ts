import type { Context } from 'hono'
import { setCookie } from 'hono/cookie'

/** The hub's cookies, by name. */
export const cookieNames = {
  login: 'jupyterhub-hub-login',
  session: 'jupyterhub-session-id',
  xsrf: '_xsrf',
  /** Of old services; only ever cleared. */
  services: 'jupyterhub-services',
} as const

/**
 * How a cookie of the hub's pages is called, and on which path it is. With `hostPrefix` no other host of the domain can set
 * it, and browsers insist on the path `/`: the front takes it out of what goes to servers.
 */
export const hubCookie = (name: string, { base, hostPrefix }: { base: string; hostPrefix: boolean }) =>
  hostPrefix ? { name: `__Host-${name}`, path: '/' } : { name, path: `${base}hub/` }

/**
 * All values of a cookie. A browser sends several of one name when they were set for several paths, and pages of notebook
 * servers can set some: which of them is ours only its signature or hash tells.
 */
export function cookieValues(c: Context, name: string): string[] {
  const pairs = (c.req.header('cookie') ?? '').split(';').map(pair => pair.trim())
  return pairs.filter(pair => pair.startsWith(`${name}=`)).map(pair => pair.slice(name.length + 1))
}

/**
 * Did the browser come by https? The config says so, or `X-Forwarded-Proto`, which is the front's word: see front-door.ts.
 */
export function isSecure(c: Context, url: URL | undefined): boolean {
  if (url) return url.protocol === 'https:'
  return c.req.header('x-forwarded-proto')?.split(',')[0]?.trim() === 'https'
}

/** Set a cookie that no script can read; `maxAge` in seconds, 0 clears it, undefined lasts until the browser is closed. */
export function setHubCookie(
  c: Context,
  name: string,
  value: string,
  { path, url, maxAge }: { path: string; url: URL | undefined; maxAge?: number },
): void {
  setCookie(c, name, value, {
    path,
    httpOnly: true,
    sameSite: 'Lax',
    secure: isSecure(c, url),
    ...(maxAge !== undefined && { maxAge }),
  })
}
