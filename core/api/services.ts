import { HTTPException } from 'hono/http-exception'
import { z } from 'zod'
import { checkServices, service as config } from '../config/service.ts'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { fingerprint } from '../identity/secrets.ts'
import { demandAdmin } from '../rights.ts'
import type { Service } from '../services/services.ts'
import { type ApiContext, type Endpoint, withBody } from './endpoint.ts'
import { serviceModel } from './models.ts'

/** By name, not a list: JupyterHub's clients expect it so. */
export const listServices: Endpoint = {
  access: { partly: ['list:services'] },
  run(core, c) {
    const caller = c.get('caller')
    const listed = [...core.services.all()].filter(({ name }) => caller.allows('list:services', { service: name }))
    return c.json(Object.fromEntries(listed.map(service => [service.name, serviceModel(core, caller, service)])))
  },
}

export const readService: Endpoint = {
  access: { partly: ['read:services', 'read:services:name', 'read:roles:services'] },
  run(core, c) {
    const service = core.services.get(c.req.param('service') ?? '')
    const model = service && serviceModel(core, c.get('caller'), service)
    if (!model) throw missing()
    return c.json(model)
  },
}

const { name, url, token, admin, info, display } = config.shape
const { clientId, redirectUri, allowedScopes, noConfirm } = config.shape.oauth.unwrap().shape

/** In JupyterHub's words, without those for services that the hub runs: a program is for the config to name. */
const spec = z.strictObject({
  name: name.optional(),
  url,
  api_token: token,
  admin,
  info,
  display,
  oauth_client_id: clientId,
  oauth_redirect_uri: redirectUri,
  oauth_client_allowed_scopes: allowedScopes,
  oauth_no_confirm: noConfirm,
})

/** One that runs elsewhere. It stays until it is deleted, also over restarts. */
export const addService = withBody(['admin:services'], spec, async (core, c, body) => {
  const { data: called } = name.safeParse(c.req.param('service'))
  if (called === undefined) throw new HubError('invalid', 'This cannot be the name of a service.')
  if (body.name !== undefined && body.name !== called) throw new HubError('invalid', 'The body has another name than the path.')
  if (core.services.get(called)) throw new HubError('conflict', `There is a service ${called} already.`)
  const caller = c.get('caller')
  // Such a service could act for its users without asking them.
  if (body.admin || body.oauth_no_confirm || body.oauth_client_allowed_scopes.length > 0) demandAdmin(caller)
  const { api_token: secret } = body
  const asked = (['oauth_client_id', 'oauth_redirect_uri', 'oauth_no_confirm'] as const).some(key => body[key])
  const oauth = asked || body.oauth_client_allowed_scopes.length > 0 ? oauthOf(body) : undefined
  const checked = { name: called, url: body.url, admin: body.admin, info: body.info, display: body.display }
  const [issue] = checkServices([config.parse({ ...checked, ...(oauth && { oauth }), token: secret })])
  if (issue) throw new HubError('invalid', `The service ${called}: ${[...issue.path.slice(2), issue.message].join(' ')}.`)
  if (secret !== undefined && core.tokens.find(secret)) throw new HubError('conflict', 'This token is in use already.')
  const added = await core.services.add({
    ...checked,
    url: body.url ?? null,
    created: new Date().toISOString(),
    hash: secret === undefined ? null : fingerprint(secret),
    oauth: oauth ? { ...oauth, clientId: oauth.clientId ?? null, redirectUri: oauth.redirectUri ?? null } : null,
  })
  core.log.info('service added', { service: called, url: body.url, by: caller.name })
  core.audit.record({
    action: 'service.create',
    target: { service: called },
    details: { url: body.url ?? null, admin: body.admin },
  })
  await setRoute(core, added)
  return c.json(serviceModel(core, caller, added), 201)
})

/** What was given to it in its users' names goes with it. */
export const removeService: Endpoint = {
  access: ['admin:services'],
  async run(core, c) {
    const service = namedService(core, c)
    if (service.fromConfig)
      throw new HTTPException(405, { message: `The service ${service.name} is in hub.config.ts: take it out there.` })
    const caller = c.get('caller')
    if (service.settings.admin) demandAdmin(caller)
    await core.services.remove(service.name)
    await core.tokens.revokeIssuedTo(service.clientId)
    core.log.info('service deleted', { service: service.name, by: caller.name })
    core.audit.record({ action: 'service.delete', target: { service: service.name } })
    await setRoute(core, service)
    return c.body(null, 200)
  },
}

const oauthOf = (body: z.output<typeof spec>) => ({
  clientId: body.oauth_client_id,
  redirectUri: body.oauth_redirect_uri,
  allowedScopes: body.oauth_client_allowed_scopes,
  noConfirm: body.oauth_no_confirm,
})

/** There while the service is. What cannot be told to the proxy now is told at the next regular look at its table. */
async function setRoute({ routes, services, log }: Core, { name, path }: Service): Promise<void> {
  if (path === '') return
  const route = services.routes.get(path)
  await (route ? routes.add(route) : routes.remove(path)).catch(error =>
    log.error('the route of a service could not be set; it is tried again', { service: name, error }),
  )
}

function namedService(core: Core, c: ApiContext): Service {
  const service = core.services.get(c.req.param('service') ?? '')
  if (!service) throw missing()
  return service
}

const missing = () => new HubError('missing', 'There is no such service, or you may not see it.')
