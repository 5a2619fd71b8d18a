import type { Core } from '../core.ts'
import type { UserRecord } from '../store/records.ts'
import { publicUrl } from './address.ts'
import type { PageContext } from './environment.ts'
import { page } from './layout.tsx'

/**
 * `logout`: ends the session and what was signed in through it, then the one at the provider, if it has such a page. Links to it are
 * everywhere, so it takes no token.
 */
export const signOut = (core: Core) =>
  async function signOut(c: PageContext): Promise<Response> {
    const method = core.sessions.find(c)?.record.authenticator
    const owner = await core.sessions.close(c)
    if (owner && core.settings.servers.stopOnSignOut) stopAll(core, owner)
    const on = owner && method && (await core.logins.leave(owner, method, publicUrl(core, c, 'login')))
    if (on) return c.redirect(on.href)
    const auto = core.settings.signIn.auto || core.logins.methods.every(({ kind }) => kind === 'request')
    if (!auto && core.settings.branding.announcements.logout === undefined) return c.redirect(`${core.base}hub/login`)
    // Who is signed in without being asked would be signed in again at once.
    return signedOut(core, c)
  }

/** In the background: nobody is kept waiting. What cannot be stopped now is said in the log. */
function stopAll(core: Core, owner: UserRecord): void {
  for (const { ref, state } of core.servers.of(owner)) {
    if (state === 'stopped' || state === 'stopping') continue
    core.servers
      .stop(owner, ref.name, 'signout')
      .catch(error => core.log.warn('a server could not be stopped', { user: owner.name, server: ref.name, error }))
  }
}

function signedOut(core: Core, c: PageContext) {
  return page(
    core,
    c,
    { title: 'Signed out', bare: true, announce: 'logout' },
    <section class="narrow panel login">
      <h1>You are signed out</h1>
      <p>
        <a class="button" href={`${core.base}hub/login`}>
          Sign in again
        </a>
      </p>
    </section>,
  )
}
