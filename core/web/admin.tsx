import type { Child } from 'hono/jsx'
import type { Core } from '../core.ts'
import { HubError, messageOf } from '../errors.ts'
import { normalizeUsername } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandAdmin, isAdmin } from '../rights.ts'
import type { Server } from '../servers/server.ts'
import type { UserRecord } from '../store/records.ts'
import { withQuery } from './address.ts'
import { Actions, State, serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { Ago, Alert, Hidden, page } from './layout.tsx'
import { asked, counted, pageSize, part, search, Turns } from './list.tsx'
import { Sections } from './sections.tsx'
import { patiently } from './stop.ts'
import { userPlace } from './user.tsx'

/** `admin`: users and their servers, as far as the visitor may see them. */
export const showAdmin = (core: Core) =>
  function showAdmin(c: PageContext): Response | Promise<Response> {
    demand(c.get('caller'), ['admin-ui'])
    return adminPage(core, c)
  }

/** `admin/users`, the form sent: adds them; those that cannot be added are named, the others are there. */
export const addUsers = (core: Core) =>
  async function addUsers(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin:users'])
    const admin = c.get('fields').get('admin') !== null
    const inherit = c.get('fields').get('inherit') !== null
    if (admin || inherit) demandAdmin(caller)
    const typed = (c.get('fields').get('names') ?? '').split(/\r?\n/).map(name => name.trim())
    const refused: string[] = []
    for (const line of new Set(typed.filter(name => name !== ''))) {
      try {
        const name = normalizeUsername(line)
        if (name === undefined) throw new HubError('invalid', `“${line.slice(0, 60)}” can be nobody’s name.`)
        await core.users.create(name, { admin, ...(inherit && { inherit }) })
        core.log.info('user added', { user: name, admin, by: caller.name })
      } catch (error) {
        refused.push(messageOf(error))
      }
    }
    if (refused.length === 0) return c.redirect(`${core.base}hub/admin`, 303)
    return adminPage(
      core,
      c,
      <>
        <p>Not everybody was added:</p>
        <ul>
          {refused.map(sentence => (
            <li>{sentence}</li>
          ))}
        </ul>
      </>,
    )
  }

/** `admin/stop`, the form sent: stops the servers that were ticked, or all that the list as it is asked for has, as far as the visitor may. */
export const stopServers = (core: Core) =>
  async function stopServers(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin-ui'])
    if (!caller.holds('delete:servers')) demand(caller, ['delete:servers'])
    const ticked = new Set(c.get('fields').getAll('server'))
    const all = c.get('fields').get('all') === '1'
    const chosen = stoppable(core, caller, listed(core, c)).filter(server => all || ticked.has(keyOf(server)))
    if (chosen.length === 0) return adminPage(core, c, <p>Nothing was stopped: tick the servers that you mean.</p>)
    const failed: string[] = []
    const stopOne = ({ owner, ref }: Server) =>
      core.servers.stop(owner, ref.name, 'admin', caller).catch(error => void failed.push(`${owner.name}: ${messageOf(error)}`))
    core.log.info('servers stopped together', { servers: chosen.map(keyOf), by: caller.name })
    await patiently(core, Promise.all(chosen.map(stopOne)))
    if (failed.length === 0) return c.redirect(withQuery(`${core.base}hub/admin`, kept(c)), 303)
    return adminPage(
      core,
      c,
      <>
        <p>Not all of them could be stopped:</p>
        <ul>
          {failed.map(sentence => (
            <li>{sentence}</li>
          ))}
        </ul>
      </>,
    )
  }

/** Names a server in a form; names of users have no `/`. */
const keyOf = ({ owner, ref }: Server) => `${owner.name}/${ref.name}`

/** Those servers of these users that can be stopped, and that the caller may stop. */
function stoppable(core: Core, caller: Caller, users: readonly UserRecord[]): Server[] {
  const ids = new Set(users.map(({ id }) => id))
  return [...core.servers.active()].filter(
    ({ state, owner, ref }) =>
      ids.has(owner.id) && state !== 'stopping' && caller.allows('delete:servers', { user: owner.name, server: ref.name }),
  )
}

/** What the list can be narrowed to, by those of a user's servers that are not stopped. */
const states: { value: string; label: string; has(core: Core, user: UserRecord, up: readonly Server[]): boolean }[] = [
  { value: 'active', label: 'A server is up', has: (_core, _user, up) => up.length > 0 },
  { value: 'pending', label: 'A server starts or stops', has: (_core, _user, up) => up.some(({ pending }) => pending !== null) },
  {
    value: 'failed',
    label: 'A server failed',
    has: (core, user) => hasFailed(user) && core.servers.of(user).some(({ state, failure }) => state === 'stopped' && failure),
  },
  { value: 'stopped', label: 'No server is up', has: (_core, _user, up) => up.length === 0 },
]

const hasFailed = ({ servers }: UserRecord) => servers.some(({ failure }) => failure !== null)

/** The users in the one order or the other; a `-` before it turns it round. */
const orders = new Map<string, (core: Core) => (user: UserRecord) => string | number>([
  ['name', () => user => user.name],
  ['activity', core => user => core.users.lastActivity(user.id) ?? ''],
])

/** What the list is asked for, to carry along. */
function kept(c: PageContext) {
  const given = (name: string) => asked(c, name) || undefined
  return { q: search(c) || undefined, state: given('state'), sort: given('sort') }
}

/** The users that the visitor may see, as the list is asked for. */
function listed(core: Core, c: PageContext): UserRecord[] {
  const { q = '', state, sort = 'name' } = kept(c)
  const wanted = states.find(({ value }) => value === state)
  const caller = c.get('caller')
  const up = new Map<string, Server[]>()
  for (const server of core.servers.active()) up.set(server.owner.id, [...(up.get(server.owner.id) ?? []), server])
  const found = [...core.users.all()].filter(
    user =>
      caller.allows('list:users', { user: user.name }) &&
      user.name.includes(q.toLowerCase()) &&
      (!wanted || (caller.allows('read:servers', { user: user.name }) && wanted.has(core, user, up.get(user.id) ?? []))),
  )
  const by = (orders.get(sort.replace(/^-/, '')) ?? orders.get('name')!)(core)
  const keys = new Map(found.map(user => [user, by(user)]))
  const sign = sort.startsWith('-') ? -1 : 1
  return found.sort((a, b) => (keys.get(a)! < keys.get(b)! ? -sign : keys.get(a)! > keys.get(b)! ? sign : 0))
}

const visible = (core: Core, caller: Caller, user: UserRecord) =>
  core.servers.of(user).filter(({ ref }) => caller.allows('read:servers', { user: user.name, server: ref.name }))

function adminPage(core: Core, c: PageContext, problem?: Child) {
  const caller = c.get('caller')
  const xsrf = core.xsrf.token(c)
  const action = `${core.base}hub/admin`
  const query = kept(c)
  const all = listed(core, c)
  const { items: users, number, pages } = part(c, all)
  const stops = new Set(stoppable(core, caller, all))
  return page(
    core,
    c,
    { title: 'Admin', status: problem ? 400 : 200 },
    <>
      <h1>Users and servers</h1>
      <Sections core={core} c={c} />
      {problem && <Alert>{problem}</Alert>}
      <form class="row" method="get" action={action}>
        <label>
          Find a user
          <input name="q" type="search" value={query.q} autocomplete="off" />
        </label>
        <label>
          State
          <select name="state">
            <option value="">All users</option>
            {states.map(({ value, label }) => (
              <option value={value} selected={value === query.state}>
                {label}
              </option>
            ))}
          </select>
        </label>
        {query.sort && <input type="hidden" name="sort" value={query.sort} />}
        <button type="submit">Find</button>
      </form>
      <p class="muted" role="status">
        {all.length === 0
          ? 'Nobody found.'
          : pages === 1
            ? counted(all.length, 'user')
            : `${(number - 1) * pageSize + 1} to ${(number - 1) * pageSize + users.length} of ${all.length} users`}
      </p>
      {users.length > 0 && (
        <table>
          <thead>
            <tr>
              <Sorted action={action} query={query} by="name" label="User" />
              <Sorted action={action} query={query} by="activity" label="Last activity" />
              <th scope="col">Servers</th>
            </tr>
          </thead>
          <tbody>
            {users.map(user => (
              <UserRow core={core} caller={caller} user={user} xsrf={xsrf} next={withQuery(action, query)} stops={stops} />
            ))}
          </tbody>
        </table>
      )}
      <Turns action={action} query={query} number={number} pages={pages} />
      {stops.size > 0 && <StopSeveral action={`${action}/stop`} xsrf={xsrf} query={query} up={stops.size} />}
      {caller.allows('admin:users') && (
        <form class="panel stack" method="post" action={`${action}/users`}>
          <Hidden xsrf={xsrf} />
          <h2>Add users</h2>
          <label>
            Names, one a line
            <textarea name="names" rows={3} required spellcheck={false}>
              {c.get('again')?.get('names')}
            </textarea>
          </label>
          {isAdmin(caller) && (
            <label class="check">
              <input type="checkbox" name="admin" value="1" />
              Make them admins
            </label>
          )}
          {caller.user?.admin && (
            <label class="check">
              <input type="checkbox" name="inherit" value="1" />
              They are the same as deleted users of these names: give them back what they had stored
            </label>
          )}
          <div class="actions">
            <button type="submit">Add</button>
          </div>
        </form>
      )}
    </>,
  )
}

/** A heading that puts the list in its order, and turns it round. */
function Sorted(props: { action: string; query: ReturnType<typeof kept>; by: string; label: string }) {
  const { action, query, by, label } = props
  const { sort = 'name' } = query
  const now = sort === by ? 'ascending' : sort === `-${by}` ? 'descending' : undefined
  // The latest first is what people look for.
  const first = by === 'activity' ? `-${by}` : by
  const next = sort === first ? (first === by ? `-${by}` : by) : first
  return (
    <th scope="col" aria-sort={now}>
      <a class="sort" href={withQuery(action, { ...query, sort: next })}>
        {label}
        <span aria-hidden="true">{now && (now === 'ascending' ? ' ↑' : ' ↓')}</span>
      </a>
    </th>
  )
}

/** The form that the ticks in the list belong to. */
function StopSeveral(props: { action: string; xsrf: string; query: ReturnType<typeof kept>; up: number }) {
  const { action, xsrf, query, up } = props
  return (
    <div class="actions together">
      <details class="confirm">
        <summary>Stop the ticked servers</summary>
        <form class="answer" id="ticked" method="post" action={action}>
          <p>What is not saved in them is lost.</p>
          <Hidden xsrf={xsrf} {...query} />
          <button class="danger" type="submit">
            Yes, stop the ticked ones
          </button>
        </form>
      </details>
      <details class="confirm">
        <summary>Stop all that were found</summary>
        <form class="answer" method="post" action={action}>
          <p>{counted(up, 'server')}, on all pages of this list. What is not saved in them is lost.</p>
          <Hidden xsrf={xsrf} {...query} all="1" />
          <button class="danger" type="submit">
            Yes, stop {counted(up, 'server')}
          </button>
        </form>
      </details>
    </div>
  )
}

interface Row {
  core: Core
  caller: Caller
  user: UserRecord
  xsrf: string
  next: string
  stops: ReadonlySet<Server>
}

function UserRow({ core, caller, user, xsrf, next, stops }: Row) {
  const may = (scope: string) => caller.allows(scope, { user: user.name })
  const groups = may('read:users:groups') ? core.users.groups.of(user.id) : []
  return (
    <tr>
      <th scope="row">
        <a href={userPlace(core, user.name)}>{user.name}</a> {user.admin && <span class="badge">admin</span>}
        {groups.length > 0 && <span class="muted block">{groups.join(', ')}</span>}
      </th>
      <td data-label="Last activity">{may('read:users:activity') && <Ago at={core.users.lastActivity(user.id)} />}</td>
      <td data-label="Servers">
        {visible(core, caller, user).map(server => (
          <div class="line">
            <span>
              {stops.has(server) && (
                <input
                  type="checkbox"
                  form="ticked"
                  name="server"
                  value={keyOf(server)}
                  aria-label={`Tick ${user.name}’s ${server.ref.name === '' ? 'default server' : serverLabel(server, caller)}`}
                />
              )}{' '}
              {server.ref.name === '' ? 'Default' : serverLabel(server, caller)} <State server={server} />
              {server.node && server.state !== 'stopped' && <span class="muted"> on {server.node}</span>}
            </span>
            <Actions core={core} caller={caller} server={server} xsrf={xsrf} next={next} />
          </div>
        ))}
      </td>
    </tr>
  )
}
