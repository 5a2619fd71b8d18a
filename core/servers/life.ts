import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Audit } from '../audit.ts'
import type { Settings } from '../config/schema.ts'
import { HubError, messageOf } from '../errors.ts'
import { attributionOf, call, type Stager } from '../hooks.ts'
import type { Tokens } from '../identity/tokens.ts'
import type { Users } from '../identity/users.ts'
import type { Metrics } from '../metrics.ts'
import { clientId, labelKeys, serverPath } from '../names.ts'
import type {
  Cause,
  Choices,
  Context,
  Handle,
  Log,
  Plugin,
  Profile,
  Route,
  Spawn,
  Status,
  Stop,
  StopReason,
  User,
} from '../plugin.ts'
import { emptyServer, type ServerRecord, type UserRecord } from '../store/records.ts'
import { answers } from './answers.ts'
import { causeOf, failure, isNodeGone, isOwnExit } from './cause.ts'
import { presentable } from './logs.ts'
import type { Routes } from './routes.ts'
import type { Server, StartEvent, StartRequest } from './server.ts'
import { checkBinds, checkSpec, draftOf } from './spec.ts'
import { createStartLog, type StartLog } from './start-log.ts'

/** Milliseconds between two looks at a server that is starting: where the spawner tells of changes by itself, and where it does not. */
const lookEvery = { told: 3000, untold: 500 }
/** Milliseconds between two tries of its HTTP port: at first and once it has called the hub, and later, when it has taken that long already. */
const tryEvery = { first: 25, later: 100 }
const later = 1000
/** Milliseconds after its first call to the hub until that alone is taken as an answer: the hub may have no way to its port. */
const heardIsEnough = 2000
/** Lines of its log that a failure keeps. */
const lastOf = 50

/** What a server's life needs of the hub. */
export interface LifeParts {
  hub: { id: string; base: string; url: URL | undefined /** `http://host:port`, as servers reach the hub. */; address: string }
  settings: Settings
  users: Users
  tokens: Tokens
  spawner: Plugin
  routes: Routes
  stager: Stager
  metrics: Metrics
  audit: Audit
  log: Log
  closing: AbortSignal
}

/** A server and the verbs on it. */
export interface Life extends Server {
  /** Nothing to do with it any more: stopped and cleaned up. */
  readonly idle: boolean
  start(request: StartRequest & { profile: string; choices: Choices }, profile: Profile): Promise<void>
  /** See Servers.stop. */
  stop(reason: StopReason): Promise<void>
  /** What the engine lists of it, undefined when it does not. Acts when that differs from what should be. Never rejects. */
  seen(listed: { handle: Handle; status: Status } | undefined): Promise<void>
  /** Look at once: the engine or the server itself has said something, maybe also what it is now. */
  nudge(status?: Status): void
  heard(): void
  /** The route it should have now. */
  readonly route: Route | undefined
}

const interrupted: Cause = {
  code: 'missing',
  message: 'The hub was restarted while the server was starting.',
  hint: 'Start it again.',
}

