import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { routePath } from 'hono/route'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { limitBody } from '../body-limit.ts'
import type { Core } from '../core.ts'
import { HubError, isHubError } from '../errors.ts'
import { demand } from '../rights.ts'
import { jupyterhubVersion } from '../version.ts'
import { origin } from '../web/address.ts'
import { noteActivity } from './activity.ts'
import { listAudit } from './audit.ts'
import { identify } from './credentials.ts'
import type { ApiContext, Endpoint, RequestEnv } from './endpoint.ts'
import { addGroup, addGroups, addMembers, listGroups, readGroup, removeGroup, removeMembers, setProperties } from './groups.ts'
import { readHealth, readInfo, readMetrics, readVersion } from './hub.ts'
import { readLog } from './logs.ts'
import { exchangeCode } from './oauth.ts'
import { openApi, type Routes } from './openapi.ts'
import { followStart } from './progress.ts'
import { changeProxy, checkRoutes, listRoutes } from './proxy.ts'
import { addServer, changeServer, readServer, startServer, stopServer } from './servers.ts'
import { addService, listServices, readService, removeService } from './services.ts'
import {
  addCode,
  addShare,
  leaveGroupShared,
  leaveShared,
  listCodes,
  listGroupShared,
  listServerCodes,
  listServerShares,
  listShared,
  listShares,
  narrowShare,
  readGroupShared,
  readShared,
  removeCodes,
  removeShares,
} from './shares.ts'
import { shutDown } from './shutdown.ts'
import { addToken, introspect, listTokens, noMore, readToken, removeToken } from './tokens.ts'
import { addUser, addUsers, adminAccess, changeUser, listUsers, readSelf, readUser, removeUser } from './users.ts'

const serverShares = { GET: listServerShares, POST: addShare, PATCH: narrowShare, DELETE: removeShares }
const serverCodes = { GET: listServerCodes, POST: addCode, DELETE: removeCodes }
const oneShared = { GET: readShared, DELETE: leaveShared }
const oneGroupShared = { GET: readGroupShared, DELETE: leaveGroupShared }
const oneServer = { GET: readServer, POST: startServer, DELETE: stopServer }

/** The REST API: every path, and what its methods do. All under `hub/api`. */
export const routes: Routes = {
  '': { GET: readVersion },
  '/info': { GET: readInfo },
  '/health': { GET: readHealth, HEAD: readHealth },
  '/metrics': { GET: readMetrics },

  // Open, as JupyterHub's own is: it tells nothing of this hub but what it is.
  '/openapi.json': { GET: { access: 'everybody', run: ({ base }, c) => c.json(openApi(routes, base)) } },
  '/audit': { GET: listAudit },

  '/user': { GET: readSelf },
  '/users': { GET: listUsers, POST: addUsers },
  '/users/:user': { GET: readUser, POST: addUser, PATCH: changeUser, DELETE: removeUser },
  '/users/:user/activity': { POST: noteActivity },
  '/users/:user/admin-access': { POST: adminAccess },
  '/users/:user/tokens': { GET: listTokens, POST: addToken },
  '/users/:user/tokens/:token': { GET: readToken, DELETE: removeToken },

  '/users/:user/server': oneServer,
  '/users/:user/server/progress': { GET: followStart },
  '/users/:user/server/logs': { GET: readLog },
  // Without a name it is the default server.
  '/users/:user/servers/': { ...oneServer, PUT: addServer },
  '/users/:user/servers/:server': { ...oneServer, PUT: addServer, PATCH: changeServer },
  '/users/:user/servers/:server/progress': { GET: followStart },
  '/users/:user/servers/:server/logs': { GET: readLog },

  '/groups': { GET: listGroups, POST: addGroups },
  '/groups/:group': { GET: readGroup, POST: addGroup, DELETE: removeGroup },
  '/groups/:group/users': { POST: addMembers, DELETE: removeMembers },
  '/groups/:group/properties': { PUT: setProperties },

  '/services': { GET: listServices },
  '/services/:service': { GET: readService, POST: addService, DELETE: removeService },

  '/proxy': { GET: listRoutes, POST: checkRoutes, PATCH: changeProxy },
  '/shutdown': { POST: shutDown },

  '/oauth2/token': { POST: exchangeCode },
  '/authorizations/token/:token': { GET: introspect, POST: noMore },

  // Here, too, the path of the default server ends with a slash.
  '/shares/:user': { GET: listShares },
  '/shares/:user/': serverShares,
  '/shares/:user/:server': serverShares,
  '/share-codes/:user': { GET: listCodes },
  '/share-codes/:user/': serverCodes,
  '/share-codes/:user/:server': serverCodes,
  '/users/:user/shared': { GET: listShared },
  '/users/:user/shared/:owner/': oneShared,
  '/users/:user/shared/:owner/:server': oneShared,
  '/groups/:group/shared': { GET: listGroupShared },
  '/groups/:group/shared/:owner/': oneGroupShared,
  '/groups/:group/shared/:owner/:server': oneGroupShared,
}

const largestBody = 2 ** 20

