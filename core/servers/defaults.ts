import type { z } from 'zod'
import type { Settings } from '../config/schema.ts'
import { amounts, type PerServer, texts } from '../config/server.ts'
import type { Profile, User } from '../plugin.ts'
import { failure } from './cause.ts'

/**
 * A profile with what the config says of all servers, for this user's server: values as they are, functions by what they say
 * now. What the profile says itself wins. Throws `failed`, naming the key, for what a function must not say; its own errors
 * go through.
 */
export async function completed(
  profile: Profile,
  { servers }: Pick<Settings, 'servers'>,
  user: User,
  server: string,
): Promise<Profile> {
  /** `given` has gone through the schema already, unless a function says it now. */
  async function said<T extends string | number>(key: string, schema: z.ZodType<T>, given: T | PerServer<unknown>): Promise<T> {
    if (typeof given !== 'function') return given
    const { data, error } = schema.safeParse(await given(user, server))
    if (!error) return data
    throw failure({
      code: 'internal',
      message: `servers.${key} in hub.config.ts says something for ${user.name} that it must not: ${error.issues[0]?.message}.`,
      hint: 'Please tell your administrator.',
    })
  }
  type Amount = 'cpus' | 'cpuGuarantee' | 'memory' | 'memoryGuarantee'
  const amount = async (key: Amount, schema: z.ZodType<number>) => {
    const given: number | PerServer<unknown> | undefined = profile[key] ?? servers[key]
    return given === undefined ? undefined : said(key, schema, given)
  }
  const text = async (key: 'defaultUrl' | 'rootDir') => {
    const given: string | PerServer<unknown> | undefined = profile[key] ?? servers[key]
    return given === undefined ? undefined : said<string>(key, texts[key], given)
  }

  const variables = Object.entries(servers.env).map(
    async ([name, given]) => [name, await said<string>(`env.${name}`, texts.env, given)] as const,
  )
  const found = {
    command: profile.command ?? servers.command,
    defaultUrl: await text('defaultUrl'),
    rootDir: await text('rootDir'),
    cpus: await amount('cpus', amounts.cpus),
    cpuGuarantee: await amount('cpuGuarantee', amounts.cpus),
    memory: await amount('memory', amounts.memory),
    memoryGuarantee: await amount('memoryGuarantee', amounts.memory),
  }
  const known = Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
  return { ...profile, ...known, env: { ...Object.fromEntries(await Promise.all(variables)), ...profile.env } }
}
