import type { Child } from 'hono/jsx'
import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import { escapeSegment } from '../names.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandMembership, demandNoAdminGroup, missing } from '../rights.ts'
import type { GroupRecord, UserRecord } from '../store/records.ts'
import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { Alert, Hidden, page } from './layout.tsx'
import { counted, part, Search, search, Turns } from './list.tsx'
import { Sections } from './sections.tsx'

/** `admin/groups`: the groups, as far as the visitor may see them. */
export const showGroups = (core: Core) =>
  function showGroups(c: PageContext): Promise<Response> {
    demand(c.get('caller'), ['admin-ui'])
    return groupsPage(core, c)
  }

/** `admin/groups`, the form sent: makes a group with these members. */
export const addGroup = (core: Core) =>
  function addGroup(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin:groups'])
    const name = (c.get('fields').get('name') ?? '').trim()
    return orSay(
      problem => groupsPage(core, c, problem),
      async () => {
        const members = typed(core, c)
        demandMembership(core, caller, name, members)
        await core.users.groups.create([name], idsOf(members))
        core.log.info('group added', { group: name, users: namesOf(members), by: caller.name })
        return c.redirect(placeOf(core, name), 303)
      },
    )
  }

/** `admin/groups/GROUP`: its members and properties. */
export const showGroup = (core: Core) =>
  function showGroup(c: PageContext): Promise<Response> {
    demand(c.get('caller'), ['admin-ui'])
    return groupPage(core, c, chosen(core, c, ['read:groups']))
  }

/** `admin/groups/GROUP/add`, the form sent: adds members, one name a line; all of them or none. */
export const addMembers = (core: Core) =>
  changes(core, ['groups'], async (c, group) => {
    const members = typed(core, c)
    demandMembership(core, c.get('caller'), group.name, members)
    await core.users.groups.add(group.name, idsOf(members))
    return { added: namesOf(members) }
  })

/** `admin/groups/GROUP/remove`, the form sent: takes one member out. */
export const removeMember = (core: Core) =>
  changes(core, ['groups'], async (c, group) => {
    const name = c.get('fields').get('user') ?? ''
    const user = core.users.get(name)
    if (!user) throw new HubError('invalid', `There is no user “${name.slice(0, 60)}”.`)
    demandNoAdminGroup(core, c.get('caller'), group.name)
    await core.users.groups.remove(group.name, [user.id])
    return { removed: name }
  })

/** `admin/groups/GROUP/properties`, the form sent: these in place of all there were. A row without a name is none. */
export const setProperties = (core: Core) =>
  changes(core, ['groups'], async (c, group) => {
    const fields = c.get('fields')
    const values = fields.getAll('value')
    const rows = fields.getAll('key').map((key, row) => [key.trim(), meant(values[row] ?? '')] as const)
    const properties = new Map(rows.filter(([key]) => key !== ''))
    if (properties.size < rows.filter(([key]) => key !== '').length)
      throw new HubError('invalid', 'Two properties have the same name.')
    await core.users.groups.setProperties(group.name, Object.fromEntries(properties))
    return { properties: [...properties.keys()] }
  })

/** `admin/groups/GROUP/delete`, the form sent: the name typed once more. Its members stay users. */
export const deleteGroup = (core: Core) =>
  async function deleteGroup(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    const group = chosen(core, c, ['delete:groups'])
    demandNoAdminGroup(core, caller, group.name)
    if (c.get('fields').get('confirm') !== group.name)
      return groupPage(core, c, group, `The group was not deleted: type “${group.name}” exactly to confirm.`)
    await core.users.groups.delete(group.name)
    core.log.info('group deleted', { group: group.name, by: caller.name })
    return c.redirect(`${core.base}hub/admin/groups`, 303)
  }

/** A form of a group's page: does what it does and comes back, with what was wrong when it could not. */
const changes = (core: Core, scopes: readonly string[], act: (c: PageContext, group: GroupRecord) => Promise<object>) =>
  async function changes(c: PageContext): Promise<Response> {
    const group = chosen(core, c, scopes)
    return orSay(
      problem => groupPage(core, c, group, problem),
      async () => {
        const what = await act(c, group)
        core.log.info('group changed', { group: group.name, ...what, by: c.get('caller').name })
        return c.redirect(withQuery(placeOf(core, group.name), { q: c.get('fields').get('q') || undefined }), 303)
      },
    )
  }

