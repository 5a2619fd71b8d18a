import { filterOf } from '../api/audit.ts'
import { type AuditEntry, actions } from '../audit.ts'
import type { Core } from '../core.ts'
import { auditScopes, demand } from '../rights.ts'
import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { page } from './layout.tsx'
import { Sections } from './sections.tsx'

const pageSize = 100

/** `admin/audit`: who did what to whom, the newest first; by user, action and time. */
export const showAudit = (core: Core) =>
  async function showAudit(c: PageContext): Promise<Response> {
    for (const scope of auditScopes) demand(c.get('caller'), [scope])
    const { user = '', action = '', from = '', until = '', before } = c.req.query()
    const asked = Number(c.req.query('page') ?? 1)
    const number = Number.isInteger(asked) && asked > 0 && asked <= 10_000 ? asked : 1
    // What happens meanwhile must not push lines from one page to the next.
    const end = utc(until) ?? utc(before ?? '') ?? new Date().toISOString()
    const filter = filterOf({
      user: user.trim().slice(0, 255) || undefined,
      action: actions.find(one => one === action),
      from: utc(from),
      until: end,
    })
    const { entries, more } = await core.audit.read(filter, (number - 1) * pageSize, pageSize)
    const place = `${core.base}hub/admin/audit`
    const turn = (to: number) =>
      withQuery(place, {
        ...Object.fromEntries(Object.entries({ user, action, from, until }).filter(([, value]) => value !== '')),
        ...(to > 1 && { before: end, page: String(to) }),
      })
    return page(
      core,
      c,
      { title: 'Audit trail' },
      <>
        <h1>Audit trail</h1>
        <Sections core={core} c={c} />
        <form class="row" method="get" action={place}>
          <label>
            User
            <input name="user" type="search" value={user} autocomplete="off" autocapitalize="none" spellcheck={false} />
          </label>
          <label>
            Action
            <select name="action">
              <option value="">All</option>
              {actions.map(one => (
                <option value={one} selected={one === action}>
                  {one}
                </option>
              ))}
            </select>
          </label>
          <label>
            From (UTC)
            <input name="from" type="datetime-local" value={from} />
          </label>
          <label>
            Until (UTC)
            <input name="until" type="datetime-local" value={until} />
          </label>
          <button type="submit">Find</button>
        </form>
        {entries.length === 0 ? (
          <p class="muted" role="status">
            Nothing found.
          </p>
        ) : (
          <table>
            <thead>
              <tr>
                <th scope="col">Time (UTC)</th>
                <th scope="col">Who</th>
                <th scope="col">Action</th>
                <th scope="col">What it was done to</th>
                <th scope="col">Details</th>
              </tr>
            </thead>
            <tbody>
              {entries.map(entry => (
                <Line entry={entry} />
              ))}
            </tbody>
          </table>
        )}
        {(number > 1 || more) && (
          <nav class="row" aria-label="Pages of the trail">
            {number > 1 && <a href={turn(number - 1)}>Newer</a>}
            <span>Page {number}</span>
            {more && <a href={turn(number + 1)}>Older</a>}
          </nav>
        )}
      </>,
    )
  }

function Line({ entry: { time, actor, address, action, target, result, details } }: { entry: AuditEntry }) {
  const pairs = (from: object) =>
    Object.entries(from).flatMap(([key, value]) => (value === null ? [] : `${key} ${value === '' ? '(default)' : value}`))
  return (
    <tr>
      <th scope="row">
        <time datetime={time}>{time.slice(0, 19).replace('T', ' ')}</time>
      </th>
      <td data-label="Who">
        <div>
          {actor ? actor.name : <span class="muted">{address === null ? 'the hub itself' : 'nobody signed in'}</span>}
          {actor && actor.kind !== 'user' && <span class="muted"> ({actor.kind})</span>}
          {address !== null && <span class="muted block">{address}</span>}
        </div>
      </td>
      <td data-label="Action">
        {action} {result !== 'success' && <span class="badge">{result}</span>}
      </td>
      <td data-label="What it was done to">{pairs(target).join(', ')}</td>
      <td data-label="Details">{pairs(details).join(', ')}</td>
    </tr>
  )
}

/** What a browser's field for a time holds, or a moment as we write it; undefined for what is none. */
function utc(text: string): string | undefined {
  const at = new Date(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`)
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}
