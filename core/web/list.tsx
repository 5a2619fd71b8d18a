import { withQuery } from './address.ts'
import type { PageContext } from './environment.ts'

export const pageSize = 50

/** The part of a list that the page asked for shows. */
export function part<T>(c: PageContext, all: readonly T[]): { items: readonly T[]; number: number; pages: number } {
  const pages = Math.max(1, Math.ceil(all.length / pageSize))
  const asked = Number(c.req.query('page') ?? 1)
  const number = Number.isInteger(asked) ? Math.min(Math.max(asked, 1), pages) : 1
  return { items: all.slice((number - 1) * pageSize, number * pageSize), number, pages }
}

/** What is searched for: asked in the address, or carried along by a form. */
export const search = (c: PageContext) => asked(c, 'q').slice(0, 255)

/** One field of what a list is asked for. */
export const asked = (c: PageContext, name: string) =>
  (c.req.query(name) ?? (c.get('fields') ?? c.get('again'))?.get(name) ?? '').trim()

export const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

export function Search({ action, query, label }: { action: string; query: string; label: string }) {
  return (
    <form class="row" method="get" action={action}>
      <label>
        {label}
        <input name="q" type="search" value={query} autocomplete="off" />
      </label>
      <button type="submit">Find</button>
    </form>
  )
}

interface Turn {
  action: string
  /** What else the list is asked for. */
  query: Record<string, string | undefined>
  number: number
  pages: number
}

/** To the page before and to the next one; nothing for a list of one page. */
export function Turns({ action, query, number, pages }: Turn) {
  const turn = (to: number) => withQuery(action, { ...query, page: to === 1 ? undefined : String(to) })
  if (pages === 1) return null
  return (
    <nav class="row" aria-label="Pages of the list">
      {number > 1 && <a href={turn(number - 1)}>Previous</a>}
      <span>
        Page {number} of {pages}
      </span>
      {number < pages && <a href={turn(number + 1)}>Next</a>}
    </nav>
  )
}
