import type { Metrics } from './metrics.ts'
import type { Close } from './plugin.ts'

/** Milliseconds, as in JupyterHub. */
const resolution = 50

/** Observe the time between two ticks that are due every 50 ms: how much longer it is tells how long requests wait for the process. */
export function measureEventLoop({ eventLoop }: Pick<Metrics, 'eventLoop'>): Close {
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    eventLoop.observe((now - last) / 1000)
    last = now
  }, resolution).unref()
  return () => clearInterval(timer)
}
