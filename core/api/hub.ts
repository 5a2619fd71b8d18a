import type { Plugin } from '../plugin.ts'
import { hubVersion, jupyterhubVersion as version } from '../version.ts'
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
      // What the hub runs on: clients show these two, and there is no Python here.
      python: `Node.js ${process.versions.node}`,
      sys_executable: process.execPath,
      spawner: classOf([settings.spawner]),
      authenticator: classOf(settings.authenticators),
    }),
}

const classOf = (plugins: readonly Plugin[]) => ({
  class: plugins.map(({ name }) => name).join(', '),
  version: plugins.map(plugin => plugin.version ?? hubVersion).join(', '),
})

export const readMetrics: Endpoint = {
  access: ['read:metrics'],
  run: async ({ metrics: { register } }, c) => c.body(await register.metrics(), 200, { 'Content-Type': register.contentType }),
}
