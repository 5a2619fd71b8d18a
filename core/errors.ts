/** What kind of refusal it is; decides the HTTP status that a person or a client sees. */
export type ErrorCode =
  | 'invalid'
  | 'denied'
  | 'missing'
  | 'conflict'
  | 'busy'
  | 'unavailable'
  | 'timeout'
  | 'cancelled'
  | 'config'
  | 'failed'

const statusOf = {
  invalid: 400,
  denied: 403,
  missing: 404,
  conflict: 409,
  busy: 429,
  unavailable: 503,
  timeout: 504,
  cancelled: 400,
  config: 500,
  failed: 500,
} as const satisfies Record<ErrorCode, number>

/**
 * An error whose message is meant for a person: a sentence that says what happened, to what, and what to do. It never
 * holds a secret. Everything else that is thrown is a bug or an outage and is shown as such, with the details in the log
 * only. Across the plugin border compare `code`, not the class.
 */
export class HubError extends Error {
  readonly code: ErrorCode
  /** Seconds until it makes sense to try again; becomes `Retry-After`. */
  readonly retryAfter: number | undefined
  /** For a failed start: the cause as the spawner found it. */
  readonly details: unknown

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfter?: number; details?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HubError'
    this.code = code
    this.retryAfter = options.retryAfter
    this.details = options.details
  }

  /** The HTTP status that goes with the code. */
  get status(): (typeof statusOf)[ErrorCode] {
    return statusOf[this.code]
  }
}

/** Is this one of ours? By shape, because a plugin may bring its own copy of the class. */
export function isHubError(error: unknown): error is HubError {
  return error instanceof Error && error.name === 'HubError' && typeof (error as HubError).code === 'string'
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
