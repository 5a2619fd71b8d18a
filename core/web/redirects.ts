import { HTTPException } from 'hono/http-exception'
import type { Core } from '../core.ts'
import { serverPath } from '../names.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost, sent, serverPage } from './address.ts'
import type { PageContext } from './environment.ts'
import { safeNext } from './next.ts'

/**
 * Anything outside `hub/` that comes to the hub: the same path below it. The sign-in cookie is only sent there, so this hop
 * is what makes a stopped server's pages and scripts find out.
 */
export const toHub = (core: Core) =>
  function toHub(c: PageContext): Response {
    const { path, query } = sent(c)
    if (c.req.method !== 'GET') throw new HTTPException(403, { message: 'Nothing here takes this request.' })
    if (path === `${core.base}hub`) return c.redirect(`${core.base}hub/${query}`, 301)
    const below = (path.startsWith(core.base) ? path.slice(core.base.length) : path).replace(/^\/+/, '')
    if (/^(user|services)\/[^/]+$/.test(below)) return c.redirect(`${core.base}${below}/${query}`, 301)
    return c.redirect(`${core.base}hub/${below}${query}`)
  }

/** `user-redirect/PATH`: a link that is the same for everybody, to this page of the visitor's own server. */
export const userRedirect = (core: Core) =>
  async function userRedirect(c: PageContext): Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    const { path, query } = sent(c)
    const below = path.slice(`${core.base}hub/user-redirect/`.length)
    const own = await core.settings.userRedirect?.({ path: below, query, user: core.users.view(visitor) })
    const elsewhere = safeNext(own, publicHost(core, c))
    if (own !== undefined && elsewhere === undefined)
      core.log.warn('userRedirect in hub.config.ts named what is no path on this host', { user: visitor.name })
    if (elsewhere !== undefined) return c.redirect(elsewhere)
    const server = { user: visitor.name, name: core.settings.servers.defaultName }
    const next = `${serverPath(core.base, server.user, server.name)}${below}${query}`
    return c.redirect(serverPage(core, 'spawn', server, { next }))
  }
