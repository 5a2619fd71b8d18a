import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { ApiContext } from './endpoint.ts'

const mediaType = 'application/jupyterhub-pagination+json'

/**
 * One page of a list, as the request's `offset` and `limit` ask for it: with the way to the next one when `Accept` names
 * JupyterHub's type for that, else the plain list.
 */
export function paged<T>(core: Core, c: ApiContext, all: readonly T[], model: (item: T) => unknown): Response {
  const { pageSize, maxPageSize } = core.settings.api
  const accepted = (c.req.header('accept') ?? '').split(',').map(item => item.trim())
  const asked = accepted.includes(mediaType)
  const offset = whole(c, 'offset') ?? 0
  const limit = Math.min(Math.max(whole(c, 'limit') ?? (asked ? pageSize : maxPageSize), 1), maxPageSize)
  const items = all.slice(offset, offset + limit).map(model)
  if (!asked) return c.json(items)
  const after = offset + limit
  const next = after < all.length ? { offset: after, limit, url: pageAddress(core, c, after, limit) } : null
  return c.json({ items, _pagination: { offset, limit, total: all.length, next } })
}

function whole(c: ApiContext, name: string): number | undefined {
  const text = c.req.query(name)
  if (text === undefined) return undefined
  if (!/^-?\d{1,15}$/.test(text)) throw new HubError('invalid', `${name} has to be a whole number.`)
  return Math.abs(Number(text))
}

/** Under the host that the client itself has used: a notebook may reach the hub by another than a browser does. */
function pageAddress(core: Core, c: ApiContext, offset: number, limit: number): string {
  // Only its path and query: the host in it may be the sender's invention.
  const { pathname, search } = new URL(c.req.url)
  const host = c.req.header('host') ?? ''
  const forwarded = c.req.header('x-forwarded-proto')?.split(',')[0]?.trim()
  const origin = core.url?.host === host ? core.url.origin : `${forwarded === 'https' ? 'https' : 'http'}://${host}`
  const parameters = new URLSearchParams(search)
  parameters.set('offset', String(offset))
  parameters.set('limit', String(limit))
  return `${/^[\w.:[\]-]+$/.test(host) ? origin : ''}${pathname}?${parameters}`
}
