import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, escapeSegment, HubError, messageOf, type Plugin, type RouteApi } from 'swarmhub'
import { z } from 'zod'

/** Milliseconds for one try, and for all of them. */
const tryTime = 5000
const wholeTime = 30_000

const listed = z.record(z.string(), z.looseObject({ target: z.string(), last_activity: z.iso.datetime() }))

/**
 * The hub's half of a proxy that speaks configurable-http-proxy's REST API. While the API does not answer, or answers 5xx,
 * each call tries again for up to 30 s or until its signal aborts. `api` is asked at each call; undefined is an error.
 */
export function routeClient(
  api: () => RouteApi | undefined,
): Required<Pick<NonNullable<Plugin['proxy']>, 'add' | 'remove' | 'list' | 'endSession'>> {
  const agent = new Agent({ keepAlive: true })

  async function call(method: string, path: string, body: unknown, ctx: Context): Promise<{ status: number; body: string }> {
    const to = api()
    if (!to)
      throw new HubError('failed', 'The proxy has not been told where its route API is: connect() comes before any other call.')
    const start = performance.now()
    for (let pause = 50; ; pause = Math.min(pause * 2, 2000)) {
      const failure = await send(to, agent, method, path, body, ctx.signal).catch(error => error as Error)
      if (!(failure instanceof Error) && failure.status < 500) return failure
      ctx.signal.throwIfAborted()
      const why = failure instanceof Error ? messageOf(failure) : `status ${failure.status}`
      if (performance.now() - start + pause > wholeTime) {
        throw new HubError('unavailable', `The proxy's route API does not answer (${why}). Is the front running?`)
      }
      ctx.log.debug('the route API does not answer: trying again', { method, path, why })
      await sleep(pause * (0.5 + Math.random()), undefined, { signal: ctx.signal })
    }
  }

  async function expect(statuses: number[], method: string, path: string, body: unknown, ctx: Context) {
    const answer = await call(method, path, body, ctx)
    if (statuses.includes(answer.status)) return answer.body
    if (answer.status === 403)
      throw new HubError('failed', "The proxy's route API refuses the token. Front and hub must have the same one.")
    throw new HubError('failed', `The proxy's route API answered ${method} ${path} with ${answer.status}.`)
  }

  return {
    async add({ path, target, data }, ctx) {
      await expect([201], 'POST', apiPath(path), { ...data, target }, ctx)
    },
    async remove(path, ctx) {
      await expect([204, 404], 'DELETE', apiPath(path), undefined, ctx)
    },
    async endSession(id, ctx) {
      // configurable-http-proxy itself knows no sessions
      await expect([204, 404], 'DELETE', `/api/sessions/${encodeURIComponent(id)}`, undefined, ctx)
    },
    async list(ctx) {
      const body = await expect([200], 'GET', '/api/routes', undefined, ctx)
      return Object.entries(readRoutes(body)).map(([key, { target, last_activity, ...data }]) => ({
        path: `${key.split('/').map(escapeSegment).join('/').replace(/\/$/, '')}/`,
        target,
        data,
        active: new Date(last_activity),
      }))
    },
  }
}

/** A route's path in the API: percent-encoded as it is, without the slash at its end. */
const apiPath = (path: string) => `/api/routes${path.replace(/\/$/, '')}`

function readRoutes(body: string) {
  try {
    return listed.parse(JSON.parse(body))
  } catch (cause) {
    throw new HubError('failed', "What listens at the proxy's route API answers with something else than routes.", { cause })
  }
}

async function send({ at, token }: RouteApi, agent: Agent, method: string, path: string, body: unknown, signal: AbortSignal) {
  const content = body === undefined ? '' : JSON.stringify(body)
  const outgoing = request({
    ...('socket' in at ? { socketPath: at.socket } : at),
    agent,
    method,
    path,
    headers: {
      Authorization: `token ${token}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(content),
    },
    signal: AbortSignal.any([signal, AbortSignal.timeout(tryTime)]),
  })
  const answered = new Promise<{ status: number; body: string }>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', res => text(res).then(body => resolve({ status: res.statusCode!, body }), reject))
  })
  outgoing.end(content)
  return answered
}
