import { join } from 'node:path'
import type { ZodType } from 'zod'
import type { Core } from './core.ts'
import { HubError } from './errors.ts'
import type { Hub, Log, Plugin, ServerView } from './plugin.ts'
import { offersOf } from './servers/profiles.ts'
import type { Server } from './servers/server.ts'
import { openFile, type StateFile } from './store/file.ts'
import type { SessionRecord } from './store/records.ts'

/** The hub as one plugin sees it: nothing of another plugin's, no record, no token. */
export function createPluginHub(core: Core, id: string, plugin: Plugin, folder: string, log: Log): Hub {
  const { users, servers, sessions, authStates, logins, audit, settings, base, url } = core
  const found = (name: string) => {
    const user = users.get(name)
    if (!user) throw new HubError('missing', `There is no user "${name}".`)
    return user
  }
  const files = new Map<string, Promise<StateFile<unknown>>>()
  const listens = settings.proxy.proxy.listens
  const here = `${listens?.tls ? 'https' : 'http'}://localhost:${listens?.port ?? 8000}${base}`

  return {
    id,
    url,
    folder,
    log,
    isPublic: isPublic(core),
    link: page => new URL(`hub/x/${plugin.name}/${page}`, url ?? here).href,
    say: text => void process.stdout.write(`\n${text}\n\n`),
    file<T>(name: string, schema: ZodType<T>, initial: T) {
      // Two that do not know of each other would overwrite what the other one wrote.
      const opened = files.get(name) ?? openFile(join(folder, `${name}.json`), schema, initial)
      files.set(name, opened as Promise<StateFile<unknown>>)
      return opened as Promise<StateFile<T>>
    },
    users: function* () {
      for (const record of users.all()) yield users.view(record)
    },
    user(name) {
      const record = users.get(name)
      return record && users.view(record)
    },
    async signOut(name) {
      const record = users.get(name)
      if (record) await sessions.closeAll(record.id)
    },
    async endSessions({ id, session }) {
      if (id === undefined && session === undefined) return []
      const person = id === undefined ? undefined : users.byIdentity(plugin.name, id)
      const owners = id === undefined ? [...users.all()] : person ? [person] : []
      // Of a person whose sign-in the provider did not name then, each may be the one that is meant.
      const isMeant = (provider: string | undefined) =>
        provider === undefined ? id !== undefined : provider === session || session === undefined
      const ends = ({ authenticator, provider }: SessionRecord) => authenticator === plugin.name && isMeant(provider)
      const ended = owners.filter(({ sessions }) => sessions.some(ends))
      for (const owner of ended) await sessions.closeAll(owner.id, ends)
      return ended.map(({ name }) => name)
    },
    keepsAuthState: authStates.kept,
    authState(name) {
      const record = users.get(name)
      return record && authStates.open(record)
    },
    attempt: logins.attempt,
    record: (action, user, details = {}) =>
      audit.record({ action, target: user === null ? {} : { user }, details: { plugin: plugin.name, ...details } }),
    servers: function* () {
      for (const server of servers.active()) yield view(core, server)
    },
    offers: () => offersOf(settings),
    async start(user, name, choices) {
      const server = await servers.start(found(user), name, { ...(choices && { choices: { ...choices } }) }, undefined)
      await server.settled()
      if (!server.ready)
        throw new HubError('failed', server.failure?.cause.message ?? 'The server did not start.', {
          details: server.failure?.cause,
        })
    },
    stop: (user, name, reason) => servers.stop(found(user), name, reason),
    erase: id => core.storage.erase(plugin.name, id),
  }
}

function view({ users }: Core, server: Server): ServerView {
  const { name } = server.ref
  const when = (iso: string | null) => (iso === null ? null : new Date(iso))
  return {
    user: users.view(server.owner),
    name,
    state: server.state,
    profile: server.record.profile ?? '',
    started: when(server.record.started),
    lastActivity: when(users.lastActivity(server.owner.id, name)),
    ...(server.node !== undefined && { node: server.node }),
    ...(server.record.generation !== null && { generation: server.record.generation }),
  }
}

/** Can other machines reach this hub? When the config says a public address, or the proxy does not keep to this machine, or stands behind others. */
export function isPublic({ url, settings }: Core): boolean {
  const local = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(host)
  const { listens } = settings.proxy.proxy
  return (url !== undefined && !local(url.hostname)) || listens === undefined || listens.proxied === true || !local(listens.host)
}
