import { readFileSync } from 'node:fs'
import { ConfigError } from './options.ts'
import type { Config } from './schema.ts'

type Env = (name: string, fallback?: string) => string

/**
 * A secret or setting from the environment: the value of NAME, or the content of the file that NAME_FILE names (a Docker
 * secret), without the line break at its end. Throws ConfigError when neither is set and there is no fallback.
 */
export const env: Env = (name, fallback) => {
  const value = process.env[name]
  if (value !== undefined) return value
  const file = process.env[`${name}_FILE`]
  if (file !== undefined) return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  if (fallback !== undefined) return fallback
  throw new ConfigError('env', [
    { path: [], message: `${name} is not set. Set ${name}, or ${name}_FILE to the path of a file that holds it.` },
  ])
}

/** What `hub.config.ts` exports: the config, or a function that makes it. Only typed here; checked when the hub loads it. */
export function defineConfig(config: Config | ((tools: { env: Env }) => Config | Promise<Config>)): typeof config {
  return config
}
