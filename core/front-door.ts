import { createHmac } from 'node:crypto'
import { isIP } from 'node:net'
import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { guardHeaders } from './guarded-headers.ts'
import { same } from './identity/secrets.ts'
import type { GuardedHeaders, RouteApi } from './plugin.ts'

const header = 'x-swarmhub-front'

/** In which the front tells the address of who has connected to it. */
export const peerHeader = 'x-swarmhub-peer'

/** What a request says of its client. */
const claims = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'x-scheme',
]

/**
 * Before every page and endpoint of the hub. What a request says of its client is believed from the front alone: notebooks
 * reach the hub as well, and could say anything. `front` is undefined where something else is the proxy: nobody can be told
 * from it then. `local`: a hub for this machine alone does not answer under a name for which a page elsewhere could have
 * made up this machine's address. `guarded`: headers by which people are signed in; without the front's word of where they
 * come from they are nobody's.
 */
export function frontDoor({
  front,
  local,
  guarded = [],
}: {
  front: RouteApi | undefined
  local: boolean
  guarded?: readonly GuardedHeaders[]
}): MiddlewareHandler {
  const proof = front && proofBy(front)
  const guard = guardHeaders(guarded)
  return async function frontDoor(c, next) {
    const { headers } = c.req.raw
    const shown = headers.get(header)
    // Most bring none of them, and a set of headers that is changed has to be made first.
    const drop = (name: string) => headers.has(name) && headers.delete(name)
    const isFront = proof !== undefined && shown !== null && same(shown, proof)
    if (proof && !isFront) claims.forEach(drop)
    if (guarded.length > 0) {
      const peer = isFront ? headers.get(peerHeader) : null
      guard.unbelieved([...headers.keys()], peer ?? undefined).forEach(drop)
    }
    drop(peerHeader)
    drop(header)
    if (local && isInDns(headers.get('host') ?? '')) {
      const message = 'This hub is for its own machine alone. To reach it by this name, set "url" in hub.config.ts.\n'
      throw new HTTPException(403, { message })
    }
    await next()
  }
}

/** What the front says with each request to its hub. Who has the secret of the route API can make it. */
export const frontProof = (api: RouteApi): Record<string, string> => ({ [header]: proofBy(api) })

const proofBy = ({ token }: RouteApi) => createHmac('sha256', token).update('swarmhub front').digest('base64url')

/** A name with a dot in it, and no address. */
function isInDns(host: string): boolean {
  const name = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '')
  return name.includes('.') && isIP(name) === 0 && !name.endsWith('.localhost')
}
