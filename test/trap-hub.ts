import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { type Attacked, attackedHub, config, notebook } from './hostile.ts'
import type { Env } from './notebook-login.ts'
import { ask, until } from './roles/loopback.ts'

/*
 * The hub that the traps are set for: one for all tests of a file, each of which uses users of its own.
 */

/**
 * A notebook that, as jupyterhub-singleuser does, first asks the hub for its version and ends when it gets none; what it heard is
 * its variable BOOT. Then it waits until `release` lets it go, and only now listens.
 */
const gated = `(async () => {
  const { existsSync } = require('node:fs')
  const { env } = process
  const reply = await fetch(env.JUPYTERHUB_API_URL, { redirect: 'manual', signal: AbortSignal.timeout(5000) })
  if (reply.status !== 200) process.exit(1)
  env.BOOT = JSON.stringify([reply.status, reply.headers.get('x-jupyterhub-version'), await reply.json()])
  const gate = env.GATE + '/' + encodeURIComponent(env.JUPYTERHUB_USER + '/' + env.JUPYTERHUB_SERVER_NAME)
  while (!existsSync(gate)) await new Promise(resolve => setTimeout(resolve, 20))
  ${notebook}
})()`

/** A server that answers everything with one status. */
const answering = `
const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL)
require('node:http').createServer((_, res) => res.writeHead(Number(process.env.STATUS), { Location: '/x' }).end()).listen(Number(port), hostname)
`

const profiles = (gate: string) => {
  const node = (script: string) => JSON.stringify([process.execPath, '-e', script])
  const status = (code: number) =>
    `{ name: 'status-${code}', label: 'S', command: ${node(answering)}, env: { STATUS: '${code}' } }`
  return `profiles: [
    { name: 'plain', label: 'Plain' },
    { name: 'gated', label: 'Gated', command: ${node(gated)}, env: { GATE: ${JSON.stringify(gate)} } },
    ${[302, 403, 404, 500].map(status).join(', ')},
  ],`
}

export interface Trapped extends Omit<Attacked, 'run'> {
  /** Ask for a start, as the owner, and give the status of the answer. */
  start(name: string, server?: string, options?: object): Promise<number>
  /** Start a server and wait until it is ready: what it was given, and a token of its owner that may do all that they may. */
  run(name: string, server?: string, options?: object): Promise<{ env: Env; token: string; base: string }>
  /** Stop the default server, with whose right the token is, and wait until it has stopped. */
  stop(name: string, token: string): Promise<void>
  /** Let a server of the profile `gated` listen. */
  release(name: string, server?: string): Promise<void>
  /** The model of a user. */
  model(name: string): Promise<Model>
  /** The port that servers reach the hub at. */
  hubPort: number
}

// biome-ignore lint/suspicious/noExplicitAny: tests read it with what they expect in mind, and fail where it is not there
type Model = any

/** For all tests of a file: started before the first, ended after the last. `more` are further keys of its config. */
export function trapHub(more = ''): () => Trapped {
  let hub: Trapped
  const ends: (() => unknown)[] = []
  before(async () => {
    const gate = await mkdtemp(join(tmpdir(), 'gate-'))
    ends.push(() => rm(gate, { recursive: true }))
    const owner = { name: 'the hub of the traps', after: (end: () => unknown) => void ends.push(end) }
    const attacked = await attackedHub(owner, config(`${profiles(gate)} ${more}`, '500ms'))
    hub = trapped(attacked, gate)
  })
  after(async () => {
    for (const end of ends.reverse()) await end()
  })
  return () => hub
}

function trapped(hub: Attacked, gate: string): Trapped {
  const pathOf = (name: string, server: string) =>
    `/users/${encodeURIComponent(name)}/${server === '' ? 'server' : `servers/${encodeURIComponent(server)}`}`
  const model = async (name: string) =>
    (await hub.api(await hub.token(name), 'GET', `/users/${encodeURIComponent(name)}?include_stopped_servers=1`)).json
  const start: Trapped['start'] = async (name, server = '', options) =>
    (await hub.api(await hub.token(name), 'POST', pathOf(name, server), options)).status
  return {
    ...hub,
    hubPort: Number(/"address":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(hub.output())![1]),
    model,
    start,
    async run(name, server = '', options = { profile: 'plain' }) {
      const token = await hub.token(name)
      const status = await start(name, server, options)
      assert.ok(status === 201 || status === 202, `${status}`)
      await until(async () => (await model(name)).servers[server].ready)
      const base: string = (await model(name)).servers[server].url
      return { token, base, env: JSON.parse((await ask(hub.port, `${base}env`)).body) }
    },
    async stop(name, token) {
      const { status } = await hub.api(token, 'DELETE', pathOf(name, ''))
      assert.ok(status === 204 || status === 202, `${status}`)
      await until(async () => (await model(name)).servers['']?.stopped !== false)
    },
    release: (name, server = '') => writeFile(join(gate, encodeURIComponent(`${name}/${server}`)), ''),
  }
}
