import { z } from 'zod'
import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import { normalizeUsername } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandAdmin, demandMembership, demandNoAdminGroup, missing } from '../rights.ts'
import type { UserRecord } from '../store/records.ts'
import { type ApiContext, type Endpoint, nameField, withBody } from './endpoint.ts'
import { isActive, serviceModel, userModel, withAuthState } from './models.ts'
import { paged } from './paging.ts'

/** Who asks, with the scopes that the request has. */
export const readSelf: Endpoint = {
  access: 'callers',
  run(core, c) {
    const caller = c.get('caller')
    const [owner, token, session, service] = [c.get('owner'), c.get('token'), c.get('session'), c.get('service')]
    const common = { token_id: null, session_id: null, scopes: [...caller.scopes].sort() }
    if (!owner) return c.json({ ...(service && serviceModel(core, caller, service)), ...common })
    return c.json({
      kind: 'user',
      name: owner.name,
      ...userModel(core, caller, owner),
      ...common,
      token_id: token ? `a${token.id}` : null,
      session_id: (token ?? session)?.sessionId ?? null,
    })
  },
}

export const listUsers: Endpoint = {
  access: { partly: ['list:users'] },
  run(core, c) {
    const caller = c.get('caller')
    const stopped = isTrue(c.req.query('include_stopped_servers'))
    const wanted = c.req.query('name_filter')?.toLowerCase() ?? ''
    const state = c.req.query('state')
    const inState = stateFilter(core, state)
    const mayAll = caller.allows('list:users')
    const isListed = (user: UserRecord) =>
      (mayAll || caller.allows('list:users', { user: user.name })) &&
      (wanted === '' || user.name.toLowerCase().includes(wanted)) &&
      inState(user)
    const everybody = [...core.users.all()]
    const users = mayAll && wanted === '' && state === undefined ? everybody : everybody.filter(isListed)
    return paged(core, c, sorted(core, users, c.req.query('sort')), user => userModel(core, caller, user, stopped) ?? {})
  },
}

export const addUsers = withBody(
  ['admin:users'],
  z.strictObject({ usernames: z.array(nameField).min(1).max(1000), admin: z.boolean().optional() }),
  async (core, c, { usernames, admin = false }) => {
    const caller = c.get('caller')
    if (admin) demandAdmin(caller)
    const names = new Set(
      usernames.map(typed => {
        const name = normalizeUsername(typed)
        if (name === undefined) throw new HubError('invalid', 'One of these cannot be the name of a user. Nobody was added.')
        return name
      }),
    )
    const fresh = [...names].filter(name => !core.users.get(name))
    if (fresh.length === 0) throw new HubError('conflict', 'All of these users exist already.')
    const added: UserRecord[] = []
    for (const name of fresh) added.push(await core.users.create(name, { admin }))
    return c.json(
      added.map(user => userModel(core, caller, user)),
      201,
    )
  },
)

export const readUser: Endpoint = {
  access: {
    partly: ['read:users', 'read:users:name', 'read:users:groups', 'read:users:activity', 'read:servers', 'read:roles:users'],
  },
  run(core, c) {
    const user = core.users.get(c.req.param('user') ?? '')
    const model = user && userModel(core, c.get('caller'), user, isTrue(c.req.query('include_stopped_servers')))
    if (!model) throw missing()
    return c.json(withAuthState(core, c.get('caller'), user, model))
  },
}

export const addUser = withBody(
  ['admin:users'],
  z.strictObject({ admin: z.boolean().optional() }).optional(),
  async (core, c, body) => {
    if (body?.admin) demandAdmin(c.get('caller'))
    const user = await core.users.create(c.req.param('user') ?? '', { admin: body?.admin ?? false })
    return c.json(userModel(core, c.get('caller'), user), 201)
  },
)

export const changeUser = withBody(
  ['admin:users'],
  z.strictObject({
    name: nameField.optional(),
    admin: z.boolean().optional(),
    groups: z.array(nameField).max(1000).optional(),
    /** As they are: the config alone says who has which. */
    roles: z.array(nameField).max(1000).optional(),
    auth_state: z.json().optional(),
  }),
  async (core, c, { name, admin, groups, roles, auth_state: state }) => {
    const caller = c.get('caller')
    const user = namedUser(core, c)
    if (user.admin || admin) demandAdmin(caller)
    if (roles && !sameNames(roles, core.roles.of(user))) {
      throw new HubError('invalid', 'Roles are given in hub.config.ts, to users and to groups. Nothing was changed.')
    }
    if (groups) demandGroups(core, caller, user, groups)
    const sealed = state == null ? null : core.authStates.seal(user.id, state)
    if (state != null && sealed === null)
      throw new HubError('invalid', 'Without a key in authState.keys no auth_state is kept. Nothing was changed.')
    if (name !== undefined && name !== user.name) {
      // Nobody could sign in by another spelling.
      if (name !== normalizeUsername(name))
        throw new HubError('invalid', `“${name.slice(0, 60)}” is not how a name is spelled here.`)
      if (core.servers.of(user).some(isActive)) {
        throw new HubError('invalid', `A server of ${user.name} is running. Stop it before you change the name.`)
      }
      await core.users.rename(user.id, name).catch(error => {
        throw isHubError(error) && error.code === 'conflict' ? new HubError('invalid', error.message, { cause: error }) : error
      })
    }
    const changed = await core.users.update(user.id, draft => {
      if (sealed !== null) draft.authState = sealed
      if (state === null) delete draft.authState
      if (admin === undefined) return
      draft.admin = admin
      // From now on this is what an administrator has said.
      delete draft.adminBy
    })
    if (groups) await core.users.groups.set(user.id, groups)
    return c.json(withAuthState(core, caller, changed, { ...userModel(core, caller, changed), auth_state: null }))
  },
)

