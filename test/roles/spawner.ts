import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Awaitable, Cause, Context, Handle, ServerSpec, Spawner, Status, User } from 'swarmhub'
import { fakeContext, fakeSpec, somebody } from './spawn.ts'

/** A spawner, and what it needs to start something. */
export interface SpawnerCase {
  /** Already set up. */
  spawner: Spawner
  /** The id of the hub that it was set up for. */
  hub: string
  /** Make a server of this that comes up and stays until it is stopped: give it an image, a command. */
  spec(plain: ServerSpec): ServerSpec
  /** By cause, servers that end by themselves. With `exited`, it has written a line to its log before. */
  failing?: Partial<Record<Cause['code'], (plain: ServerSpec) => ServerSpec>>
  /** The same kind of spawner when its engine cannot be asked. */
  unreachable?: Spawner
  /** Milliseconds that coming up, ending and stopping may take; default a minute. */
  patience?: number
}

/**
 * What every spawner has to keep: registers one test for each promise. `make` is called once for each test; clean up with `t.after`.
 * What the suite starts it stops.
 *
 *     testSpawner('process', t => ({ spawner: spawnerFor(t), hub: 'test-hub', spec: plain => ({ ...plain, command }) }))
 */
export function testSpawner(
  name: string,
  make: (t: TestContext) => Awaitable<SpawnerCase>,
  options: { skip?: string | false /** Promises tried at once; default 1. */; concurrency?: number } = {},
): void {
  describe(`${name}, as a spawner`, { skip: options.skip ?? false, concurrency: options.concurrency ?? 1 }, () => {
    promises((what, check) => void test(`${name}: ${what}`, async t => check(trial(t, await make(t)))))
  })
}

function promises(promise: (what: string, check: (given: Trial) => Promise<void>) => void): void {
  promise('a started server comes to run, at an address', async ({ start, until }) => {
    const { handle } = await start()
    const status = await until(handle, 'running')
    assert.match(status.target, /^http:\/\/[^/]+:\d+$/)
  })

  promise('a handle is flat JSON: it does not change by being kept', async ({ start, until }) => {
    const { handle } = await start()
    const kept = JSON.parse(JSON.stringify(handle)) as Handle
    assert.deepEqual(kept, handle)
    for (const value of Object.values(kept)) assert.ok(value === null || typeof value !== 'object')
    await until(kept, 'running')
  })

  promise('starting the same generation again gives the same server, not a second one', async ({ spawner, start, mine }) => {
    const { handle, spec } = await start()
    assert.deepEqual(await spawner.start(spec, context()), handle)
    assert.equal((await mine(spec)).length, 1)
  })

  promise('starting the same generation twice at once makes one server', async ({ spawner, draft, mine, keep }) => {
    const spec = draft()
    const handles = await Promise.all([spawner.start(spec, context()), spawner.start(spec, context())])
    for (const handle of handles) keep(handle)
    assert.deepEqual(handles[0], handles[1])
    assert.equal((await mine(spec)).length, 1)
  })

  promise('a new generation of a server takes the place of the old one', async ({ start, until, mine, spawner }) => {
    const first = await start()
    await until(first.handle, 'running')
    const second = await start({ user: first.spec.user })
    await until(second.handle, 'running')
    assert.equal((await spawner.poll(first.handle, context())).state, 'gone')
    const generations = (await mine(first.spec)).filter(({ status }) => status.state !== 'gone')
    assert.deepEqual(
      generations.map(({ labels }) => labels['org.swarmhub.generation']),
      [second.spec.generation],
    )
  })

  promise('several servers of one user, and those of several users, do not get into each other’s way', async given => {
    const { start, until, spawner } = given
    const one = await start()
    const all = [one, await start({ user: one.spec.user, server: 'second' }), await start()]
    const targets = await Promise.all(all.map(async ({ handle }) => (await until(handle, 'running')).target))
    assert.equal(new Set(targets).size, 3)
    await spawner.stop(one.handle, context())
    assert.equal((await spawner.poll(all[1]!.handle, context())).state, 'running')
    assert.equal((await spawner.poll(all[2]!.handle, context())).state, 'running')
  })

  promise('all of a hub’s servers are listed with their labels, and only its own', async ({ start, until, mine, hub }) => {
    const { handle, spec } = await start()
    const status = await until(handle, 'running')
    const [listed, ...more] = await mine(spec)
    assert.equal(more.length, 0)
    assert.deepEqual(listed?.handle, handle)
    for (const [key, value] of Object.entries(spec.labels)) assert.equal(listed?.labels[key], value)
    assert.deepEqual(listed?.status, status)
    assert.equal(listed?.labels['org.swarmhub.hub'], hub)
  })

  promise('a stopped server is gone when the stop resolves, and is not listed as running', async given => {
    const { start, until, spawner, mine } = given
    const { handle, spec } = await start()
    await until(handle, 'running')
    await spawner.stop(handle, context())
    assert.equal((await spawner.poll(handle, context())).state, 'gone')
    assert.ok((await mine(spec)).every(({ status }) => status.state === 'gone'))
  })

  promise('stopping twice, also at once, is as good as once', async ({ start, until, spawner }) => {
    const { handle } = await start()
    await until(handle, 'running')
    await Promise.all([spawner.stop(handle, context()), spawner.stop(handle, context())])
    await spawner.stop(handle, context())
  })

  promise('a server that never came up can be stopped', async ({ start, spawner }) => {
    const { handle } = await start()
    await spawner.stop(handle, context())
    assert.equal((await spawner.poll(handle, context())).state, 'gone')
  })

  promise('after a stop the server can be started again', async ({ start, until, spawner }) => {
    const first = await start()
    await until(first.handle, 'running')
    await spawner.stop(first.handle, context())
    const { handle } = await start({ user: first.spec.user })
    await until(handle, 'running')
  })

  promise('a handle of something that is not there is gone, and can be stopped', async ({ start, spawner }) => {
    const { handle } = await start()
    await spawner.stop(handle, context())
    // As a handle that was kept while the engine was made anew.
    const stale = Object.fromEntries(
      Object.entries(handle).map(([key, value]) => [key, typeof value === 'string' ? `${value.slice(0, -4)}zzzz` : value]),
    )
    const status = await spawner.poll(stale, context())
    assert.equal(status.state, 'gone')
    assert.ok(status.state === 'gone' && status.cause.message.length > 0)
    await spawner.stop(stale, context())
  })

  promise('a start that is cancelled before it begins makes nothing', async ({ spawner, draft, mine }) => {
    const spec = draft()
    await assert.rejects(spawner.start(spec, context(AbortSignal.abort(new Error('cancelled')))))
    assert.deepEqual(await mine(spec), [])
  })

  promise('a change is told', async ({ spawner, start, until, t }) => {
    if (!spawner.watch) return t.skip('it cannot tell')
    const told = new Set<string>()
    const close = await spawner.watch(handle => void told.add(JSON.stringify(handle)), context())
    t.after(() => close())
    const { handle } = await start()
    await until(handle, 'running')
    await eventually(() => told.has(JSON.stringify(handle)))
    told.clear()
    await spawner.stop(handle, context())
    await eventually(() => told.has(JSON.stringify(handle)))
  })

  promise('its log can be read from the beginning, and ends with the signal', async ({ spawner, failing, start, until, t }) => {
    if (!spawner.logs || !failing?.exited) return t.skip('it has no logs, or the case names nothing that writes one')
    const { handle } = await start({}, failing.exited)
    await until(handle, 'gone')
    const end = new AbortController()
    const lines: string[] = []
    for await (const line of spawner.logs(handle, context(AbortSignal.any([end.signal, AbortSignal.timeout(10_000)])))) {
      lines.push(line)
      end.abort()
    }
    assert.ok(lines.length > 0 && lines.every(line => line.trimEnd() === line), JSON.stringify(lines))
  })

  for (const code of causes) {
    promise(`why a server is gone is told: ${code}`, async ({ failing, start, until, mine, t }) => {
      const fail = failing?.[code]
      if (!fail) return t.skip('the case names none')
      const { handle, spec } = await start({}, fail)
      const { cause } = await until(handle, 'gone')
      assert.equal(cause.code, code, JSON.stringify(cause))
      assert.match(cause.message, /^[A-Z].*\.$/s, 'a sentence')
      if (code === 'exited') assert.ok(Number.isInteger(cause.exitCode) && (cause.log?.length ?? 0) > 0, JSON.stringify(cause))
      assert.ok((await mine(spec)).every(({ status }) => status.state === 'gone'))
    })
  }

  promise('while the engine cannot be asked nothing is said to be gone', async ({ unreachable, start, draft, t }) => {
    if (!unreachable) return t.skip('the case names none')
    const { handle } = await start()
    const status = await unreachable.poll(handle, context())
    assert.equal(status.state, 'unknown')
    assert.ok(status.state === 'unknown' && status.why.length > 0)
    await assert.rejects(unreachable.list(context()))
    await assert.rejects(unreachable.stop(handle, context()))
    await assert.rejects(unreachable.start(draft(), context()))
  })
}

