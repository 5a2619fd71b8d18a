import { HubError, messageOf } from './errors.ts'
import type { Metrics } from './metrics.ts'
import type { Awaitable, Context, Hooks, Log, Plugin, Stages } from './plugin.ts'

/** Milliseconds after which the log names a call that is still going on. */
const slow = 3000

/** Whose code is called, for log lines, metrics and errors. */
export interface Attribution {
  plugin: string
  /** `before:spawn`, `spawner.start`, `job idle`. */
  hook: string
}

export interface CallOptions {
  log: Log
  /** Aborts the call; the caller is not kept waiting for its reaction. */
  signal: AbortSignal
  /** Milliseconds. */
  deadline: number
  /** Milliseconds that a call may take to react to an abort before it is left behind; default 0. */
  patience?: number
  progress?: Context['progress']
}

/**
 * Call into a plugin. Rejects with what it threw, marked with plugin and hook; with `timeout` at the deadline and with the
 * signal's reason when that aborts, at once, also when the plugin does not react: it is left behind then.
 */
export function call<T>(who: Attribution, run: (ctx: Context) => Awaitable<T>, options: CallOptions): Promise<T> {
  const log = options.log.with({ plugin: who.plugin })
  const control = new AbortController()
  return new Promise<T>((resolve, reject) => {
    let left = false
    const giveUp = (reason: unknown) => {
      left = true
      reject(reason)
    }
    const leave = (reason: unknown) => {
      settle()
      control.abort(reason)
      if (options.patience) setTimeout(giveUp, options.patience, reason).unref()
      else giveUp(reason)
    }
    const aborted = () => leave(options.signal.reason)
    const reminder = setTimeout(() => log.info('waiting for a plugin', { hook: who.hook, seconds: slow / 1000 }), slow)
    const deadline = setTimeout(
      () =>
        leave(
          mark(
            new HubError('timeout', `${who.plugin} (${who.hook}) did not finish within ${options.deadline / 1000} seconds.`),
            who,
          ),
        ),
      options.deadline,
    )
    const settle = () => {
      clearTimeout(reminder)
      clearTimeout(deadline)
      options.signal.removeEventListener('abort', aborted)
    }
    if (options.signal.aborted) {
      settle()
      return reject(options.signal.reason)
    }
    options.signal.addEventListener('abort', aborted)
    const ctx: Context = { log, signal: control.signal, progress: options.progress ?? (() => {}) }
    // An async wrapper, so that a synchronous throw takes the same way as a rejection.
    ;(async () => run(ctx))().then(
      value => {
        settle()
        if (left) log.debug('a call that was left behind has ended', { hook: who.hook })
        else resolve(value)
      },
      error => {
        settle()
        if (left) log.debug('a call that was left behind has failed', { hook: who.hook, error: messageOf(error) })
        else reject(control.signal.aborted ? control.signal.reason : mark(error, who))
      },
    )
  })
}

/** Write onto an error whose it is, once; class, message and stack stay. */
function mark(error: unknown, who: Attribution): unknown {
  if (error instanceof Error && !('plugin' in error) && Object.isExtensible(error)) Object.assign(error, who)
  return error
}

/** Whose error is it? */
export function attributionOf(error: unknown): Partial<Attribution> {
  const { plugin, hook } = (error ?? {}) as Partial<Attribution>
  return { ...(typeof plugin === 'string' && { plugin }), ...(typeof hook === 'string' && { hook }) }
}

/** Runs the stages of all plugins. */
export interface Stager {
  /**
   * `before:X` one by one in config order, where a throw refuses; then `act`, the role; then `after:X` all at once. When
   * one of the first two throws, `failed:X` runs all at once and the error is thrown on. Hooks that only watch are fenced.
   */
  run<S extends keyof Stages>(
    stage: S,
    subject: Stages[S],
    act: (ctx: Context) => Promise<void>,
    options: StageOptions,
  ): Promise<void>
  /** Fenced and all at once: the hooks that only watch. Never rejects. */
  watch<S extends keyof Stages>(when: 'after' | 'failed', stage: S, subject: Stages[S], options: StageOptions): Promise<void>
}

export interface StageOptions extends Omit<CallOptions, 'deadline'> {
  /** False where there is nothing to refuse, as when a server has died: a throw of `before:X` is then only logged. */
  refusable?: boolean
  /** Are the after hooks waited for? Default: yes. In the background they are fenced all the same. */
  after?: 'wait' | 'background'
}

/** A stager for these plugins, in config order. `deadline` is milliseconds for each hook. */
export function createStager(plugins: readonly Plugin[], deadline: number, metrics: Pick<Metrics, 'hookFailures'>): Stager {
  const handlers = <S extends keyof Stages>(when: 'before' | 'after' | 'failed', stage: S) => {
    const hook = `${when}:${stage}` as keyof Hooks
    return plugins.flatMap(plugin => {
      const handler = plugin.hooks?.[hook] as ((subject: Stages[S], ctx: Context) => Awaitable<void>) | undefined
      return handler ? [{ who: { plugin: plugin.name, hook }, handler }] : []
    })
  }

  const failed = (who: Attribution, error: unknown, log: Log) => {
    metrics.hookFailures.inc({ plugin: who.plugin, hook: who.hook })
    log.error('a hook failed', { ...who, error })
  }

  const stager: Stager = {
    async run(stage, subject, act, options) {
      try {
        for (const { who, handler } of handlers('before', stage)) {
          try {
            await call(who, ctx => handler(subject, ctx), { ...options, deadline })
          } catch (error) {
            if (options.refusable !== false) throw error
            failed(who, error, options.log)
          }
        }
        await act({ log: options.log, signal: options.signal, progress: options.progress ?? (() => {}) })
      } catch (error) {
        await stager.watch('failed', stage, subject, options)
        throw error
      }
      const after = stager.watch('after', stage, subject, options)
      if (options.after !== 'background') await after
    },

    async watch(when, stage, subject, options) {
      // What only watches is not cut short by a cancel: it has to see that one, too.
      const signal = new AbortController().signal
      await Promise.all(
        handlers(when, stage).map(({ who, handler }) =>
          call(who, ctx => handler(subject, ctx), { ...options, signal, deadline }).catch(error =>
            failed(who, error, options.log),
          ),
        ),
      )
    },
  }
  return stager
}
