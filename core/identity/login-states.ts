import type { Context } from 'hono'
import { cookieValues, setHubCookie } from './cookies.ts'
import { fingerprint, newSecret, same, sign } from './secrets.ts'

/**
 * Sign-ins that are away at a provider. What is known of them is in a signed cookie of the browser that began, one for each
 * sign-in; the hub keeps none, so that nobody can fill its memory and a restart of the hub spoils none.
 */
export interface LoginStates {
  /** A new state of 256 bits for the provider; sets its cookie. */
  begin(c: Context, method: string, next: string): string
  /** Its `next`, when this browser began it with this method, not over ten minutes ago, and it was not finished before. */
  finish(c: Context, method: string, state: string): string | undefined
}

/** Milliseconds that a browser may stay at the provider. */
const patience = 600_000

interface Begun {
  method: string
  next: string
  /** Milliseconds since the epoch. */
  at: number
}

/** `secret` is the hub's; `base` and `url` as in Core. */
export function createLoginStates({ secret, base, url }: { secret: string; base: string; url: URL | undefined }): LoginStates {
  const path = `${base}hub/`
  /** States that came back, until they would be too old anyway. */
  const spent = new Map<string, number>()

  const cookieOf = (state: string) => `swarmhub-login-${fingerprint(state).slice(0, 8)}`
  const seal = (state: string, text: string) => `${text}.${sign(secret, 'login', `${state}\0${text}`)}`

  /** What `begin` put into the cookie, if it is of this state. */
  function unseal(cookie: string, state: string): Begun | undefined {
    const text = cookie.slice(0, Math.max(0, cookie.indexOf('.')))
    return same(cookie, seal(state, text)) ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined
  }

  function spend(state: string): boolean {
    const now = performance.now()
    for (const [old, until] of spent) if (until < now || spent.size >= 10_000) spent.delete(old)
    if (spent.has(state)) return false
    spent.set(state, now + patience)
    return true
  }

  return {
    begin(c, method, next) {
      const state = newSecret()
      // A cookie that is too long is not kept by browsers.
      const begun: Begun = { method, next: next.length > 2000 ? '' : next, at: Date.now() }
      const text = Buffer.from(JSON.stringify(begun)).toString('base64url')
      setHubCookie(c, cookieOf(state), seal(state, text), { path, url, maxAge: patience / 1000 })
      return state
    },
    finish(c, method, state) {
      const cookies = cookieValues(c, cookieOf(state)).slice(0, 8)
      const begun = cookies.map(cookie => unseal(cookie, state)).find(begun => begun !== undefined)
      if (!begun || begun.method !== method) return undefined
      setHubCookie(c, cookieOf(state), '', { path, url, maxAge: 0 })
      const age = Date.now() - begun.at
      return age >= 0 && age < patience && spend(state) ? begun.next : undefined
    },
  }
}
