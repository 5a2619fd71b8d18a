import { randomBytes } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { routePath } from 'hono/route'
import { limitBody } from '../body-limit.ts'
import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import type { UserRecord } from '../store/records.ts'
import { jupyterhubVersion } from '../version.ts'
import { origin, sent, withQuery } from './address.ts'
import type { PageContext, WebEnv } from './environment.ts'

/** Around every response: the headers that all of them carry, a nonce for the page, an id for the log, the request's time. */
export const headers = (core: Core): MiddlewareHandler<WebEnv> =>
  async function headers(c, next) {
    const began = performance.now()
    c.set('nonce', randomBytes(18).toString('base64'))
    c.set('requestId', randomBytes(6).toString('hex'))
    c.set('log', core.log)
    await core.audit.during(origin(c), next)
    const labels = { method: c.req.method, handler: routePath(c), code: String(c.res.status) }
    core.metrics.request.observe(labels, (performance.now() - began) / 1000)
    const common = {
      'Content-Security-Policy': policy(core, c.get('nonce')),
      'Cache-Control': 'no-store',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
      'Referrer-Policy': 'same-origin',
      'X-Content-Type-Options': 'nosniff',
      'X-JupyterHub-Version': jupyterhubVersion,
      'X-Request-Id': c.get('requestId'),
    }
    for (const [name, value] of Object.entries(common)) if (!c.res.headers.has(name)) c.res.headers.set(name, value)
    for (const [name, value] of Object.entries(core.settings.headers)) c.res.headers.set(name, value)
  }

/** What a hub page may load and do. `formTarget`: another origin that its form ends at after a redirect. */
export function policy(core: Core, nonce: string, formTarget = ''): string {
  return [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}' 'strict-dynamic'`,
    `style-src 'self' 'nonce-${nonce}'`,
    `img-src 'self' data:`,
    `font-src 'self'`,
    `connect-src 'self'`,
    `form-action 'self'${formTarget && ` ${formTarget}`}`,
    `base-uri 'none'`,
    `object-src 'none'`,
    `frame-ancestors 'none'`,
    `report-uri ${core.base}hub/security/csp-report`,
  ].join('; ')
}

/** Before everything: what no page takes. HEAD and prefetches run the same code as GET, so they must not come near it. */
export const refuse = (core: Core): MiddlewareHandler<WebEnv> => {
  const harmless = ['health', 'logo', 'static/'].map(path => `${core.base}hub/${path}`)
  return async function refuse(c, next) {
    if (c.req.header('content-encoding')) throw new HTTPException(415, { message: 'Send the request without Content-Encoding.' })
    const safe = harmless.some(path => c.req.path === path || (path.endsWith('/') && c.req.path.startsWith(path)))
    if (c.req.method === 'HEAD' && !safe) return c.body(null, 405, { Allow: 'GET' })
    if (/prefetch|preview|prerender/i.test(c.req.header('sec-purpose') ?? c.req.header('purpose') ?? '') && !safe)
      throw new HTTPException(503, { message: 'This page is not made in advance.' })
    await next()
  }
}

/** Only for a browser that goes to a page: a script, also one from a notebook on this origin, does not get to read it. */
export const navigated: MiddlewareHandler<WebEnv> = async function navigated(c, next) {
  const mode = c.req.header('sec-fetch-mode')
  if (mode !== undefined && mode !== 'navigate') throw new HubError('denied', 'This page can only be opened by a browser.')
  await next()
}

/** Only for who is signed in; others go to the sign-in page first. Notes that the user is active. */
export const signedIn = (core: Core): MiddlewareHandler<WebEnv> =>
  async function signedIn(c, next) {
    const visitor = await whoIs(core, c)
    if (!visitor) return toLogin(core, c)
    core.users.active(visitor.id, new Date())
    greet(core, c, visitor)
    await next()
  }

/** Who is signed in, if their authenticator still knows them and the request does not name somebody else. */
export async function whoIs(core: Core, c: PageContext): Promise<UserRecord | undefined> {
  const found = core.sessions.find(c)
  if (found && (await core.logins.contradicts(c, found.owner, found.record.authenticator))) {
    await core.sessions.close(c)
    return undefined
  }
  const valid = found && (await core.logins.refresh(found.owner, found.record.authenticator))
  return valid ? core.users.byId(found.owner.id) : undefined
}

/** From here on the page knows its visitor, and what they may do. */
export function greet(core: Core, c: PageContext, visitor: UserRecord): void {
  c.set('visitor', visitor)
  const caller = core.tokens.caller(visitor)
  core.audit.by(caller)
  c.set('caller', caller)
}

/** To the sign-in page and back here after it. Only for a GET: there is nothing to come back to otherwise. */
export function toLogin(core: Core, c: PageContext): Response {
  if (c.req.method !== 'GET') throw new HubError('denied', 'You are not signed in. Sign in and try again.')
  return c.redirect(withQuery(`${core.base}hub/login`, { next: sent(c).uri }))
}

/**
 * Only a form of one of our pages: reads it and checks its `_xsrf`. When that is not good nothing is done, and `shown`, the page that
 * the form is on, comes once more with what was typed, for its visitor to look at and send again.
 */
export const form = (core: Core, shown?: (c: PageContext) => Response | Promise<Response>): MiddlewareHandler<WebEnv> =>
  async function form(c, next) {
    const fields = await readForm(64, c)
    if (core.xsrf.valid(c, fields.get('_xsrf') ?? undefined)) {
      c.set('fields', fields)
      return next()
    }
    const refused = (cause?: unknown) => {
      const message = 'This form is too old, or did not come from this site. Go back, reload the page and try again.'
      return new HubError('denied', message, { cause })
    }
    // A page elsewhere must not choose what stands in a form of ours.
    if (!shown || c.req.header('sec-fetch-site') === 'cross-site') throw refused()
    c.set('again', fields)
    const show = async () => shown(c)
    const page = await show().catch(error => {
      c.set('again', undefined)
      // There is no such page, or not for them.
      throw isHubError(error) ? refused(error) : error
    })
    return page.status === 200 ? new Response(page.body, { status: 403, headers: page.headers }) : page
  }

/** A form of at most so many KiB. Files in it are left out; a body that is no form has no fields. */
export async function readForm(kib: number, c: PageContext): Promise<URLSearchParams> {
  const tooLarge = () => {
    throw new HTTPException(413, { message: 'The form that was sent is too large.' })
  }
  await limitBody(kib * 1024, tooLarge)(c, async () => {})
  const unreadable = (cause: unknown) => {
    throw new HubError('invalid', 'The form that was sent cannot be read.', { cause })
  }
  const type = c.req.header('content-type') ?? ''
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) return new URLSearchParams(await c.req.text().catch(unreadable))
  const fields = new URLSearchParams()
  if (!/^multipart\/form-data\b/i.test(type)) return fields
  const data = await c.req.formData().catch(unreadable)
  for (const [name, value] of data) if (typeof value === 'string') fields.append(name, value)
  return fields
}

/**
 * Before a plugin's pages, which bring their own forms and scripts: notes who is signed in, if anybody, and checks `_xsrf`
 * where it is due: for everything that changes something, and for what a script reads in the visitor's name.
 */
export const checked = (core: Core): MiddlewareHandler<WebEnv> =>
  async function checked(c, next) {
    const visitor = await whoIs(core, c)
    if (visitor) greet(core, c, visitor)
    const reads = ['GET', 'OPTIONS'].includes(c.req.method)
    if ((reads ? visitor && core.xsrf.needed(c, 'api') : true) && !core.xsrf.valid(c)) return form(core)(c, next)
    await next()
  }
