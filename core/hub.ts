import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { createApi } from './api/api.ts'
import { type Audit, createAudit, unrecorded } from './audit.ts'
import type { LoadedConfig } from './config/load.ts'
import { placeOf } from './config/place.ts'
import type { Settings } from './config/schema.ts'
import { mountsIn } from './config/shapes.ts'
import type { Core } from './core.ts'
import { draft } from './draft.ts'
import { HubError, messageOf } from './errors.ts'
import { measureEventLoop } from './event-loop.ts'
import { frontDoor } from './front-door.ts'
import { call, createStager } from './hooks.ts'
import { accessRules, describeAccess } from './identity/access.ts'
import { guardsOf } from './identity/guards.ts'
import { createIdentity, type Parts } from './identity/identity.ts'
import type { Users } from './identity/users.ts'
import { type NamedJob, runJobs } from './jobs.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { createOAuthProvider } from './oauth/provider.ts'
import type { Close, Job, Log, Plugin, Reach, RouteApi } from './plugin.ts'
import { createPluginHub, isPublic } from './plugin-hub.ts'
import { configRoutes, createRoutes } from './servers/routes.ts'
import { createServers, type RunningServers } from './servers/servers.ts'
import { createProbe } from './services/probe.ts'
import { runServices } from './services/run.ts'
import { createInventory } from './storage.ts'
import { lock } from './store/lock.ts'
import { openStore } from './store/store.ts'
import { createAuthorize } from './web/authorize.tsx'
import { createWeb } from './web/web.ts'

/** Node's default of 16 KiB is too small for browsers with the cookies of several servers. */
const maxHeaderSize = 65_536

export interface HubOptions {
  log: Log
  /** Where the front's route API is. */
  routeApi: RouteApi
  /** A unix socket to listen on for the front, beside the address for the servers. */
  socket?: string
  /** Called when this process is asked to end over the API, maybe more than once. `proxy`: together with the front that it belongs to. */
  end(how: { proxy: boolean }): void
}

/** A hub process. */
export interface HubProcess {
  /**
   * Take the data folder, open the state, set up the plugins in config order, adopt what runs, listen. Called once; when it
   * rejects everything that was opened has been closed again. `wait`: milliseconds to wait for another hub to let go of the folder.
   */
  start(options?: { wait?: number; signal?: AbortSignal }): Promise<void>
  /** Finish what is under way within the grace, write what is pending, close in reverse order. May be called twice. */
  close(): Promise<void>
  /** Before `close`, when no other hub comes after it: stops all servers, if the config says so. May be called twice. */
  leave(): Promise<void>
  /** Carry out `swarmhub <plugin> <verb> …`; resolves with what to print. */
  command(plugin: string, verb: string, args: string[]): Promise<string>
}

