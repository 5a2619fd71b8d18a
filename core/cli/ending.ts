import type { Log } from '../plugin.ts'

/** How this process is told to end. */
export interface Ending {
  /** Aborts at the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal
  /** Resolves then. */
  readonly told: Promise<void>
  /** As if such a signal had come. */
  tell(why: string): void
}

export interface EndingOptions {
  log: Log
  /**
   * Milliseconds for what is under way; when they are over, and at a second signal, the process ends with exit code 1. Left
   * out: somebody else sees to that.
   */
  grace?: number
  /** Called before the process ends without having finished: what must not be left behind goes there, at once. */
  last?: () => void
  /** Go on after a promise that was rejected without anybody waiting for it. */
  lenient?: boolean
}

/**
 * From now on signals ask this process to end. What nobody has caught is logged once and ends it, too: the state cannot be
 * trusted any more.
 */
export function untilTold({ log, grace, last, lenient = false }: EndingOptions): Ending {
  const control = new AbortController()
  const give = (why: string) => {
    log.error('ending before everything is finished', { why })
    last?.()
    process.exit(1)
  }
  const tell = (why: string) => {
    if (control.signal.aborted) return
    control.abort()
    if (grace === undefined) return log.debug('told to end', { why })
    log.info('told to end', { why })
    setTimeout(() => give('the grace is over'), grace).unref()
  }
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => (control.signal.aborted && grace !== undefined ? give(`a second signal, ${name}`) : tell(name)))
  }
  process.on('uncaughtException', (error, origin) => {
    log.error('nobody caught this', { error, origin })
    process.exit(1)
  })
  if (lenient) process.on('unhandledRejection', error => log.error('nobody waited for this', { error }))
  return {
    signal: control.signal,
    told: new Promise(resolve => control.signal.addEventListener('abort', () => resolve())),
    tell,
  }
}
