import type { Core } from '../core.ts'
import type { PageContext } from './environment.ts'

/** `logout`: ends the session and what was signed in through it. Links to it are everywhere, so it takes no token. */
export const signOut = (core: Core) =>
  async function signOut(c: PageContext): Promise<Response> {
    await core.sessions.close(c)
    return c.redirect(`${core.base}hub/login`)
  }
