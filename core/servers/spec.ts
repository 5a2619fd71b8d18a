import { realpath } from 'node:fs/promises'
import { posix } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '../config/schema.ts'
import { HubError } from '../errors.ts'
import { labels, serverName, serverPath } from '../names.ts'
import type { Choices, Profile, ServerSpec, Spawn, User } from '../plugin.ts'
import { environment } from './environment.ts'

/** The first draft of a server: what the profile says and what JupyterHub's protocol needs. Networks, mounts and hooks come on top. */
export function draftOf(options: {
  hub: { id: string; base: string; url: URL | undefined; address: string }
  user: User
  server: string
  profile: Profile
  choices: Choices
  generation: string
  token: string
  servers: Pick<Settings['servers'], 'port' | 'debug' | 'userConfig' | 'oauthScopes'>
}): Spawn {
  const { hub, user, server, profile, choices, generation, token, servers } = options
  const { port } = servers
  const draft: ServerSpec = {
    hub: hub.id,
    user,
    server: { user: user.name, name: server },
    generation,
    name: serverName(user.slug, server),
    labels: labels(hub.id, user, server, generation),
    ...containerOf(profile),
    ...environment({ base: hub.base, url: hub.url, hub: hub.address, user, server, port, profile, token, servers }),
    port,
    path: serverPath(hub.base, user.name, server),
    mounts: [],
    networks: [],
    configs: [...(profile.configs ?? [])],
    secretFiles: [...(profile.secrets ?? [])],
  }
  return { user, server: draft.server, profile, choices, draft }
}

/** What a profile says of the container, copied: hooks may change it. */
function containerOf({
  name,
  label,
  description,
  groups,
  choices,
  env,
  mounts,
  networks,
  configs,
  secrets,
  defaultUrl,
  rootDir,
  ...container
}: Profile) {
  return structuredClone(container) as Omit<typeof container, 'command'> & { command?: string[] }
}

/**
 * The last look at a finished spec before it is sent: what every hook and mount contributed must be well-formed, and what
 * tells servers apart must be what the hub set. Throws `failed`, naming what is wrong.
 */
export function checkSpec(spec: ServerSpec, hub: { id: string }, binds: readonly string[]): void {
  const refuse = (what: string): never => {
    throw new HubError('failed', `The server cannot be started: ${what}. Please tell your administrator.`)
  }
  const own = labels(hub.id, spec.user, spec.server.name, spec.generation)
  for (const [key, value] of Object.entries(own)) if (spec.labels[key] !== value) refuse(`a plugin changed the label ${key}`)
  for (const [key, value] of [...Object.entries(spec.env), ...Object.entries(spec.secrets)]) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) refuse(`"${key.slice(0, 40)}" is no name for an environment variable`)
    if (typeof value !== 'string' || value.includes('\0')) refuse(`the environment variable ${key} is not a text`)
  }
  const targets = new Set<string>()
  for (const mount of spec.mounts) {
    const { target, source } = mount
    if (!target.startsWith('/') || /(^|\/)\.\.(\/|$)|\0/.test(target) || target === '/')
      refuse(`"${target}" is no place for a mount`)
    if (targets.has(target)) refuse(`two mounts have the target ${target}`)
    targets.add(target)
    // One without a name is Docker's to name, and to remove with the container.
    if (mount.type === 'volume' && source !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source))
      refuse(`the mount at ${target} has no valid volume name`)
    if (mount.type === 'bind' && (!source?.startsWith('/') || /(^|\/)\.\.(\/|$)|\0/.test(source)))
      refuse(`the mount at ${target} has no valid source`)
    if (mount.type === 'bind' && !binds.some(folder => `${posix.normalize(source!)}/`.startsWith(`${folder}/`)))
      refuse(
        `the mount at ${target} is a folder of the node, ${source}, and "limits.binds" in the config allows none that it is in`,
      )
  }
  for (const { name, target } of [...spec.configs, ...spec.secretFiles]) {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/.test(name)) refuse(`"${name.slice(0, 40)}" is no name of a config or a secret`)
    if (target !== undefined && (!target.startsWith('/') || /(^|\/)\.\.(\/|$)|\0/.test(target)))
      refuse(`"${target}" is no place for a file`)
  }
}

/**
 * No bind may leave the folders that are allowed by a symbolic link. Only what is on this machine can be looked at: a folder that is not
 * here is on the nodes alone. Throws `failed`; a folder that cannot be read within two seconds is refused.
 */
export async function checkBinds({ mounts }: Pick<ServerSpec, 'mounts'>, binds: readonly string[]): Promise<void> {
  const sources = mounts.flatMap(({ type, source }) => (type === 'bind' && source !== undefined ? [source] : []))
  if (sources.length === 0) return
  const roots = (await Promise.all(binds.map(realFolder))).filter(folder => folder !== undefined)
  for (const source of sources) {
    const real = await realFolder(source)
    if (real === undefined || roots.some(root => `${real}/`.startsWith(`${root}/`))) continue
    const what = `the folder ${source} leads to ${real}, which is in none of those that "limits.binds" in the config allows`
    throw new HubError('failed', `The server cannot be started: ${what}. Please tell your administrator.`)
  }
}

/** Without symbolic links; undefined when it is not on this machine. */
async function realFolder(path: string): Promise<string | undefined> {
  const late = sleep(2000, undefined, { ref: false }).then(() => {
    throw new HubError('failed', `The folder ${path} could not be looked at within 2 seconds. Please tell your administrator.`)
  })
  return Promise.race([realpath(path), late]).catch(error => {
    if (['ENOENT', 'ENOTDIR'].includes(error.code)) return undefined
    throw error
  })
}
