import type { z } from 'zod'
import { nearest } from './nearest.ts'

/** What zod found, in plain words. It names the types of values, never a value: that may be a secret. */
export function wording(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return expected(named(String(issue.expected)), issue.input)
    case 'invalid_value': {
      const values = (issue.values as unknown[]).map(value => JSON.stringify(value))
      const what = `${values.length > 1 ? 'one of ' : ''}${values.join(', ')}`
      if (typeof issue.input !== 'string') return expected(what, issue.input)
      const meant = values.length > 1 && nearest(issue.input, (issue.values as unknown[]).map(String))
      return meant ? `expected ${what}, did you mean "${meant}"?` : `expected ${what}`
    }
    case 'invalid_union':
      if (issue.discriminator === undefined) return issue.input === undefined ? 'is missing' : undefined
      return `expected one of ${(issue.options as unknown[]).map(option => JSON.stringify(option)).join(', ')}`
    case 'too_small':
    case 'too_big':
      return amount(issue)
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}`
    case 'invalid_format':
      if (issue.format === 'starts_with') return `expected a string that starts with ${JSON.stringify(issue.prefix)}`
      if (issue.format === 'url') return 'expected a URL, such as "https://hub.example.org"'
      return issue.format === 'regex' ? `expected a string that matches ${issue.pattern}` : `expected a valid ${issue.format}`
    default:
      return undefined
  }
}

/** What should be there, and what is. */
export function expected(what: string, value: unknown): string {
  return value === undefined ? `is missing, expected ${what}` : `expected ${what}, this is ${kind(value)}`
}

/** What a value is, without telling it. */
export function kind(value: unknown): string {
  if (value === null) return 'null'
  if (Number.isNaN(value)) return 'not a number'
  if (typeof value === 'number' && !Number.isInteger(value)) return 'a number with a fraction'
  return named(Array.isArray(value) ? 'array' : value instanceof Promise ? 'promise' : typeof value)
}

/** A type as people call it. */
export function named(type: string): string {
  const words: Record<string, string> = {
    array: 'a list',
    bigint: 'a big integer',
    boolean: 'true or false',
    int: 'a whole number',
    object: 'an object',
    promise: 'a promise: put "await" before it',
    record: 'an object',
  }
  return words[type] ?? article(type)
}

/** With "a" or "an" before it. */
export const article = (noun: string) => `${/^[aeiou]/i.test(noun) ? 'an' : 'a'} ${noun}`

function amount(issue: z.core.$ZodRawIssue): string {
  const [least, most] = [issue.minimum, issue.maximum]
  const bound = Number(least ?? most)
  const counted = (what: string) =>
    least !== undefined && bound === 1 && what === 'character'
      ? 'must not be empty'
      : `expected at ${least !== undefined ? 'least' : 'most'} ${bound} ${bound === 1 ? what : what.replace(/y$/, 'ie').concat('s')}`
  if (issue.origin === 'string') return counted('character')
  if (issue.origin === 'array' || issue.origin === 'set' || issue.origin === 'map') return counted('entry')
  const inclusive = issue.inclusive !== false
  return `expected ${least !== undefined ? (inclusive ? 'at least' : 'more than') : inclusive ? 'at most' : 'less than'} ${bound}`
}