/** The composition root: config → plugins → stages, servers, web, api. Nothing is started and no state is touched before `start`. */
export function createHub(
  { settings, plugins, dataFolder }: LoadedConfig,
  { log, routeApi, socket, end }: HubOptions,
): HubProcess {
  const control = new AbortController()
  const closing = control.signal
  const closers: Close[] = []
  let drain: (ms: number) => Promise<void> = async () => {}
  let stopAll: () => Promise<void> = async () => {}
  let audit: Audit = unrecorded
  const metrics = createMetrics()
  const { url, base } = placeOf(settings)
  const options = { log, signal: closing, deadline: settings.timeouts.hook }

  /** The flow of a start. What opens something pushes how to close it. */
  async function start({ wait = 0, signal }: { wait?: number; signal?: AbortSignal } = {}): Promise<void> {
    const up = metrics.startup.startTimer()
    closers.push(await lock(dataFolder, { wait, signal }))
    const store = await openStore(dataFolder)
    audit = createAudit(dataFolder, { ...settings.audit, log })
    closers.push(audit.flush)
    const reach = await reachOf(settings.spawner, options)
    const address = `http://${settings.hub.host ?? reach.host}:${settings.hub.port}`
    const hub = { id: store.hub.data.id, base, url, address }

    const stager = createStager([...draft(settings), ...plugins], settings.timeouts.hook, metrics)
    const ended = (sessionId: string) =>
      void routes
        .endSession(sessionId)
        .catch(error => log.warn('the WebSockets of who was signed out may be open still', { error }))
    const identity = createIdentity({ store, settings, base, url, stager, audit, log, closing, ended })
    closers.push(() => identity.users.flush())
    await identity.settle()
    const oauth = createOAuthProvider({
      users: identity.users,
      tokens: identity.tokens,
      audit,
      roles: identity.roles,
      services: identity.services,
      base,
      lifetime: settings.tokens.oauth ?? settings.timeouts.session,
      requirePkce: settings.tokens.requirePkce,
      serverScopes: settings.servers.oauthScopes,
    })

    settings.proxy.proxy.connect?.(routeApi)
    const routes = createRoutes(settings.proxy, log, metrics, closing, configRoutes(settings, identity.services))
    const servers = createServers({
      hub,
      settings,
      users: identity.users,
      tokens: identity.tokens,
      spawner: settings.spawner,
      routes,
      stager,
      metrics,
      audit,
      log,
      closing,
      recheck: identity.logins.recheck,
    })
    drain = servers.drain
    stopAll = servers.stopAll
    const storage = createInventory({ mounts: mountsIn(settings), users: identity.users, audit, log, closing })
    const core: Core = {
      settings,
      log,
      base,
      url,
      ...identity,
      oauth,
      servers,
      storage,
      routes,
      metrics,
      audit,
      plugins,
      closing,
      async end({ servers: too, proxy }) {
        // Who asks says what becomes of the servers, in place of the config.
        stopAll = async () => {}
        if (too) await servers.stopAll()
        end({ proxy })
      },
    }

    for (const plugin of plugins) {
      if (!plugin.setup) continue
      const folder = join(dataFolder, 'plugins', plugin.name)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const close = await call(
        { plugin: plugin.name, hook: 'setup' },
        ctx => plugin.setup!(createPluginHub(core, hub.id, plugin, folder, ctx.log)),
        { ...options, deadline: 120_000 },
      )
      if (close)
        closers.push(() =>
          call({ plugin: plugin.name, hook: 'close' }, close, { ...options, signal: new AbortController().signal }),
        )
    }

    const app = new Hono()
    app.use(frontDoor({ front: settings.proxy.proxy.serve && routeApi, local: !isPublic(core), guarded: guardsOf(settings) }))
    app.route(`${base}hub/api/oauth2/authorize`, createAuthorize(core))
    app.route(`${base}hub/api`, createApi(core))
    app.route('/', createWeb(core))
    const host = settings.hub.listen ?? reach.listen
    for (const at of [...(socket === undefined ? [] : [{ path: socket }]), { host, port: settings.hub.port }]) {
      closers.push(await listen(app, at))
    }

    await servers.look()
    await servers.repairRoutes()
    closers.push(await servers.watch())
    // Services run on this machine, wherever servers do.
    const here = `http://${/^(0\.0\.0\.0|::)$/.test(host) ? '127.0.0.1' : host}:${settings.hub.port}`
    closers.push(runServices(identity.services, { base, address: here, url }, log))
    const probe = createProbe(identity.services, log)
    const jobs = coreJobs(settings, servers, identity, metrics, probe)
    closers.push(measureEventLoop(metrics))
    closers.push(runJobs([...jobs, ...pluginJobs(plugins)], log, metrics))
    up()
    log.info('who may sign in', { who: describeAccess(accessRules(settings)) })
    log.info('hub is up', { users: identity.users.count, servers: [...servers.active()].length, address })
  }

  return {
    async start(options) {
      try {
        await start(options)
      } catch (error) {
        await closeAll()
        throw error
      }
    },
    close: closeAll,
    async leave() {
      if (!settings.servers.stopOnExit || closing.aborted) return
      await Promise.race([stopAll(), sleep(settings.timeouts.grace / 2, undefined, { ref: false })])
    },
    async command(name, verb, args) {
      const plugin = plugins.find(plugin => plugin.name === name)
      const command = plugin?.commands?.[verb]
      if (!command) {
        const verbs = Object.keys(plugin?.commands ?? {})
        throw new HubError(
          'missing',
          plugin ? `${name} has no verb "${verb}". It has: ${verbs.join(', ') || 'none'}.` : `There is no plugin "${name}".`,
        )
      }
      const carryOut = () => {
        audit.by({ kind: 'command', name: `${name} ${verb}` })
        const who = { plugin: name, hook: `command ${verb}` }
        return call(who, ctx => command.run(args, ctx), { ...options, deadline: 600_000 })
      }
      return (await audit.during({ address: null, changes: true }, carryOut)) ?? ''
    },
  }

  /** In reverse order, each bounded, none in the way of the next. What still goes on after the grace is left to the process's end. */
  async function closeAll(): Promise<void> {
    if (!closing.aborted) {
      await drain(settings.timeouts.grace / 2)
      control.abort(new HubError('unavailable', 'The hub is shutting down. Try again in a minute.', { retryAfter: 30 }))
    }
    for (let close = closers.pop(); close; close = closers.pop()) {
      try {
        await close()
      } catch (error) {
        log.error('could not close', { error })
      }
    }
  }
}

