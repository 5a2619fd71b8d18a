import { HubError } from 'swarmhub'

interface Limits {
  /** Pieces of work that are carried out at the same time. */
  atOnce: number
  /** That wait for their turn, all together. */
  waiting: number
  /** Milliseconds for which one of them waits. */
  patience: number
}

interface Waiting {
  since: number
  go(): void
  refuse(error: Error): void
}

/**
 * Lets so many through at a time; the others wait in a line for each `from`, and the lines take turns. Who comes when all
 * places are taken gets the last one of the longest line, if that is longer than their own: one who asks very often is
 * only in their own way. Who gets no place, or waits too long, is told to come back: `busy`.
 */
export function createFairQueue({ atOnce, waiting, patience }: Limits, now = () => performance.now()) {
  /** The line whose turn it is comes first. */
  const lines = new Map<string, Waiting[]>()
  let inside = 0
  let count = 0

  function queue(from: string): Promise<void> {
    const line = lines.get(from) ?? []
    if (count >= waiting) {
      const [longest = line] = [...lines.values()].sort((a, b) => b.length - a.length)
      if (longest.length <= line.length + 1) throw busy()
      longest.pop()!.refuse(busy())
      count--
    }
    count++
    return new Promise((go, refuse) => {
      line.push({ since: now(), go, refuse })
      lines.set(from, line)
    })
  }

  /** The place goes from hand to hand: nobody who comes now can overtake. */
  function pass() {
    for (const [from, line] of lines) {
      // A line that is put back goes to the end, and this loop comes to it again.
      lines.delete(from)
      const first = line.shift()!
      count--
      if (line.length > 0) lines.set(from, line)
      if (now() - first.since <= patience) return first.go()
      first.refuse(busy())
    }
    inside--
  }

  return async function take<T>(from: string, work: () => Promise<T>): Promise<T> {
    if (inside < atOnce) inside++
    else await queue(from)
    try {
      return await work()
    } finally {
      pass()
    }
  }
}

const busy = () => new HubError('busy', 'Too many people sign in at this moment. Try again in some seconds.', { retryAfter: 10 })
