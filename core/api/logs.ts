import { stream } from 'hono/streaming'
import { z } from 'zod'
import { checkShape } from '../config/options.ts'
import { HubError } from '../errors.ts'
import type { Endpoint } from './endpoint.ts'
import { namedServer } from './servers.ts'

/**
 * Swarmhub's own: the last lines of a server's log as plain text, and with `?follow` those that come, until it is gone. For who may use the
 * server: to them, and to nobody else, all that its programs do is open anyway.
 */
export const readLog: Endpoint = {
  access: ['access:servers'],
  query: z.object({ follow: z.enum(['', 'true', 'false', '1', '0']).optional() }),
  run(core, c) {
    const server = namedServer(core, c)
    const checked = checkShape(readLog.query!, c.req.query())
    if (!('data' in checked))
      throw new HubError('invalid', 'The query of the request: follow: expected nothing, or true or false.')
    const follow = ['', 'true', '1'].includes(String(checked.data.follow))
    c.header('Content-Type', 'text/plain; charset=utf-8')
    // For an nginx before the hub: it would keep the lines back otherwise.
    c.header('X-Accel-Buffering', 'no')
    const gone = new AbortController()
    const lines = core.servers.logs(server, { follow }, gone.signal)
    return stream(c, async out => {
      out.onAbort(() => gone.abort())
      for await (const line of lines) await out.write(`${line}\n`)
    })
  },
}
