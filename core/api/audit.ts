import { z } from 'zod'
import { type AuditFilter, actions } from '../audit.ts'
import { checkShape } from '../config/options.ts'
import { HubError } from '../errors.ts'
import { auditScopes } from '../rights.ts'
import { withQuery } from '../web/address.ts'
import type { Endpoint } from './endpoint.ts'

const moment = z.iso.datetime({ offset: true }).max(64)

export const auditQuery = z.object({
  /** Who did it, or whom it was done to. */
  user: z.string().max(255).optional(),
  action: z.enum(actions).optional(),
  from: moment.optional(),
  until: moment.optional(),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
})

/** Swarmhub's own: the audit trail, the newest first. */
export const listAudit: Endpoint = {
  access: { all: auditScopes },
  query: auditQuery,
  async run(core, c) {
    const checked = checkShape(auditQuery, c.req.query())
    if (!('data' in checked)) {
      const [{ path, message }] = checked.issues
      throw new HubError('invalid', `The query of the request: ${path.join('.')}: ${message}.`)
    }
    const { offset, limit, ...rest } = checked.data
    // What happens meanwhile must not push lines from one page to the next.
    const until = rest.until ?? new Date().toISOString()
    const { entries, more } = await core.audit.read(filterOf({ ...rest, until }), offset, limit)
    const next = new URLSearchParams({ ...c.req.query(), until, offset: String(offset + limit), limit: String(limit) })
    return c.json({ items: entries, next: more ? withQuery(`${core.base}hub/api/audit`, Object.fromEntries(next)) : null })
  },
}

export const filterOf = ({ user, action, from, until }: Partial<z.output<typeof auditQuery>>): AuditFilter => ({
  ...(user !== undefined && { user }),
  ...(action && { action }),
  ...(from && { from: new Date(from) }),
  ...(until && { until: new Date(until) }),
})
