import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { ConfigError } from './options.ts'

/** A name in the environment; the fallback is what it is when it is not set. */
export type Env = (name: string, fallback?: string) => string

/**
 * A secret or setting from the environment: the value of NAME, or the content of the file that NAME_FILE names (a Docker
 * secret), without the line break at its end. An empty value counts as not set. Throws ConfigError when neither is set and
 * there is no fallback. While the hub loads its config it does not throw: the loader reports all that are missing at once.
 */
export const env: Env = (name, fallback) => {
  let problem = `${name} is not set. Set ${name}, or ${name}_FILE to the path of a file that holds it.`
  try {
    const value = process.env[name] || read(process.env[`${name}_FILE`])
    if (value) {
      watching?.values.add(value)
      return value
    }
    if (fallback !== undefined) return fallback
  } catch (cause) {
    problem = `${name}_FILE names a file that cannot be read: ${messageOf(cause)}`
  }
  const error = new ConfigError('env', [{ path: [], message: problem }])
  if (!watching) throw error
  watching.missing.push(error)
  // Nobody can guess it, should it be taken for a password or a key.
  return `unset-${randomUUID()}`
}

/** What a config asked the environment for. */
export interface EnvWatch {
  missing: ConfigError[]
  /** For masking them in messages. */
  values: Set<string>
}

let watching: EnvWatch | undefined

/** Gather what is asked for while this runs. One at a time. */
export async function watchEnv<T>(watch: EnvWatch, run: () => Promise<T>): Promise<T> {
  watching = watch
  try {
    return await run()
  } finally {
    watching = undefined
  }
}

const read = (file: string | undefined) => (file ? readFileSync(file, 'utf8').replace(/\r?\n$/, '') : undefined)
