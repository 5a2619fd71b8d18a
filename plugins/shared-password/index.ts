import { createHash, timingSafeEqual } from 'node:crypto'
import { normalizeUsername, type Plugin, parseOptions } from 'swarmhub'
import { z } from 'zod'

const password = (shortest: number) => z.string().min(shortest, `expected a password of at least ${shortest} characters`)

const options = z
  .strictObject({
    /** For everybody, under any name. */
    password: password(8).optional(),
    /** For the members of a group, by the group's name: who signs in by it is in the group. */
    groups: z.record(z.string().min(1), password(8)).default({}),
    /** Those who sign in by this password only, and are administrators. */
    admins: z.strictObject({ users: z.array(z.string().min(1)).min(1), password: password(32) }).optional(),
    /** On the button of the form. */
    label: z.string().min(1).default('Sign in'),
  })
  .superRefine(({ password, groups, admins }, issues) => {
    const all = [password, admins?.password, ...Object.values(groups)].filter(one => one !== undefined)
    if (all.length === 0)
      issues.addIssue({ code: 'custom', message: 'expected a password, or one for a group: nobody could sign in' })
    if (new Set(all).size < all.length)
      issues.addIssue({
        code: 'custom',
        message: 'two of the passwords are the same: which rights it gives would be an accident',
      })
    for (const [index, name] of (admins?.users ?? []).entries())
      if (normalizeUsername(name) === undefined)
        issues.addIssue({ code: 'custom', path: ['admins', 'users', index], message: "can be nobody's name" })
  })
export type SharedPasswordOptions = z.input<typeof options>

const digest = (text: string) => createHash('sha256').update(text).digest()

/** One password for a class; another one for its administrators. */
export function sharedPassword(given: SharedPasswordOptions) {
  const { password, groups, admins, label } = parseOptions('sharedPassword', options, given)
  const administrators = new Set(admins?.users.map(normalizeUsername))
  const opens = (wanted: string | undefined) => {
    const key = digest(wanted ?? '')
    return (typed: Buffer) => timingSafeEqual(typed, key) && wanted !== undefined
  }
  const isAdmins = opens(admins?.password)
  const isCommon = opens(password)
  const ofGroups = Object.entries(groups).map(([group, password]) => ({ group, isTheirs: opens(password) }))

  return {
    name: 'shared-password',

    authenticator: {
      kind: 'password',
      label,
      async check({ username, password }, ctx) {
        ctx.signal.throwIfAborted()
        const name = normalizeUsername(username)
        const typed = digest(password)
        // All of them, whatever comes out: the time tells nothing.
        const [admin, common, group] = [isAdmins(typed), isCommon(typed), ofGroups.filter(one => one.isTheirs(typed))[0]?.group]
        if (name === undefined) return null
        if (administrators.has(name) || admin)
          return administrators.has(name) && admin ? { name, id: `admin ${name}`, admin: true } : null
        if (group !== undefined) return { name, id: `group ${group} ${name}`, groups: [group] }
        return common ? { name, id: `user ${name}` } : null
      },
    },

    setup(hub) {
      if (hub.isPublic && hub.url?.protocol !== 'https:')
        hub.log.warn('the shared password travels unencrypted: give the hub an https address', {})
    },
  } satisfies Plugin
}
