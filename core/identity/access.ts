import type { ConfigIssue } from '../config/options.ts'
import type { Settings } from '../config/schema.ts'
import { normalizeUsername } from '../names.ts'

/** Who may sign in, and who is an admin by that. Names are compared in their one spelling. Nobody is let in by default. */
export interface Access {
  /** May somebody of this name, in these groups, be signed in? `known`: is there a user of this name already? */
  admits(name: string, groups: readonly string[], known?: boolean): boolean
  /** Does the config make them an admin? */
  makesAdmin(name: string, groups: readonly string[]): boolean
  /** Does the config keep them out, whatever else it says? */
  blocks(name: string): boolean
}

type Rules = Settings['access']

/** The rules, with the members of the role `admin` among the admins. */
export function accessRules({ access, roles }: Pick<Settings, 'access' | 'roles'>): Rules {
  const members = roles.filter(({ name }) => name === 'admin')
  return {
    ...access,
    admins: [...access.admins, ...members.flatMap(({ users }) => users)],
    adminGroups: [...access.adminGroups, ...members.flatMap(({ groups }) => groups)],
  }
}

export function createAccess(rules: Rules): Access {
  const spelled = (names: readonly string[]) => new Set(names.map(normalizeUsername))
  const [users, admins, blocked] = [spelled(rules.users), spelled(rules.admins), spelled(rules.blocked)]
  const has = (names: Set<string | undefined>, name: string) => names.size > 0 && names.has(normalizeUsername(name) ?? '')
  const shares = (some: readonly string[], others: readonly string[]) => some.some(one => others.includes(one))
  // Rules that contradict each other let nobody in; the start refuses them before it comes to this.
  const sound = checkAccess(rules).length === 0

  const blocks: Access['blocks'] = name => has(blocked, name)
  const makesAdmin: Access['makesAdmin'] = (name, groups) =>
    sound && !blocks(name) && (has(admins, name) || shares(rules.adminGroups, groups))
  return {
    blocks,
    makesAdmin,
    admits: (name, groups, known = false) =>
      sound &&
      !blocks(name) &&
      (rules.everyone ||
        (rules.existing && known) ||
        has(users, name) ||
        shares(rules.groups, groups) ||
        makesAdmin(name, groups)),
  }
}

/** What is wrong with these rules, each with its place in the config; nothing when all is well. */
export function checkAccess(rules: Rules): ConfigIssue[] {
  const blocked = new Set(rules.blocked.map(normalizeUsername))
  const issues = (['users', 'admins', 'blocked'] as const).flatMap(key =>
    rules[key].flatMap((typed, index): ConfigIssue[] => {
      const path = ['access', key, index]
      const name = normalizeUsername(typed)
      if (name === undefined) return [{ path, message: "can be nobody's name" }]
      return key !== 'blocked' && blocked.has(name)
        ? [{ path, message: `"${name}" is in access.blocked too: leave out one of them` }]
        : []
    }),
  )
  const narrowed = (['users', 'groups'] as const).filter(key => rules.everyone && rules[key].length > 0)
  return [
    ...issues,
    ...narrowed.map(key => ({ path: ['access', key], message: 'contradicts access.everyone: leave out one of them' })),
  ]
}

/** Who may sign in, for the log of the start. */
export function describeAccess(rules: Rules): string {
  const who = [
    rules.everyone ? ['everybody whom an authenticator knows'] : [],
    rules.existing && !rules.everyone ? ['those who are users already'] : [],
    rules.users.length > 0 ? [`the users ${rules.users.join(', ')}`] : [],
    rules.groups.length > 0 ? [`members of ${rules.groups.join(', ')}`] : [],
    rules.admins.length > 0 ? [`the admins ${rules.admins.join(', ')}`] : [],
    rules.adminGroups.length > 0 ? [`the members of ${rules.adminGroups.join(', ')}, as admins`] : [],
  ].flat()
  if (who.length === 0) return 'nobody: say in hub.config.ts who, with access.everyone, access.users or access.groups'
  return who.join('; ') + (rules.blocked.length > 0 ? `; but not ${rules.blocked.join(', ')}` : '')
}
