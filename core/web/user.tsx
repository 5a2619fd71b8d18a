import type { Child } from 'hono/jsx'
import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import { type Way, waysTo } from '../identity/ways.ts'
import { escapeSegment, normalizeUsername } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandAdmin, isAdmin, mayReadAudit, missing, refuse } from '../rights.ts'
import type { UserRecord } from '../store/records.ts'
import { withQuery } from './address.ts'
import { Actions, State, serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { Ago, Alert, Hidden, page } from './layout.tsx'
import { Scopes } from './scopes.tsx'
import { Sections } from './sections.tsx'
import { chosen, EndAll, SessionTable } from './sessions.tsx'
import { ApplicationTable, revokeChosen, TokenTable } from './tokens.tsx'

/** Each of these shows something of a user, as in the API. */
const readers = ['read:users', 'read:users:name', 'read:users:groups', 'read:users:activity', 'read:servers', 'read:roles:users']

/** `admin/users/USER`: one user, as far as the visitor may see them; everything on it is there by a right of its own. */
export const showUser = (core: Core) =>
  function showUser(c: PageContext): Promise<Response> {
    demand(c.get('caller'), ['admin-ui'])
    return userPage(core, c, named(core, c, readers))
  }

/** `admin/users/USER/admin`, the form sent: makes this user an admin, or one no more. */
export const setAdmin = (core: Core) =>
  async function setAdmin(c: PageContext): Promise<Response> {
    const user = named(core, c, ['admin:users'])
    demandAdmin(c.get('caller'))
    if (user.id === c.get('visitor')?.id) throw new HubError('invalid', 'You cannot take your own admin rights away.')
    const admin = c.get('fields').get('admin') === '1'
    await core.users.update(user.id, draft => {
      draft.admin = admin
      // From now on this is what an admin has said.
      delete draft.adminBy
    })
    core.log.info('admin rights changed', { user: user.name, admin, by: c.get('caller').name })
    return c.redirect(userPlace(core, user.name), 303)
  }

/** `admin/users/USER/rename`, the form sent: another name for the same account. Only while no server of theirs runs. */
export const renameUser = (core: Core) =>
  async function renameUser(c: PageContext): Promise<Response> {
    const user = named(core, c, ['admin:users'])
    if (user.admin) demandAdmin(c.get('caller'))
    try {
      const name = normalizeUsername(c.get('fields').get('name') ?? '')
      if (name === undefined) throw new HubError('invalid', 'This can be nobody’s name.')
      if (core.servers.of(user).some(({ state }) => state !== 'stopped'))
        throw new HubError('invalid', `A server of ${user.name} is running. Stop it before you change the name.`)
      await core.users.rename(user.id, name)
      core.log.info('user renamed', { user: user.name, to: name, by: c.get('caller').name })
      return c.redirect(userPlace(core, name), 303)
    } catch (error) {
      if (isHubError(error) && ['invalid', 'conflict'].includes(error.code))
        return userPage(core, c, user, <p>The name was not changed: {error.message}</p>)
      throw error
    }
  }

/** `admin/users/USER/delete`, the form sent: the name typed once more. Servers are stopped first. */
export const deleteUser = (core: Core) =>
  async function deleteUser(c: PageContext): Promise<Response> {
    const user = named(core, c, ['delete:users'])
    if (user.admin) demandAdmin(c.get('caller'))
    if (user.id === c.get('visitor')?.id) throw new HubError('invalid', 'You cannot delete yourself.')
    if (c.get('fields').get('confirm') !== user.name)
      return userPage(core, c, user, <p>Nobody was deleted: type “{user.name}” exactly to confirm.</p>)
    // The user first loses all ways to start something anew.
    await core.sessions.closeAll(user.id)
    await core.tokens.revoke(user.id, token => token.kind !== 'server')
    await Promise.all(core.servers.of(user).map(({ ref }) => core.servers.stop(user, ref.name, 'deleted', c.get('caller'))))
    await core.users.remove(user.id)
    core.log.info('user deleted', { user: user.name, by: c.get('caller').name })
    return c.redirect(`${core.base}hub/admin`, 303)
  }

/** `admin/users/USER/revoke`, the form sent: one of their tokens, or all that an application has. */
export const revokeOf = (core: Core) =>
  async function revokeOf(c: PageContext): Promise<Response> {
    const user = named(core, c, ['tokens'])
    demandOver(c, user)
    await revokeChosen(core, user, c.get('fields'))
    return c.redirect(userPlace(core, user.name), 303)
  }

/** `admin/users/USER/sign-out`, the form sent: one of their browsers, or all of them. */
export const signOutOf = (core: Core) =>
  async function signOutOf(c: PageContext): Promise<Response> {
    const user = named(core, c, ['admin:users'])
    demandOver(c, user)
    await core.sessions.closeAll(user.id, chosen(c.get('fields')))
    return c.redirect(userPlace(core, user.name), 303)
  }

export const userPlace = (core: Core, name: string) => `${core.base}hub/admin/users/${escapeSegment(name)}`

/** The user that the path names, if the visitor holds one of these scopes for them. */
function named(core: Core, c: PageContext, scopes: readonly string[]): UserRecord {
  const name = c.req.param('user') ?? ''
  demand(c.get('caller'), scopes, { user: name })
  const user = core.users.get(name)
  if (!user) throw missing()
  return user
}

/** Who is no admin has no say over one; everybody has over themselves. */
function demandOver(c: PageContext, user: UserRecord): void {
  if (!hasSay(c.get('caller'), user)) refuse('admin', 'Only an admin can end what another admin has begun.')
}

const hasSay = (caller: Caller, user: UserRecord) => !user.admin || caller.user?.id === user.id || isAdmin(caller)

function userPage(core: Core, c: PageContext, user: UserRecord, problem?: Child): Promise<Response> {
  const caller = c.get('caller')
  const action = userPlace(core, user.name)
  const xsrf = core.xsrf.token(c)
  const may = (scope: string) => caller.allows(scope, { user: user.name })
  const say = hasSay(caller, user)
  const typed = problem ? c.get('fields') : c.get('again')
  const servers = core.servers.of(user).filter(({ ref }) => caller.allows('read:servers', { user: user.name, server: ref.name }))
  return page(
    core,
    c,
    { title: user.name, status: problem ? 400 : 200 },
    <>
      <h1>
        {user.name} {user.admin && may('read:users:name') && <span class="badge">admin</span>}
      </h1>
      <Sections core={core} c={c} />
      {problem && <Alert>{problem}</Alert>}
      <Account core={core} user={user} may={may} audit={mayReadAudit(caller)} />
      {servers.length > 0 && (
        <>
          <h2>Servers</h2>
          <table>
            <thead>
              <tr>
                <th scope="col">Server</th>
                <th scope="col">State</th>
                <th scope="col">Last activity</th>
                <td />
              </tr>
            </thead>
            <tbody>
              {servers.map(server => (
                <tr>
                  <th scope="row">{server.ref.name === '' ? 'Default' : serverLabel(server, caller)}</th>
                  <td data-label="State">
                    <div>
                      <State server={server} />
                      {server.node && server.state !== 'stopped' && <span class="muted block">on {server.node}</span>}
                      {server.state === 'stopped' && server.failure && (
                        <span class="muted block">{server.failure.cause.message}</span>
                      )}
                    </div>
                  </td>
                  <td data-label="Last activity">
                    <Ago at={core.users.lastActivity(user.id, server.ref.name)} />
                  </td>
                  <td>
                    <Actions core={core} caller={caller} server={server} xsrf={xsrf} next={action} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {may('read:roles:users') && (
        <>
          <h2>Roles and rights</h2>
          <RoleTable core={core} user={user} />
        </>
      )}
      {may('read:tokens') && (
        <>
          <h2>Tokens</h2>
          <TokenTable core={core} owner={user} action={`${action}/revoke`} xsrf={xsrf} fixed={!may('tokens') || !say} />
          <h2>Applications</h2>
          <ApplicationTable core={core} owner={user} action={`${action}/revoke`} xsrf={xsrf} fixed={!may('tokens') || !say} />
        </>
      )}
      {may('admin:users') && (
        <>
          <h2>Browsers</h2>
          <SessionTable core={core} owner={user} action={`${action}/sign-out`} xsrf={xsrf} fixed={!say} />
          {say && core.sessions.of(user.id).length > 0 && (
            <EndAll
              action={`${action}/sign-out`}
              xsrf={xsrf}
            >{`${user.name} is signed out at once, in the notebooks too.`}</EndAll>
          )}
        </>
      )}
      <Changes caller={caller} user={user} action={action} xsrf={xsrf} may={may} name={typed?.get('name')} />
    </>,
  )
}

function Account(props: { core: Core; user: UserRecord; may(scope: string): boolean; audit: boolean }) {
  const { core, user, may, audit } = props
  const groups = core.users.groups.of(user.id)
  return (
    <dl class="panel facts">
      {may('read:users') && (
        <Fact name="Made">
          <Ago at={user.created} />
        </Fact>
      )}
      {may('read:users:activity') && (
        <Fact name="Last activity">
          <Ago at={core.users.lastActivity(user.id)} />
        </Fact>
      )}
      {may('read:users') && (
        <Fact name="Signs in by">
          {user.identity ? user.identity.authenticator : 'Nothing yet: the account waits for its owner'}
        </Fact>
      )}
      {may('read:users:name') && user.admin && <Fact name="Admin">{adminBecause(user)}</Fact>}
      {may('read:users:groups') && (
        <Fact name="Groups">
          {groups.length === 0 ? (
            'None'
          ) : (
            <ul class="plain">
              {groups.map(group => (
                <li>
                  <GroupName core={core} group={group} /> <span class="muted">{toldBy(core, user, group)}</span>
                </li>
              ))}
            </ul>
          )}
        </Fact>
      )}
      {audit && (
        <Fact name="Audit trail">
          <a href={withQuery(`${core.base}hub/admin/audit`, { user: user.name })}>
            What {user.name} did, and what was done to them
          </a>
        </Fact>
      )}
    </dl>
  )
}

const Fact = ({ name, children }: { name: string; children?: Child }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
)

const GroupName = ({ core, group }: { core: Core; group: string }) => (
  <a href={`${core.base}hub/admin/groups/${escapeSegment(group)}`}>{group}</a>
)

export function adminBecause({ adminBy, identity }: UserRecord): string {
  if (adminBy === 'access') return 'The config says so'
  if (adminBy === 'authenticator') return `${identity?.authenticator ?? 'The sign-in'} says so`
  return 'Made one by an admin'
}

function RoleTable({ core, user }: { core: Core; user: UserRecord }) {
  const owner = { owner: user.name }
  const services = core.services.grantedTo(core.roles.meantBy(user.name) ?? '', core.users.groups.of(user.id))
  const shares = core.roles.expand(core.shares.grantedTo(user.id), owner)
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Role</th>
          <th scope="col">From where</th>
          <th scope="col">What it allows</th>
        </tr>
      </thead>
      <tbody>
        {waysTo(core, user).map(way => (
          <tr>
            <th scope="row">{way.role}</th>
            <td data-label="From where">{reason(way, user)}</td>
            <td data-label="What it allows">
              <Scopes scopes={core.roles.expand(core.roles.scopesOf(way.role), owner)} />
            </td>
          </tr>
        ))}
        {services.length > 0 && (
          <tr>
            <th scope="row" class="muted">
              no role
            </th>
            <td data-label="From where">Services that say in the config who may use them</td>
            <td data-label="What it allows">
              <Scopes scopes={services} />
            </td>
          </tr>
        )}
        {shares.size > 0 && (
          <tr>
            <th scope="row" class="muted">
              no role
            </th>
            <td data-label="From where">Servers that others share with them, or with a group of theirs</td>
            <td data-label="What it allows">
              <Scopes scopes={shares} />
            </td>
          </tr>
        )}
        <tr>
          <th scope="row">All together</th>
          <td data-label="From where">What counts now</td>
          <td data-label="What it allows">
            <Scopes scopes={core.tokens.userScopes(user)} />
          </td>
        </tr>
      </tbody>
    </table>
  )
}

function reason({ by, group }: Way, user: UserRecord): string {
  if (by === 'group') return `Member of the group ${group}`
  return { everybody: 'Everybody has it', admin: adminBecause(user), config: 'The config gives it to them by name' }[by]
}

interface Changed {
  caller: Caller
  user: UserRecord
  action: string
  xsrf: string
  may(scope: string): boolean
  /** The other name, as it was typed. */
  name: string | null | undefined
}

/** What changes or ends the account, each with its right. */
function Changes({ caller, user, action, xsrf, may, name }: Changed) {
  const self = caller.user?.id === user.id
  const admin = isAdmin(caller)
  const renames = may('admin:users') && (!user.admin || admin)
  const promotes = !self && may('admin:users') && admin
  const deletes = !self && may('delete:users') && (!user.admin || admin)
  if (!renames && !promotes && !deletes) return null
  return (
    <>
      <h2>Change the account</h2>
      <div class="panel stack">
        {renames && (
          <form class="row" method="post" action={`${action}/rename`}>
            <Hidden xsrf={xsrf} />
            <label>
              Another name
              <input
                name="name"
                required
                maxlength={255}
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                value={name ?? undefined}
              />
            </label>
            <button type="submit">Rename</button>
          </form>
        )}
        {promotes && (
          <form class="row" method="post" action={`${action}/admin`}>
            <Hidden xsrf={xsrf} admin={user.admin ? '0' : '1'} />
            <span class="beside">{user.admin ? 'Is an admin, and may do everything.' : 'Is no admin.'}</span>
            <button type="submit">{user.admin ? 'Take admin rights away' : 'Make an admin'}</button>
          </form>
        )}
        {deletes && (
          <form class="row" method="post" action={`${action}/delete`}>
            <Hidden xsrf={xsrf} />
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
    </>
  )
}

/** Why somebody is in a group. */
function toldBy(core: Core, user: UserRecord, group: string): string {
  const authenticator = core.users.groups.get(group)?.told[user.id]
  return authenticator === undefined ? 'put in here' : `told by ${authenticator}`
}