/** One server of one user. Its record says what should be, and is durable before the engine is called; this makes it so. */
export function createLife(parts: LifeParts, ownerId: string, name: string): Life {
  const { hub, settings, users, tokens, routes, stager, metrics, audit, closing } = parts
  const { timeouts } = settings
  const { name: plugin, spawner } = parts.spawner
  const lookAgain = spawner!.watch ? lookEvery.told : lookEvery.untold
  const empty = emptyServer(name)

  /** What is under way. Only one thing at a time is. */
  let doing: { kind: 'start' | 'stop'; cancel: AbortController; done: Promise<void> } | undefined
  /** Its route, while that is live. */
  let route: Route | undefined
  let node: string | undefined
  let notice: string | undefined
  let unknown = false
  let startLog: StartLog | undefined
  let heardAt: number | undefined
  let wake: () => void = () => {}
  /** The engine has said something since the last look. */
  let nudged = false
  /** What the engine has said that it is, until somebody has looked. */
  let told: Status | undefined

  const owner = (): UserRecord => {
    const found = users.byId(ownerId)
    if (!found) throw new HubError('missing', 'This user has been deleted.')
    return found
  }
  const record = (): ServerRecord => users.byId(ownerId)?.servers.find(server => server.name === name) ?? empty
  const save = (change: (draft: ServerRecord) => void) => users.updateServer(ownerId, name, change)
  const target = () => ({ user: users.byId(ownerId)?.name, server: name })
  const path = () => serverPath(hub.base, owner().name, name)
  const log = () => parts.log.with({ user: users.byId(ownerId)?.name, server: name })

  const ask = <T>(hook: string, run: (ctx: Context) => T | Promise<T>, deadline: number, signal: AbortSignal, patience = 0) =>
    call({ plugin, hook: `spawner.${hook}` }, run, { log: log(), signal, deadline, patience, progress })
  const progress: Context['progress'] = (message, percent) => startLog?.tell('preparing', message, { percent })

  /** What the engine says of this handle. A spawner that throws has not said anything. */
  async function poll(handle: Handle, signal: AbortSignal): Promise<Status> {
    const end = metrics.poll.startTimer()
    const status = await ask('poll', ctx => spawner!.poll(handle, ctx), timeouts.hook, signal).catch((error): Status => {
      signal.throwIfAborted()
      return { state: 'unknown', why: messageOf(error) }
    })
    end({ status: status.state })
    return status.state === 'gone' ? { ...status, cause: tidied(status.cause) } : status
  }

  /** What it is now: as the engine has just said, or as it says when it is asked. Only `running` needs no more to be told. */
  async function look(handle: Handle, signal: AbortSignal): Promise<Status> {
    const said = told
    told = undefined
    nudged = false
    return said?.state === 'running' ? said : poll(handle, signal)
  }

  /** Its log lines are kept, and shown to whoever may see the server. */
  const tidied = (cause: Cause): Cause =>
    cause.log
      ? { ...cause, log: cause.log.slice(-lastOf).map(line => presentable(line, [], tokens.isToken).slice(0, 500)) }
      : cause

  /** Something new from the engine or the server, or that much time. */
  const news = (ms: number, signal: AbortSignal) =>
    Promise.race([new Promise<void>(resolve => (wake = resolve)), sleep(ms, undefined, { signal, ref: false })])

  const detailed = async (handle: Handle | null) => handle && { handle, status: await poll(handle, closing) }

  /** The last lines of its log, for a cause that the engine does not know. */
  async function lastLines(handle: Handle): Promise<string[]> {
    const lines: string[] = []
    const signal = AbortSignal.timeout(2000)
    await ask(
      'logs',
      async ctx => {
        const log = spawner!.logs?.(handle, { ...ctx, signal }, { follow: false }) ?? []
        for await (const line of log) if (lines.push(line) > lastOf) lines.shift()
      },
      2500,
      signal,
    ).catch(error => log().debug('no log lines', { error: messageOf(error) }))
    return lines
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Up

  /** What the profile, the config and the options say. */
  async function draft(
    { choices }: { choices: Choices },
    profile: Profile,
    user: User,
    made: { generation: string; token: string },
    signal: AbortSignal,
  ): Promise<Spawn> {
    const { servers, optionsForm, timeouts } = settings
    const asked = { log: log(), signal, deadline: timeouts.hook, progress }
    const spawn = draftOf({ hub, user, server: name, profile, choices, servers, ...made })
    const options = structuredClone(record().userOptions)
    if (optionsForm)
      await call({ plugin: 'config', hook: 'optionsForm.apply' }, () => optionsForm.apply(options, spawn.draft, user), asked)
    return spawn
  }

  /** The steps from a service that exists to a live route. */
  async function bringUp(handle: Handle, generation: string, signal: AbortSignal): Promise<void> {
    const target = await untilRunning(handle, signal)
    startLog?.tell('answering', 'Waiting for the server to answer')
    await untilAnswering(handle, target, signal)
    const now = new Date()
    const wanted = routeTo(target, generation)
    await routes.add(wanted)
    signal.throwIfAborted()
    await save(draft => Object.assign(draft, { ready: true, started: now.toISOString() }))
    users.active(ownerId, now, name)
    route = wanted
  }

  const routeTo = (target: string, generation: string): Route => ({
    path: path(),
    target,
    data: { user: owner().name, server_name: name, jupyterhub: true, generation },
  })

  /** Its process runs. Time spent pulling the image has a budget of its own. */
  async function untilRunning(handle: Handle, signal: AbortSignal): Promise<string> {
    const spent = { start: 0, pull: 0 }
    let phase: keyof typeof spent = 'start'
    let last = performance.now()
    for (;;) {
      const status = await look(handle, signal)
      const now = performance.now()
      spent[phase] += now - last
      last = now
      if (status.state === 'gone') throw failure(status.cause)
      if (status.state !== 'unknown') node = status.node
      notice = status.state === 'running' ? status.notice : undefined
      if (status.state === 'running') return status.target
      if (status.state === 'starting') {
        startLog?.tell(status.step, status.message, { percent: status.percent })
        phase = status.step === 'pulling' ? 'pull' : 'start'
      }
      if (spent.start > timeouts.start || spent.pull > timeouts.pull) {
        throw failure(
          tidied({
            code: status.state === 'unknown' ? 'engine' : 'time-out',
            message:
              status.state === 'unknown'
                ? 'The engine that runs the servers could not be asked.'
                : `The server did not start within ${(phase === 'pull' ? timeouts.pull : timeouts.start) / 1000} seconds.`,
            hint: 'Try again. If it happens again, tell your administrator.',
            engine: status.state === 'unknown' ? status.why : status.message,
            log: await lastLines(handle),
          }),
        )
      }
      await news(lookAgain, signal)
    }
  }

  /** It answers HTTP, or has called the hub. What dies meanwhile is noticed at once. */
  async function untilAnswering(handle: Handle, target: string, signal: AbortSignal): Promise<void> {
    const begun = performance.now()
    let looked = begun
    while (!(await answers(target, path(), 2000, signal))) {
      signal.throwIfAborted()
      const now = performance.now()
      if (heardAt !== undefined && now - heardAt > heardIsEnough) return
      if (nudged || now - looked > lookAgain) {
        looked = now
        const status = await look(handle, signal)
        if (status.state === 'gone') throw failure(status.cause)
      }
      if (now - begun > timeouts.answer) {
        throw failure(
          tidied({
            code: 'no-answer',
            message: `The server runs, but did not answer within ${timeouts.answer / 1000} seconds.`,
            hint: 'Try again. If it happens again, tell your administrator: is this a notebook image?',
            log: await lastLines(handle),
          }),
        )
      }
      await news(heardAt === undefined && now - begun > later ? tryEvery.later : tryEvery.first, signal)
    }
  }

  /** Whatever `steps` do, at its end the server is ready or cleanly gone. Never rejects. */
  async function attempt(cancel: AbortController, steps: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const end = metrics.spawn.startTimer()
    try {
      await steps(AbortSignal.any([cancel.signal, closing]))
      end({ status: 'success' })
    } catch (error) {
      // The next hub finds the record and what runs, and goes on from there.
      if (closing.aborted) return
      const cancelled = cancel.signal.aborted
      const cause: Cause = cancelled ? { code: 'cancelled', message: 'The start was cancelled.' } : causeOf(error)
      end({ status: cancelled ? 'cancelled' : 'failure' })
      audit.record({ action: 'server.start', target: target(), result: 'failed', details: { cause: cause.code } })
      if (!cancelled)
        log().warn('server did not start', {
          ...attributionOf(error),
          cause,
          error: cause.code === 'internal' ? error : undefined,
        })
      await takeDown(cancelled ? 'cancelled' : 'failed', cause).catch(problem =>
        log().error('clean-up will be tried again', { error: problem }),
      )
      startLog?.tell(cancelled ? 'cancelled' : 'failed', cause.message, {
        cause,
      })
    }
  }

  /** Do one thing at a time, and let everybody know when it has ended. */
  function begin(kind: 'start' | 'stop', run: (cancel: AbortController) => Promise<void>): Promise<void> {
    const cancel = new AbortController()
    const mine = { kind, cancel, done: Promise.resolve() }
    doing = mine
    const running = run(cancel).finally(() => {
      if (doing === mine) doing = undefined
    })
    mine.done = running.catch(() => {})
    return running
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Down

  /** Off the proxy, off the engine, its tokens revoked, everybody told. Rejects when the engine cannot be asked; then it comes again. */
  async function takeDown(reason: StopReason, cause?: Cause): Promise<void> {
    const { generation } = record()
    if (generation === null) return
    const subject: Stop = { user: users.view(owner()), server: life.ref, generation, reason, ...(cause && { cause }) }
    const refusable = ['user', 'api', 'admin', 'idle', 'signout'].includes(reason)
    const end = metrics.stop.startTimer()
    try {
      await stager.run('stop', subject, () => dismantle(generation, cause), { log: log(), signal: closing, refusable })
      // Only now is there nothing left to clean up after a crash of the hub.
      await save(draft => Object.assign(draft, { generation: null }))
      end({ status: 'success' })
      log().info('server is stopped', { reason, cause: cause?.code })
    } catch (error) {
      end({ status: 'failure' })
      throw error
    }
  }

  async function dismantle(generation: string, cause: Cause | undefined): Promise<void> {
    await save(draft => Object.assign(draft, { intent: 'stopped' }))
    route = undefined
    await routes.remove(path())
    const handle = record().handle ?? (await handleOf(generation))
    if (handle) await ask('stop', ctx => spawner!.stop(handle, ctx), timeouts.stop + timeouts.hook, closing)
    await tokens.revoke(ownerId, token => token.kind === 'server' && token.server === name)
    // Others may have tokens for it, too: admins, and those it is shared with.
    await tokens.revokeIssuedTo(clientId(owner().name, name))
    const failed = cause && cause.code !== 'cancelled' && !isOwnExit(cause) ? { cause, at: new Date().toISOString() } : null
    await save(draft => Object.assign(draft, { handle: null, ready: false, failure: failed }))
    node = undefined
    notice = undefined
  }

  /** A start of unknown outcome is settled by reading. */
  async function handleOf(generation: string): Promise<Handle | undefined> {
    const listed = await ask('list', ctx => spawner!.list(ctx), timeouts.hook, closing)
    return listed.find(({ labels }) => labels[labelKeys.generation] === generation)?.handle
  }

  // -------------------------------------------------------------------------------------------------------------------

  const life: Life = {
    get ref() {
      return { user: owner().name, name }
    },
    get owner() {
      return owner()
    },
    get record() {
      return record()
    },
    get state() {
      if (doing) return doing.kind === 'start' ? 'starting' : 'stopping'
      const { intent, generation } = record()
      if (intent === 'stopped') return generation === null ? 'stopped' : 'stopping'
      return unknown || !route ? 'unknown' : 'running'
    },
    get pending() {
      return ({ stopped: null, running: null, starting: 'spawn', stopping: 'stop', unknown: route ? null : 'check' } as const)[
        life.state
      ]
    },
    get ready() {
      return route !== undefined && !doing
    },
    get idle() {
      return !doing && record().generation === null
    },
    get path() {
      return path()
    },
    get node() {
      return node
    },
    get notice() {
      return notice
    },
    get failure() {
      return record().failure as Server['failure']
    },
    get startedAt() {
      return doing?.kind === 'start' ? startLog?.begun : undefined
    },
    get route() {
      return route
    },

    settled: async () => doing?.done,

    events: async function* (after, signal): AsyncGenerator<StartEvent> {
      if (startLog) yield* startLog.follow(after, signal)
    },

    async start(request, profile) {
      const generation = randomBytes(8).toString('hex')
      startLog = createStartLog()
      startLog.tell('requested', 'Server requested')
      heardAt = undefined
      told = undefined
      unknown = false
      let durable: () => void = () => {}
      let refused: (reason: unknown) => void = () => {}
      const intent = new Promise<void>((resolve, reject) => {
        durable = resolve
        refused = reject
      })

      begin('start', async cancel => {
        const user = users.view(owner())
        let token: string
        try {
          const server = path()
          const made = await tokens.create(ownerId, {
            kind: 'server',
            note: `Server at ${server}`,
            server: name,
            generation,
          })
          token = made.secret
          await save(draft => {
            Object.assign(draft, { intent: 'running', generation, handle: null, ready: false, failure: null })
            Object.assign(draft, {
              profile: request.profile,
              choices: { ...request.choices },
              userOptions: request.userOptions ?? draft.userOptions,
            })
            if (request.displayName !== undefined) draft.displayName = request.displayName
          })
        } catch (error) {
          startLog?.tell('failed', 'The hub could not write down that the server is to start.')
          return refused(error)
        }
        durable()
        await attempt(cancel, async signal => {
          const spawn = await draft(request, profile, user, { generation, token }, signal)
          const up = async () => {
            checkSpec(spawn.draft, hub, settings.limits.binds)
            await checkBinds(spawn.draft, settings.limits.binds)
            // A start that is cancelled is waited for, so that what it made can be taken down.
            const handle = await ask(
              'start',
              ctx => spawner!.start(spawn.draft, ctx),
              timeouts.start + timeouts.pull,
              signal,
              10_000,
            )
            startLog?.tell('queued', 'Waiting for a place to run')
            await save(draft => Object.assign(draft, { handle }))
            await bringUp(handle, generation, signal)
          }
          await stager.run('spawn', spawn, up, { log: log(), signal, progress, after: 'background' })
        })
        if (route) becameReady()
      }).catch(refused)
      await intent
    },

    async stop(reason) {
      if (doing?.kind === 'start') doing.cancel.abort(new HubError('cancelled', 'The start was cancelled.'))
      await doing?.done
      // Not only what ran before: a start may have become ready in the moment it was cancelled.
      if (!doing && record().generation !== null) await begin('stop', () => takeDown(reason))
    },

    async seen(listed) {
      if (doing) return wake()
      const { intent, generation, handle, ready } = record()
      if (generation === null) return
      try {
        if (intent === 'stopped') return await begin('stop', () => takeDown('failed'))
        // A list tells no log lines.
        const found = listed && listed.status.state !== 'gone' ? listed : await detailed(listed?.handle ?? handle)
        // It may have been stopped or started anew while the engine was asked.
        if (doing || record().generation !== generation) return
        if (!found || found.status.state === 'gone') {
          const cause = found?.status.state === 'gone' ? found.status.cause : interrupted
          const action = isOwnExit(cause) ? 'server.stop' : 'server.crash'
          audit.record({ action, actor: null, address: null, target: target(), details: { cause: cause.code } })
          return await begin('stop', () => takeDown(isNodeGone(cause) ? 'lost' : 'exited', cause))
        }
        unknown = found.status.state === 'unknown'
        if (found.status.state === 'unknown') return
        node = found.status.node
        notice = found.status.state === 'running' ? found.status.notice : undefined
        if (!ready) return resume(found.handle, generation)
        if (found.status.state === 'starting' && route) {
          // The engine starts it again. Its address may be somebody else's by now.
          route = undefined
          await routes.remove(path())
        }
        if (found.status.state === 'running' && route?.target !== found.status.target) {
          const wanted = routeTo(found.status.target, generation)
          await routes.add(wanted)
          if (!doing && record().generation === generation) route = wanted
        }
      } catch (error) {
        log().warn('could not set a server right; will be tried again', { ...attributionOf(error), error })
      }
    },

    nudge(status) {
      nudged = true
      told = status
      wake()
    },

    heard() {
      if (doing?.kind !== 'start' || heardAt !== undefined) return
      heardAt = performance.now()
      wake()
    },
  }

  /** The hub was restarted in the middle of a start. */
  const resume = (handle: Handle, generation: string) => {
    startLog = createStartLog()
    startLog.tell('requested', 'The hub was restarted and goes on with the start')
    void begin('start', async cancel => {
      await attempt(cancel, async signal => {
        await save(draft => Object.assign(draft, { handle }))
        await bringUp(handle, generation, signal)
      })
      if (route) becameReady()
    })
  }

  const becameReady = () => {
    const seconds = startLog && Math.round((performance.now() - startLog.begun) / 100) / 10
    startLog?.tell('ready', `Server ready at ${path()}`)
    audit.record({ action: 'server.start', target: target(), details: { profile: record().profile } })
    log().info('server is running', { profile: record().profile, node, seconds })
  }
  return life
}
