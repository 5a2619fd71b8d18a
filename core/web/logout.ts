import type { Core } from '../core.ts'
import { publicUrl } from './address.ts'
import type { PageContext } from './environment.ts'

/**
 * `logout`: ends the session and what was signed in through it, then the one at the provider, if it has such a page. Links to it are
 * everywhere, so it takes no token.
 */
export const signOut = (core: Core) =>
  async function signOut(c: PageContext): Promise<Response> {
    const found = core.sessions.find(c)
    await core.sessions.close(c)
    const on = found && (await core.logins.leave(found.owner, found.record.authenticator, publicUrl(core, c, 'login')))
    return c.redirect(on?.href ?? `${core.base}hub/login`)
  }
