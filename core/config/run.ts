import type { Source } from './bundle.ts'
import { env } from './env.ts'
import { ConfigError } from './options.ts'
import { watchdog } from './watchdog.ts'

/** The config's code did not come to an end. */
export class Unsettled extends Error {
  /** Where it was: outside of all functions, or in the function that makes the config. */
  readonly stage: 'module' | 'function'

  constructor(stage: 'module' | 'function', milliseconds: number) {
    super(`is still waiting after ${milliseconds / 1000} s: what is awaited here never settles`)
    this.stage = stage
  }
}

/**
 * Carry out a config: what it exports, or what its function makes. Rejects with what the config throws, with Unsettled when it
 * takes longer than the limit in milliseconds. A config that keeps the process busy beyond the limit ends the process.
 */
export async function run({ url, file }: Source, limit: number, signal?: AbortSignal): Promise<unknown> {
  const { stackTraceLimit } = Error
  // The call in the config may be far from what a plugin throws.
  Error.stackTraceLimit = 100
  const callOff = watchdog(limit + 500, `${file} is still busy after ${limit / 1000} s: it has a loop that never ends`)
  const done = new AbortController()
  let stage: 'module' | 'function' = 'module'

  const stop = new Promise<never>((_, reject) => {
    // Unlike AbortSignal.timeout it keeps the process alive: with nothing left to do Node would end it silently.
    const timer = setTimeout(() => reject(new Unsettled(stage, limit)), limit)
    done.signal.addEventListener('abort', () => clearTimeout(timer))
    signal?.addEventListener('abort', () => reject(signal.reason), { signal: done.signal })
    // A promise that the config does not wait for, a callback: nothing else runs in this process yet.
    for (const event of ['uncaughtException', 'unhandledRejection']) {
      process.on(event, reject)
      done.signal.addEventListener('abort', () => process.off(event, reject))
    }
  })
  const value = async () => {
    const module: { default?: unknown } = await import(url)
    stage = 'function'
    if (!('default' in module)) {
      throw new ConfigError('', [{ path: [], message: 'there is no default export: write "export default defineConfig({ … })"' }])
    }
    return typeof module.default === 'function' ? module.default({ env }) : module.default
  }

  try {
    return await Promise.race([value(), stop])
  } finally {
    done.abort()
    callOff()
    Error.stackTraceLimit = stackTraceLimit
  }
}
