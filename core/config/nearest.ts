import type { z } from 'zod'

/** The candidate that is meant by a misspelt word, if one is near enough to be offered. Capitals do not count. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.min(word.length, Math.max(1, Math.floor(word.length / 3)) + 1)
  for (const candidate of candidates) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase())
    if (edits < least) [best, least] = [candidate, edits]
  }
  return best
}

/** The keys that are right at this place of a value with this schema; none where any key goes, or no key at all. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  const [head, ...rest] = path
  const step = (next: z.core.$ZodType | undefined) => (next && path.length > 0 ? keysAt(next, rest) : [])
  switch (def.type) {
    case 'object':
      return head === undefined ? Object.keys(def.shape) : step(def.shape[String(head)])
    case 'array':
      return step(def.element)
    case 'tuple':
      return step(def.items[Number(head)] ?? def.rest ?? undefined)
    case 'record':
    case 'map':
      return step(def.valueType)
    case 'union':
      return [...new Set(def.options.flatMap(option => keysAt(option, path)))]
    case 'intersection':
      return [...keysAt(def.left, path), ...keysAt(def.right, path)]
    case 'pipe':
      return [...new Set([...keysAt(def.in, path), ...keysAt(def.out, path)])]
    case 'lazy':
      return keysAt(def.getter(), path)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'catch':
    case 'readonly':
      return keysAt(def.innerType, path)
    default:
      return []
  }
}

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other. */
function distance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      line[column] = Math.min(
        above[column]! + 1,
        line[column - 1]! + 1,
        above[column - 1]! + (same ? 0 : 1),
        swapped ? before[column - 2]! + 1 : Number.POSITIVE_INFINITY,
      )
    }
    ;[before, above] = [above, line]
  }
  return above[b.length]!
}
