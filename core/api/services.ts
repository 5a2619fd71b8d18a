import { HubError } from '../errors.ts'
import type { Endpoint } from './endpoint.ts'
import { serviceModel } from './models.ts'

/** By name, not a list: JupyterHub's clients expect it so. */
export const listServices: Endpoint = {
  access: { partly: ['list:services'] },
  run(core, c) {
    const caller = c.get('caller')
    const listed = [...core.services.all()].filter(({ name }) => caller.allows('list:services', { service: name }))
    return c.json(Object.fromEntries(listed.map(service => [service.name, serviceModel(caller, service)])))
  },
}

export const readService: Endpoint = {
  access: { partly: ['read:services', 'read:services:name', 'read:roles:services'] },
  run(core, c) {
    const service = core.services.get(c.req.param('service') ?? '')
    const model = service && serviceModel(c.get('caller'), service)
    if (!model) throw new HubError('missing', 'There is no such service, or you may not see it.')
    return c.json(model)
  },
}
