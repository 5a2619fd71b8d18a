import type { Core } from '../core.ts'
import { publicUrl } from './address.ts'
import type { PageContext } from './environment.ts'

/** `logout`: ends the session and what was signed in through it. Links to it are everywhere, so it takes no token. */
export const signOut = (core: Core) =>
  async function signOut(c: PageContext): Promise<Response> {
    const found = core.sessions.find(c)
    await core.sessions.close(c)
    const home = `${core.base}hub/login`
    const elsewhere = found && (await core.logins.signedOut(found.owner, found.record.authenticator, publicUrl(core, c, 'login')))
    return c.redirect(elsewhere?.href ?? home)
  }
