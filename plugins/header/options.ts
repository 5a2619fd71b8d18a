import { subnet } from 'swarmhub'
import { z } from 'zod'
import { source } from './source.ts'

const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable')
  .refine(name => !/^(JUPYTERHUB_|JPY_)/.test(name), "is the hub's own to set")

export const options = z
  .strictObject({
    /** The plugin's name; two proxies need two. */
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]*$/, 'expected a name of a-z, 0-9 and "-"')
      .default('header'),
    /** On the button, where there are other ways to sign in. */
    label: z.string().min(1).max(59).default('Sign in'),
    /** The proxies that are believed. */
    from: z.array(subnet()).min(1, 'expected at least one address, such as "127.0.0.1"'),
    /** Where the name stands. */
    user: source.prefault('Remote-User'),
    /** Where it stands what never changes and is given to nobody else. */
    id: source.optional(),
    /** Where the groups stand. Left out: this does not manage groups. */
    groups: source.optional(),
    /** Between two groups in a text. */
    separator: z.string().min(1).default(','),
    /** Groups whose members are administrators. Left out: this does not decide it. */
    admins: z.array(z.string()).optional(),
    /** What hooks, mounts and the spawner find in `user.attributes`. */
    attributes: z.record(z.string(), source).default({}),
    /** Variables of the server's environment, each with the attribute that it is. */
    env: z.record(variable, z.string()).default({}),
    /** Where the browser goes after it has signed out here. */
    signOut: z.url({ protocol: /^https?$/ }).optional(),
  })
  .superRefine(({ admins, groups, attributes, env }, ctx) => {
    if (admins && !groups) ctx.addIssue({ code: 'custom', path: ['admins'], message: 'say in groups where groups stand' })
    for (const [name, attribute] of Object.entries(env))
      if (!Object.hasOwn(attributes, attribute))
        ctx.addIssue({ code: 'custom', path: ['env', name], message: `there is no "${attribute}" in attributes` })
  })

export type HeaderOptions = z.input<typeof options>
type HeaderSettings = z.output<typeof options>

/** Every header that is looked at, in lower case. */
export function headersOf({ user, id, groups, attributes }: HeaderSettings): string[] {
  const sources = [user, id, groups, ...Object.values(attributes)].filter(source => source !== undefined)
  return [...new Set(sources.map(({ header }) => header.toLowerCase()))]
}