/** JupyterHub's REST API (contract 4), and the endpoints of plugins under `x/<name>`. To be mounted at `hub/api`. */
export function createApi(core: Core): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>()
  app.onError(answerError(core))
  app.use(dress(core), refuseEncoded, limitBody(largestBody, tooLarge))

  for (const [path, endpoints] of Object.entries(routes)) app.all(path, dispatch(core, path, new Map(Object.entries(endpoints))))

  for (const { name, api } of core.plugins) {
    if (!api) continue
    app.use(`/x/${name}/*`, async (c, next) => {
      if (c.req.method === 'HEAD') return answer(c, 405, 'This endpoint does not know HEAD.')
      await identify(core, c)
      c.set('log', core.log.with({ plugin: name, user: c.get('caller').name }))
      await next()
    })
    app.route(`/x/${name}`, api)
  }

  const root = dispatch(core, '', new Map(Object.entries({ GET: readVersion })))
  // Hono has no path for the slash behind a mounted app.
  app.all('*', async c => (c.req.path === `${core.base}hub/api/` ? root(c) : answer(c, 404, 'There is no such endpoint.')))
  return app
}

/** One path: what its methods answer, and whom. */
const dispatch = (core: Core, path: string, endpoints: ReadonlyMap<string, Endpoint>) =>
  async function dispatch(c: ApiContext): Promise<Response> {
    const methods = [...endpoints.keys(), 'OPTIONS'].join(', ')
    if (c.req.method === 'OPTIONS') return c.body(null, 200, { Allow: methods })
    const endpoint = endpoints.get(c.req.method)
    if (!endpoint) return answer(c, 405, `This endpoint knows ${methods}.`, { Allow: methods })
    await admit(core, c, path, endpoint.access)
    return endpoint.run(core, c)
  }

async function admit(core: Core, c: ApiContext, path: string, access: Endpoint['access']): Promise<void> {
  if (access === 'everybody') return
  await identify(core, c)
  if (access === 'callers') return
  const caller = c.get('caller')
  if ('all' in access) {
    for (const scope of access.all) demand(caller, [scope])
    return
  }
  if ('partly' in access) {
    if (!access.partly.some(scope => caller.holds(scope))) demand(caller, access.partly)
    return
  }
  const group = c.req.param('group')
  if (group !== undefined) return demand(caller, access, { group })
  const service = c.req.param('service')
  if (service !== undefined) return demand(caller, access, { service })
  const user = c.req.param('user')
  const server = ofServer.test(path) ? { server: c.req.param('server') ?? '' } : {}
  demand(caller, access, user === undefined ? undefined : { user, ...server })
}

/** Paths of one server. */
const ofServer = /^\/(users\/:user\/server|share(s|-codes)\/:user\/)/

/** What every answer carries, and how long it took. */
const dress = (core: Core) => {
  const common = Object.entries({
    'Access-Control-Allow-Headers': 'accept, content-type, authorization',
    'Cache-Control': 'no-store',
    // A notebook's page has our origin: it could open an answer in a window, and read it there.
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Content-Security-Policy': `frame-ancestors 'none'; report-uri ${core.base}hub/security/csp-report; default-src 'none'`,
    'X-Content-Type-Options': 'nosniff',
    'X-JupyterHub-Version': jupyterhubVersion,
  })
  const configured = Object.entries(core.settings.headers)
  return async function dress(c: ApiContext, next: () => Promise<void>): Promise<void> {
    const began = performance.now()
    c.set('log', core.log)
    await core.audit.during(origin(c), next)
    const labels = { method: c.req.method, handler: routePath(c), code: String(c.res.status) }
    core.metrics.request.observe(labels, (performance.now() - began) / 1000)
    const { headers } = c.res
    for (const [name, value] of common) if (!headers.has(name)) headers.set(name, value)
    for (const [name, value] of configured) headers.set(name, value)
  }
}

const refuseEncoded = (c: ApiContext, next: () => Promise<void>) =>
  c.req.header('content-encoding') ? Promise.resolve(answer(c, 415, 'Send the body without Content-Encoding.')) : next()

const tooLarge = () => {
  throw new HTTPException(413, { message: `A body has at most ${largestBody} bytes here.` })
}

const answer = (c: ApiContext, status: ContentfulStatusCode, message: string, headers: Record<string, string> = {}) =>
  c.json({ status, message }, status, headers)

/** Only sentences that are meant for people leave the house; the rest goes to the log. */
const answerError = (core: Core) =>
  function answerError(error: Error, c: ApiContext): Response {
    if (isHubError(error)) {
      const { status, message, retryAfter } = new HubError(error.code, error.message, { retryAfter: error.retryAfter })
      return answer(c, status, message, retryAfter === undefined ? {} : { 'Retry-After': String(Math.ceil(retryAfter)) })
    }
    if (error instanceof HTTPException) return answer(c, error.status as ContentfulStatusCode, error.message)
    // Who leaves in the middle of what they send is nobody's failure.
    if (!c.req.raw.signal.aborted) core.log.error('an endpoint failed', { method: c.req.method, path: c.req.path, error })
    return answer(c, 500, 'The hub could not do this. It is a fault of the hub, not of the request.')
  }
