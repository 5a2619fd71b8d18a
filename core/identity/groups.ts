import { HubError } from '../errors.ts'
import type { GroupRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'

export interface Groups {
  get(name: string): GroupRecord | undefined
  all(): Iterable<GroupRecord>
  /** Names of the groups that this user is in. */
  of(userId: string): readonly string[]
  /** Make the user a member of exactly these groups; missing ones are created. Throws `invalid` for what can be no group's name. */
  set(userId: string, groups: readonly string[]): Promise<void>
}

export function createGroups(store: Store): Groups {
  let seen: unknown
  let byName = new Map<string, GroupRecord>()
  let byUser = new Map<string, string[]>()

  /** Read from the hub's record again when that is another one. */
  const lookUp = () => {
    const { groups } = store.hub.data
    if (seen === groups) return { byName, byUser }
    byName = new Map(groups.map(group => [group.name, group]))
    byUser = new Map()
    for (const { name, users } of groups)
      for (const id of users) {
        const names = byUser.get(id)
        if (names) names.push(name)
        else byUser.set(id, [name])
      }
    seen = groups
    return { byName, byUser }
  }

  const of: Groups['of'] = userId => lookUp().byUser.get(userId) ?? []

  return {
    get: name => lookUp().byName.get(name),
    all: () => store.hub.data.groups,
    of,
    async set(userId, groups) {
      const wrong = groups.find(name => !isGroupName(name))
      if (wrong !== undefined)
        throw new HubError('invalid', `${JSON.stringify(wrong.slice(0, 64))} cannot be the name of a group.`)
      const present = of(userId)
      if (present.length === new Set(groups).size && present.every(name => groups.includes(name))) return
      await store.hub.update(draft => {
        for (const group of draft.groups) {
          const is = group.users.includes(userId)
          const should = groups.includes(group.name)
          if (should && !is) group.users.push(userId)
          if (is && !should) group.users = group.users.filter(id => id !== userId)
        }
        const known = new Set(draft.groups.map(({ name }) => name))
        for (const name of new Set(groups)) if (!known.has(name)) draft.groups.push({ name, properties: {}, users: [userId] })
      })
    },
  }
}

/** May a group be called so? Anything that is not empty, not over 255 bytes, and holds no control character. */
export const isGroupName = (name: string) =>
  name.trim() !== '' && Buffer.byteLength(name) <= 255 && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)
