import { isAbsolute, relative } from 'node:path'
import { HubError } from '../errors.ts'
import type { Problem } from './explain.ts'
import { dotted } from './options.ts'

/**
 * The error for people: a line `hub.config.ts:12:3 spawner.memmory: …` for each problem, in the order of the files' text.
 * Paths are relative to `cwd` where they are inside of it. What came from the environment is masked.
 */
export function report(problems: readonly Problem[], file: string, cwd: string, secrets: Iterable<string> = []): HubError {
  const sorted = [...problems].sort(
    ({ position: a }, { position: b }) =>
      Number(b.file === file) - Number(a.file === file) || a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column,
  )
  const lines = sorted.map(problem => line(problem, cwd, [...secrets]))
  return new HubError('config', [...new Set(lines)].join('\n'), { details: sorted })
}

/** One problem as a line. */
export function line({ position, path, message }: Problem, cwd: string, secrets: readonly string[] = []): string {
  const what = path.length > 0 ? `${dotted(path)}: ${message}` : message
  return `${shown(position.file, cwd)}:${position.line}:${position.column} ${mask(what, secrets)}`
}

export function shown(file: string, cwd: string): string {
  const short = relative(cwd, file)
  return short.startsWith('..') || isAbsolute(short) ? file : short
}

/** Errors of Node quote what they could not read, whole or in part. What is shorter than six characters is no secret. */
function mask(text: string, values: readonly string[]): string {
  const secrets = values.filter(value => value.length > 5)
  const masked = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
  return masked.replace(/(["'])(.{3,}?)\1/g, (quoted, _, inner: string) =>
    secrets.some(secret => secret.includes(inner)) ? '"***"' : quoted,
  )
}
