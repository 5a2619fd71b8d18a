import { noteRefusal } from './audit.ts'
import type { Core } from './core.ts'
import { HubError } from './errors.ts'
import { accessRules } from './identity/access.ts'
import { defaultRoles } from './identity/roles.ts'
import { covers, coversAll } from './identity/scopes.ts'
import type { Caller, ScopeTarget } from './plugin.ts'
import type { UserRecord } from './store/records.ts'

/**
 * The caller must hold one of the scopes for the target. Who holds it for other targets learns `missing`, the same answer
 * as for what does not exist; who does not hold it at all learns `denied` (contract 4.1).
 */
export function demand(caller: Caller, accepted: readonly string[], target?: ScopeTarget): void {
  if (accepted.some(scope => caller.allows(scope, target))) return
  noteRefusal(target, accepted.join(' or '))
  if (target && accepted.some(scope => caller.holds(scope))) throw missing()
  throw new HubError('denied', `You may not do this. It takes the right ${accepted.join(' or ')}.`)
}

/** Somebody may not, for a reason that is no single scope: throws `denied` with this sentence. */
export function refuse(needed: string, message: string): never {
  noteRefusal(undefined, needed)
  throw new HubError('denied', message)
}

/** One answer for what does not exist and for what must not be seen. */
export const missing = () => new HubError('missing', 'There is no such user, group or server, or you may not see it.')

/**
 * Only who may do everything may make somebody an administrator, or have a say over one: by `admin:users` alone one could
 * make oneself an administrator.
 */
export function demandAdmin(caller: Caller): void {
  if (isAdmin(caller)) return
  refuse('admin', 'Only administrators, with all their rights, can make administrators or change them.')
}

/**
 * Who has a user's token may do what it allows. So nobody makes one for somebody else that allows more than they themselves
 * may, beside what every user may with what is their own.
 */
export function demandToken(core: Core, caller: Caller, user: UserRecord, scopes: readonly string[]): void {
  if (isAdmin(caller)) return
  const owner = { owner: user.name }
  const { roles, services, tokens } = core
  const allowed = scopes.includes('inherit') ? tokens.userScopes(user) : roles.expand(scopes, owner)
  const everybodys = roles.expand([...roles.scopesOf('user'), ...services.grantedTo('', [])], owner)
  if (coversAll(new Set([...caller.scopes, ...everybodys]), allowed, groupsOf(core))) return
  refuse('tokens', `You may not make this token for ${user.name}: it would allow more than you may do. Ask for fewer scopes.`)
}

/** All the rights of the role `admin`. */
export const isAdmin = (caller: Caller) => defaultRoles.get('admin')!.scopes.every(scope => caller.allows(scope))

/**
 * Members get the roles of their group, and whoever has rights for a group's members gets them over one more. So nobody may
 * add a member to whom that gives rights which they themselves do not hold, nor one who may do more than they and over whom
 * they would gain rights. Who is in the admins' groups is for administrators to say.
 */
export function demandMembership(core: Core, caller: Caller, group: string, users: readonly UserRecord[]): void {
  if (isAdmin(caller)) return
  demandNoAdminGroup(core, caller, group)
  const { roles, services } = core
  // All that the caller may do, also by another token than this one.
  const self = caller.user && core.users.byId(caller.user.id)
  const mine = new Set([...caller.scopes, ...(self ? core.tokens.userScopes(self) : [])])
  const reach = [...mine].flatMap(scope => (scope.endsWith(`!group=${group}`) ? [scope.slice(0, scope.indexOf('!'))] : []))
  for (const user of users) {
    const owner = { owner: user.name }
    const gained = roles.expand([...roles.ofGroup(group).flatMap(roles.scopesOf), ...services.grantedTo('', [group])], owner)
    const present = core.tokens.userScopes(user)
    const reached = reach.some(scope => !aboutGroups.test(scope) && !covers(mine, scope, { user: user.name }, groupsOf(core)))
    const others = roles.behind(user).filter(role => role !== 'user')
    const more = reached ? roles.expand(others.flatMap(roles.scopesOf), owner) : new Set<string>()
    const mayGive = coversAll(new Set([...caller.scopes, ...present]), gained, groupsOf(core))
    const mayReach = coversAll(new Set([...caller.scopes, ...roles.expand(['self'], owner)]), more, groupsOf(core))
    if (mayGive && mayReach) continue
    refuse('groups', `You may not put ${user.name} into ${group}: that takes rights which you do not have.`)
  }
}

/** Who leaves a group of admins, or loses it, is an admin no more. */
export function demandNoAdminGroup({ settings }: Pick<Core, 'settings'>, caller: Caller, group: string): void {
  if (accessRules(settings).adminGroups.includes(group)) demandAdmin(caller)
}

const groupsOf = (core: Core) => (user: string) => core.users.groups.of(core.users.get(user)?.id ?? '')

/** Scopes for a group that say nothing of its members' accounts and servers. */
const aboutGroups = /^(admin:|read:|list:|delete:|read:roles:)?groups\b/

/** Who may read the trail holds each of these, for everything: it tells of everybody, with addresses. */
export const auditScopes = ['admin-ui', 'read:users'] as const
export const mayReadAudit = (caller: Caller) => auditScopes.every(scope => caller.allows(scope))

/** Roles tell of everybody who has them, so only who may read all of that sees the page of them. */
export const roleScopes = ['admin-ui', 'read:roles'] as const
export const mayReadRoles = (caller: Caller) => roleScopes.every(scope => caller.allows(scope))
