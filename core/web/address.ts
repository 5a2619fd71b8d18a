import type { Context } from 'hono'
import type { Core } from '../core.ts'
import { escapeSegment } from '../names.ts'
import type { PageContext } from './environment.ts'

/** The request's path and query as they were sent. The host in `c.req.url` may be the sender's invention. */
export function sent(c: PageContext): { path: string; query: string; uri: string } {
  const url = c.req.url
  const uri = url.slice(url.indexOf('/', url.indexOf(':') + 3)).replace(/#.*$/s, '')
  const [path = '/'] = uri.split('?', 1)
  return { path, query: uri.slice(path.length), uri }
}

/**
 * The host and port that the client has used, as the front tells it: proxies before it may be reached under another name. undefined
 * when it is none.
 */
export function usedHost(c: Context): string | undefined {
  const host = c.req.header('x-forwarded-host') ?? c.req.header('host') ?? ''
  return /^[\w.:[\]-]+$/.test(host) ? host : undefined
}

/** Its scheme, told in the same way. */
export const usedScheme = (c: Context): 'http' | 'https' =>
  c.req.header('x-forwarded-proto')?.split(',')[0]?.trim() === 'https' ? 'https' : 'http'

/** The host and port that the public reaches: the config's, else the one that the client has used. */
export function publicHost(core: Core, c: PageContext): string | undefined {
  return core.url?.host ?? usedHost(c)
}

/** The address of the client, as the front tells it. */
export function clientAddress(c: Context): string {
  const [first] = (c.req.header('x-forwarded-for') ?? '').split(',')
  const incoming = (c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming
  return first?.trim() || incoming?.socket?.remoteAddress || 'unknown'
}

/** Where a request comes from, and whether it may change something, for the audit trail. */
export const origin = (c: Context) => ({
  address: clientAddress(c),
  changes: !['GET', 'HEAD', 'OPTIONS'].includes(c.req.method),
})

/** The address of one of the hub's pages, absolute, as a provider elsewhere needs it. */
export function publicUrl(core: Core, c: PageContext, page: string): URL {
  if (core.url) return new URL(`hub/${page}`, core.url)
  return new URL(`${core.base}hub/${page}`, `${usedScheme(c)}://${usedHost(c) ?? 'localhost'}`)
}

/** `hub/<page>/USER[/SERVER]`, the names escaped, with what is given of the query. */
export function serverPage(
  core: Core,
  page: string,
  server: { user: string; name: string },
  query: Record<string, string | undefined> = {},
): string {
  const names = [server.user, server.name].filter(name => name !== '').map(escapeSegment)
  return withQuery(`${core.base}hub/${page}/${names.join('/')}`, query)
}

/** The path with these parameters behind it; those that are undefined are left out. */
export function withQuery(path: string, query: Record<string, string | undefined>): string {
  const parameters = new URLSearchParams(
    Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  return parameters.size > 0 ? `${path}?${parameters}` : path
}
