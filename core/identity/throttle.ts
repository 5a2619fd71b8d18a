/** How many failures are forgiven, and how long the next one is waited for. */
export interface Limit {
  /** Failures that cost nothing. */
  free: number
  /** Seconds after which one failure is forgotten. */
  memory: number
  /** Seconds; the waiting doubles with each failure up to this. */
  longest: number
}

/** Growing delays, by key. They end by themselves: nobody is locked out for good. */
export interface Throttle {
  /** Seconds until the next try is looked at; 0 for now. */
  wait(key: string): number
  /** A try begins. It counts as a failure until it is taken back, so that many at once gain nothing. */
  count(key: string): void
  /** It was none. */
  takeBack(key: string): void
  /** All is forgiven. */
  forget(key: string): void
}

/** Keeps at most `size` keys, those that were touched last. `now` in milliseconds, monotonic. */
export function createThrottle(limit: Limit, now: () => number = () => performance.now(), size = 10_000): Throttle {
  const entries = new Map<string, { failures: number; at: number }>()

  const failures = (key: string) => {
    const entry = entries.get(key)
    return entry ? Math.max(0, entry.failures - (now() - entry.at) / 1000 / limit.memory) : 0
  }

  const put = (key: string, failures: number) => {
    // First out again, so that the Map's order is that of the last touch.
    entries.delete(key)
    entries.set(key, { failures, at: now() })
    if (entries.size > size) for (const oldest of entries.keys()) return void entries.delete(oldest)
  }

  return {
    wait(key) {
      const entry = entries.get(key)
      const over = Math.ceil((entry?.failures ?? 0) - limit.free)
      if (!entry || over <= 0) return 0
      const delay = Math.min(2 ** (over - 1), limit.longest)
      return Math.max(0, Math.ceil(delay - (now() - entry.at) / 1000))
    },
    count: key => put(key, failures(key) + 1),
    takeBack(key) {
      const entry = entries.get(key)
      if (entry) entry.failures = Math.max(0, entry.failures - 1)
    },
    forget: key => void entries.delete(key),
  }
}
