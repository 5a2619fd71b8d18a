import { networkOf } from './network.ts'
import { createThrottle, type Limit } from './throttle.ts'

/** Slows down who guesses passwords. A name is undefined where what was typed can be nobody's. */
export interface LoginThrottle {
  /** Seconds until a try is looked at; 0 for now. */
  wait(name: string | undefined, from: From): number
  /** A try begins; tell how it ended. */
  count(name: string | undefined, from: From): (outcome: 'right' | 'wrong' | 'undecided') => void
}

/** Where a try comes from. `browser`: one in which this name has signed in before; whatever is unforgeable and its own. */
export interface From {
  address: string
  browser?: string | undefined
}

interface Limits {
  /** For one name, from one network or in one browser. */
  pair: Limit
  /** For one name, from wherever its owner has not been. */
  name: Limit
  /** For one network, whatever the name. */
  network: Limit
}

/** For passwords. */
export const forPasswords: Limits = {
  pair: { free: 5, memory: 60, longest: 300 },
  name: { free: 30, memory: 30, longest: 60 },
  network: { free: 100, memory: 1, longest: 20 },
}

/** For codes of six digits, which who asks for one has the password to: over all, some hundred guesses a day. */
export const forCodes: Limits = {
  pair: { free: 5, memory: 300, longest: 900 },
  name: { free: 10, memory: 900, longest: 900 },
  network: forPasswords.network,
}

/**
 * Who guesses waits, who is guessed at does not: the delay grows for a name from one network. A name that is guessed from
 * everywhere waits as well, but not where its owner has come from before; and a browser in which its owner has signed in
 * before has a count of its own, so that nobody on the same network can make it wait. A network alone is slowed down only
 * gently: a whole class may be behind it.
 */
export function createLoginThrottle(now?: () => number, limits = forPasswords): LoginThrottle {
  const pairs = createThrottle(limits.pair, now)
  const names = createThrottle(limits.name, now)
  const networks = createThrottle(limits.network, now)
  /** Pairs that were right once. */
  const known = new Set<string>()

  return {
    wait(name, { address, browser }) {
      if (name !== undefined && browser !== undefined) return pairs.wait(keyOf(name, browser))
      const network = networkOf(address)
      const waits = [networks.wait(network)]
      if (name !== undefined) {
        const pair = keyOf(name, network)
        waits.push(pairs.wait(pair))
        if (!known.has(pair)) waits.push(names.wait(name))
      }
      return Math.max(...waits)
    },
    count(name, { address, browser }) {
      const network = networkOf(address)
      const pair = name === undefined ? undefined : keyOf(name, browser ?? network)
      if (pair !== undefined) pairs.count(pair)
      if (name !== undefined && browser === undefined) names.count(name)
      return outcome => {
        if (outcome === 'wrong') return networks.count(network)
        if (name === undefined || pair === undefined) return
        pairs.takeBack(pair)
        if (browser === undefined) names.takeBack(name)
        if (outcome !== 'right') return
        pairs.forget(pair)
        known.add(keyOf(name, network))
        if (known.size > 10_000) for (const oldest of known) return void known.delete(oldest)
      }
    },
  }
}

const keyOf = (name: string, from: string) => `${from} ${name}`
