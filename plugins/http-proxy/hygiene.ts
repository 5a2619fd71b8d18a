import type { IncomingHttpHeaders } from 'node:http'
import { escapeSegment } from 'swarmhub'
import { readPath } from './path.ts'

/*
 * All servers share one origin, and each is written by somebody else. What a server could use to reach beyond its own
 * path, and what it has no business to see, ends here. What the hub itself answers is not touched.
 */

/** Headers by which one answer speaks for the whole origin, or to a proxy in front of us. */
const beyond =
  /^(service-worker-allowed|clear-site-data|strict-transport-security|public-key-pins.*|expect-ct|alt-svc|nel|report-to|reporting-endpoints|use-as-dictionary|set-login|(sec|secure)-session-.*|x-accel-.*|x-sendfile|x-lighttpd-.*|x-litespeed-.*|x-reproxy-.*)$/

/** Cookies that are the hub's to set. */
const hubCookies = /^(jupyterhub-hub-login|jupyterhub-session-id|__Host-.*)$/i

/** Of these, what no server has any business to see: with `__Host-` they are on the path `/`. */
const logins = /^(jupyterhub-hub-login|__Host-jupyterhub-hub-login|__Host-_xsrf)$/

/** Take the hub's login out of a request to a server. Its path keeps it away already, in browsers that go by the rules. */
export function cleanRequest(headers: IncomingHttpHeaders): void {
  if (!headers.cookie || !/jupyterhub-hub-login|__Host-/.test(headers.cookie)) return
  const kept = headers.cookie.split(';').filter(pair => !logins.test(pair.split('=', 1)[0]!.trim()))
  if (kept.length > 0) headers.cookie = kept.join(';').trim()
  else delete headers.cookie
}

/** Take out of a server's answer what reaches beyond its route. `asked`: the path of the request. */
export function cleanAnswer(headers: IncomingHttpHeaders, route: readonly string[], asked: readonly string[]): void {
  for (const name of Object.keys(headers)) if (beyond.test(name)) delete headers[name]
  const cookies = headers['set-cookie']?.flatMap(cookie => cleanCookie(cookie, route, asked) ?? [])
  if (cookies?.length) headers['set-cookie'] = cookies
  else delete headers['set-cookie']
}

/** The cookie if it stays within the route, mended if it can be, else undefined. */
function cleanCookie(cookie: string, route: readonly string[], asked: readonly string[]): string | undefined {
  const [pair, ...attributes] = cookie.split(';').map(part => part.trim())
  const name = pair!.slice(0, Math.max(0, pair!.indexOf('='))).trim()
  if (name === '' || hubCookies.test(name)) return undefined
  const valuesOf = (attribute: string) =>
    attributes.flatMap(part => {
      const [key, ...value] = part.split('=')
      return key!.trim().toLowerCase() === attribute ? [value.join('=').trim()] : []
    })
  if (valuesOf('domain').length > 0) return undefined
  const paths = valuesOf('path')
  if (paths.length > 1 || cookie.length > 8192) return undefined
  const [path = ''] = paths
  // without a path it is that of the request, up to the last slash
  if (!path.startsWith('/')) return asked.length > route.length ? cookie : atRoute(pair!, attributes, route)
  if (isWithin(readPath(path), route)) return cookie
  // Classic notebooks put `_xsrf` on `/`, where all servers and the hub would see it. Their pages read it just as well from their own path.
  return name === '_xsrf' ? atRoute(pair!, attributes, route) : undefined
}

const isWithin = (path: string[] | undefined, route: readonly string[]) =>
  path !== undefined && route.every((segment, i) => segment === path[i])

const atRoute = (pair: string, attributes: string[], route: readonly string[]) =>
  [
    pair,
    ...attributes.filter(part => !/^path\s*(=|$)/i.test(part)),
    `Path=/${route.map(segment => `${escapeSegment(segment)}/`).join('')}`,
  ].join('; ')
