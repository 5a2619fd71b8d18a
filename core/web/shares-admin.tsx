import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import { demand } from '../rights.ts'
import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { Ago, page } from './layout.tsx'
import { counted, part, Search, search, Turns } from './list.tsx'
import { Sections } from './sections.tsx'
import { placeOf, RevokeLink, spokenScopes, timesOf, Unshare, With } from './share.tsx'

/** `admin/shares`: who shares which server with whom, as far as the visitor may see it; found by any name in it. */
export const showShares = (core: Core) =>
  function showShares(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin-ui'])
    const query = search(c)
    const xsrf = core.xsrf.token(c)
    const place = `${core.base}hub/admin/shares`
    const all = everything(core, caller).filter(({ names }) => names.some(name => name.includes(query.toLowerCase())))
    const { items, number, pages } = part(c, all)
    const here = withQuery(place, { q: query || undefined, page: number === 1 ? undefined : String(number) })
    return page(
      core,
      c,
      { title: 'Shares' },
      <>
        <h1>Shares</h1>
        <Sections core={core} c={c} />
        <Search action={place} query={query} label="Find an owner, a server, a user or a group" />
        <p class="muted" role="status">
          {all.length === 0 ? 'Nothing is shared.' : counted(all.length, 'share')}
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
              {items.map(({ kind, item }) => {
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
                      {may && kind === 'share' && <Unshare core={core} share={item} xsrf={xsrf} next={here} />}
                      {may && kind === 'link' && <RevokeLink core={core} code={item} xsrf={xsrf} next={here} />}
                    </td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        )}
        <Turns action={place} query={{ q: query || undefined }} number={number} pages={pages} />
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
