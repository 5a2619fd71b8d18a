import { randomBytes } from 'node:crypto'
import {
  type Context,
  labels,
  type ServerSpec,
  type Spawn,
  type Stop,
  serverName,
  serverPath,
  silent,
  slug,
  type User,
} from 'swarmhub'

/** What a plugin is called with. */
export const fakeContext = (signal: AbortSignal = AbortSignal.timeout(120_000)): Context => ({
  log: silent,
  signal,
  progress() {},
})

/** A user of this name, else one whom no other test has. */
export function somebody(name = `somebody-${randomBytes(4).toString('hex')}`): User {
  return { id: `id-${slug(name)}`, name, slug: slug(name), admin: false, groups: [], attributes: {} }
}

/** What the hub hands to a spawner, before anything says what to run. */
export function fakeSpec(hub: string, user: User = somebody(), server = ''): ServerSpec {
  const generation = randomBytes(8).toString('hex')
  const path = serverPath('/', user.name, server)
  const token = randomBytes(16).toString('hex')
  return {
    hub,
    user,
    server: { user: user.name, name: server },
    generation,
    name: serverName(user.slug, server),
    labels: labels(hub, user, server, generation),
    env: { JUPYTERHUB_USER: user.name, JUPYTERHUB_SERVICE_URL: `http://0.0.0.0:8888${path}`, JUPYTERHUB_SERVICE_PREFIX: path },
    secrets: { JUPYTERHUB_API_TOKEN: token, JPY_API_TOKEN: token },
    port: 8888,
    path,
    mounts: [],
    networks: [],
    configs: [],
    secretFiles: [],
  }
}

/** The subject of `before:spawn`, and what networks and mounts are asked with. */
export function fakeSpawn(hub: string, user: User = somebody(), server = ''): Spawn {
  const draft = fakeSpec(hub, user, server)
  return { user, server: draft.server, profile: { name: 'notebook', label: 'Notebook' }, choices: {}, draft }
}

/** The end of what was started so. */
export function stopOf({ user, server, draft }: Spawn): Stop {
  return { user, server, generation: draft.generation, reason: 'user' }
}
