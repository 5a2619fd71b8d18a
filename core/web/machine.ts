import { once } from 'node:events'
import { HTTPException } from 'hono/http-exception'
import type { Core } from '../core.ts'
import { messageOf } from '../errors.ts'
import type { Caller } from '../plugin.ts'
import { demand } from '../rights.ts'
import type { PageContext } from './environment.ts'
import { readForm, whoIs } from './guard.ts'
import { bearer } from './rights.ts'

/** `health`: the hub answers. With `?full`, for who may read about the hub: what each plugin says about itself. */
export const health = (core: Core) =>
  async function health(c: PageContext): Promise<Response> {
    if (c.req.query('full') === undefined) return c.body(null, 200)
    demand(await anyone(core, c), ['read:hub'])
    const asked = core.plugins.filter(plugin => plugin.health)
    const results = await Promise.all(
      asked.map(async plugin => {
        try {
          const signal = AbortSignal.timeout(5000)
          await Promise.race([plugin.health?.(signal), once(signal, 'abort').then(() => signal.throwIfAborted())])
          return [plugin.name, 'ok'] as const
        } catch (error) {
          return [plugin.name, messageOf(error)] as const
        }
      }),
    )
    const { engine } = core.servers
    const well = engine.ok && results.every(([, result]) => result === 'ok')
    return c.json({ engine: engine.ok ? 'ok' : engine.why, plugins: Object.fromEntries(results) }, well ? 200 : 503)
  }

/** `metrics`: for Prometheus, by token or signed in, if the config does not open it to everybody. */
export const metrics = (core: Core) =>
  async function metrics(c: PageContext): Promise<Response> {
    if (!core.settings.api.openMetrics) demand(await anyone(core, c), ['read:metrics'])
    return c.body(await core.metrics.register.metrics(), 200, { 'Content-Type': core.metrics.register.contentType })
  }

/** `security/csp-report`: what a browser refused to load. */
export const cspReport = (core: Core) =>
  async function cspReport(c: PageContext): Promise<Response> {
    if (!core.sessions.find(c)) throw new HTTPException(403, { message: 'You are not signed in.' })
    await readForm(16, c)
    core.log.debug('a browser refused something by the content security policy', { report: (await c.req.text()).slice(0, 1000) })
    return c.body(null, 200)
  }

/** By token or by cookie. A notebook's script sends the cookie along, so that it does not get to read the answer. */
async function anyone(core: Core, c: PageContext): Promise<Caller> {
  const byToken = await bearer(core, c)
  if (byToken) return byToken
  const visitor = await whoIs(core, c)
  if (!visitor || (core.xsrf.needed(c, 'api') && !core.xsrf.valid(c)))
    throw new HTTPException(403, { message: 'Missing or invalid credentials.' })
  return core.tokens.caller(visitor)
}
