import { setTimeout as sleep } from 'node:timers/promises'
import { HubError, isHubError, messageOf } from '../errors.ts'
import { call } from '../hooks.ts'
import { isDisplayName, isServerName, labelKeys } from '../names.ts'
import type { Caller, Choices, Close, Profile, StopReason } from '../plugin.ts'
import { inParallel } from '../store/parallel.ts'
import type { ServerRecord, UserRecord } from '../store/records.ts'
import { createLife, type Life, type LifeParts } from './life.ts'
import { namedServersOf, retryAfter } from './limits.ts'
import { createLogs } from './logs.ts'
import { compose, profilesFor, stillValid } from './profiles.ts'
import type { Server, StartRequest } from './server.ts'

/** All servers of the hub and their lives. */
export interface Servers {
  /** A user's server, running or not. The default server (`''`) always exists; a named one only once it was made. */
  get(user: UserRecord, name: string): Server | undefined
  /** All of a user's servers, the default one first. */
  of(user: UserRecord): Server[]
  /** As `of`, without a default server that nobody has asked for yet: for lists of many users. */
  begun(user: UserRecord): Server[]
  /** Those that are not stopped. */
  active(): Iterable<Server>
  /** The profiles that this user may use, in config order, as they are for them. */
  profiles(user: UserRecord): Profile[]
  /** By profile, how many more servers would find a place now; only what is known within a second. Never rejects. */
  room(profiles: readonly Profile[]): Promise<ReadonlyMap<string, number>>
  /** Check a request against the closed lists, and complete it. Throws as `start` does for what is on none. */
  choose(
    user: UserRecord,
    record: ServerRecord,
    request: Pick<StartRequest, 'profile' | 'choices'>,
  ): { profile: string; choices: Choices }
  /**
   * Begin to start. Resolves once the intent is durable; `settled()` tells when it has ended. While it starts already it
   * only answers with it. Throws: `invalid` (unknown profile, choice or name; runs already; is being stopped), `denied`
   * (profile not for this user), `busy` (limits), `unavailable` (the engine cannot be asked; the hub is closing).
   */
  start(user: UserRecord, name: string, request: StartRequest, by: Caller | undefined): Promise<Server>
  /** Stop, or cancel a start. Resolves when it is gone; does nothing when it is stopped. */
  stop(user: UserRecord, name: string, reason: StopReason, by?: Caller): Promise<void>
  /** Change the record of a server that is stopped; a named one is made when there is none. Throws `invalid` beyond the limit. */
  describe(user: UserRecord, name: string, change: (draft: ServerRecord) => void): Promise<Server>
  /** Give a named server that is stopped another name. Throws `invalid`, and `conflict` when there is one of that name. */
  rename(user: UserRecord, name: string, to: string): Promise<Server>
  /** Stop and forget a named server. */
  remove(user: UserRecord, name: string, by?: Caller): Promise<void>
  /** Set the proxy's table right. Rejects when the proxy cannot be reached. */
  repairRoutes(): Promise<void>
  /** Look now instead of at the next poll. */
  check(server: Server): Promise<void>
  /** The last lines of the server's log; with `follow` then new ones, until it is gone. See `createLogs`. */
  logs(server: Server, options: { follow: boolean }, signal: AbortSignal): AsyncIterable<string>
  /** Somebody came back from the server: its first call to the hub proves that it runs. Ends the waiting for its HTTP port early. */
  heard(user: UserRecord, name: string): void
  /** Can the engine be asked? */
  readonly engine: { ok: true } | { ok: false; why: string }
}

/** The servers, and what only the composition root does with them. */
export interface RunningServers extends Servers {
  /** One look at everything: adopt, finish, note what has died, remove orphans. Called at start and then every poll interval. */
  look(): Promise<void>
  /** Take over the proxy's view of who was active. */
  readActivity(): Promise<void>
  /** Take no new starts; resolves when those that the engine has not been asked for yet are over, or after so many milliseconds. */
  drain(ms: number): Promise<void>
  /** Take no new starts, and stop all servers. One that cannot be stopped is logged, and left to the next hub. */
  stopAll(): Promise<void>
  /** Follow the engine's events, where the spawner can. */
  watch(): Promise<Close>
}

export interface ServersParts extends LifeParts {
  /** Is this user still who they were? See Logins.recheck. */
  recheck?(user: UserRecord): Promise<boolean>
}

