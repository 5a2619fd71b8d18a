import { z } from 'zod'
import { duration, size } from '../duration.ts'
import { isGroupName } from '../identity/groups.ts'
import type { Awaitable, User } from '../plugin.ts'
import { filling, plugin } from './filling.ts'
import { override, profile } from './profile.ts'
import { optionsForm, servers } from './server.ts'
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

const isFunction = (value: unknown) => typeof value === 'function'

/** A link to `user-redirect/PATH`, followed by somebody. */
export interface UserRedirect {
  /** What is behind `user-redirect/`, as it was sent. */
  path: string
  /** From the question mark on; empty without one. */
  query: string
  user: User
}

/** `hub.config.ts`: every key, with its default. */
export const config = z.strictObject({
  /** The public address; its path is the prefix of the whole hub. Left out: any host, the prefix `/`, plain http. */
  url: z.url({ protocol: /^https?$/ }).optional(),
  /** The prefix of the whole hub where `url` is left out: `/jupyter/`. */
  base: z
    .string()
    .regex(/^\/([A-Za-z0-9._~-]+\/)*([A-Za-z0-9._~-]+)?$/, 'expected a path such as "/jupyter/"')
    .transform(path => path.replace(/\/*$/, '/'))
    .optional(),
  /** Who may sign in. No rule: nobody. */
  access: z
    .strictObject({
      /** Everybody whom an authenticator knows. */
      everyone: z.boolean().default(false),
      /** Everybody who is a user of this hub already: made by an admin, or by a rule that was there before. */
      existing: z.boolean().default(false),
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
  signIn: z
    .strictObject({
      /** Where there is but one way to sign in, and it is a provider's page: go there at once. */
      auto: z.boolean().default(false),
      /** Names of users are like this, from the first to the last character. */
      pattern: z.instanceof(RegExp, { error: 'expected a regular expression, such as /[a-z]+/' }).optional(),
      /** Who is called so by their authenticator is called otherwise here. Asked with the name in lower case. */
      map: z
        .union([
          z.record(z.string(), z.string()),
          z.custom<(name: string) => string>(isFunction, 'expected a function of the name'),
        ])
        .optional(),
      /** Ask the authenticator before each start of a server whether its owner is still who they were. */
      refreshBeforeStart: z.boolean().default(false),
      /** And before each stop that somebody asks for. It goes on whatever the answer is. */
      refreshBeforeStop: z.boolean().default(false),
      /**
       * Authenticators that no prefix keeps apart may tell the same name. The account is whoever's comes first, the others are
       * refused, and what the config says of the name holds for the first.
       */
      sameNames: z.boolean().default(false),
    })
    .prefault({}),
  /** Groups that are made at start, by name, with users who are put into them. Nobody is taken out. */
  groups: z
    .record(
      z.string().refine(isGroupName, "can be no group's name"),
      z.strictObject({
        users: z.array(z.string()).default([]),
        /** In place of those that the group has. Left out: they stay. */
        properties: z.record(z.string(), z.json()).optional(),
      }),
    )
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
  /** What holds for all servers, whatever their profile, and for their life. */
  servers: servers.prefault({}),
  /** HTML of your own on the start page. Profiles are the safe way. */
  optionsForm: optionsForm.optional(),
  /** Where people go who have signed in and have not said where to: their servers' cards, their server, or a path. */
  landing: z
    .union([
      z.enum(['home', 'server']),
      z.string().startsWith('/'),
      z.custom<(user: User) => Awaitable<string>>(isFunction, 'expected "home", "server", a path or a function of the user'),
    ])
    .default('home'),
  /** Where a link to `user-redirect/PATH` leads: a path on this host, or undefined for the usual, PATH on the visitor's own server. */
  userRedirect: z
    .custom<(link: UserRedirect) => Awaitable<string | undefined>>(isFunction, 'expected a function of path, query and user')
    .optional(),
  /** Programs beside the hub: web pages that people sign in to through it, and scripts that use its API. */
  services: z.array(service).default([]),
  branding: z
    .strictObject({
      name: z.string().min(1).default('swarmhub'),
      /** Path of an SVG or PNG file, relative to the config file. */
      logo: z.string().optional(),
      /** A line of text on top of pages. */
      announcements: z
        .strictObject({
          /** On all pages that have none of their own. */
          all: z.string().min(1).optional(),
          login: z.string().min(1).optional(),
          home: z.string().min(1).optional(),
          /** Where a server is started. */
          start: z.string().min(1).optional(),
          /** After signing out. */
          logout: z.string().min(1).optional(),
        })
        .prefault({}),
      /** The address of your terms of use, linked where people sign in. */
      terms: z
        .union([z.url({ protocol: /^https?$/ }), z.string().regex(/^\/(?!\/)/, 'expected an address, or a path from "/" on')])
        .optional(),
    })
    .prefault({}),
  /** More headers for all of the hub's answers; in place of its own where they have the same name. */
  headers: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z0-9-]+$/, 'expected the name of a header')
        .refine(
          name => !/^(set-cookie|content-length|transfer-encoding|connection|location)$/i.test(name),
          "is the hub's alone to set",
        ),
      z.string().regex(/^[\t\x20-\x7e]*$/, 'expected one line of ASCII characters'),
    )
    .default({}),
  limits: z
    .strictObject({
      /** Named servers of one user, beside the default one; 0 turns named servers off. */
      namedServers: z
        .union([
          z.int().nonnegative(),
          z.custom<(user: User) => number>(isFunction, 'expected a number of servers, or a function of the user'),
        ])
        .default(5),
      /** Starts under way at once; more are told to come back. */
      starts: z.int().positive().default(100),
      /** Servers running at once in the whole hub; 0: no limit. */
      servers: z.int().nonnegative().default(0),
      /** After how long who is turned away by these may come again: somewhere between the two. */
      retry: z.tuple([duration(), duration()]).prefault(['30s', '60s']),
      /** Redirects in a row between the hub and a server until that is called a loop. */
      redirects: z.int().positive().default(4),
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
      /** The same for a stop. Left out: as `slow`. */
      slowStop: duration().optional(),
      /** Between two looks at all running servers. */
      poll: duration().prefault('30s'),
      /** Between two looks at the proxy's routes. */
      routes: duration().prefault('60s'),
      /** Between two looks at whether services answer. */
      services: duration().prefault('60s'),
      /** How long something with this hub's labels, but in nobody's record, is left alone before it is removed. */
      orphan: duration().prefault('2m'),
      /** How long a sign-in lasts at most. */
      session: duration().prefault('14d'),
      /** A sign-in ends when neither its browser nor a notebook that is open in it has come to the hub for so long. */
      idle: duration().prefault('7d'),
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
  tokens: z
    .strictObject({
      /** Of tokens that are asked for without saying how long. Left out: they never expire. */
      lifetime: duration().optional(),
      /** No token that somebody makes lasts longer. Left out: no limit. */
      longest: duration().optional(),
      /** Of what notebooks and services get when somebody signs in to them. Left out: as long as a sign-in. */
      oauth: duration().optional(),
      /** Refuse OAuth clients that do not use PKCE. Notebooks before jupyterhub-singleuser 6 do not. */
      requirePkce: z.boolean().default(false),
    })
    .prefault({}),
  cookies: z
    .strictObject({
      /** Signs what browsers must not forge. Left out: made once, kept with the state. Another one signs nobody out. */
      secret: z.string().min(32, 'expected at least 32 characters: openssl rand -hex 32').optional(),
      /** Names of the hub's own cookies begin with `__Host-`: no other host of your domain can set them. Needs https. */
      hostPrefix: z.boolean().default(false),
    })
    .prefault({}),
  api: z
    .strictObject({
      /** Of a list that is asked for in pages. */
      pageSize: z.int().positive().default(50),
      /** The most that can be asked for, and what who asks for no page gets. */
      maxPageSize: z.int().positive().default(200),
      /** Tell `hub/metrics` to everybody. */
      openMetrics: z.boolean().default(false),
    })
    .prefault({}),
  activity: z
    .strictObject({
      /** Between two times that the proxy is asked who was active, and that this is written. */
      interval: duration().prefault('60s'),
      /** Somebody who was active again this soon is not noted anew. */
      resolution: duration().prefault('30s'),
      /** Who was active within this time counts as active in `jupyterhub_active_users`, beside the periods of JupyterHub. */
      window: duration().prefault('30m'),
    })
    .prefault({}),
  /** More routes of the proxy: from a path to `http://host:port`. */
  extraRoutes: z
    .record(
      z.string().regex(/^\/[A-Za-z0-9._~/-]+\/$/, 'expected a path with both slashes, such as "/grafana/"'),
      z
        .url({ protocol: /^http$/ })
        .refine(
          url => new URL(url).href === `${new URL(url).origin}/`,
          'expected only host and port, such as "http://10.0.0.7:3000"',
        ),
    )
    .default({}),
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
