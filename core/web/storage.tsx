import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandAdmin, isAdmin, missing } from '../rights.ts'
import type { Stored } from '../storage.ts'
import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { Ago, Alert, Hidden, page } from './layout.tsx'
import { asked, counted, part, Search, search, Turns } from './list.tsx'
import { Sections } from './sections.tsx'

/** `admin/storage`: what users keep, where, how much, and since when it was not used; with `plugin` and `id` the form to erase it. */
export const showStorage = (core: Core) =>
  async function showStorage(c: PageContext): Promise<Response> {
    demandSight(c.get('caller'))
    return storagePage(core, c)
  }

/** `admin/storage/erase`, the form sent: its id typed once more. */
export const eraseStorage = (core: Core) =>
  async function eraseStorage(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demandSight(caller)
    const one = chosen(core, c, (await core.storage.look()).stored)
    if (!one) throw missing()
    const owner = ownerOf(core, one)
    demand(caller, ['delete:users'], owner && { user: owner.name })
    if (!owner || owner.admin) demandAdmin(caller)
    if (c.get('fields').get('confirm') !== one.id)
      return storagePage(core, c, `Nothing was erased: type “${one.id}” exactly to confirm.`)
    try {
      await core.storage.erase(one.plugin, one.id)
    } catch (error) {
      if (isHubError(error) && ['conflict', 'failed', 'unavailable', 'missing', 'timeout'].includes(error.code))
        return storagePage(core, c, `It was not erased. ${error.message}`)
      throw error
    }
    core.log.info('storage erased', { plugin: one.plugin, id: one.id, by: caller.name })
    return c.redirect(placeOf(core), 303)
  }

const placeOf = (core: Core) => `${core.base}hub/admin/storage`

/** Who sees the page; each sees there only what is of users over whom they hold the right. */
function demandSight(caller: Caller): void {
  demand(caller, ['admin-ui'])
  if (!caller.holds('admin:users')) demand(caller, ['admin:users'])
}

const ownerOf = (core: Core, { owner }: Stored) => (owner === undefined ? undefined : core.users.bySlug(owner))

/** What is nobody's, or of users who are no more, is for those to see who see all. */
function isSeen(core: Core, caller: Caller, one: Stored): boolean {
  const owner = ownerOf(core, one)
  return caller.allows('admin:users', owner && { user: owner.name })
}

function mayErase(core: Core, caller: Caller, one: Stored): boolean {
  const owner = ownerOf(core, one)
  if (!owner || owner.admin) return isAdmin(caller)
  return caller.allows('delete:users', { user: owner.name })
}

/** What the address or the form names, if the visitor may see it. */
function chosen(core: Core, c: PageContext, stored: readonly Stored[]): Stored | undefined {
  const [plugin, id] = [asked(c, 'plugin'), asked(c, 'id')]
  return stored.find(one => one.plugin === plugin && one.id === id && isSeen(core, c.get('caller'), one))
}

async function storagePage(core: Core, c: PageContext, problem?: string): Promise<Response> {
  const caller = c.get('caller')
  const action = placeOf(core)
  const query = search(c)
  const { stored, measuring, silent } = await core.storage.look()
  const one = chosen(core, c, stored)
  if (!one && asked(c, 'id') !== '' && !problem)
    throw new HubError('missing', 'This is not kept here any more, or you may not see it.')
  const seen = stored.filter(one => isSeen(core, caller, one))
  const found = seen.filter(one =>
    [nameOf(core, one), one.id, one.where].some(text => text.toLowerCase().includes(query.toLowerCase())),
  )
  const all = found.sort((a, b) => (b.used ?? -1) - (a.used ?? -1) || (a.id < b.id ? -1 : 1))
  const { items, number, pages } = part(c, all)
  const known = all.flatMap(({ used }) => used ?? [])
  return page(
    core,
    c,
    { title: 'Storage', status: problem ? 400 : 200 },
    <>
      <h1>Storage</h1>
      <Sections core={core} c={c} />
      {problem && (
        <Alert>
          <p>{problem}</p>
        </Alert>
      )}
      {one && mayErase(core, caller, one) && <Erase core={core} c={c} one={one} />}
      <Search action={action} query={query} label="Find by user, name or place" />
      <p class="muted" role="status">
        {all.length === 0
          ? 'Nothing is kept here.'
          : `${counted(all.length, 'place')}, ${spokenBytes(sum(known))} in those that were measured.`}
        {measuring && ' More is being measured: open the page again in a moment.'}
        {silent.length > 0 && ` What ${silent.join(', ')} keeps is not known as a whole just now; the log says why.`}
      </p>
      {items.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Where</th>
              <th scope="col">Size</th>
              <th scope="col">Last use</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {items.map(one => (
              <tr>
                <th scope="row">{nameOf(core, one) || <span class="muted">Nobody</span>}</th>
                <td data-label="Where">
                  <div>
                    {one.where}
                    <span class="muted block">{one.plugin}</span>
                  </div>
                </td>
                <td data-label="Size">
                  {one.used === undefined ? <span class="muted">Not measured</span> : spokenBytes(one.used)}
                </td>
                <td data-label="Last use">{one.lastUse ? <Ago at={one.lastUse} /> : <span class="muted">Not known</span>}</td>
                <td>
                  {mayErase(core, caller, one) && (
                    <a href={withQuery(action, { plugin: one.plugin, id: one.id })} aria-label={`Erase ${one.id}`}>
                      Erase…
                    </a>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Turns action={action} query={{ q: query || undefined }} number={number} pages={pages} />
    </>,
  )
}

function Erase({ core, c, one }: { core: Core; c: PageContext; one: Stored }) {
  return (
    <form class="panel stack" method="post" action={`${placeOf(core)}/erase`}>
      <Hidden xsrf={core.xsrf.token(c)} plugin={one.plugin} id={one.id} />
      <h2>Erase what {nameOf(core, one) || 'nobody'} keeps</h2>
      <p>
        All that is in {one.where} will be gone for good{one.used === undefined ? '' : `: ${spokenBytes(one.used)}`}. No copy is
        made.
      </p>
      <label>
        Type <strong>{one.id}</strong> to erase it
        <input name="confirm" required autocomplete="off" autocapitalize="none" spellcheck={false} />
      </label>
      <div class="actions">
        <button class="danger" type="submit">
          Erase
        </button>
        <a href={placeOf(core)}>Keep it</a>
      </div>
    </form>
  )
}

/** The owner's name, the slug of one who is no more, or nothing. */
const nameOf = (core: Core, one: Stored) => ownerOf(core, one)?.name ?? (one.owner === undefined ? '' : `${one.owner} (deleted)`)

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)

/** "1.4 GB", by powers of 1024 as sizes in the config are. */
function spokenBytes(bytes: number): string {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)))
  const number = bytes / 1024 ** power
  return `${number < 10 && power > 0 ? number.toFixed(1) : Math.round(number)} ${['bytes', 'KB', 'MB', 'GB', 'TB'][power]}`
}