async function orSay(say: (problem: string) => Promise<Response>, act: () => Promise<Response>): Promise<Response> {
  try {
    return await act()
  } catch (error) {
    if (isHubError(error) && (error.code === 'invalid' || error.code === 'conflict')) return say(error.message)
    throw error
  }
}

/** The group that the path names, if the visitor holds one of these scopes for it. */
function chosen(core: Core, c: PageContext, scopes: readonly string[]): GroupRecord {
  const name = c.req.param('group') ?? ''
  demand(c.get('caller'), scopes, { group: name })
  const group = core.users.groups.get(name)
  if (!group) throw missing()
  return group
}

/** Those whose names were typed, one a line. */
function typed(core: Core, c: PageContext): UserRecord[] {
  const lines = (c.get('fields').get('names') ?? '').split(/\r?\n/).map(name => name.trim())
  return [...new Set(lines)].flatMap(name => {
    if (name === '') return []
    const user = core.users.get(name)
    if (!user) throw new HubError('invalid', `There is no user “${name.slice(0, 60)}”. Nobody was added.`)
    return [user]
  })
}

/** What was typed as a value: JSON where it is some, else the text itself. */
function meant(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text // most values are plain words
  }
}

/** A value so that `meant` reads the same out of it. */
const shown = (value: unknown) => (typeof value === 'string' && meant(value) === value ? value : JSON.stringify(value))

const idsOf = (users: readonly UserRecord[]) => users.map(({ id }) => id)
const namesOf = (users: readonly UserRecord[]) => users.map(({ name }) => name)
const placeOf = (core: Core, group: string) => `${core.base}hub/admin/groups/${escapeSegment(group)}`

function groupsPage(core: Core, c: PageContext, problem?: string): Promise<Response> {
  const caller = c.get('caller')
  const action = `${core.base}hub/admin/groups`
  const query = search(c)
  const typed = problem ? c.get('fields') : c.get('again')
  const all = [...core.users.groups.all()].filter(
    ({ name }) => caller.allows('list:groups', { group: name }) && name.toLowerCase().includes(query.toLowerCase()),
  )
  const { items, number, pages } = part(c, all)
  return page(
    core,
    c,
    { title: 'Groups', status: problem ? 400 : 200 },
    <>
      <h1>Groups</h1>
      <Sections core={core} c={c} />
      {problem && <Problem>{problem}</Problem>}
      <Search action={action} query={query} label="Find a group" />
      <p class="muted" role="status">
        {all.length === 0 ? 'No group found.' : counted(all.length, 'group')}
      </p>
      {items.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Group</th>
              <th scope="col">Members</th>
              <th scope="col">Roles</th>
            </tr>
          </thead>
          <tbody>
            {items.map(group => (
              <GroupRow core={core} caller={caller} group={group} />
            ))}
          </tbody>
        </table>
      )}
      <Turns action={action} query={{ q: query || undefined }} number={number} pages={pages} />
      {caller.allows('admin:groups') && (
        <form class="panel stack" method="post" action={action}>
          <Hidden xsrf={core.xsrf.token(c)} />
          <h2>Add a group</h2>
          <label>
            Name
            <input name="name" required maxlength={255} autocomplete="off" value={typed?.get('name') ?? undefined} />
          </label>
          <label>
            Members, one name a line
            <textarea name="names" rows={3} spellcheck={false}>
              {typed?.get('names')}
            </textarea>
          </label>
          <div class="actions">
            <button type="submit">Add</button>
          </div>
        </form>
      )}
    </>,
  )
}

function GroupRow({ core, caller, group }: { core: Core; caller: Caller; group: GroupRecord }) {
  const target = { group: group.name }
  return (
    <tr>
      <th scope="row">
        {caller.allows('read:groups', target) ? <a href={placeOf(core, group.name)}>{group.name}</a> : group.name}
      </th>
      <td data-label="Members">{caller.allows('read:groups', target) && group.users.length}</td>
      <td data-label="Roles">{caller.allows('read:roles:groups', target) && core.roles.ofGroup(group.name).join(', ')}</td>
    </tr>
  )
}

