import { z } from 'zod'
import { duration, size } from '../duration.ts'
import { isScope } from '../identity/scopes.ts'
import type { Awaitable, ServerSpec, User } from '../plugin.ts'

/** A function of who is concerned, in place of one value for all. `server` is the server's name, `''` for the default one. */
export type PerServer<T> = (user: User, server: string) => Awaitable<T>

/** A value, or a function that is asked at each start. What it says is checked then, by the same rule. */
export const perServer = <S extends z.ZodType>(value: S) =>
  z.union([
    value,
    z.custom<PerServer<z.input<S>>>(given => typeof given === 'function', { error: 'expected a function of user and server' }),
  ])

export const amounts = { cpus: z.number().positive(), memory: size() }
export const texts = { env: z.string(), defaultUrl: z.string().startsWith('/'), rootDir: z.string().min(1) }

/** What holds for the servers of all profiles. A profile that says something itself wins. */
export const servers = z.strictObject({
  /** Variables for all servers. */
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable'), perServer(texts.env))
    .default({}),
  /** Replaces the image's CMD, never its ENTRYPOINT. */
  command: z.array(z.string()).min(1).optional(),
  /** The page a server opens with, such as `/lab`. */
  defaultUrl: perServer(texts.defaultUrl).optional(),
  /** The folder a server starts in. */
  rootDir: perServer(texts.rootDir).optional(),
  cpus: perServer(amounts.cpus).optional(),
  cpuGuarantee: perServer(amounts.cpus).optional(),
  memory: perServer(amounts.memory).optional(),
  memoryGuarantee: perServer(amounts.memory).optional(),
  /** The port that notebooks listen on. */
  port: z.int().min(1).max(65_535).default(8888),
  /** Let notebooks log more. */
  debug: z.boolean().default(false),
  /** May notebooks read configuration from their users' homes? */
  userConfig: z.boolean().default(true),
  /** What a notebook may ask for in the name of whoever opens it, beyond who they are. */
  oauthScopes: z.array(z.string().refine(isScope, 'expected a scope of the API, such as "read:servers!user"')).default([]),
  /** The server that a link means which names none; `''` is the default one. */
  defaultName: z.string().default(''),
  /** The page of a stopped server starts it after this time. Left out: it waits for a click. */
  startAfter: duration().optional(),
  /** Stop a user's servers when they sign out. */
  stopOnSignOut: z.boolean().default(false),
  /** Stop all servers when the hub is ended for good; not when it is restarted. */
  stopOnExit: z.boolean().default(false),
})

/** The fields of a form as they were sent: a name may come more than once. */
export type FormFields = Readonly<Record<string, readonly string[]>>

const does = <F>(what: string) => z.custom<F>(value => typeof value === 'function', { error: `expected a function ${what}` })

/**
 * HTML of your own on the start page, below the profiles: an escape hatch. Profiles are lists that users choose from, and
 * nothing else; here you say what people may ask for, and `apply` has to check every bit of it: API clients send what they like.
 */
export const optionsForm = z.strictObject({
  /** Put into the page as it is: escape what is not yours. Scripts in it do not run. */
  html: z.union([z.string(), does<(user: User) => Awaitable<string>>('of the user')]),
  /** From the fields of the form to options, kept with the server. Left out: each field as a text, or as a list where it came more than once. */
  read: does<(fields: FormFields, user: User) => Awaitable<Record<string, unknown>>>('of the fields and the user').optional(),
  /** Change the draft of the server by the options: of the form, of the API, or of the last start. Throw to refuse. */
  apply: does<(options: Readonly<Record<string, unknown>>, draft: ServerSpec, user: User) => Awaitable<void>>(
    'of the options, the draft and the user',
  ),
})

export type OptionsForm = z.output<typeof optionsForm>
