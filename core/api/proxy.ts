import { z } from 'zod'
import { HubError } from '../errors.ts'
import { type Endpoint, withBody } from './endpoint.ts'
import { stamp } from './models.ts'
import { pagedByKey } from './paging.ts'

/** The hub's routes as the proxy has them, by path. */
export const listRoutes: Endpoint = {
  access: ['proxy'],
  async run(core, c) {
    const routes = (await core.routes.list()).sort((a, b) => (a.path < b.path ? -1 : 1))
    return pagedByKey(core, c, routes, ({ path, target, data, active }) => [
      path,
      { routespec: path, target, data: { ...data, last_activity: stamp(active.toISOString()) } },
    ])
  },
}

/** Set the table right now, not only at the next of the regular times. */
export const checkRoutes: Endpoint = {
  access: ['proxy'],
  async run(core, c) {
    await core.servers.repairRoutes()
    return c.body(null, 200)
  },
}

/**
 * JupyterHub is told here of a proxy that was started anew elsewhere. A front of ours keeps its address and its routes, and what
 * a hub believes of its clients depends on the secret that it has shared with the front since its start.
 */
export const changeProxy = withBody(
  ['proxy'],
  z.strictObject({
    ip: z.string().max(255).optional(),
    port: z.union([z.int(), z.string().max(5)]).optional(),
    protocol: z.string().max(5).optional(),
    api_url: z.string().max(2048).optional(),
    auth_token: z.string().max(1024).optional(),
  }),
  () => {
    throw new HubError(
      'invalid',
      'Nothing was changed: a hub learns at its start where its front is. A front that was started anew needs no word of it; for one at ' +
        'another address, or with another token, start the hub with its --front and SWARMHUB_ROUTE_TOKEN.',
    )
  },
)
