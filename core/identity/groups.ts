import { randomBytes } from 'node:crypto'
import { type Audit, unrecorded } from '../audit.ts'
import { HubError } from '../errors.ts'
import type { GroupRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Forgetting } from './forget.ts'
import { forgetGrantee } from './shares.ts'

/** Users are named by their ids here. Whatever changes something is durable when it resolves. */
export interface Groups {
  get(name: string): GroupRecord | undefined
  byId(id: string): GroupRecord | undefined
  /** In order of creation. */
  all(): Iterable<GroupRecord>
  /** Names of the groups that this user is in. */
  of(userId: string): readonly string[]
  /** Of these, the ones that somebody put them into by hand. */
  byHand(userId: string): readonly string[]
  /**
   * What an authenticator says now: these groups, missing ones are created, and no other that an authenticator has told before. A
   * membership that was given by hand stays one, whatever is told. Throws as `set`.
   */
  tell(userId: string, groups: readonly string[], authenticator: string): Promise<void>
  /** By hand: make the user a member of exactly these groups; missing ones are created. Throws `invalid` for what can be no group's name. */
  set(userId: string, groups: readonly string[]): Promise<void>
  /** All of them or none, each with these members. Throws `conflict` when there is one already, `invalid` as `set`. */
  create(names: readonly string[], users?: readonly string[]): Promise<GroupRecord[]>
  /** By hand: who is a member already stays one, also when no authenticator says so any more. Throws `missing` when there is no such group, as the following do. */
  add(name: string, users: readonly string[]): Promise<GroupRecord>
  remove(name: string, users: readonly string[]): Promise<GroupRecord>
  /** In place of all properties that it had. */
  setProperties(name: string, properties: GroupRecord['properties']): Promise<GroupRecord>
  /** With everything that was shared with it, and all scopes of tokens that named it: another group of this name gets none of it. */
  delete(name: string): Promise<void>
}

