import type { Child } from 'hono/jsx'
import type { Core } from '../core.ts'
import { HubError, messageOf } from '../errors.ts'
import { escapeSegment, normalizeUsername } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, missing, refuse } from '../rights.ts'
import type { UserRecord } from '../store/records.ts'
import { withQuery } from './address.ts'
import { Actions, State, serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { Ago, Alert, Hidden, page } from './layout.tsx'
import { Sections } from './sections.tsx'

const pageSize = 50

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
    if (refused.length === 0) return back(core, c)
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

/** `admin/users/USER/admin`, the form sent: makes this user an admin, or one no more. */
export const setAdmin = (core: Core) =>
  async function setAdmin(c: PageContext): Promise<Response> {
    const user = chosen(core, c, ['admin:users'])
    demandAdmin(c.get('caller'))
    if (user.id === c.get('visitor')?.id) throw new HubError('invalid', 'You cannot take your own admin rights away.')
    const admin = c.get('fields').get('admin') === '1'
    await core.users.update(user.id, draft => {
      draft.admin = admin
      // From now on this is what an admin has said.
      delete draft.adminBy
    })
    core.log.info('admin rights changed', { user: user.name, admin, by: c.get('caller').name })
    return back(core, c)
  }

/** `admin/users/USER/delete`, the form sent: the name typed once more. Servers are stopped first. */
export const deleteUser = (core: Core) =>
  async function deleteUser(c: PageContext): Promise<Response> {
    const user = chosen(core, c, ['delete:users'])
    if (user.admin) demandAdmin(c.get('caller'))
    if (user.id === c.get('visitor')?.id) throw new HubError('invalid', 'You cannot delete yourself.')
    if (c.get('fields').get('confirm') !== user.name)
      return adminPage(core, c, <p>Nobody was deleted: type “{user.name}” exactly to confirm.</p>)
    // The user first loses all ways to start something anew.
    await core.sessions.closeAll(user.id)
    await core.tokens.revoke(user.id, token => token.kind !== 'server')
    await Promise.all(core.servers.of(user).map(({ ref }) => core.servers.stop(user, ref.name, 'deleted', c.get('caller'))))
    await core.users.remove(user.id)
    core.log.info('user deleted', { user: user.name, by: c.get('caller').name })
    return back(core, c)
  }

function chosen(core: Core, c: PageContext, scopes: readonly string[]): UserRecord {
  const name = c.req.param('user') ?? ''
  demand(c.get('caller'), scopes, { user: name })
  const user = core.users.get(name)
  if (!user) throw missing()
  return user
}

/** The right to change users is not the right to make oneself an admin. */
function demandAdmin(caller: Caller): void {
  if (!caller.user?.admin) refuse('admin', 'Only an admin can make, change or delete admins.')
}

const back = (core: Core, c: PageContext) =>
  c.redirect(withQuery(`${core.base}hub/admin`, { q: c.get('fields').get('q') || undefined }), 303)

function adminPage(core: Core, c: PageContext, problem?: Child) {
  const caller = c.get('caller')
  const xsrf = core.xsrf.token(c)
  const action = `${core.base}hub/admin`
  const query = (c.req.query('q') ?? c.get('fields')?.get('q') ?? '').trim().slice(0, 255)
  const active = c.req.query('active') !== undefined
  const running = new Set([...core.servers.active()].map(({ owner }) => owner.id))
  const all = [...core.users.all()].filter(
    user =>
      caller.allows('list:users', { user: user.name }) &&
      user.name.includes(query.toLowerCase()) &&
      (!active || running.has(user.id)),
  )
  const asked = Number(c.req.query('page') ?? 1)
  const pages = Math.max(1, Math.ceil(all.length / pageSize))
  const number = Number.isInteger(asked) ? Math.min(Math.max(asked, 1), pages) : 1
  const users = all.slice((number - 1) * pageSize, number * pageSize)
  const turn = (to: number) =>
    withQuery(action, { q: query || undefined, active: active ? '1' : undefined, page: to === 1 ? undefined : String(to) })
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
          <input name="q" type="search" value={query} autocomplete="off" />
        </label>
        <label class="check">
          <input type="checkbox" name="active" value="1" checked={active} />
          With running servers only
        </label>
        <button type="submit">Find</button>
      </form>
      <p class="muted" role="status">
        {all.length === 0
          ? 'Nobody found.'
          : pages === 1
            ? `${all.length} user${all.length === 1 ? '' : 's'}`
            : `${(number - 1) * pageSize + 1} to ${(number - 1) * pageSize + users.length} of ${all.length} users`}
      </p>
      {users.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Last activity</th>
              <th scope="col">Servers</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {users.map(user => (
              <UserRow core={core} caller={caller} user={user} xsrf={xsrf} query={query} />
            ))}
          </tbody>
        </table>
      )}
      {pages > 1 && (
        <nav class="row" aria-label="Pages of users">
          {number > 1 && <a href={turn(number - 1)}>Previous</a>}
          <span>
            Page {number} of {pages}
          </span>
          {number < pages && <a href={turn(number + 1)}>Next</a>}
        </nav>
      )}
      {caller.allows('admin:users') && (
        <form class="panel stack" method="post" action={`${action}/users`}>
          <Hidden xsrf={xsrf} />
          <h2>Add users</h2>
          <label>
            Names, one a line
            <textarea name="names" rows={3} required spellcheck={false} />
          </label>
          {caller.user?.admin && (
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

function UserRow(props: { core: Core; caller: Caller; user: UserRecord; xsrf: string; query: string }) {
  const { core, caller, user, xsrf, query } = props
  const { groups } = core.users.view(user)
  const action = `${core.base}hub/admin/users/${escapeSegment(user.name)}`
  const self = caller.user?.id === user.id
  const changes = !self && caller.user?.admin && caller.allows('admin:users', { user: user.name })
  const deletes = !self && caller.allows('delete:users', { user: user.name }) && (!user.admin || caller.user?.admin)
  return (
    <tr>
      <th scope="row">
        {user.name} {user.admin && <span class="badge">admin</span>}
        {groups.length > 0 && <span class="muted block">{groups.join(', ')}</span>}
      </th>
      <td data-label="Last activity">
        <Ago at={core.users.lastActivity(user.id)} />
      </td>
      <td data-label="Servers">
        {core.servers.of(user).map(server => (
          <div class="line">
            <span>
              {server.ref.name === '' ? 'Default' : serverLabel(server, caller)} <State server={server} />
              {server.node && server.state !== 'stopped' && <span class="muted"> on {server.node}</span>}
            </span>
            <Actions
              core={core}
              caller={caller}
              server={server}
              xsrf={xsrf}
              next={withQuery(`${core.base}hub/admin`, { q: query || undefined })}
            />
          </div>
        ))}
      </td>
      <td>
        {(changes || deletes) && (
          <details class="confirm">
            <summary aria-label={`Change ${user.name}`}>Change</summary>
            <div class="answer">
              {changes && (
                <form method="post" action={`${action}/admin`}>
                  <Hidden xsrf={xsrf} q={query} admin={user.admin ? '0' : '1'} />
                  <button type="submit">{user.admin ? 'Take admin rights away' : 'Make an admin'}</button>
                </form>
              )}
              {deletes && (
                <form method="post" action={`${action}/delete`}>
                  <Hidden xsrf={xsrf} q={query} />
                  <label>
                    Type <strong>{user.name}</strong> to delete this user
                    <input name="confirm" required autocomplete="off" autocapitalize="none" spellcheck={false} />
                  </label>
                  <button class="danger" type="submit">
                    Delete
                  </button>
                </form>
              )}
            </div>
          </details>
        )}
      </td>
    </tr>
  )
}
