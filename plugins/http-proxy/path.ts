/**
 * The decoded segments of a request's path: the one reading that the routing, the forwarded request and the cookie rules
 * share, so that they cannot disagree. `/user/a%40b/x?q` is `['user', 'a@b', 'x']`. undefined for what servers read in
 * different ways: another form than `/…`, a leading `//`, dot segments however they are written, `\`, `#`, NUL, bad escapes.
 */
export function readPath(url: string): string[] | undefined {
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  if (!path.startsWith('/') || path.startsWith('//') || /[\\#\x00-\x20\x7f]/.test(path)) return undefined
  const segments = path.slice(1).split('/')
  if (!path.includes('%')) return segments.some(isDots) ? undefined : segments
  try {
    const decoded = segments.map(decodeURIComponent)
    return decoded.some(segment => segment.includes('\0') || segment.split(/[/\\]/).some(isDots)) ? undefined : decoded
  } catch {
    // URIError: not percent-encoded UTF-8
    return undefined
  }
}

/** The name of a path in the route table: decoded, a leading `/`, no trailing one; the root is `/`. */
export const routeKey = (segments: readonly string[]) => `/${segments.join('/')}`

const isDots = (segment: string) => segment === '.' || segment === '..'