export function createGroups(store: Store, forgetting: Forgetting, audit: Audit = unrecorded): Groups {
  let seen: unknown
  let byName = new Map<string, GroupRecord>()
  let byId = new Map<string, GroupRecord>()
  let byUser = new Map<string, string[]>()

  /** Read from the hub's record again when that is another one. */
  const lookUp = () => {
    const { groups } = store.hub.data
    if (seen === groups) return { byName, byId, byUser }
    byName = new Map(groups.map(group => [group.name, group]))
    byId = new Map(groups.map(group => [group.id, group]))
    byUser = new Map()
    for (const { name, users } of groups)
      for (const id of users) {
        const names = byUser.get(id)
        if (names) names.push(name)
        else byUser.set(id, [name])
      }
    seen = groups
    return { byName, byId, byUser }
  }

  const of: Groups['of'] = userId => lookUp().byUser.get(userId) ?? []

  const nameOf = (id: string) => store.byId.get(id)?.name ?? id

  async function change(name: string, details: Record<string, string>, edit: (group: GroupRecord) => void): Promise<GroupRecord> {
    const { groups } = await store.hub.update(draft => edit(named(draft.groups, name)))
    audit.record({ action: 'group.change', target: { group: name }, details })
    return named(groups, name)
  }

  /** Who is changed by hand is told by nobody any more. */
  const byHandNow = (group: GroupRecord, users: Iterable<string>) => {
    for (const id of users) delete group.told[id]
  }

  return {
    get: name => lookUp().byName.get(name),
    byId: id => lookUp().byId.get(id),
    all: () => store.hub.data.groups,
    of,
    byHand: userId => of(userId).filter(name => lookUp().byName.get(name)?.told[userId] === undefined),
    async tell(userId, groups, authenticator) {
      checkNames(groups)
      const wanted = new Set(groups)
      const isSo = ({ name, users, told }: GroupRecord) => {
        const by = told[userId]
        return wanted.has(name) ? users.includes(userId) && (by === undefined || by === authenticator) : by === undefined
      }
      if (store.hub.data.groups.every(isSo) && groups.every(name => lookUp().byName.has(name))) return
      await store.hub.update(draft => {
        for (const group of draft.groups.filter(group => !isSo(group))) {
          group.users = group.users.filter(id => id !== userId)
          delete group.told[userId]
          if (!wanted.has(group.name)) continue
          group.users.push(userId)
          group.told[userId] = authenticator
        }
        const known = new Set(draft.groups.map(({ name }) => name))
        for (const name of wanted)
          if (!known.has(name)) draft.groups.push({ ...newGroup(name, [userId]), told: { [userId]: authenticator } })
      })
      audit.record({
        action: 'group.change',
        target: { user: nameOf(userId) },
        details: { groups: of(userId).join(', '), by: authenticator },
      })
    },
    async set(userId, groups) {
      checkNames(groups)
      const present = of(userId)
      if (present.length === new Set(groups).size && present.every(name => groups.includes(name))) return
      await store.hub.update(draft => {
        for (const group of draft.groups) {
          const is = group.users.includes(userId)
          const should = groups.includes(group.name)
          if (should && !is) group.users.push(userId)
          if (is && !should) group.users = group.users.filter(id => id !== userId)
          byHandNow(group, [userId])
        }
        const known = new Set(draft.groups.map(({ name }) => name))
        for (const name of new Set(groups)) if (!known.has(name)) draft.groups.push(newGroup(name, [userId]))
      })
      audit.record({ action: 'group.change', target: { user: nameOf(userId) }, details: { groups: groups.join(', ') } })
    },
    async create(names, users = []) {
      checkNames(names)
      const wanted = new Set(names)
      const { groups } = await store.hub.update(draft => {
        const taken = draft.groups.find(({ name }) => wanted.has(name))
        if (taken) throw new HubError('conflict', `There is a group ${taken.name} already.`)
        for (const name of wanted) draft.groups.push(newGroup(name, users))
      })
      for (const name of wanted) audit.record({ action: 'group.create', target: { group: name } })
      return groups.filter(({ name }) => wanted.has(name))
    },
    add: (name, users) =>
      change(name, { added: users.map(nameOf).join(', ') }, group => {
        group.users = [...new Set([...group.users, ...users])]
        byHandNow(group, users)
      }),
    remove: (name, users) =>
      change(name, { removed: users.map(nameOf).join(', ') }, group => {
        const leaving = new Set(users)
        group.users = group.users.filter(id => !leaving.has(id))
        byHandNow(group, users)
      }),
    setProperties: (name, properties) =>
      change(name, { properties: Object.keys(properties).join(', ') }, group => void (group.properties = properties)),
    async delete(name) {
      const group = lookUp().byName.get(name)
      if (!group) throw missing()
      const forget = async () => {
        await forgetting.scopes(scope => scope.endsWith(`!group=${name}`))
        await forgetGrantee(store, { kind: 'group', id: group.id })
      }
      // Before: a crash in between must not leave them. After: for tokens and shares that were made meanwhile.
      await forget()
      await store.hub.update(draft => {
        const gone = named(draft.groups, name)
        draft.groups = draft.groups.filter(group => group !== gone)
      })
      await forget()
      audit.record({ action: 'group.delete', target: { group: name } })
    },
  }
}

/** May a group be called so? Anything that is not empty, not over 255 bytes, and holds no control character. */
export const isGroupName = (name: string) =>
  name.trim() !== '' && Buffer.byteLength(name) <= 255 && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)

const newGroup = (name: string, users: readonly string[]): GroupRecord => ({
  id: randomBytes(8).toString('hex'),
  name,
  properties: {},
  users: [...new Set(users)],
  told: {},
})

function checkNames(names: readonly string[]): void {
  const wrong = names.find(name => !isGroupName(name))
  if (wrong !== undefined) throw new HubError('invalid', `${JSON.stringify(wrong.slice(0, 64))} cannot be the name of a group.`)
}

function named(groups: readonly GroupRecord[], name: string): GroupRecord {
  const group = groups.find(group => group.name === name)
  if (!group) throw missing()
  return group
}

const missing = () => new HubError('missing', 'There is no such group.')
