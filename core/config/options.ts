import type { z } from 'zod'
import { HubError } from '../errors.ts'
import { keysAt, nearest } from './nearest.ts'
import { expected, named, wording } from './wording.ts'

/** One thing that is wrong with a config. The path starts at the options of the factory that found it. */
export interface ConfigIssue {
  path: readonly PropertyKey[]
  message: string
}

/** The config cannot be used. Thrown by factories; the loader adds file, line and column. */
export class ConfigError extends HubError {
  readonly issues: readonly ConfigIssue[]
  /** Who found it: `swarm`, `ldap`, `defineConfig`, `env`. */
  readonly factory: string

  constructor(factory: string, issues: readonly ConfigIssue[]) {
    super('config', issues.map(issue => `${dotted([factory, ...issue.path])}: ${issue.message}`).join('\n'))
    this.issues = issues
    this.factory = factory
  }
}

/**
 * Check a factory's options with its strict schema; the result has all defaults. Throws ConfigError with every issue, an
 * unknown key with the nearest right one. No message quotes a value: it may be a secret.
 */
export function parseOptions<S extends z.ZodType>(factory: string, schema: S, options: unknown): z.output<S> {
  const checked = checkShape(schema, options ?? {})
  if ('issues' in checked) throw new ConfigError(factory, checked.issues)
  return checked.data
}

/** The value with all defaults, or everything that is wrong with it. */
export function checkShape<S extends z.ZodType>(
  schema: S,
  value: unknown,
): { data: z.output<S> } | { issues: [ConfigIssue, ...ConfigIssue[]] } {
  const result = schema.safeParse(value, { error: wording })
  if (result.success) return { data: result.data }
  return { issues: result.error.issues.flatMap(issue => plain(issue, [], schema, value)) as [ConfigIssue, ...ConfigIssue[]] }
}

/** `authenticators[0].servers`: a path as people write it in code. */
export function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((key, place) => {
      if (typeof key === 'number') return `[${key}]`
      if (!/^[\w$-]+$/.test(String(key))) return `[${JSON.stringify(String(key))}]`
      return place === 0 ? String(key) : `.${String(key)}`
    })
    .join('')
}

/** One issue of zod as issues for people: an unknown key each its own, of a union only the option that was meant. */
function plain(issue: z.core.$ZodIssue, prefix: PropertyKey[], schema: z.ZodType, value: unknown): ConfigIssue[] {
  const path = [...prefix, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    const right = keysAt(schema, path)
    return issue.keys.map(key => ({ path: [...path, key], message: unknownKey(key, right) }))
  }
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }]
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const meant = issue.errors.filter(issues =>
      issues.every(inner => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
    )
    const [closest] = meant.sort((a, b) => mistakes(a) - mistakes(b))
    if (closest) return closest.flatMap(inner => plain(inner, path, schema, value))
    const wanted = new Set(issue.errors.flatMap(issues => issues.slice(0, 1).map(expectation)))
    return [{ path, message: expected([...wanted].join(' or '), at(value, path)) }]
  }
  return [{ path, message: issue.message }]
}

function unknownKey(key: string, right: string[]): string {
  const meant = nearest(key, right)
  if (meant) return `unknown key, did you mean "${meant}"?`
  return right.length > 0 ? `unknown key, the keys here are ${right.join(', ')}` : 'unknown key'
}

// A wrong `kind` says more clearly than anything else that another option of the union was meant.
const mistakes = (issues: z.core.$ZodIssue[]) =>
  issues.reduce(
    (sum, issue) => sum + (issue.code === 'invalid_value' ? 100 : issue.code === 'unrecognized_keys' ? issue.keys.length : 1),
    0,
  )

const expectation = (issue: z.core.$ZodIssue) =>
  issue.code === 'invalid_type' ? named(issue.expected) : issue.message.replace(/^expected /, '').replace(/, this is .*$/, '')

const at = (value: unknown, path: readonly PropertyKey[]) =>
  path.reduce<unknown>((inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined), value)
