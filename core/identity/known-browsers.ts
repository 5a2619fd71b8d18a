import type { Context } from 'hono'
import { cookieValues, setHubCookie } from './cookies.ts'
import { newSecret, same, sign } from './secrets.ts'

/**
 * Browsers in which somebody has signed in before, by a signed cookie: who guesses somebody's password elsewhere must not
 * keep them from signing in there (OWASP's "device cookies"). It is no proof of who somebody is.
 */
export interface KnownBrowsers {
  /** A mark of this browser, when this name has signed in with it. */
  of(c: Context, name: string): string | undefined
  /** This name has signed in with this browser. */
  remember(c: Context, name: string): void
}

const cookie = 'swarmhub-known-browser'
/** Names that one browser is known for; on a shared computer the first gives way. */
const most = 5
/** Seconds. */
const lifetime = 180 * 86_400

/** `secret` is the hub's; `base` and `url` as in Core. */
export function createKnownBrowsers({
  secret,
  base,
  url,
}: {
  secret: string
  base: string
  url: URL | undefined
}): KnownBrowsers {
  const signed = (mark: string, name: string) => sign(secret, 'known browser', `${mark}\0${name}`)
  /** A mark, and behind it a signature for each name. */
  const read = (c: Context) => cookieValues(c, cookie).map(value => value.split('.').slice(0, 1 + most))
  const find = (c: Context, name: string) =>
    read(c).find(([mark = '', ...names]) => names.some(one => same(one, signed(mark, name))))

  return {
    of: (c, name) => find(c, name)?.[0],
    remember(c, name) {
      if (find(c, name)) return
      // One that was never signed for anybody is none of ours, but nothing is lost by it: only a signature counts.
      const [mark = '', ...names] = read(c).find(([mark = '']) => /^[\w-]{43}$/.test(mark)) ?? [newSecret()]
      const value = [mark, ...[...names, signed(mark, name)].slice(-most)].join('.')
      setHubCookie(c, cookie, value, { path: `${base}hub/login`, url, maxAge: lifetime })
    },
  }
}
