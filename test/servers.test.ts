import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { unrecorded } from '../core/audit.ts'
import { config } from '../core/config/schema.ts'
import { draft } from '../core/draft.ts'
import { HubError } from '../core/errors.ts'
import { createStager } from '../core/hooks.ts'
import { createRoles } from '../core/identity/roles.ts'
import { createTokens } from '../core/identity/tokens.ts'
import { createUsers } from '../core/identity/users.ts'
import { silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { labelKeys } from '../core/names.ts'
import type { Cause, Handle, Hooks, Plugin, Route, ServerSpec, Status } from '../core/plugin.ts'
import { failure } from '../core/servers/cause.ts'
import { createRoutes } from '../core/servers/routes.ts'
import type { StartEvent } from '../core/servers/server.ts'
import { createServers } from '../core/servers/servers.ts'
import { openStore } from '../core/store/store.ts'

/** An engine in memory whose servers are real HTTP servers. It outlives the hub, as an engine does. */
function engine() {
  interface Made {
    spec: ServerSpec
    handle: Handle
    http: HttpServer
    status: Status
  }
  const made = new Map<string, Made>()
  const calls: string[] = []
  const watchers = new Set<(handle: Handle, status?: Status) => void>()
  const polls: Status['state'][] = []
  const behaviour = {
    /** What a new server says of itself, in order; then that it runs, unless it is gone. */
    says: [] as Status[],
    answers: true,
    /** Says of a change what it has become. */
    tells: false,
    start: async (): Promise<void> => {},
    reachable: true,
    /** Makes the server, but the answer is lost. */
    losesAnswer: false,
  }
  const check = () => {
    if (!behaviour.reachable) throw new HubError('unavailable', 'The engine does not answer.')
  }
  const plugin = {
    name: 'memory',
    spawner: {
      async start(spec: ServerSpec) {
        check()
        calls.push('start')
        await behaviour.start()
        const http = createServer((_, reply) => reply.end('{}'))
        if (behaviour.answers) await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
        const target = `http://127.0.0.1:${behaviour.answers ? (http.address() as AddressInfo).port : 1}`
        const handle = { generation: spec.generation }
        const isOver = behaviour.says.at(-1)?.state === 'gone'
        const [first, ...rest]: Status[] = [
          ...behaviour.says,
          ...(isOver ? [] : [{ state: 'running', target, node: 'node1' } as const]),
        ]
        const server: Made = { spec, handle, http, status: first! }
        made.set(spec.generation, server)
        if (behaviour.losesAnswer) throw new HubError('timeout', 'The engine took too long.')
        void (async () => {
          for (const status of rest) {
            await sleep(30)
            server.status = status
            for (const changed of watchers) changed(handle, behaviour.tells ? status : undefined)
          }
        })()
        return handle
      },
      async poll(handle: Handle): Promise<Status> {
        if (!behaviour.reachable) return { state: 'unknown', why: 'no answer' }
        const { status } = made.get(String(handle.generation)) ?? {}
        polls.push(status?.state ?? 'gone')
        return status ?? { state: 'gone', cause: { code: 'missing', message: 'It is not there.' } }
      },
      async stop(handle: Handle) {
        check()
        calls.push('stop')
        made.get(String(handle.generation))?.http.close()
        made.get(String(handle.generation))?.http.closeAllConnections()
        made.delete(String(handle.generation))
      },
      async list() {
        check()
        return [...made.values()].map(({ handle, spec, status }) => ({ handle, labels: spec.labels, status }))
      },
      watch(changed: (handle: Handle, status?: Status) => void) {
        watchers.add(changed)
        return () => void watchers.delete(changed)
      },
      async *logs() {
        yield 'last words'
      },
    },
  } satisfies Plugin
  return { plugin, made, calls, polls, behaviour, only: () => [...made.values()][0]! }
}

interface Given {
  hooks?: Record<string, Hooks>
  timeouts?: Record<string, string>
  limits?: object
  profiles?: object[]
}

/** A hub's servers on a real store, with an engine that stays when the hub is "restarted". */
async function hubWith(t: TestContext, { hooks = {}, timeouts = {}, limits = {}, profiles }: Given = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'servers-'))
  // In a hub its listeners keep the process alive; what waits in a life does not.
  const alive = setInterval(() => {}, 60_000)
  t.after(() => clearInterval(alive))
  const running = engine()
  const table = new Map<string, Route>()
  const proxy: Plugin = {
    name: 'table',
    proxy: {
      async add(route) {
        running.calls.push(`route to ${route.path}`)
        table.set(route.path, route)
      },
      async remove(path) {
        running.calls.push(`no route to ${path}`)
        table.delete(path)
      },
      list: async () => [...table.values()].map(route => ({ ...route, active: new Date() })),
    },
  }
  const authenticator: Plugin = { name: 'nobody', authenticator: { kind: 'password', label: 'x', check: async () => null } }
  const settings = config.parse({
    authenticators: [authenticator],
    spawner: running.plugin,
    proxy,
    timeouts: { start: '2s', answer: '1s', hook: '1s', stop: '1s', orphan: '50ms', ...timeouts },
    limits,
    ...(profiles && { profiles }),
  })
  t.after(async () => {
    for (const { http } of running.made.values()) {
      http.close()
      http.closeAllConnections()
    }
    await rm(folder, { recursive: true, force: true })
  })

  const begin = async () => {
    const control = new AbortController()
    const store = await openStore(folder)
    const users = createUsers({ store })
    const tokens = createTokens({ store, users, roles: createRoles({ store, users }) })
    const metrics = createMetrics()
    const plugins: Plugin[] = Object.entries(hooks).map(([name, hooks]) => ({ name, hooks }))
    const servers = createServers({
      hub: { id: 'hub1', base: '/', url: undefined, address: 'http://127.0.0.1:8081' },
      settings,
      users,
      tokens,
      spawner: running.plugin,
      routes: createRoutes(proxy, silent, metrics, control.signal),
      stager: createStager([...draft(settings), ...plugins], settings.timeouts.hook, metrics),
      metrics,
      audit: unrecorded,
      log: silent,
      closing: control.signal,
    })
    const unwatch = await servers.watch()
    const end = () => {
      control.abort(new Error('the hub ends'))
      void unwatch()
    }
    t.after(end)
    return { store, users, tokens, servers, end }
  }
  return { ...running, table, begin, folder }
}