/** How servers reach this hub; a spawner that does not say runs them on this machine. */
async function reachOf({ name, spawner }: Plugin, options: Omit<Parameters<typeof call>[2], 'progress'>): Promise<Reach> {
  if (!spawner?.reach) return { listen: '127.0.0.1', host: '127.0.0.1' }
  return call({ plugin: name, hook: 'spawner.reach' }, ctx => spawner.reach!(ctx), options)
}

/** Listen on a unix socket, for nobody but this user, or on an address. */
async function listen(app: Hono, at: { path: string } | { host: string; port: number }): Promise<Close> {
  const server = createServer(
    { maxHeaderSize, headersTimeout: 20_000, requestTimeout: 60_000, keepAliveTimeout: 65_000 },
    getRequestListener(app.fetch),
  )
  if ('path' in at) await rm(at.path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(at, resolve)
  }).catch(error => {
    const where = 'path' in at ? at.path : `${at.host}:${at.port}`
    throw new HubError('config', `The hub cannot listen on ${where}: ${messageOf(error)}.`, { cause: error })
  })
  if ('path' in at) await chmod(at.path, 0o600)
  return () => ended(server)
}

/** No new connections; those at work may finish their answer, for some seconds. */
function ended(server: HttpServer): Promise<void> {
  return new Promise(resolve => {
    const cut = setTimeout(() => server.closeAllConnections(), 5000)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}

/** What the core itself does in the background. */
function coreJobs(
  settings: Settings,
  servers: RunningServers,
  { users, sessions }: Parts,
  metrics: Metrics,
  probe: ReturnType<typeof createProbe>,
): NamedJob[] {
  const named = (name: string, job: Job) => ({ plugin: 'core', name, job })
  return [
    named('look', { every: settings.timeouts.poll, run: () => servers.look() }),
    named('routes', { every: settings.timeouts.routes, run: () => servers.repairRoutes() }),
    named('activity', { every: settings.activity.interval, run: () => servers.readActivity().finally(() => users.flush()) }),
    named('sessions', { every: 60_000, run: () => sessions.sweep() }),
    named('services', { every: settings.timeouts.services, atStart: true, run: ctx => probe(ctx.signal) }),
    named('counts', { every: 60_000, atStart: true, run: () => countUsers(users, metrics, settings.activity.window) }),
  ]
}

/** Under JupyterHub's names for the periods, and within milliseconds of the config's own under its minutes: `30m`. */
function countUsers(users: Users, metrics: Metrics, window: number): void {
  const now = Date.now()
  const ages = [...users.all()].map(({ id }) => now - Date.parse(users.lastActivity(id) ?? '1970-01-01'))
  metrics.users.set(users.count)
  for (const [period, ms] of [
    ['24h', 86_400_000],
    ['7d', 7 * 86_400_000],
    ['30d', 30 * 86_400_000],
    [`${Math.round(window / 60_000)}m`, window],
  ] as const) {
    metrics.active.set({ period }, ages.filter(age => age < ms).length)
  }
}

const pluginJobs = (plugins: readonly Plugin[]): NamedJob[] =>
  plugins.flatMap(plugin => Object.entries(plugin.jobs ?? {}).map(([name, job]) => ({ plugin: plugin.name, name, job })))
