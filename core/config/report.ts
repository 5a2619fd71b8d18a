import { isAbsolute, relative } from 'node:path'
import { HubError } from '../errors.ts'
import type { Problem } from './explain.ts'
import { dotted } from './options.ts'

/**
 * The error for people: a line `hub.config.ts:12:3 spawner.memmory: …` for each problem, in the order of the files' text.
 * Paths are relative to `cwd` where they are inside of it. What came from the environment is masked.
 */
export function report(problems: readonly Problem[], file: string, cwd: string, values: Iterable<string> = []): HubError {
  // What is shorter is no secret, but a word such as "info".
  const secrets = [...values].filter(value => value.length > 5)
  const details = problems
    .map(problem => ({ ...problem, message: mask(problem.message, secrets) }))
    .sort(
      ({ position: a }, { position: b }) =>
        Number(b.file === file) - Number(a.file === file) ||
        a.file.localeCompare(b.file) ||
        a.line - b.line ||
        a.column - b.column,
    )
  return new HubError('config', [...new Set(details.map(problem => line(problem, cwd)))].join('\n'), { details })
}

/** One problem as a line. */
export function line({ position: { file, line, column }, path, message }: Problem, cwd: string): string {
  const short = relative(cwd, file)
  const shown = short.startsWith('..') || isAbsolute(short) ? file : short
  return `${shown}:${line}:${column} ${path.length > 0 ? `${dotted(path)}: ` : ''}${message}`
}

/** Errors of Node quote what they could not read, whole or in part. */
function mask(text: string, secrets: readonly string[]): string {
  const masked = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
  return masked.replace(/(["'])(.{3,}?)\1/g, (quoted, _, inner: string) =>
    secrets.some(secret => secret.includes(inner)) ? '"***"' : quoted,
  )
}
