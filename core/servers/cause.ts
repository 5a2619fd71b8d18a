import { HubError, isHubError } from '../errors.ts'
import type { Cause } from '../plugin.ts'

/** A start that ended without a server. */
export function failure(cause: Cause): HubError {
  return new HubError('failed', cause.message, { details: cause })
}

/** Why it failed, for the user. Only what was written for people is told; everything else is "something went wrong". */
export function causeOf(error: unknown): Cause {
  if (!isHubError(error)) {
    return {
      code: 'internal',
      message: 'Something went wrong while starting the server.',
      hint: 'Try again. If it happens again, tell your administrator; the log of the hub has the details.',
    }
  }
  const details = error.details as Partial<Cause> | undefined
  if (typeof details?.code === 'string' && typeof details.message === 'string') return details as Cause
  const codes: Partial<Record<typeof error.code, Cause['code']>> = {
    timeout: 'time-out',
    unavailable: 'engine',
    denied: 'refused',
    cancelled: 'cancelled',
  }
  return { code: codes[error.code] ?? 'refused', message: error.message }
}

/** Did the user end it themselves, from inside? */
export function isOwnExit(cause: Cause): boolean {
  return cause.code === 'stopped' || (cause.code === 'exited' && cause.exitCode === 0)
}

/** Did its node go, and it with it? */
export const isNodeGone = ({ code }: Cause): boolean => code === 'node-lost' || code === 'node-drained'
