import { z } from 'zod'
import { duration } from '../duration.ts'
import { isScope } from '../identity/scopes.ts'
import type { Awaitable, ServerSpec, User } from '../plugin.ts'

/** What holds for all servers, whatever their profile, and for their life. */
export const servers = z.strictObject({
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