function groupPage(core: Core, c: PageContext, group: GroupRecord, problem?: string): Promise<Response> {
  const caller = c.get('caller')
  const xsrf = core.xsrf.token(c)
  const action = placeOf(core, group.name)
  const query = search(c)
  const typed = problem ? c.get('fields') : c.get('again')
  const may = (scope: string) => caller.allows(scope, { group: group.name })
  const all = group.users
    .map(id => ({ name: core.users.byId(id)?.name ?? '', source: group.told[id] ?? 'by hand' }))
    .filter(({ name }) => name !== '' && name.includes(query.toLowerCase()))
  const { items, number, pages } = part(c, all)
  const roles = may('read:roles:groups') ? core.roles.ofGroup(group.name) : []
  return page(
    core,
    c,
    { title: group.name, status: problem ? 400 : 200 },
    <>
      <h1>{group.name}</h1>
      <Sections core={core} c={c} />
      {problem && <Problem>{problem}</Problem>}
      {roles.length > 0 && <p class="muted">Its members have the roles {roles.join(', ')}.</p>}
      <h2>Members</h2>
      <Search action={action} query={query} label="Find a member" />
      <p class="muted" role="status">
        {all.length === 0 ? 'No member found.' : counted(all.length, 'member')}
      </p>
      {items.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Source</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {items.map(({ name, source }) => (
              <tr>
                <th scope="row">{name}</th>
                <td data-label="Source">{source}</td>
                <td>
                  {may('groups') && (
                    <form method="post" action={`${action}/remove`}>
                      <Hidden xsrf={xsrf} user={name} q={query} />
                      <button type="submit" aria-label={`Remove ${name}`}>
                        Remove
                      </button>
                    </form>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Turns action={action} query={{ q: query || undefined }} number={number} pages={pages} />
      {may('groups') && (
        <form class="panel stack" method="post" action={`${action}/add`}>
          <Hidden xsrf={xsrf} />
          <h2>Add members</h2>
          <label>
            Names, one a line
            <textarea name="names" rows={3} required spellcheck={false}>
              {typed?.get('names')}
            </textarea>
          </label>
          <div class="actions">
            <button type="submit">Add</button>
          </div>
        </form>
      )}
      <Properties group={group} xsrf={xsrf} action={`${action}/properties`} fixed={!may('groups')} typed={typed} />
      {may('delete:groups') && (
        <form class="panel stack" method="post" action={`${action}/delete`}>
          <Hidden xsrf={xsrf} />
          <h2>Delete the group</h2>
          <p>Its members stay users; what they may do by this group ends at once.</p>
          <label>
            Type <strong>{group.name}</strong> to delete it
            <input name="confirm" required autocomplete="off" autocapitalize="none" spellcheck={false} />
          </label>
          <div class="actions">
            <button class="danger" type="submit">
              Delete
            </button>
          </div>
        </form>
      )}
    </>,
  )
}

interface Shown {
  group: GroupRecord
  xsrf: string
  action: string
  fixed: boolean
  /** A form that was sent, perhaps another. */
  typed: URLSearchParams | undefined
}

function Properties({ group, xsrf, action, fixed, typed }: Shown) {
  const written =
    (values: string[]) =>
    (key: string, row: number): [string, string] => [key, values[row] ?? '']
  const rows = typed?.has('key')
    ? typed.getAll('key').map(written(typed.getAll('value')))
    : Object.entries(group.properties).map(([key, value]): [string, string] => [key, shown(value)])
  if (!fixed) rows.push(['', ''], ['', ''])
  return (
    <form class="panel stack" method="post" action={action}>
      <Hidden xsrf={xsrf} />
      <h2>Properties</h2>
      {rows.length === 0 && <p>None.</p>}
      {!fixed && <p class="muted">For programs that read them. A value is text, or JSON. A row without a name goes away.</p>}
      {rows.map(([key, value], row) => (
        <div class="row">
          <input name="key" value={key} readonly={fixed} aria-label={`Name of property ${row + 1}`} autocomplete="off" />
          <input name="value" value={value} readonly={fixed} aria-label={`Value of property ${row + 1}`} autocomplete="off" />
        </div>
      ))}
      {!fixed && (
        <div class="actions">
          <button type="submit">Save</button>
        </div>
      )}
    </form>
  )
}

const Problem = ({ children }: { children?: Child }) => (
  <Alert>
    <p>{children}</p>
  </Alert>
)