const causes = ['exited', 'no-image', 'no-node', 'mount', 'network', 'out-of-memory', 'killed', 'engine'] as const

/** A case, with what the promises are written in. */
interface Trial extends SpawnerCase {
  t: TestContext
  /** A server of somebody new, or of this user. */
  draft(of?: { user?: User; server?: string }, as?: SpawnerCase['spec']): ServerSpec
  /** The same, started; stopped when the test has ended. */
  start(of?: { user?: User; server?: string }, as?: SpawnerCase['spec']): Promise<{ handle: Handle; spec: ServerSpec }>
  keep(handle: Handle): void
  until<S extends Status['state']>(handle: Handle, state: S): Promise<Extract<Status, { state: S }>>
  /** What is listed of this spec's server, of any generation. */
  mine(spec: ServerSpec): Promise<Awaited<ReturnType<Spawner['list']>>>
}

function trial(t: TestContext, given: SpawnerCase): Trial {
  const { spawner, hub, spec: comesUp, patience = 60_000 } = given
  const started: Handle[] = []
  t.after(() => Promise.all(started.map(handle => spawner.stop(handle, context()))))
  const made: Trial = {
    ...given,
    t,
    draft: ({ user = somebody(), server = '' } = {}, as = comesUp) => as(fakeSpec(hub, user, server)),
    async start(of, as) {
      const spec = made.draft(of, as)
      const handle = await spawner.start(spec, context())
      started.push(handle)
      return { handle, spec }
    },
    keep: handle => void started.push(handle),
    async until(handle, state) {
      const deadline = performance.now() + patience
      for (;;) {
        const status = await spawner.poll(handle, context())
        if (isIn(status, state)) return status
        const final = status.state === 'gone' || performance.now() > deadline
        assert.ok(!final, `waited for ${state}, and found ${JSON.stringify(status)}`)
        await sleep(50)
      }
    },
    async mine(spec) {
      const { user, name } = spec.server
      return (await spawner.list(context())).filter(
        ({ labels }) => labels['org.swarmhub.user'] === user && labels['org.swarmhub.server'] === name,
      )
    },
  }
  return made
}

const isIn = <S extends Status['state']>(status: Status, state: S): status is Extract<Status, { state: S }> =>
  status.state === state

const context = (signal?: AbortSignal): Context => fakeContext(signal)

async function eventually(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 600, 'it never came')
    await sleep(50)
  }
}
