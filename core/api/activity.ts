import { z } from 'zod'
import { HubError } from '../errors.ts'
import { withBody } from './endpoint.ts'
import { namedUser } from './users.ts'

/** Clocks differ; what is further ahead than this is a mistake. */
const tolerance = 59 * 60_000

const moment = z.string().max(64).nullable()

/** Notebooks tell every five minutes when they were last used. Only ever moves forward. */
export const noteActivity = withBody(
  ['users:activity'],
  z.object({
    last_activity: moment.optional(),
    servers: z.record(z.string(), z.object({ last_activity: moment })).optional(),
  }),
  (core, c, { last_activity, servers }) => {
    const user = namedUser(core, c)
    if (last_activity === undefined && servers === undefined) {
      throw new HubError('invalid', 'The body of the request has to tell last_activity, servers or both.')
    }
    const used = Object.entries(servers ?? {}).map(([name, told]) => ({ name, at: parse(told.last_activity) }))
    const unknown = used.find(({ name }) => !core.servers.get(user, name))
    if (unknown) throw new HubError('invalid', `${user.name} has no server named "${unknown.name.slice(0, 255)}".`)
    const at = last_activity ? parse(last_activity) : undefined
    if (at) core.users.active(user.id, at, undefined, true)
    for (const server of used) core.users.active(user.id, server.at, server.name, true)
    return c.body(null, 200)
  },
)

/** ISO 8601; without a zone it is UTC. Date keeps milliseconds: that is never later than what was told. */
function parse(text: string | null): Date {
  const form = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?$/.exec(text ?? '')
  const at = form ? new Date(`${form[1]}T${form[2]}${form[3] ?? 'Z'}`) : undefined
  if (!at || Number.isNaN(at.getTime()))
    throw new HubError('invalid', 'last_activity has to be a time as in 2026-01-31T12:00:00.000Z.')
  if (at.getTime() > Date.now() + tolerance) throw new HubError('invalid', 'last_activity is in the future. Check the clock.')
  return at
}