export function createServers(parts: ServersParts): RunningServers {
  const { settings, users, routes, metrics, audit, log, closing, recheck = async () => true } = parts
  const { name: plugin, spawner } = parts.spawner
  const lives = new Map<string, Map<string, Life>>()
  const orphans = new Map<string, number>()
  /** By user, the names of servers whose first record is being written. */
  const making = new Map<string, Set<string>>()
  let engine: Servers['engine'] = { ok: true }
  let draining = false

  const ask = <T>(hook: string, run: Parameters<typeof call<T>>[1]) =>
    call({ plugin, hook: `spawner.${hook}` }, run, { log, signal: closing, deadline: settings.timeouts.hook })

  const lifeOf = (userId: string, name: string): Life => {
    const ofUser = lives.get(userId) ?? new Map<string, Life>()
    const life = ofUser.get(name) ?? createLife(parts, userId, name)
    lives.set(userId, ofUser.set(name, life))
    return life
  }

  /** Every server that is not stopped and cleaned up. */
  function* unfinished(): Generator<Life> {
    for (const [userId, ofUser] of lives) {
      if (!users.byId(userId)) lives.delete(userId)
      else for (const life of ofUser.values()) if (!life.idle) yield life
    }
  }

  const known = (user: UserRecord, name: string) => {
    const life = name === '' || user.servers.some(server => server.name === name) ? lifeOf(user.id, name) : undefined
    if (!life) throw new HubError('missing', `${user.name} has no server named "${name}".`)
    return life
  }

  /** As it is now: what a request brings may have been read a while ago. */
  const recordsOf = (user: UserRecord) => users.byId(user.id)?.servers ?? []
  const isNew = (user: UserRecord, name: string) => name !== '' && !recordsOf(user).some(server => server.name === name)

  /** One named server more: within the limits of the config? Those that are just being made count as well. */
  function checkNamed(user: UserRecord, name: string): void {
    if (!isNew(user, name)) return
    const namedServers = namedServersOf(settings, users.view(users.byId(user.id) ?? user))
    const begun = [...(lives.get(user.id) ?? [])].filter(([, life]) => !life.idle).map(([name]) => name)
    const named = new Set([...recordsOf(user).map(({ name }) => name), ...begun, ...(making.get(user.id) ?? [])])
    named.delete('')
    named.delete(name)
    if (namedServers === 0) throw new HubError('invalid', 'Named servers are turned off in this hub.')
    if (named.size >= namedServers)
      throw new HubError('invalid', `You have ${named.size} named servers, as many as you may. Delete one first.`)
  }

  /** Within the limits of the config? */
  function checkLimits(user: UserRecord, name: string): void {
    const { starts, servers } = settings.limits
    checkNamed(user, name)
    const present = [...unfinished()]
    if (present.filter(life => life.state === 'starting').length >= starts) {
      const seconds = retryAfter(settings)
      throw new HubError('busy', `Many servers are starting just now. Try again in ${seconds} seconds.`, { retryAfter: seconds })
    }
    if (servers > 0 && present.length >= servers) {
      throw new HubError(
        'busy',
        `All ${servers} servers that this hub may run are taken. Try again when somebody has stopped one.`,
        { retryAfter: retryAfter(settings) },
      )
    }
  }

  /** What a start of this server would be: from closed lists only. Without a word on it, what it was the last time. */
  function composed(user: UserRecord, record: ServerRecord, request: Pick<StartRequest, 'profile' | 'choices'>) {
    const view = users.view(user)
    const last = servers.profiles(user).some(({ name }) => name === record.profile) ? record.profile! : undefined
    const name = request.profile ?? last
    const choices =
      request.choices ?? (name === last && name !== undefined ? stillValid(settings, view, name, record.choices) : {})
    return compose(settings, view, name, choices)
  }

  /** Ours, on the engine, and in nobody's record: after a grace it is removed. */
  async function reap(listed: Awaited<ReturnType<NonNullable<typeof spawner>['list']>>) {
    const generations = new Set([...unfinished()].map(life => life.record.generation))
    const now = performance.now()
    const seen = new Set<string>()
    for (const { handle, labels } of listed) {
      const generation = labels[labelKeys.generation] ?? ''
      if (labels[labelKeys.hub] !== parts.hub.id || generations.has(generation)) continue
      seen.add(generation)
      const since = orphans.get(generation) ?? now
      orphans.set(generation, since)
      if (now - since < settings.timeouts.orphan) continue
      log.warn('removing a server that is in nobody’s record', {
        user: labels[labelKeys.user],
        server: labels[labelKeys.server],
        generation,
      })
      await ask('stop', ctx => spawner!.stop(handle, ctx))
    }
    for (const generation of orphans.keys()) if (!seen.has(generation)) orphans.delete(generation)
  }

  const servers: RunningServers = {
    get: (user, name) => (name === '' || user.servers.some(server => server.name === name) ? lifeOf(user.id, name) : undefined),

    of: user => [lifeOf(user.id, ''), ...user.servers.filter(({ name }) => name !== '').map(({ name }) => lifeOf(user.id, name))],

    begun: user => (lives.get(user.id)?.has('') || user.servers.length > 0 ? servers.of(user) : []),

    active: unfinished,

    profiles: user => profilesFor(settings, users.view(user)),

    async room(profiles) {
      if (!spawner!.capacity || profiles.length === 0) return new Map()
      const who = { plugin, hook: 'spawner.capacity' }
      try {
        const places = await call(who, ctx => spawner!.capacity!(profiles, ctx), { log, signal: closing, deadline: 1000 })
        return new Map(profiles.flatMap(({ name }, i) => (places[i] === undefined ? [] : [[name, places[i]]])))
      } catch (error) {
        log.debug('it is not known what has a place', { error: messageOf(error) })
        return new Map()
      }
    },

    choose: (user, record, request) => {
      const { profile, choices } = composed(user, record, request)
      return { profile: profile.name, choices }
    },

    get engine() {
      return engine
    },

    async start(user, name, request, by) {
      if (draining) throw new HubError('unavailable', 'The hub is shutting down. Try again in a minute.', { retryAfter: 30 })
      if (!isServerName(name)) throw new HubError('invalid', 'This cannot be the name of a server.')
      if (request.displayName !== undefined && !isDisplayName(request.displayName))
        throw new HubError('invalid', 'A server cannot be shown under this name: take one line of at most 255 characters.')
      const life = lifeOf(user.id, name)
      try {
        if (settings.signIn.refreshBeforeStart && !(await recheck(user)))
          throw new HubError('denied', `${user.name} has to sign in again before a server can be started.`)
        if (life.ready) await servers.check(life)
        // Nothing below waits before the start is under way, so that no second one can come between.
        const { state } = life
        if (state === 'starting') return life
        if (state === 'running') throw new HubError('invalid', 'The server is already running.')
        if (state === 'stopping') throw new HubError('invalid', 'The server is being stopped. Try again when it is gone.')
        if (state === 'unknown' || !engine.ok) {
          throw new HubError('unavailable', 'The engine that runs the servers cannot be asked just now. Try again in a minute.', {
            retryAfter: 30,
          })
        }
        checkLimits(user, name)
        const { profile, choices } = composed(user, life.record, request)
        log.info('server start requested', { user: user.name, server: name, profile: profile.name, by: by?.name ?? user.name })
        await life.start({ ...request, profile: profile.name, choices }, profile)
        return life
      } catch (error) {
        const why = isHubError(error) ? error.code : 'internal'
        const result = why === 'denied' ? 'denied' : 'failed'
        audit.record({ action: 'server.start', target: { user: user.name, server: name }, result, details: { why } })
        throw error
      } finally {
        // Anybody may ask for any name: one that came to nothing is not remembered.
        if (life.idle && isNew(user, name)) lives.get(user.id)?.delete(name)
      }
    },

    async describe(user, name, change) {
      if (!isServerName(name)) throw new HubError('invalid', 'This cannot be the name of a server.')
      checkNamed(user, name)
      const names = making.get(user.id) ?? new Set()
      making.set(user.id, names.add(name))
      try {
        await users.updateServer(user.id, name, change)
        return lifeOf(user.id, name)
      } finally {
        names.delete(name)
        if (names.size === 0) making.delete(user.id)
      }
    },

    async rename(user, name, to) {
      if (name === '' || to === '') throw new HubError('invalid', 'The default server has no name.')
      if (!isServerName(to)) throw new HubError('invalid', 'This cannot be the name of a server.')
      if (!known(user, name).idle) throw new HubError('invalid', 'The server is running. Stop it before you change its name.')
      await users.renameServer(user.id, name, to)
      lives.get(user.id)?.delete(name)
      return lifeOf(user.id, to)
    },

    async stop(user, name, reason, by) {
      const life = known(user, name)
      if (life.idle) return
      if (settings.signIn.refreshBeforeStop && ['user', 'admin', 'api'].includes(reason)) await recheck(user)
      log.info('server stop requested', { user: user.name, server: name, reason, by: by?.name })
      const note = (result: 'success' | 'failed') =>
        audit.record({ action: 'server.stop', target: { user: user.name, server: name }, result, details: { reason } })
      await life.stop(reason).catch(error => {
        note('failed')
        throw error
      })
      note('success')
    },

    async remove(user, name, by) {
      if (name === '') throw new HubError('invalid', 'The default server cannot be deleted, only stopped.')
      await servers.stop(user, name, 'deleted', by)
      await users.removeServer(user.id, name)
      lives.get(user.id)?.delete(name)
      audit.record({ action: 'server.delete', target: { user: user.name, server: name } })
    },

    check: server => lifeOf(server.owner.id, server.record.name).seen(undefined),

    logs: createLogs(parts, ({ owner, record }) => {
      const isKnown = servers.profiles(owner).some(({ name }) => name === record.profile)
      return (isKnown && composed(owner, record, {}).profile.env) || {}
    }),

    heard: (user, name) => lives.get(user.id)?.get(name)?.heard(),

    async look() {
      const before = engine.ok
      try {
        const listed = await ask('list', ctx => spawner!.list(ctx))
        engine = { ok: true }
        if (!before) log.info('the engine answers again')
        const byGeneration = new Map(listed.map(item => [item.labels[labelKeys.generation], item]))
        await Promise.all([...unfinished()].map(life => life.seen(byGeneration.get(life.record.generation ?? ''))))
        await reap(listed)
      } catch (error) {
        if (closing.aborted) return
        engine = { ok: false, why: messageOf(error) }
        if (before) log.error('the engine cannot be asked: servers are left as they are, none is started', { plugin, error })
      }
      metrics.running.set([...unfinished()].filter(life => life.ready).length)
    },

    async repairRoutes() {
      const wanted = new Map([...unfinished()].flatMap(({ route }) => (route ? [[route.path, route] as const] : [])))
      const kept = new Set([...unfinished()].filter(life => life.pending !== null).map(life => life.path))
      await routes.repair(wanted, path => kept.has(path))
    },

    async readActivity() {
      const active = await routes.active()
      for (const life of unfinished()) {
        const at = active.get(life.path)
        if (at && life.ready) users.active(life.owner.id, at, life.ref.name)
      }
    },

    async drain(ms) {
      draining = true
      const beginning = [...unfinished()].filter(life => life.state === 'starting' && life.record.handle === null)
      // Any other start is found again by the next hub, which goes on with it.
      await Promise.race([Promise.all(beginning.map(life => life.settled())), sleep(ms, undefined, { ref: false })])
    },

    async stopAll() {
      draining = true
      await inParallel([...unfinished()], 16, ({ owner, ref }) =>
        servers
          .stop(owner, ref.name, 'shutdown')
          .catch(error => log.error('a server could not be stopped', { user: owner.name, server: ref.name, error })),
      )
    },

    async watch() {
      if (!spawner!.watch) return () => {}
      return ask('watch', ctx =>
        spawner!.watch!(
          (handle, status) => {
            const life = [...unfinished()].find(({ record }) => record.handle && sameHandle(record.handle, handle))
            if (life?.pending === 'spawn') life.nudge(status)
            else void life?.seen(status && { handle, status })
          },
          { ...ctx, signal: closing },
        ),
      )
    },
  }

  // What was under way or running when the last hub ended.
  for (const user of users.all()) for (const server of user.servers) if (server.generation !== null) lifeOf(user.id, server.name)
  return servers
}

/** Handles are flat JSON; what the spawner says later may hold less than what it said at the start. */
function sameHandle(kept: object, told: object): boolean {
  return Object.entries(told).every(([key, value]) => (kept as Record<string, unknown>)[key] === value)
}
