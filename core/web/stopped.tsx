import { setTimeout as pause } from 'node:timers/promises'
import { HTTPException } from 'hono/http-exception'
import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import { missing } from '../rights.ts'
import type { Server } from '../servers/server.ts'
import { sent, serverPage } from './address.ts'
import { serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { wantsJson } from './errors.tsx'
import { greet, toLogin, whoIs } from './guard.ts'
import { page } from './layout.tsx'
import { bearer } from './rights.ts'

/**
 * `user/NAME/…`: a request for a server came to the hub, so the server's route is not there. Notebooks' scripts end up here
 * as well as people, so both get an answer that they understand (contract 7.2). Takes a token too, and is no activity.
 */
export const stopped = (core: Core) =>
  async function stopped(c: PageContext): Promise<Response> {
    const caller = await whoever(core, c)
    if (!caller) return toLogin(core, c)

    const [user = '', first = ''] = segments(core, c)
    const owner = core.users.get(user)
    const server = owner && ((first && core.servers.get(owner, first)) || core.servers.get(owner, ''))
    const may = (scope: string) => caller.allows(scope, { user, server: server?.ref.name ?? '' })
    // For this very server: one of a user's servers may be shared, and not the others.
    if (!server || !may('access:servers')) throw missing()

    const at = { user, name: server.ref.name }
    const { uri } = sent(c)
    const start = serverPage(core, 'spawn', at)
    if (c.req.method === 'GET' && server.ready) return backToServer(core, c, server)
    if (c.req.method !== 'GET' || wantsJson(core, c)) {
      const where = core.url ? new URL(start, core.url).href : start
      const message = `JupyterHub server no longer running at ${server.path}. Restart the server at ${where}`
      return c.json({ message }, 424)
    }
    const follows = may('start:servers') || may('read:servers')
    if (follows && (server.pending !== null || server.failure))
      return c.redirect(serverPage(core, 'spawn-pending', at, { next: uri }), 303)

    const label = serverLabel(server, caller)
    const here = serverPage(core, 'spawn', at, { next: uri })
    const { startAfter } = core.settings.servers
    const seconds = Math.ceil((startAfter ?? 0) / 1000)
    // Nobody else's server starts because somebody has looked.
    const auto = startAfter !== undefined && may('start:servers') && caller.user?.id === server.owner.id
    return page(
      core,
      c,
      { title: `${label} is not running`, status: 424, ...(auto && { goOn: { seconds, to: here } }) },
      <section class="narrow panel">
        <h1>{label} is not running</h1>
        <p>
          {may('start:servers')
            ? 'Your files are safe. Start the server to come back to the page that you asked for.'
            : `${user} shares it with you. Ask them to start it, and then load this page again.`}
        </p>
        {auto && (
          <p>
            It starts by itself in <span data-countdown={seconds}>{seconds}</span> s.
          </p>
        )}
        <div class="actions">
          {may('start:servers') && (
            <a class="button primary" href={here} data-keep-hash data-after={auto ? seconds : undefined}>
              Start
            </a>
          )}
          <a class="button" href={`${core.base}hub/home`}>
            My servers
          </a>
        </div>
      </section>,
    )
  }

/** The route has come back in the meantime, or the browser does not get there: count, wait longer each time, then say so. */
async function backToServer(core: Core, c: PageContext, server: Server): Promise<Response> {
  const round = Number(c.req.query('redirects') ?? 0) || 0
  if (round >= core.settings.limits.redirects) {
    core.log.warn('requests for a running server come to the hub', { user: server.owner.name, server: server.ref.name })
    throw new HTTPException(500, {
      message: 'Redirect loop detected. Your server runs, but your browser does not reach it. Stop it, and start it again.',
    })
  }
  if (round > 0) {
    await pause(Math.min(2 ** round, 10) * 1000, undefined, { signal: core.closing })
    await core.servers.check(server)
  }
  const { path, query } = sent(c)
  const parameters = query.replace(/([?&])redirects=[^&]*&?/g, '$1').replace(/[?&]$/, '')
  const below = path.slice(`${core.base}hub/`.length)
  return c.redirect(`${core.base}${below}${parameters}${parameters ? '&' : '?'}redirects=${round + 1}`)
}

/** By token or by cookie; a cookie-authenticated change needs `_xsrf`. */
async function whoever(core: Core, c: PageContext): Promise<Caller | undefined> {
  const byToken = await bearer(core, c)
  if (byToken) return byToken
  const visitor = await whoIs(core, c)
  if (!visitor || (c.req.method !== 'GET' && !core.xsrf.valid(c))) return undefined
  greet(core, c, visitor)
  return c.get('caller')
}

/** What is behind `user/`, each decoded once. */
function segments(core: Core, c: PageContext): string[] {
  try {
    return sent(c).path.slice(`${core.base}hub/user/`.length).split('/').map(decodeURIComponent)
  } catch {
    // A broken percent-encoding names nobody.
    throw missing()
  }
}
