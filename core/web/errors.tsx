import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Core } from '../core.ts'
import { isHubError } from '../errors.ts'
import { missing } from '../rights.ts'
import { sent } from './address.ts'
import type { PageContext } from './environment.ts'
import { greet, whoIs } from './guard.ts'
import { page } from './layout.tsx'

/** Turns whatever was thrown into an answer. Only the sentences that are meant for people leave the house. */
export const showError = (core: Core) =>
  function showError(error: Error, c: PageContext): Response | Promise<Response> {
    const { status, message, retryAfter } = known(error)
    // Who leaves in the middle of what they send is nobody's failure.
    if (status >= 500 && !isHubError(error) && !c.req.raw.signal.aborted)
      core.log.error('a page failed', { request: c.get('requestId'), method: c.req.method, path: c.req.path, error })
    if (retryAfter !== undefined) c.header('Retry-After', String(Math.ceil(retryAfter)))
    if (wantsJson(core, c)) return c.json({ status, message }, status)
    return page(
      core,
      c,
      { title: titles[status] ?? 'Error', status },
      <Fault core={core} c={c} status={status} message={message} />,
    )
  }

/** Everything under `hub/` that is no page. Who is signed in still has the bar to go on with. */
export const unknownPage = (core: Core) =>
  async function unknownPage(c: PageContext): Promise<never> {
    const visitor = await whoIs(core, c)
    if (visitor) greet(core, c, visitor)
    throw missingPage()
  }

/** `hub/error/NNN`: what the proxy shows in place of a server. 200, for the proxy puts in the code. */
export const errorPage = (core: Core) =>
  function errorPage(c: PageContext): Response | Promise<Response> {
    const status = Number(c.req.param('code'))
    if (!Number.isInteger(status) || status < 400 || status > 599) throw missing()
    const message = sentences[status] ?? 'Something went wrong on the way to your server.'
    return page(core, c, { title: titles[status] ?? 'Error' }, <Fault core={core} c={c} status={status} message={message} />)
  }

/**
 * Is the answer for a program? It is when `Accept` prefers JSON to HTML, or when the path has a segment `api` below a
 * server's: notebooks' scripts do not always say what they take (contract 7.2).
 */
export function wantsJson(core: Core, c: PageContext): boolean {
  const weights = new Map(
    (c.req.header('accept') ?? '').split(',').map(item => {
      const [type = '', ...parameters] = item
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/)
      const q = parameters.find(parameter => parameter.startsWith('q='))
      return [type, q === undefined ? 1 : Number(q.slice(2)) || 0] as const
    }),
  )
  const [area, ...segments] = sent(c).path.replace(`${core.base}hub/`, '').split('/')
  return (weights.get('application/json') ?? 0) > (weights.get('text/html') ?? 0) || (area === 'user' && segments.includes('api'))
}

function Fault({ core, c, status, message }: { core: Core; c: PageContext; status: number; message: string }) {
  return (
    <section class="narrow panel">
      <p class="code">{status}</p>
      <h1>{titles[status] ?? 'Something went wrong'}</h1>
      <p>{message}</p>
      {status >= 500 && (
        <p class="muted">
          If it stays like this, tell your administrator the number of this request: <code>{c.get('requestId')}</code>
        </p>
      )}
      <p>
        <a class="button" href={`${core.base}hub/home`}>
          My servers
        </a>
      </p>
    </section>
  )
}

const titles: Record<number, string> = {
  400: 'That did not work',
  403: 'Not allowed',
  404: 'Nothing here',
  409: 'That is taken',
  413: 'Too large',
  415: 'Not understood',
  424: 'The server is not running',
  429: 'Too much at once',
  500: 'Something went wrong',
  502: 'No answer from the server',
  503: 'Not available now',
  504: 'That took too long',
}

const sentences: Record<number, string> = {
  404: 'There is no page at this address.',
  500: 'The way to your server is broken.',
  502: 'Your server gave an answer that cannot be read. It may have just stopped.',
  503: 'Your server does not answer. It may still be starting, or it has stopped: look at its state.',
  504: 'Your server did not answer in time.',
}

const missingPage = () => new HTTPException(404, { message: 'There is no page at this address.' })

function known(error: Error): { status: ContentfulStatusCode; message: string; retryAfter?: number | undefined } {
  if (isHubError(error)) return error
  if (error instanceof HTTPException) return { status: error.status as ContentfulStatusCode, message: error.message }
  return { status: 500, message: 'This page could not be made. It is a fault of the hub, not yours.' }
}
