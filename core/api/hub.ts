import { jupyterhubVersion as version } from '../version.ts'
import type { Endpoint } from './endpoint.ts'

/** The first that a notebook asks of the hub, and what any page may ask (contract 3.1). */
export const readVersion: Endpoint = {
  access: 'everybody',
  run: (_core, c) => c.json({ version }, 200, { 'Access-Control-Allow-Origin': '*' }),
}

export const readHealth: Endpoint = { access: 'everybody', run: (_core, c) => c.body(null) }

export const readInfo: Endpoint = {
  access: ['read:hub'],
  run: ({ settings }, c) =>
    c.json({
      version,
      // JupyterHub's clients expect these two; there is no Python here.
      python: '',
      sys_executable: '',
      spawner: { class: settings.spawner.name, version: 'unknown' },
      authenticator: { class: settings.authenticators.map(({ name }) => name).join(', '), version: 'unknown' },
    }),
}

export const readMetrics: Endpoint = {
  access: ['read:metrics'],
  run: async ({ metrics: { register } }, c) => c.body(await register.metrics(), 200, { 'Content-Type': register.contentType }),
}
