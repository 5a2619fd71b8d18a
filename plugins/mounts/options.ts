import { HubError, slug, type User } from 'swarmhub'
import { z } from 'zod'

/** Where something is mounted in the container. */
export const target = z
  .string()
  .startsWith('/')
  .refine(path => path !== '/' && isPath(path), 'expected a path such as "/home/jovyan/work"')

/** The name of the plugin itself, where two have the same target. */
export const as = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,40}$/, 'expected at most 41 characters of a-z, 0-9 and "-", starting with a letter')
  .optional()

/** A text, or a function that gives each user theirs. See `forUser`. */
export const perUser = (what: string) =>
  z.custom<string | ((user: User) => string)>(
    given => typeof given === 'function' || (typeof given === 'string' && given !== ''),
    `expected ${what}, or a function of the user that gives it`,
  )

/** What the plugin of a mount is called: `nfs-home-jovyan-work`. */
export const nameOf = (kind: string, at: string, own?: string) =>
  own ??
  `${kind}-${slug(
    at
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, ''),
    40,
  )}`

/**
 * What such an option says for this user. Functions are the administrator's, and what they make of a name may be anything: what does
 * not fit is no start, `failed` with `expected`.
 */
export function forUser(
  given: string | ((user: User) => string),
  user: User,
  { what, fits, expected }: { what: string; fits(text: string): boolean; expected: string },
): string {
  const text: unknown = typeof given === 'function' ? given(user) : given
  if (typeof text === 'string' && fits(text)) return text
  const message = `${what} cannot be ${JSON.stringify(text)?.slice(0, 200)}: expected ${expected}. Please tell your administrator.`
  throw new HubError('failed', message, { details: { code: 'mount', message } })
}

/** Absolute, and leads nowhere else. */
export const isPath = (path: string) => path.startsWith('/') && !/(^|\/)\.\.(\/|$)|[\p{Cc}]/u.test(path)

/** What Docker takes as the name of a volume. */
export const isVolumeName = (name: string) => /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)
