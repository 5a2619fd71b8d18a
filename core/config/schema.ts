import { z } from 'zod'
import { duration, size } from '../duration.ts'
import { filling, plugin } from './filling.ts'
import { override, profile } from './profile.ts'
import { service } from './service.ts'

const role = z.strictObject({
  name: z
    .string()
    .regex(
      /^[a-z][a-z0-9\-_~.]{1,253}[a-z0-9]$/,
      'expected 3 to 255 characters of a-z, 0-9, "-", "_", "~" and ".", from a letter to a letter or digit',
    ),
  description: z.string().optional(),
  scopes: z.array(z.string()).optional(),
  users: z.array(z.string()).default([]),
  groups: z.array(z.string()).default([]),
  services: z.array(z.string()).default([]),
})

const customScope = z
  .string()
  .regex(
    /^custom:[a-z0-9][a-z0-9_\-*:]+[a-z0-9_*]$/,
    'expected "custom:" and at least 3 characters of a-z, 0-9, "_", "-", "*" and ":"',
  )

const cryptKey = z.string().transform((text, ctx): Buffer => {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return Buffer.from(text, 'base64')
  ctx.addIssue('expected 32 random bytes in hex or base64, as `openssl rand -hex 32` prints them')
  return z.NEVER
})

/** `hub.config.ts`: every key, with its default. */
export const config = z.strictObject({
  /** The public address; its path is the prefix of the whole hub. Left out: any host, the prefix `/`, plain http. */
  url: z.url({ protocol: /^https?$/ }).optional(),
  /** Who may sign in. No rule: nobody. */
  access: z
    .strictObject({
      /** Everybody whom an authenticator knows. */
      everyone: z.boolean().default(false),
      users: z.array(z.string()).default([]),
      groups: z.array(z.string()).default([]),
      admins: z.array(z.string()).default([]),
      adminGroups: z.array(z.string()).default([]),
      /** Wins over all others. */
      blocked: z.array(z.string()).default([]),
    })
    .prefault({}),
  /**
   * Who may do what beyond their own servers. `user`, `server` and `token` can be given other scopes, `admin` only members. Users
   * and groups that there are not yet are made at start.
   */
  roles: z.array(role).default([]),
  /** Scopes of your own, for services to ask for: each with the other ones of these that it implies. */
  scopes: z
    .record(customScope, z.strictObject({ description: z.string().min(1), subscopes: z.array(z.string()).default([]) }))
    .default({}),
  authenticators: z.array(filling('authenticator')).min(1, 'expected at least one authenticator, such as local()'),
  networks: z.array(filling('network')).default([]),
  mounts: z.array(filling('mount')).default([]),
  spawner: filling('spawner'),
  proxy: filling('proxy'),
  /** What a user may start, in the order in which it is offered. */
  profiles: z
    .array(profile)
    .min(1)
    .default([{ name: 'notebook', label: 'Notebook' }]),
  /** What changes in these profiles for some users or groups; applied in this order, before a user's choices. */
  overrides: z.array(override).default([]),
  /** Programs beside the hub: web pages that people sign in to through it, and scripts that use its API. */
  services: z.array(service).default([]),
  branding: z
    .strictObject({
      name: z.string().min(1).default('swarmhub'),
      /** Path of an SVG or PNG file, relative to the config file. */
      logo: z.string().optional(),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Named servers of one user, beside the default one; 0 turns named servers off. */
      namedServers: z.int().nonnegative().default(5),
      /** Starts under way at once; more are told to come back. */
      starts: z.int().positive().default(100),
      /** Servers running at once in the whole hub; 0: no limit. */
      servers: z.int().nonnegative().default(0),
      /** Folders of the nodes below which a server may be given one (`bind`), whatever plugin or hook asks for it. */
      binds: z.array(z.string().regex(/^\/[^\0]*[^/\0]$/, 'expected the path of a folder, such as "/srv/courses"')).default([]),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      /** From the request until its process runs, without the time that pulling the image takes. */
      start: duration().prefault('5m'),
      /** From then until it answers HTTP. */
      answer: duration().prefault('60s'),
      /** For pulling the image. */
      pull: duration().prefault('30m'),
      stop: duration().prefault('60s'),
      /** For one hook, one mount, one network. */
      hook: duration().prefault('30s'),
      /** How long a POST to start or stop a server waits before it answers 202. */
      slow: duration().prefault('10s'),
      /** Between two looks at all running servers. */
      poll: duration().prefault('30s'),
      /** How long something with this hub's labels, but in nobody's record, is left alone before it is removed. */
      orphan: duration().prefault('2m'),
      /** How long a sign-in lasts. */
      session: duration().prefault('14d'),
      /** Between two times that an authenticator is asked whether a user is still who they were. */
      refresh: duration().prefault('5m'),
      /** How long the hub finishes what is under way when it is told to end. */
      grace: duration().prefault('20s'),
    })
    .prefault({}),
  /** What sign-ins keep about users, such as a provider's tokens. No key: it is not kept. */
  authState: z
    .strictObject({
      /** The first one writes, all of them read. */
      keys: z.array(cryptKey).default([]),
    })
    .prefault({}),
  /** How servers reach the hub. The spawner finds out by itself; say it here only when it is wrong. */
  hub: z
    .strictObject({
      listen: z.string().optional(),
      port: z.int().min(0).max(65535).default(8081),
      host: z.string().optional(),
    })
    .prefault({}),
  /** The folder with the hub's state; relative to the config file. */
  data: z.string().min(1).default('data'),
  /** Everything that fills no role: hooks, jobs, pages, verbs. */
  plugins: z.array(plugin()).default([]),
  /** The trail of who did what, `audit.jsonl` in the data folder. */
  audit: z
    .strictObject({
      /** Of one file; a full one is put aside. */
      size: size().prefault('10M'),
      /** How many are kept; the oldest is removed. */
      files: z.int().positive().max(1000).default(10),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['text', 'json']).optional(),
    })
    .prefault({}),
})

/** What `defineConfig` takes. */
export type Config = z.input<typeof config>

/** The config after its check, with all defaults. */
export type Settings = z.output<typeof config>