export const removeUser: Endpoint = {
  access: ['delete:users'],
  async run(core, c) {
    const caller = c.get('caller')
    const user = namedUser(core, c)
    if (user.id === c.get('owner')?.id) throw new HubError('invalid', 'You cannot delete yourself. Ask another administrator.')
    if (user.admin) demandAdmin(caller)
    const servers = core.servers.of(user)
    if (servers.some(({ pending }) => pending === 'stop')) {
      throw new HubError('invalid', `A server of ${user.name} is being stopped. Try again when it is gone.`)
    }
    // The user first loses all ways to start something anew.
    await core.sessions.closeAll(user.id)
    await core.tokens.revoke(user.id, token => token.kind !== 'server')
    await Promise.all(servers.map(({ ref }) => core.servers.stop(user, ref.name, 'deleted', caller)))
    await core.users.remove(user.id)
    core.log.info('user deleted', { user: user.name, by: caller.name })
    return c.body(null, 204)
  },
}

/** JupyterHub 0.8 and older asked for this before an administrator opened somebody's server. Nothing takes it any more. */
export const adminAccess: Endpoint = {
  access: ['servers'],
  run(core, c) {
    namedUser(core, c)
    return c.body(null, 200)
  },
}

/** Each group that the user would enter or leave: it exists, and its members are for the caller to say. */
function demandGroups(core: Core, caller: Caller, user: UserRecord, groups: readonly string[]): void {
  const present = core.users.groups.of(user.id)
  const entered = groups.filter(name => !present.includes(name))
  const left = present.filter(name => !groups.includes(name))
  for (const group of [...entered, ...left]) demand(caller, ['groups'], { group })
  const unknown = entered.find(name => !core.users.groups.get(name))
  if (unknown !== undefined)
    throw new HubError('invalid', `There is no group ${JSON.stringify(unknown.slice(0, 64))}. Nothing was changed.`)
  for (const group of entered) demandMembership(core, caller, group, [user])
  for (const group of left) demandNoAdminGroup(core, caller, group)
}

const sameNames = (some: readonly string[], others: readonly string[]) =>
  [...new Set(some)].sort().join('\n') === [...new Set(others)].sort().join('\n')

/** The user that the path names. Names are compared as they are. */
export function namedUser(core: Core, c: ApiContext): UserRecord {
  const user = core.users.get(c.req.param('user') ?? '')
  if (!user) throw missing()
  return user
}

/** `0` and `false` are false, everything else is true. */
const isTrue = (text: string | undefined) => text !== undefined && !['0', 'false'].includes(text.toLowerCase())

function stateFilter({ servers }: Core, state: string | undefined): (user: UserRecord) => boolean {
  if (state === undefined) return () => true
  if (state === 'active') return user => servers.begun(user).some(isActive)
  if (state === 'inactive') return user => !servers.begun(user).some(isActive)
  if (state === 'ready') return user => servers.begun(user).some(({ ready }) => ready)
  throw new HubError('invalid', 'state has to be active, inactive or ready.')
}

function sorted(core: Core, users: UserRecord[], sort = 'id'): UserRecord[] {
  // As they nearly always are: ten thousand are not put in order for each of their pages.
  if (sort === 'id') return isInOrder(users) ? users : users.sort((a, b) => a.number - b.number)
  const key = sort.replace(/^-/, '')
  const direction = sort.startsWith('-') ? -1 : 1
  const keys: Record<string, (user: UserRecord) => string | number> = {
    id: user => user.number,
    name: user => user.name,
    last_activity: user => core.users.lastActivity(user.id) ?? '',
  }
  const by = Object.hasOwn(keys, key) ? keys[key] : undefined
  if (!by) throw new HubError('invalid', 'sort has to be id, name or last_activity, with or without a "-" before it.')
  return users
    .map(user => ({ user, at: by(user) }))
    .sort((a, b) => direction * (a.at < b.at ? -1 : a.at > b.at ? 1 : a.user.number - b.user.number))
    .map(({ user }) => user)
}

function isInOrder(users: readonly UserRecord[]): boolean {
  let last = 0
  for (const { number } of users) {
    if (number < last) return false
    last = number
  }
  return true
}
