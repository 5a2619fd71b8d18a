import type { Cause } from '../plugin.ts'
import type { StartEvent } from './server.ts'

/** How far a start is when a step begins, 0 to 100; the last of them end it. */
const reached = {
  requested: 0,
  preparing: 5,
  queued: 10,
  placed: 20,
  pulling: 25,
  starting: 65,
  answering: 80,
  ready: 100,
  failed: 100,
  cancelled: 100,
} as const satisfies Record<StartEvent['step'], number>

const pullSpan = reached.starting - reached.pulling

/** More lines than this are never kept of one start. */
const limit = 500

/** The lines of one start: told by who does it, replayed and followed by who waits. */
export function createStartLog() {
  const begun = performance.now()
  const lines: StartEvent[] = []
  let ended = false
  let wake: () => void = () => {}
  let changed = new Promise<void>(resolve => (wake = resolve))

  return {
    begun,
    /** Add a line; the same step with the same words again is not told twice. Nothing is told after the end. */
    tell(step: StartEvent['step'], message: string, more: { percent?: number; cause?: Cause } = {}) {
      const last = lines.at(-1)
      const share = step === 'pulling' && more.percent !== undefined ? (pullSpan * more.percent) / 100 : 0
      const progress = Math.max(last?.progress ?? 0, Math.round(reached[step] + share))
      if (ended || (last?.step === step && last.message === message && last.progress === progress)) return
      ended = progress === 100 && (step === 'ready' || step === 'failed' || step === 'cancelled')
      const id = (last?.id ?? 0) + 1
      lines.push({
        id,
        at: Math.round(performance.now() - begun),
        step,
        message,
        progress,
        ...(more.cause && { cause: more.cause }),
      })
      if (lines.length > limit) lines.splice(1, 1)
      wake()
      changed = new Promise<void>(resolve => (wake = resolve))
    },
    /** The lines after number `after`, then new ones, to the end of the start or the abort of the signal. */
    async *follow(after: number, signal: AbortSignal): AsyncGenerator<StartEvent> {
      const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
      let seen = after
      while (!signal.aborted) {
        for (const line of lines.filter(line => line.id > seen)) {
          seen = line.id
          yield line
          if (signal.aborted) return
        }
        if (ended) return
        await Promise.race([changed, aborted])
      }
    },
  }
}

export type StartLog = ReturnType<typeof createStartLog>
