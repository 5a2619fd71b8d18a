import { setTimeout as sleep } from 'node:timers/promises'
import { spoken } from '../duration.ts'
import { HubError, messageOf } from '../errors.ts'
import type { Log, RouteApi } from '../plugin.ts'
import type { HubChild } from './hub-child.ts'

/** Milliseconds: the first wait before a hub that died is started again, and the longest. */
const shortest = 250
const longest = 30_000
/** A hub that lived so many milliseconds was a good one: the next wait is the shortest again. */
const goodLife = 60_000

export interface SupervisorOptions {
  /** Start a hub process that waits for its first request. */
  fork(): HubChild
  /** Where the hub listens for the front, and where it finds the front's route API. */
  meet: { socket: string; routeApi: RouteApi }
  /** Called when a hub was asked over its API to end with its front. */
  end(): void
  /** Milliseconds that a hub has to end. */
  grace: number
  /** Ask the hub to stop its servers before it is ended for good. */
  leaves?: boolean
  log: Log
}

/** Keeps a hub running. */
export interface Supervisor {
  /** Start the first hub as far as it touches nothing: config loaded and checked. Rejects with what is wrong. */
  prepare(): Promise<void>
  /** Let it take the data folder and work. From then on there is always one, or the next try of one. */
  start(): Promise<void>
  /**
   * Put a new hub in the place of the present one. The new one loads and checks its config first: when that fails nothing
   * changes, and this rejects with what is wrong. Rejects too when the new one cannot start after the old one has ended; then
   * one with the former config takes its place.
   */
  restart(): Promise<void>
  command(plugin: string, verb: string, args: string[]): Promise<string>
  /** End the hub in good order. Resolves with false when it had to be killed or ended in another way. */
  close(): Promise<boolean>
  /** Do not wait for anything. */
  kill(): void
}

/** A hub that waits to take over, and its config. */
interface Candidate {
  child: HubChild
  config: string
}

export function superviseHub({ fork, meet, end, grace, leaves = false, log }: SupervisorOptions): Supervisor {
  /** Every hub process that has not ended. */
  const living = new Set<HubChild>()
  let current: HubChild | undefined
  /** Of the last hub that was up. One that died comes back as it was, also while its files are being edited. */
  let goodConfig: string | undefined
  /** Under way while there is no hub: the tries of a next one. */
  let revival: { cancel: AbortController; done: Promise<void> } | undefined
  let failures = 0
  /** A restart is under way, or the first start. */
  let busy = true
  let closing = false

  /** A new hub that is ready to take over: of the config's files as they are now, or of this config. */
  async function check(config?: string): Promise<Candidate> {
    const child = fork()
    living.add(child)
    void child.ended.then(() => living.delete(child))
    return { child, config: await orGone(child, child.ask({ do: 'check', ...meet, config })) }
  }

  async function takeOver({ child, config }: Candidate): Promise<void> {
    await orGone(child, child.ask({ do: 'start' }))
    if (closing) return
    current = child
    goodConfig = config
    const since = performance.now()
    void child.leaves.then(({ proxy }) => {
      if (current !== child || closing) return
      if (proxy) return end()
      current = undefined
      log.warn('the hub was told to end, and its front goes on; "swarmhub restart" starts the next hub')
      return child.stop(grace)
    })
    void child.ended.then(how => {
      // One that was told to end, or was replaced, has done what it should.
      if (current !== child || closing) return
      current = undefined
      if (performance.now() - since > goodLife) failures = 0
      log.error('the hub has died; it is started again', { how })
      revive()
    })
  }

  /** A child that fails is not left behind. */
  async function orGone(child: HubChild, work: Promise<string>): Promise<string> {
    try {
      return await work
    } catch (error) {
      await child.stop(grace)
      throw error
    }
  }

  /** Start a hub again and again until one is up. */
  function revive(): void {
    const cancel = new AbortController()
    const tries = async () => {
      while (!cancel.signal.aborted) {
        const wait = Math.min(longest, shortest * 2 ** failures++) * (0.5 + Math.random())
        await sleep(wait, undefined, { signal: cancel.signal }).catch(() => {})
        if (cancel.signal.aborted) return
        try {
          const next = await check(goodConfig)
          if (cancel.signal.aborted) return await next.child.stop(grace)
          await takeOver(next)
          return log.info('the hub is up again')
        } catch (error) {
          log.error('the hub cannot be started; it will be tried again', { error: messageOf(error), next: spoken(wait * 2) })
        }
      }
    }
    const mine = { cancel, done: tries().finally(() => revival === mine && (revival = undefined)) }
    revival = mine
  }

  async function stopReviving(): Promise<void> {
    revival?.cancel.abort()
    await revival?.done
  }

  let first: Candidate | undefined
  return {
    async prepare() {
      first = await check()
    },

    async start() {
      if (!first) throw new Error('nothing is prepared')
      await takeOver(first)
      busy = false
    },

    async restart() {
      if (busy || closing)
        throw new HubError(
          'busy',
          closing ? 'The hub is being ended.' : 'The hub is being started already. Try again in a moment.',
        )
      busy = true
      try {
        const next = await check().catch(error => {
          log.error('there is no restart: a new hub would not be good; the present one goes on', { error: messageOf(error) })
          throw error
        })
        log.info('a new hub is ready to take over')
        await stopReviving()
        const old = current
        current = undefined
        await old?.stop(grace)
        failures = 0
        await takeOver(next).catch(error => {
          log.error('the new hub could not take over: going back to the former config', { error: messageOf(error) })
          revive()
          throw error
        })
        log.info('the new hub has taken over')
      } finally {
        busy = false
      }
    },

    async command(plugin, verb, args) {
      if (!current) throw new HubError('unavailable', 'The hub is just being started. Try again in a moment.')
      return current.ask({ do: 'command', plugin, verb, args })
    },

    async close() {
      closing = true
      const unsaid = (error: unknown) => log.warn('the hub could not take its leave', { error: messageOf(error) })
      if (leaves) await current?.ask({ do: 'leave' }).catch(unsaid)
      const ways = [...living].map(async child => {
        await child.stop(grace)
        // One that has not even loaded its config yet does not listen to signals.
        return ['exit code 0', 'SIGTERM'].includes(await child.ended)
      })
      await stopReviving()
      return (await Promise.all(ways)).every(Boolean)
    },

    kill() {
      for (const child of living) child.kill()
    },
  }
}
