import type { Settings } from '../config/schema.ts'
import { HubError } from '../errors.ts'
import type { User } from '../plugin.ts'

/** How many named servers this user may have. Throws `failed` when the config's function does not say a number. */
export function namedServersOf({ limits: { namedServers } }: Pick<Settings, 'limits'>, user: User): number {
  const most = typeof namedServers === 'number' ? namedServers : namedServers(user)
  if (Number.isInteger(most) && most >= 0) return most
  throw new HubError('failed', 'limits.namedServers in hub.config.ts did not say a whole number. Please tell your administrator.')
}

/** Seconds until who is turned away may come again: another time for each, so that they do not all come at once. */
export function retryAfter({ limits }: Pick<Settings, 'limits'>): number {
  const [least, most] = limits.retry
  return Math.ceil((least + Math.random() * (most - least)) / 1000)
}
