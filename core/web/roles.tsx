import type { Core } from '../core.ts'
import { defaultRoles } from '../identity/roles.ts'
import { waysTo } from '../identity/ways.ts'
import { escapeSegment } from '../names.ts'
import { demand, roleScopes } from '../rights.ts'
import type { UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'
import { page } from './layout.tsx'
import { counted } from './list.tsx'
import { Scopes } from './scopes.tsx'
import { Sections } from './sections.tsx'
import { adminBecause, userPlace } from './user.tsx'

/** Names that one role shows; more are counted. */
const most = 50

/** `admin/roles`: every role, what it allows, and who has it by which way; then the config's own scopes. */
export const showRoles = (core: Core) =>
  function showRoles(c: PageContext): Promise<Response> {
    for (const scope of roleScopes) demand(c.get('caller'), [scope])
    const holders = holdersOf(core)
    const custom = Object.entries(core.settings.scopes)
    return page(
      core,
      c,
      { title: 'Roles' },
      <>
        <h1>Roles</h1>
        <Sections core={core} c={c} />
        <p class="muted">Who may do what. Roles are written in the config; nobody can change them here.</p>
        <table>
          <thead>
            <tr>
              <th scope="col">Role</th>
              <th scope="col">Who has it</th>
              <th scope="col">What it allows</th>
            </tr>
          </thead>
          <tbody>
            {[...core.roles.all].map(([name, role]) => (
              <tr id={`role-${name}`}>
                <th scope="row">
                  {name} {!defaultRoles.has(name) && <span class="badge">config</span>}
                  {role.description && <span class="muted block">{role.description}</span>}
                </th>
                <td data-label="Who has it">
                  <Holders core={core} role={name} users={holders.get(name) ?? []} />
                </td>
                <td data-label="What it allows">
                  <div>
                    {role.scopes.includes('inherit') && 'Everything that its owner may do'}
                    {!role.scopes.includes('inherit') && <Scopes scopes={meaning(core, name)} />}
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {custom.length > 0 && (
          <>
            <h2>Scopes of the config</h2>
            <p class="muted">They open nothing in the hub: services ask whether somebody has them.</p>
            <table>
              <thead>
                <tr>
                  <th scope="col">Scope</th>
                  <th scope="col">What it is for</th>
                  <th scope="col">With it come</th>
                </tr>
              </thead>
              <tbody>
                {custom.map(([name, { description, subscopes }]) => (
                  <tr>
                    <th scope="row">
                      <code>{name}</code>
                    </th>
                    <td data-label="What it is for">{description}</td>
                    <td data-label="With it come">{subscopes.join(', ')}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
      </>,
    )
  }

/** Users by role, but for those that have it through a group. */
function holdersOf(core: Core): Map<string, UserRecord[]> {
  const holders = new Map<string, UserRecord[]>()
  for (const user of core.users.all())
    for (const { role, by } of waysTo(core, user)) {
      if (by !== 'admin' && by !== 'config') continue
      const known = holders.get(role)
      if (known) known.push(user)
      else holders.set(role, [user])
    }
  return holders
}

/** All of its rights, with `!user` and `!server` for whoever has the role. */
function meaning({ roles }: Core, name: string): string[] {
  const anybody = { owner: '*', service: '*', client: { server: '*/*', service: '*' } }
  return [...roles.expand(roles.scopesOf(name), anybody)].map(scope =>
    scope.replace(/!(user|server|service)=(\*|\*\/\*)$/, '!$1'),
  )
}

function Holders({ core, role, users }: { core: Core; role: string; users: readonly UserRecord[] }) {
  const groups = [...core.users.groups.all()].filter(({ name }) => role !== 'admin' && core.roles.ofGroup(name).includes(role))
  const services = [...core.services.all()].filter(
    ({ name, settings }) => (role === 'admin' && settings.admin) || core.roles.ofService(name).includes(role),
  )
  const standing = new Map([
    ['user', `Everybody: ${counted(core.users.count, 'user')}`],
    ['server', 'Each running server, by the token that it is given'],
    ['token', 'Tokens that are made without saying what they may do'],
  ]).get(role)
  if (!standing && users.length + groups.length + services.length === 0) return <span class="muted">Nobody</span>
  return (
    <ul class="plain">
      {standing && <li>{standing}</li>}
      {users.slice(0, most).map(user => (
        <li>
          <a href={userPlace(core, user.name)}>{user.name}</a>{' '}
          <span class="muted">{role === 'admin' ? adminBecause(user) : 'named in the config'}</span>
        </li>
      ))}
      {users.length > most && <li class="muted">and {counted(users.length - most, 'other user')}</li>}
      {groups.map(({ name, users: members }) => (
        <li>
          Group <a href={`${core.base}hub/admin/groups/${escapeSegment(name)}`}>{name}</a>{' '}
          <span class="muted">{counted(members.length, 'member')}</span>
        </li>
      ))}
      {services.map(({ name }) => (
        <li>Service {name}</li>
      ))}
    </ul>
  )
}