const never = new AbortController().signal
const told = async (events: AsyncIterable<StartEvent>) => {
  const all: StartEvent[] = []
  for await (const event of events) all.push(event)
  return all
}
const until = async (what: string, holds: () => boolean) => {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await sleep(10)
  }
  assert.fail(`never came true: ${what}`)
}

test('a start ends ready: the route is live before it is said, and the log tells each step', async t => {
  const { begin, table, behaviour, calls } = await hubWith(t)
  behaviour.says = [
    { state: 'starting', step: 'queued', message: 'Waiting for a node' },
    { state: 'starting', step: 'pulling', message: 'Pulling the image', node: 'node1' },
  ]
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const server = await servers.start(alice, '', {}, undefined)
  assert.equal(server.pending, 'spawn')
  const events = await told(server.events(0, never))
  assert.deepEqual([...new Set(events.map(({ step }) => step))], ['requested', 'queued', 'pulling', 'answering', 'ready'])
  await server.settled()
  assert.equal(server.ready, true)
  assert.equal(server.state, 'running')
  assert.equal(server.node, 'node1')
  assert.match(table.get('/user/alice/')!.target, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.deepEqual(calls, ['start', 'route to /user/alice/'])
})

test('an engine that has told that a server runs is not asked whether it does', async t => {
  const { begin, behaviour, polls, table, only } = await hubWith(t)
  behaviour.says = [{ state: 'starting', step: 'queued', message: 'Waiting for a node' }]
  behaviour.tells = true
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.equal(server.ready, true)
  const { status } = only()
  assert.equal(table.get('/user/alice/')?.target, status.state === 'running' && status.target)
  assert.deepEqual(polls, ['starting'])
})

test('the spec carries JupyterHub’s environment, and the token only among the secrets', async t => {
  const { begin, only } = await hubWith(t)
  const { users, tokens, servers } = await begin()
  await (await servers.start(await users.create('bob@x.org'), 'lab', {}, undefined)).settled()
  const { spec } = only()
  assert.equal(spec.env.JUPYTERHUB_SERVICE_PREFIX, '/user/bob@x.org/lab/')
  assert.equal(spec.env.JUPYTERHUB_CLIENT_ID, 'jupyterhub-user-bob%40x.org-lab')
  assert.equal(spec.env.JUPYTERHUB_API_URL, 'http://127.0.0.1:8081/hub/api')
  assert.equal(spec.env.JUPYTERHUB_OAUTH_ACCESS_SCOPES, '["access:servers!server=bob@x.org/lab","access:servers!user=bob@x.org"]')
  assert.equal(spec.labels[labelKeys.server], 'lab')
  const found = tokens.find(spec.secrets.JUPYTERHUB_API_TOKEN!)
  assert.equal(found?.owner.name, 'bob@x.org')
  assert.equal(found?.record.note, 'Server at /user/bob@x.org/lab/')
  assert.ok(!JSON.stringify(spec.env).includes(spec.secrets.JUPYTERHUB_API_TOKEN!))
})

test('ready does not wait for the after hooks', async t => {
  const { begin } = await hubWith(t, { hooks: { slow: { 'after:spawn': () => new Promise(() => {}) } } })
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.equal(server.ready, true)
})

test('a stop takes the route away before the server, revokes its token, and ends stopped', async t => {
  const { begin, calls, only, table } = await hubWith(t)
  const { users, tokens, servers } = await begin()
  const alice = await users.create('alice')
  await (await servers.start(alice, '', {}, undefined)).settled()
  const secret = only().spec.secrets.JUPYTERHUB_API_TOKEN!
  calls.length = 0
  await servers.stop(alice, '', 'user')
  assert.deepEqual(calls, ['no route to /user/alice/', 'stop'])
  assert.equal(table.size, 0)
  assert.equal(tokens.find(secret), undefined)
  const server = servers.get(users.get('alice')!, '')!
  assert.equal(server.state, 'stopped')
  assert.equal(server.failure, null)
  await servers.stop(alice, '', 'user')
  assert.deepEqual(calls, ['no route to /user/alice/', 'stop'])
})

test('a veto refuses the start: the engine is not asked, the clean-up comes, the user can start again', async t => {
  const seen: string[] = []
  let allowed = false
  const { begin, calls } = await hubWith(t, {
    hooks: {
      guard: {
        'before:spawn': () => {
          if (!allowed) throw new HubError('denied', 'Not before nine o’clock.')
        },
        'failed:spawn': () => void seen.push('failed:spawn'),
        'after:stop': stop => void seen.push(`after:stop ${stop.reason}`),
      },
    },
  })
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.equal(server.state, 'stopped')
  assert.deepEqual(server.failure?.cause, { code: 'refused', message: 'Not before nine o’clock.' })
  assert.deepEqual(seen, ['failed:spawn', 'after:stop failed'])
  assert.ok(!calls.includes('start'))
  allowed = true
  await (await servers.start(users.get('alice')!, '', {}, undefined)).settled()
  assert.equal(server.ready, true)
  assert.equal(server.failure, null)
})

test('an engine that refuses gives its cause to the user; an unforeseen error gives nothing away', async t => {
  const { begin, behaviour } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const cause: Cause = { code: 'no-image', message: 'There is no image "x".', hint: 'Ask.', engine: 'No such image: x' }
  behaviour.start = async () => {
    throw failure(cause)
  }
  const server = await servers.start(alice, '', {}, undefined)
  await server.settled()
  assert.deepEqual(server.failure?.cause, cause)
  behaviour.start = async () => {
    throw new TypeError('secret detail')
  }
  await (await servers.start(alice, '', {}, undefined)).settled()
  assert.equal(server.failure?.cause.code, 'internal')
  assert.ok(!JSON.stringify(server.failure).includes('secret detail'))
})

test('a server that exits while it starts fails at once with the engine’s words', async t => {
  const { begin, behaviour, made } = await hubWith(t)
  behaviour.says = [{ state: 'gone', cause: { code: 'exited', message: 'It exited with code 1.', exitCode: 1, log: ['oops'] } }]
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  const events = await told(server.events(0, never))
  assert.equal(events.at(-1)?.step, 'failed')
  assert.equal(events.at(-1)?.cause?.exitCode, 1)
  assert.deepEqual(server.failure?.cause.log, ['oops'])
  assert.equal(made.size, 0)
})

test('a server that never answers fails after the time-out, with its last words', async t => {
  const { begin, behaviour, made } = await hubWith(t, { timeouts: { answer: '200ms' } })
  behaviour.answers = false
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.equal(server.failure?.cause.code, 'no-answer')
  assert.deepEqual(server.failure?.cause.log, ['last words'])
  assert.equal(made.size, 0)
})

test('pulling the image does not eat the start time-out; being queued does', async t => {
  const { begin, behaviour } = await hubWith(t, { timeouts: { start: '300ms' } })
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const pulling: Status = { state: 'starting', step: 'pulling', message: 'Pulling', percent: 1 }
  behaviour.says = Array.from({ length: 25 }, () => pulling)
  const server = await servers.start(alice, '', {}, undefined)
  await server.settled()
  assert.equal(server.ready, true)
  await servers.stop(alice, '', 'user')
  behaviour.says = Array.from({ length: 100 }, () => ({ state: 'starting', step: 'queued', message: 'No node has 64 CPUs' }))
  await (await servers.start(alice, '', {}, undefined)).settled()
  assert.equal(server.failure?.cause.code, 'time-out')
  assert.equal(server.failure?.cause.engine, 'No node has 64 CPUs')
})

test('a start is cancelled at any point: what was made is taken down, no failure is left', async t => {
  const { begin, behaviour, made, table } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  for (const says of [
    [],
    [{ state: 'starting', step: 'queued', message: 'q' } as Status],
    Array.from({ length: 50 }, () => ({ state: 'starting', step: 'pulling', message: 'p' }) as Status),
  ]) {
    for (const wait of [0, 20, 60]) {
      behaviour.says = says
      behaviour.start = () => sleep(30)
      const server = await servers.start(alice, '', {}, undefined)
      await sleep(wait)
      await servers.stop(alice, '', 'user')
      assert.equal(server.state, 'stopped')
      assert.equal(server.failure, null)
      assert.equal(made.size, 0)
      assert.equal(table.size, 0)
    }
  }
})

test('what a hook puts into a draft is checked once more: no folder of a node that the config does not allow', async t => {
  const bad: [RegExp, (draft: ServerSpec) => void][] = [
    [/limits\.binds/, draft => draft.mounts.push({ type: 'bind', source: '/etc', target: '/mnt' })],
    [/limits\.binds/, draft => draft.mounts.push({ type: 'bind', source: '/srv/courses-other', target: '/mnt' })],
    [/valid source/, draft => draft.mounts.push({ type: 'bind', source: '/srv/courses/./../x', target: '/mnt' })],
    [/valid source/, draft => draft.mounts.push({ type: 'bind', source: '/srv/courses/..', target: '/mnt' })],
    [/no place for a file/, draft => draft.configs.push({ name: 'c', target: '/etc/../x', uid: 0, gid: 0, mode: 0o444 })],
    [/changed the label/, draft => (draft.labels['org.swarmhub.user'] = 'bob')],
  ]
  let change = (_: ServerSpec) => {}
  const { begin, calls, only } = await hubWith(t, {
    hooks: { careless: { 'before:spawn': ({ draft }) => change(draft) } },
    limits: { binds: ['/srv/courses'] },
  })
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  for (const [words, wrong] of bad) {
    change = wrong
    const server = await servers.start(alice, '', {}, undefined)
    await server.settled()
    assert.match(server.failure?.cause.message ?? '', words)
    assert.ok(!calls.includes('start'))
  }
  change = draft => void draft.mounts.push({ type: 'bind', source: '/srv/courses/physics', target: '/mnt' })
  await (await servers.start(alice, '', {}, undefined)).settled()
  assert.equal(only().spec.mounts[0]?.source, '/srv/courses/physics')
})

test('a server that the engine starts again has no route until it runs at its new address', async t => {
  const { begin, only, table, calls } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  await (await servers.start(alice, '', {}, undefined)).settled()
  const running = only().status
  only().status = { state: 'starting', step: 'starting', message: 'Starting again' }
  calls.length = 0
  await servers.look()
  assert.equal(table.size, 0)
  assert.deepEqual(calls, ['no route to /user/alice/'])
  assert.equal(servers.get(users.get('alice')!, '')?.ready, false)
  only().status = { state: 'running', target: 'http://127.0.0.2:9' }
  await servers.look()
  assert.equal(table.get('/user/alice/')?.target, 'http://127.0.0.2:9')
  only().status = running
})

test('two starts at once are one', async t => {
  const { begin, made, calls } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const [one, two] = await Promise.all([servers.start(alice, '', {}, undefined), servers.start(alice, '', {}, undefined)])
  assert.equal(one, two)
  await one.settled()
  assert.equal(made.size, 1)
  await assert.rejects(servers.start(alice, '', {}, undefined), { code: 'invalid', message: 'The server is already running.' })
  assert.equal(calls.filter(call => call === 'start').length, 1)
})

test('a server that died by itself is noticed: no route, its cause kept; leaving by oneself is no failure', async t => {
  const { begin, only, table } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  for (const exitCode of [137, 0]) {
    const server = await servers.start(alice, '', {}, undefined)
    await server.settled()
    only().status = { state: 'gone', cause: { code: 'exited', message: 'It has ended.', exitCode } }
    await servers.look()
    assert.equal(server.state, 'stopped')
    assert.equal(table.size, 0)
    assert.equal(server.failure?.cause.exitCode, exitCode === 0 ? undefined : exitCode)
  }
})

test('a dead server is started anew without waiting for a look', async t => {
  const { begin, only, made } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  await (await servers.start(alice, '', {}, undefined)).settled()
  only().status = { state: 'gone', cause: { code: 'exited', message: 'It has ended.', exitCode: 1 } }
  const again = await servers.start(users.get('alice')!, '', {}, undefined)
  await again.settled()
  assert.equal(again.ready, true)
  assert.equal(made.size, 1)
})

test('while the engine cannot be asked nothing is stopped, no route is lost, and nothing is started', async t => {
  const { begin, behaviour, table } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const server = await servers.start(alice, '', {}, undefined)
  await server.settled()
  behaviour.reachable = false
  await servers.look()
  assert.equal(servers.engine.ok, false)
  await servers.repairRoutes()
  assert.equal(table.size, 1)
  assert.equal(server.ready, true)
  await assert.rejects(servers.start(alice, 'second', {}, undefined), { code: 'unavailable' })
  await assert.rejects(servers.stop(alice, '', 'user'), { code: 'unavailable' })
  assert.equal(server.state, 'stopping')
  behaviour.reachable = true
  await servers.look()
  await until('the stop is finished by a later look', () => server.state === 'stopped')
})

test('after a restart of the hub a running server is adopted: same server, same token, its route set right', async t => {
  const { begin, made, table, only } = await hubWith(t)
  const first = await begin()
  await (await first.servers.start(await first.users.create('alice'), '', {}, undefined)).settled()
  const secret = only().spec.secrets.JUPYTERHUB_API_TOKEN!
  first.end()
  table.clear()
  const second = await begin()
  await second.servers.look()
  await second.servers.repairRoutes()
  const server = second.servers.get(second.users.get('alice')!, '')!
  assert.equal(server.ready, true)
  assert.equal(table.size, 1)
  assert.equal(made.size, 1)
  assert.equal(second.tokens.find(secret)?.owner.name, 'alice')
})

test('after a restart in the middle of a start the new hub goes on with it', async t => {
  const { begin, made, behaviour } = await hubWith(t)
  behaviour.says = Array.from({ length: 10 }, () => ({ state: 'starting', step: 'pulling', message: 'p' }))
  const first = await begin()
  const starting = await first.servers.start(await first.users.create('alice'), '', {}, undefined)
  await until('the engine has it', () => made.size === 1 && starting.record.handle !== null)
  first.end()
  const second = await begin()
  await second.servers.look()
  const server = second.servers.get(second.users.get('alice')!, '')!
  assert.equal(server.pending, 'spawn')
  await until('it is ready', () => server.ready)
  assert.equal(server.record.ready, true)
  assert.equal(made.size, 1)
})

test('a start whose answer is lost leaves nothing on the engine', async t => {
  const { begin, made, behaviour } = await hubWith(t)
  behaviour.losesAnswer = true
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.equal(server.failure?.cause.code, 'time-out')
  assert.equal(made.size, 0)
})

test('a server of which the engine says that it does not know is left as it is', async t => {
  const { begin, only, table } = await hubWith(t)
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  only().status = { state: 'unknown', why: 'its node is away' }
  await servers.look()
  assert.equal(server.state, 'unknown')
  assert.equal(server.ready, true)
  assert.equal(table.size, 1)
})

test('after a kill between the intent and the engine the start has failed cleanly; between the engine and the note it goes on', async t => {
  const { begin, made, behaviour, calls } = await hubWith(t)
  const first = await begin()
  const alice = await first.users.create('alice')
  behaviour.start = () => sleep(100)
  await first.servers.start(alice, '', {}, undefined)
  await until('the engine is asked', () => calls.includes('start'))
  // As after a kill -9: the engine makes it later or never, and nobody notes the handle.
  const record = structuredClone(first.users.get('alice')!)
  first.end()
  assert.equal(record.servers[0]?.intent, 'running')
  assert.equal(record.servers[0]?.handle, null)
  await until('the engine has made it', () => made.size === 1)
  // A killed hub writes nothing any more; this one has to be over.
  await first.servers.get(first.users.get('alice')!, '')!.settled()
  const second = await begin()
  await second.servers.look()
  const server = second.servers.get(second.users.get('alice')!, '')!
  await until('it is ready', () => server.ready)
  assert.equal(made.size, 1)

  await second.servers.stop(second.users.get('alice')!, '', 'user')
  behaviour.start = () => new Promise(() => {})
  await second.servers.start(second.users.get('alice')!, '', {}, undefined)
  second.end()
  const third = await begin()
  await third.servers.look()
  const lost = third.servers.get(third.users.get('alice')!, '')!
  await until('it has failed', () => lost.state === 'stopped')
  assert.equal(lost.failure?.cause.message, 'The hub was restarted while the server was starting.')
})

test('after a kill in the middle of a stop the new hub finishes it, clean-up included', async t => {
  const seen: string[] = []
  const { begin, made } = await hubWith(t, {
    hooks: { tidy: { 'after:stop': () => (seen.push('after:stop') === 1 ? new Promise(() => {}) : undefined) } },
  })
  const first = await begin()
  const alice = await first.users.create('alice')
  await (await first.servers.start(alice, '', {}, undefined)).settled()
  void first.servers.stop(alice, '', 'user').catch(() => {})
  await until('the clean-up hangs', () => seen.length === 1)
  assert.equal(made.size, 0)
  first.end()
  const second = await begin()
  await second.servers.look()
  assert.deepEqual(seen, ['after:stop', 'after:stop'])
  assert.equal(second.servers.get(second.users.get('alice')!, '')!.state, 'stopped')
})

test('what carries our label and is in nobody’s record goes after a grace; another hub’s is left alone', async t => {
  const { begin, made, only } = await hubWith(t)
  const { users, servers } = await begin()
  await (await servers.start(await users.create('alice'), '', {}, undefined)).settled()
  const { spec, http } = only()
  const stray = (hub: string, generation: string) =>
    made.set(generation, {
      spec: { ...spec, labels: { ...spec.labels, [labelKeys.hub]: hub, [labelKeys.generation]: generation } },
      handle: { generation },
      http,
      status: { state: 'running', target: 'http://127.0.0.1:1' },
    })
  stray('hub1', 'orphan')
  stray('hub2', 'foreign')
  await servers.look()
  assert.equal(made.has('orphan'), true)
  await sleep(60)
  await servers.look()
  assert.deepEqual([...made.keys()].sort(), [spec.generation, 'foreign'].sort())
})

test('limits answer with what to do: starts at once, servers in all, named servers of one user', async t => {
  const { begin, behaviour } = await hubWith(t, { limits: { starts: 1, servers: 2, namedServers: 1 } })
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  const bob = await users.create('bob')
  behaviour.start = () => sleep(50)
  const first = await servers.start(alice, '', {}, undefined)
  const busy = await servers.start(bob, '', {}, undefined).catch(error => error)
  assert.equal(busy.code, 'busy')
  assert.ok(busy.retryAfter >= 30 && busy.retryAfter <= 60)
  await first.settled()
  await (await servers.start(alice, 'one', {}, undefined)).settled()
  await assert.rejects(servers.start(bob, '', {}, undefined), { code: 'busy' })
  await servers.stop(alice, '', 'user')
  await assert.rejects(servers.start(users.get('alice')!, 'two', {}, undefined), { code: 'invalid' })
})

test('users choose from closed lists only', async t => {
  const { begin, only } = await hubWith(t, {
    profiles: [
      { name: 'small', label: 'Small', image: 'example/small' },
      { name: 'big', label: 'Big', image: 'example/big', groups: ['teachers'] },
    ],
  })
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  await assert.rejects(servers.start(alice, '', { profile: 'big' }, undefined), { code: 'denied' })
  await assert.rejects(servers.start(alice, '', { profile: 'evil/image' }, undefined), { code: 'invalid' })
  await assert.rejects(servers.start(alice, '', { choices: { image: 'evil' } }, undefined), { code: 'invalid' })
  await assert.rejects(servers.start(alice, '../..', {}, undefined), { code: 'invalid' })
  await users.groups.set(alice.id, ['teachers'])
  await (await servers.start(alice, '', { profile: 'big' }, undefined)).settled()
  assert.equal(only().spec.image, 'example/big')
})

test('a hook that changes what tells servers apart stops the start before the engine hears of it', async t => {
  const { begin, calls } = await hubWith(t, {
    hooks: { evil: { 'before:spawn': spawn => void (spawn.draft.labels[labelKeys.user] = 'bob') } },
  })
  const { users, servers } = await begin()
  const server = await servers.start(await users.create('alice'), '', {}, undefined)
  await server.settled()
  assert.match(server.failure!.cause.message, /changed the label/)
  assert.ok(!calls.includes('start'))
})

test('a named server is forgotten with its record; the default one cannot be', async t => {
  const { begin, made } = await hubWith(t)
  const { users, servers } = await begin()
  const alice = await users.create('alice')
  await (await servers.start(alice, 'lab', {}, undefined)).settled()
  await servers.remove(users.get('alice')!, 'lab')
  assert.equal(made.size, 0)
  assert.equal(servers.get(users.get('alice')!, 'lab'), undefined)
  await assert.rejects(servers.remove(users.get('alice')!, ''), { code: 'invalid' })
})
