import { type Addresses, createAddresses } from './addresses.ts'
import type { GuardedHeaders } from './plugin.ts'

/** Tells which headers of a request must not be believed. */
export interface HeaderGuard {
  /** Is this one that somebody has to stand for, in whatever case, also with `_` in place of `-`? */
  guards(name: string): boolean
  /**
   * Of the names of headers as they were sent, those to take out, in lower case: guarded ones that come from elsewhere, or
   * twice, or with `_` in place of `-`, which many programs read as the same name. `peer` is the address at the other end of
   * the connection, not what some header says of it; undefined where nobody knows it.
   */
  unbelieved(names: readonly string[], peer: string | undefined): string[]
}

export function guardHeaders(guarded: readonly GuardedHeaders[]): HeaderGuard {
  const sources = new Map<string, Addresses[]>()
  for (const { headers, from } of guarded) {
    const addresses = createAddresses(from)
    for (const name of headers.map(keyOf)) sources.set(name, [...(sources.get(name) ?? []), addresses])
  }
  const guards = (name: string) => sources.has(keyOf(name))
  return {
    guards,
    unbelieved(names, peer) {
      if (sources.size === 0) return []
      const found = names.filter(guards).map(name => name.toLowerCase())
      const isBelieved = (name: string) =>
        found.filter(other => keyOf(other) === keyOf(name)).length === 1 &&
        !name.includes('_') &&
        sources.get(name)!.some(from => peer !== undefined && from.has(peer))
      return found.filter(name => !isBelieved(name))
    },
  }
}

const keyOf = (name: string) => name.toLowerCase().replaceAll('_', '-')
