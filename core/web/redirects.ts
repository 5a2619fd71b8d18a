import { HTTPException } from 'hono/http-exception'
import type { Core } from '../core.ts'
import { serverPath } from '../names.ts'
import type { UserRecord } from '../store/records.ts'
import { sent, serverPage } from './address.ts'
import type { PageContext } from './environment.ts'

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
  function userRedirect(c: PageContext): Response {
    const { name: user } = c.get('visitor') as UserRecord
    const { uri } = sent(c)
    const below = uri.slice(`${core.base}hub/user-redirect/`.length)
    return c.redirect(serverPage(core, 'spawn', { user, name: '' }, { next: `${serverPath(core.base, user, '')}${below}` }))
  }
