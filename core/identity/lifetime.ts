import type { Settings } from '../config/schema.ts'
import { spoken } from '../duration.ts'
import { HubError } from '../errors.ts'

/**
 * How long a token lasts that somebody makes, in milliseconds, null for ever. `asked`: as they want it, undefined when they
 * have not said; for ever is cut to the longest that the config allows. Throws `invalid` for a time that is longer than that.
 */
export function tokenLifetime({ tokens }: Pick<Settings, 'tokens'>, asked: number | null | undefined): number | null {
  const { lifetime = null, longest } = tokens
  const wanted = asked === undefined ? lifetime : asked
  if (longest === undefined) return wanted
  if (wanted === null || (asked === undefined && wanted > longest)) return longest
  if (wanted <= longest) return wanted
  throw new HubError('invalid', `A token lasts ${spoken(longest)} at most in this hub. Ask for a shorter time.`)
}
