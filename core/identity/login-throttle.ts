import { isIPv6 } from 'node:net'
import { createThrottle } from './throttle.ts'

/** Slows down who guesses passwords. A name is undefined where what was typed can be nobody's. */
export interface LoginThrottle {
  /** Seconds until a try is looked at; 0 for now. */
  wait(name: string | undefined, address: string): number
  /** A try begins; tell how it ended. */
  count(name: string | undefined, address: string): (outcome: 'right' | 'wrong' | 'undecided') => void
}

/**
 * Who guesses waits, who is guessed at does not: the delay grows for a name from one address. A name that is guessed from
 * everywhere waits as well, but not where its owner has come from before. An address alone is slowed down only gently: a
 * whole class may be behind it.
 */
export function createLoginThrottle(now?: () => number): LoginThrottle {
  const pairs = createThrottle({ free: 5, memory: 60, longest: 300 }, now)
  const names = createThrottle({ free: 30, memory: 30, longest: 60 }, now)
  const addresses = createThrottle({ free: 100, memory: 1, longest: 20 }, now)
  /** Pairs that were right once. */
  const known = new Set<string>()

  return {
    wait(name, address) {
      const from = networkOf(address)
      const waits = [addresses.wait(from)]
      if (name !== undefined) {
        const pair = `${from} ${name}`
        waits.push(pairs.wait(pair))
        if (!known.has(pair)) waits.push(names.wait(name))
      }
      return Math.max(...waits)
    },
    count(name, address) {
      const from = networkOf(address)
      const pair = `${from} ${name}`
      if (name !== undefined) {
        pairs.count(pair)
        names.count(name)
      }
      return outcome => {
        if (outcome === 'wrong') return addresses.count(from)
        if (name === undefined) return
        pairs.takeBack(pair)
        names.takeBack(name)
        if (outcome !== 'right') return
        pairs.forget(pair)
        known.add(pair)
        if (known.size > 10_000) for (const oldest of known) return void known.delete(oldest)
      }
    },
  }
}

/** An IPv4 address, or the /64 of an IPv6 one: that much a single household has. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (!isIPv6(plain)) return plain.slice(0, 64)
  const [left = [], right = []] = plain.split('::').map(part => part.split(':').filter(Boolean))
  const groups = [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
