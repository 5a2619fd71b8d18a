import type { z } from 'zod'
import { HubError } from '../errors.ts'

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
    super('config', issues.map(issue => `${[factory, ...issue.path].join('.')}: ${issue.message}`).join('\n'))
    this.issues = issues
    this.factory = factory
  }
}

/**
 * Check a factory's options with its strict schema; the result has all defaults. Throws ConfigError with every issue, an
 * unknown key with the nearest right one.
 */
export function parseOptions<S extends z.ZodType>(factory: string, schema: S, options: unknown): z.output<S> {
  const result = schema.safeParse(options ?? {})
  if (result.success) return result.data
  throw new ConfigError(
    factory,
    result.error.issues.map(issue => ({ path: issue.path, message: issue.message })),
  )
}
