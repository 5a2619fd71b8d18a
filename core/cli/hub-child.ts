import { fork } from 'node:child_process'
import { HubError } from '../errors.ts'
import type { RouteApi } from '../plugin.ts'
import { type Reply, textOf } from './control.ts'

/** What a front asks of its hub, over the channel between them. The answer to each is a Reply with its id. */
export type Request =
  /**
   * Load and check the config; touch nothing. First of all, and once. Answered with the config as JSON; with such an answer as
   * `config` that one is used, whatever its files have become.
   */
  | { do: 'check'; socket: string; routeApi: RouteApi; config?: string }
  /** Take the data folder and work. */
  | { do: 'start' }
  /** No other hub comes after it. */
  | { do: 'leave' }
  | { do: 'command'; plugin: string; verb: string; args: string[] }

/** What a hub says unasked. */
export interface Leave {
  leave: { proxy: boolean }
}

/** A hub process as its front has it. */
export interface HubChild {
  /** Rejects with the hub's error, and when it has ended before it answered. */
  ask(request: Request): Promise<string>
  /** SIGTERM, after `grace` milliseconds SIGKILL. Resolves when it has ended. May be called again. */
  stop(grace: number): Promise<void>
  /** SIGKILL, without waiting. */
  kill(): void
  /** Resolves when the hub was asked over its API to end: `proxy` with its front. It waits to be told to. */
  readonly leaves: Promise<{ proxy: boolean }>
  /** Resolves with how it ended: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>
}

/** Milliseconds for each request. */
const deadlines = { check: 60_000, start: 600_000, leave: 60_000, command: 800_000 } as const satisfies Record<
  Request['do'],
  number
>

/** Start a hub process: this program once more. It does nothing until it is asked. */
export function forkHub(main: string, config: string): HubChild {
  // A session of its own: Ctrl-C is the front's to hear, which then ends the hub in good order.
  const child = fork(main, ['hub', '--supervised', '--config', config], { detached: true })
  const waiting = new Map<number, (answer: Reply) => void>()
  let count = 0

  const ended = new Promise<string>(resolve => {
    child.on('error', error => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  const leaves = new Promise<{ proxy: boolean }>(resolve => {
    child.on('message', (message: (Reply & { id: number }) | Leave) => {
      if ('leave' in message) return resolve(message.leave)
      const { id, ...answer } = message
      waiting.get(id)?.(answer as Reply)
      waiting.delete(id)
    })
  })

  return {
    ended,
    leaves,
    ask(request) {
      const id = ++count
      return new Promise<string>((resolve, reject) => {
        const late = setTimeout(
          () => reject(new HubError('timeout', `The hub did not answer within ${deadlines[request.do] / 1000} seconds.`)),
          deadlines[request.do],
        )
        const fail = (how: string) => reject(new HubError('unavailable', `The hub has ended (${how}). Its log tells more.`))
        waiting.set(id, answer => {
          try {
            resolve(textOf(answer))
          } catch (error) {
            reject(error)
          }
        })
        void ended.then(fail).finally(() => clearTimeout(late))
        child.send({ id, ...request }, error => error && fail(error.message))
      })
    },
    async stop(grace) {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), grace)
      await ended
      clearTimeout(late)
    },
    kill: () => void child.kill('SIGKILL'),
  }
}
