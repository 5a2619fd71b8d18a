import type { Env } from './env.ts'
import type { Config } from './schema.ts'

export { env } from './env.ts'

/** What `hub.config.ts` exports: the config, or a function that makes it. Only typed here; checked when the hub loads it. */
export function defineConfig(config: Config | ((tools: { env: Env }) => Config | Promise<Config>)): typeof config {
  return config
}
