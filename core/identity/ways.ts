import type { Core } from '../core.ts'
import type { UserRecord } from '../store/records.ts'

/** From where somebody has a role. `admin`: the record says so, and `adminBy` in it why. `config`: it names them. */
export interface Way {
  role: string
  by: 'everybody' | 'admin' | 'config' | 'group'
  /** With `group`: the group whose members have the role. */
  group?: string
}

/** Every role that somebody has, once for each way in which they have it. Asked at each use, as the roles are. */
export function waysTo({ roles, users }: Pick<Core, 'roles' | 'users'>, user: UserRecord): Way[] {
  const own = roles.of(user).map((role): Way => {
    if (role === 'user') return { role, by: 'everybody' }
    return { role, by: role === 'admin' ? 'admin' : 'config' }
  })
  const behind = new Set(roles.behind(user))
  const byGroup = users.groups
    .of(user.id)
    .flatMap(group => roles.ofGroup(group).map((role): Way => ({ role, by: 'group', group })))
    // A group's part in making admins is told by the record.
    .filter(({ role }) => behind.has(role) && role !== 'admin')
  return [...own, ...byGroup]
}
