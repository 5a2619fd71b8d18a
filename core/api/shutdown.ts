import { z } from 'zod'
import { withBody } from './endpoint.ts'

/**
 * End the hub, as SIGTERM does: by itself, servers go on for the next one, and a front that is its parent ends too. `servers`
 * stops them first; left out, the config says whether. Without `proxy` the front goes on alone, and notebooks with it; `swarmhub restart` starts the next hub.
 */
export const shutDown = withBody(
  ['shutdown'],
  z.strictObject({ proxy: z.boolean().default(true), servers: z.boolean().optional() }).prefault({}),
  (core, c, { proxy, servers = core.settings.servers.stopOnExit }) => {
    const what = { proxy, servers }
    core.log.warn('the hub was asked to end', { ...what, by: c.get('caller').name })
    core.audit.record({ action: 'hub.shutdown', details: what })
    void core.end(what).catch(error => core.log.error('the hub could not be ended', { error }))
    return c.json({ message: 'Shutting down Hub' }, 202)
  },
)
