import { z } from 'zod'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { demandMembership, demandNoAdminGroup, missing } from '../rights.ts'
import type { GroupRecord, UserRecord } from '../store/records.ts'
import { type ApiContext, type Endpoint, nameField, withBody } from './endpoint.ts'
import { groupModel, groupReaders } from './models.ts'
import { paged } from './paging.ts'

const userNames = z.array(nameField).max(10_000)

export const listGroups: Endpoint = {
  access: { partly: ['list:groups'] },
  run(core, c) {
    const caller = c.get('caller')
    const groups = [...core.users.groups.all()].filter(({ name }) => caller.allows('list:groups', { group: name }))
    return paged(core, c, groups, group => groupModel(core, caller, group) ?? {})
  },
}

/** All of them, or none. */
export const addGroups = withBody(
  ['admin:groups'],
  z.strictObject({ groups: z.array(nameField).min(1).max(1000), users: userNames.optional() }),
  async (core, c, { groups, users }) => {
    const added = await add(core, c, groups, users)
    return c.json(
      added.map(group => groupModel(core, c.get('caller'), group)),
      201,
    )
  },
)

export const readGroup: Endpoint = {
  access: { partly: groupReaders },
  run(core, c) {
    const group = core.users.groups.get(c.req.param('group') ?? '')
    const model = group && groupModel(core, c.get('caller'), group)
    if (!model) throw missing()
    return c.json(model)
  },
}

export const addGroup = withBody(
  ['admin:groups'],
  z.strictObject({ users: userNames.optional() }).optional(),
  async (core, c, body) => {
    const [group] = await add(core, c, [c.req.param('group') ?? ''], body?.users)
    return c.json(groupModel(core, c.get('caller'), group!), 201)
  },
)

export const removeGroup: Endpoint = {
  access: ['delete:groups'],
  async run(core, c) {
    const { name } = namedGroup(core, c)
    demandNoAdminGroup(core, c.get('caller'), name)
    await core.users.groups.delete(name)
    core.log.info('group deleted', { group: name, by: c.get('caller').name })
    return c.body(null, 204)
  },
}

export const addMembers = withBody(['groups'], z.strictObject({ users: userNames }), async (core, c, { users }) => {
  const { name } = namedGroup(core, c)
  const members = named(core, users)
  demandMembership(core, c.get('caller'), name, members)
  return changed(core, c, await core.users.groups.add(name, idsOf(members)), { added: users })
})

export const removeMembers = withBody(['groups'], z.strictObject({ users: userNames }), async (core, c, { users }) => {
  const { name } = namedGroup(core, c)
  demandNoAdminGroup(core, c.get('caller'), name)
  return changed(core, c, await core.users.groups.remove(name, idsOf(named(core, users))), { removed: users })
})

export const setProperties = withBody(['groups'], z.record(z.string(), z.unknown()), async (core, c, properties) => {
  const { name } = namedGroup(core, c)
  return changed(core, c, await core.users.groups.setProperties(name, properties), { properties: Object.keys(properties) })
})

async function add(core: Core, c: ApiContext, groups: readonly string[], users: readonly string[] = []): Promise<GroupRecord[]> {
  const caller = c.get('caller')
  const members = named(core, users)
  for (const group of groups) demandMembership(core, caller, group, members)
  const added = await core.users.groups.create(groups, idsOf(members))
  for (const { name } of added) core.log.info('group added', { group: name, users, by: caller.name })
  return added
}

/** Clients read the answer also where nothing has changed. */
function changed(core: Core, c: ApiContext, group: GroupRecord, what: object): Response {
  const caller = c.get('caller')
  core.log.info('group changed', { group: group.name, ...what, by: caller.name })
  return c.json(groupModel(core, caller, group))
}

/** The group that the path names. */
function namedGroup(core: Core, c: ApiContext): GroupRecord {
  const group = core.users.groups.get(c.req.param('group') ?? '')
  if (!group) throw missing()
  return group
}

/** The users that the body names: all of them are there. */
const named = (core: Core, names: readonly string[]): UserRecord[] =>
  [...new Set(names)].map(name => {
    const user = core.users.get(name)
    if (!user) throw new HubError('invalid', `There is no user ${JSON.stringify(name.slice(0, 64))}. Nothing was changed.`)
    return user
  })

const idsOf = (users: readonly UserRecord[]) => users.map(({ id }) => id)
