import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { usedHost, usedScheme } from '../web/address.ts'
import type { ApiContext } from './endpoint.ts'

const mediaType = 'application/jupyterhub-pagination+json'

/** Not of JupyterHub's: everything at once, one JSON text a line, sent as fast as the client reads. */
const streamType = 'application/x-ndjson'
/** Items that are made without a break for others. */
const atOnce = 200

/**
 * One page of a list, as the request's `offset` and `limit` ask for it: with the way to the next one when `Accept` names
 * JupyterHub's type for that, or `always`; else the plain list. Or all from `offset` on, when it names `application/x-ndjson`.
 */
export function paged<T>(core: Core, c: ApiContext, all: readonly T[], model: (item: T) => unknown, always = false): Response {
  if (!accepts(c, streamType)) return page(core, c, all, items => items.map(model), always)
  const offset = whole(c, 'offset') ?? 0
  return streamed(c, all.slice(offset, offset + (whole(c, 'limit') ?? all.length)), model)
}

/** A page as `paged` gives it, for what JupyterHub lists by name. */
export const pagedByKey = <T>(core: Core, c: ApiContext, all: readonly T[], model: (item: T) => [string, unknown]): Response =>
  page(core, c, all, items => Object.fromEntries(items.map(model)), false)

function page<T>(
  core: Core,
  c: ApiContext,
  all: readonly T[],
  models: (items: readonly T[]) => object,
  always: boolean,
): Response {
  const { pageSize, maxPageSize } = core.settings.api
  const asked = accepts(c, mediaType)
  const offset = whole(c, 'offset') ?? 0
  const limit = Math.min(Math.max(whole(c, 'limit') ?? (asked ? pageSize : maxPageSize), 1), maxPageSize)
  const items = models(all.slice(offset, offset + limit))
  if (!asked && !always) return c.json(items)
  const after = offset + limit
  const next = after < all.length ? { offset: after, limit, url: pageAddress(core, c, after, limit) } : null
  return c.json({ items, _pagination: { offset, limit, total: all.length, next } })
}

function streamed<T>(c: ApiContext, all: readonly T[], model: (item: T) => unknown): Response {
  const encoder = new TextEncoder()
  let at = 0
  const lines = new ReadableStream<Uint8Array>({
    pull(out) {
      const items = all.slice(at, at + atOnce)
      at += atOnce
      if (items.length > 0) out.enqueue(encoder.encode(items.map(item => `${JSON.stringify(model(item))}\n`).join('')))
      if (at >= all.length) out.close()
    },
  })
  return c.body(lines, 200, { 'Content-Type': streamType })
}

const accepts = (c: ApiContext, type: string) => (c.req.header('accept') ?? '').split(',').some(item => item.trim() === type)

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
  const host = usedHost(c)
  const origin = host === undefined ? '' : core.url?.host === host ? core.url.origin : `${usedScheme(c)}://${host}`
  const parameters = new URLSearchParams(search)
  parameters.set('offset', String(offset))
  parameters.set('limit', String(limit))
  return `${origin}${pathname}?${parameters}`
}
