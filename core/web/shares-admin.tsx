import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import { demand } from '../rights.ts'
import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { Ago, page } from './layout.tsx'
import { Sections } from './sections.tsx'
import { placeOf, RevokeLink, spokenScopes, timesOf, Unshare, With } from './share.tsx'

const pageSize = 50

/** `admin/shares`: who shares which server with whom, as far as the visitor may see it; found by any name in it. */
export const showShares = (core: Core) =>
  function showShares(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin-ui'])
    const query = (c.req.query('q') ?? '').trim().slice(0, 255)
    const xsrf = core.xsrf.token(c)
    const place = `${core.base}hub/admin/shares`
    const all = everything(core, caller).filter(({ names }) => names.some(name => name.includes(query.toLowerCase())))
    const pages = Math.max(1, Math.ceil(all.length / pageSize))
    const asked = Number(c.req.query('page') ?? 1)
    const number = Number.isInteger(asked) ? Math.min(Math.max(asked, 1), pages) : 1
    const turn = (to: number) => withQuery(place, { q: query || undefined, page: to === 1 ? undefined : String(to) })
    return page(
      core,
      c,
      { title: 'Shares' },
      <>
        <h1>Shares</h1>
        <Sections core={core} c={c} />
        <form class="row" method="get" action={place}>
          <label>
            Find an owner, a server, a user or a group
            <input name="q" type="search" value={query} autocomplete="off" />
          </label>
          <button type="submit">Find</button>
        </form>
        <p class="muted" role="status">
          {all.length === 0 ? 'Nothing is shared.' : `${all.length} share${all.length === 1 ? '' : 's'}`}
        </p>
        {all.length > 0 && (
          <table>
            <thead>
              <tr>
                <th scope="col">Server</th>
                <th scope="col">With</th>
                <th scope="col">They may</th>
                <th scope="col">Since</th>
                <th scope="col">Expires</th>
                <td />
              </tr>
            </thead>
            <tbody>
              {all.slice((number - 1) * pageSize, number * pageSize).map(({ kind, item }) => {
                const { owner, server, record } = item
                const may = caller.allows('shares', { user: owner.name, server })
                return (
                  <tr>
                    <th scope="row">
                      <a href={placeOf(core, { ref: { user: owner.name, name: server } })}>
                        {owner.name}
                        {server && ` / ${server}`}
                      </a>
                    </th>
                    <td data-label="With">
                      {kind === 'share' ? (
                        <With core={core} share={item} />
                      ) : (
                        <span class="muted">{`Link ${item.record.id}, accepted: ${timesOf(item).toLowerCase()}`}</span>
                      )}
                    </td>
                    <td data-label="They may">{spokenScopes(record.scopes)}</td>
                    <td data-label="Since">
                      <Ago at={record.created} />
                    </td>
                    <td data-label="Expires">{kind === 'link' ? <Ago at={item.record.expires} /> : 'Never'}</td>
                    <td>
                      {may && kind === 'share' && <Unshare core={core} share={item} xsrf={xsrf} next={turn(number)} />}
                      {may && kind === 'link' && <RevokeLink core={core} code={item} xsrf={xsrf} next={turn(number)} />}
                    </td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        )}
        {pages > 1 && (
          <nav class="row" aria-label="Pages of the list">
            {number > 1 && <a href={turn(number - 1)}>Previous</a>}
            <span>
              Page {number} of {pages}
            </span>
            {number < pages && <a href={turn(number + 1)}>Next</a>}
          </nav>
        )}
      </>,
    )
  }

/** Every share and every link that the caller may see, with the names to find it by. */
function everything({ users, shares }: Core, caller: Caller) {
  const rows = [...users.all()].flatMap(owner => [
    ...shares.of(owner).map(item => ({ kind: 'share' as const, item, names: [shares.nameOf(item.record.grantee) ?? ''] })),
    ...shares.codes(owner).map(item => ({ kind: 'link' as const, item, names: [] as string[] })),
  ])
  return rows
    .filter(({ item: { owner, server } }) => caller.allows('read:shares', { user: owner.name, server }))
    .map(row => ({ ...row, names: [...row.names, row.item.owner.name, row.item.server].map(name => name.toLowerCase()) }))
}
