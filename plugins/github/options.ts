import { duration } from 'swarmhub'
import { z } from 'zod'

/** `acme`, or `acme:staff` for a team by its slug. GitHub does not tell capitals from small letters in either. */
const place = z
  .string()
  .regex(
    /^[A-Za-z0-9](-?[A-Za-z0-9]){0,38}(_[A-Za-z0-9]+)?(:[A-Za-z0-9_-]+)?$/,
    'expected an organization, or a team of one by the name in its address, such as "acme" or "acme:data-science"',
  )
  .transform(text => text.toLowerCase())

const isHere = ({ hostname }: URL) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)

export const options = z
  .strictObject({
    /** The plugin's name; two of them need two. */
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]*$/, 'expected a name of a-z, 0-9 and "-"')
      .default('github'),
    /** On the button. */
    label: z.string().min(1).max(59).default('Sign in with GitHub'),
    /** GitHub itself, or an Enterprise server. */
    url: z
      .url({ protocol: /^https?$/ })
      .refine(
        text => new URL(text).protocol === 'https:' || isHere(new URL(text)),
        'expected an address with https: the token goes there',
      )
      .refine(
        text => /^\/?$/.test(new URL(text).pathname) && !/[?#@]/.test(text),
        'expected an address without a path, such as "https://github.example.org"',
      )
      .default('https://github.com')
      .transform(text => new URL(text).origin),
    clientId: z.string().min(1),
    clientSecret: z.string().min(1),
    /** Nobody else gets in: members of one of these. Left out: the rules in `access` alone decide. */
    organizations: z.array(place).min(1, 'expected at least one, or leave it out').optional(),
    /** What organizations and teams are called as groups here. Left out: all of `organizations` by their own names. */
    groups: z.record(place, z.string().min(1)).optional(),
    /** Their members are administrators, all others are not. Left out: GitHub does not decide that. */
    admins: z.array(place).optional(),
    /** What somebody is called here. An e-mail address only when GitHub has verified it. */
    username: z.enum(['login', 'email', 'id']).default('login'),
    /** Ask for the verified e-mail address too, as `user.attributes.mail`. */
    mail: z.boolean().default(false),
    /** To ask for beyond what this needs itself. */
    scopes: z.array(z.string().regex(/^[a-z0-9_:]+$/, 'expected a scope of GitHub, such as "repo"')).default([]),
    /** Offer an account at GitHub to who has none. */
    allowSignUp: z.boolean().default(false),
    /** For each question to GitHub. */
    timeout: duration().prefault('10s'),
  })
  .transform(given => ({
    ...given,
    /** Does anything hang on where somebody is a member? */
    membership: given.organizations !== undefined || given.groups !== undefined || given.admins !== undefined,
    email: given.mail || given.username === 'email',
  }))

export type GitHubOptions = z.input<typeof options>
export type GitHubSettings = z.output<typeof options>
