import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cause, HubError, labelKeys, type Profile, type ServerView, type Stop } from 'swarmhub'
import { mayRun, placesFor, roomOf } from '../plugins/swarm/capacity.ts'
import { swarm } from '../plugins/swarm/index.ts'
import { createMover } from '../plugins/swarm/move.ts'
import { createNodes } from '../plugins/swarm/nodes.ts'
import { type Node, node, statusOf, task } from '../plugins/swarm/status.ts'
import { isPinned, type Keeping, noticeOf } from '../plugins/swarm/storage.ts'
import { browse, fakeCore } from './fake-core.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, somebody } from './roles/spawn.ts'
import { engineAt } from './swarm-engine.ts'

const GiB = 2 ** 30

function nodeOf(
  name: string,
  more: { labels?: Record<string, string>; availability?: string; state?: string; gpus?: number } = {},
) {
  const { labels = {}, availability = 'active', state = 'ready', gpus = 0 } = more
  return node.parse({
    ID: `id-${name}`,
    Spec: { Availability: availability, Role: name === 'm1' ? 'manager' : 'worker', Labels: labels },
    Description: {
      Hostname: name,
      Platform: { OS: 'linux', Architecture: 'x86_64' },
      Resources: {
        NanoCPUs: 4e9,
        MemoryBytes: 8 * GiB,
        GenericResources: Array.from({ length: gpus }, (_, i) => ({ NamedResourceSpec: { Kind: 'gpu', Value: `GPU-${i}` } })),
      },
    },
    Status: { State: state, Addr: '192.0.2.7' },
  })
}

const taskOn = (name: string, more: { state?: string; desired?: string; mounts?: object[]; reserves?: object } = {}) =>
  task.parse({
    ID: 't1',
    ServiceID: 's1',
    NodeID: `id-${name}`,
    CreatedAt: '2026-01-01T00:00:00Z',
    DesiredState: more.desired ?? 'running',
    Status: { State: more.state ?? 'running' },
    Spec: {
      ContainerSpec: { Image: 'x:1', Mounts: more.mounts ?? [] },
      Resources: { Reservations: more.reserves ?? {} },
    },
  })

const profile = (more: Partial<Profile>): Profile => ({ name: 'p', label: 'P', ...more })

test('the places of a profile are what the reservations of all tasks leave, on nodes that may run it and are open', () => {
  const nodes = [
    nodeOf('m1'),
    nodeOf('n1', { labels: { disk: 'ssd' }, gpus: 2 }),
    nodeOf('n2', { availability: 'pause' }),
    nodeOf('n3', { state: 'down' }),
  ]
  const gpu = { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }] }
  const rooms = roomOf(nodes, [
    taskOn('m1', { reserves: { MemoryBytes: 5 * GiB } }),
    taskOn('n1', { reserves: { NanoCPUs: 1.5e9, ...gpu } }),
    taskOn('n1', { reserves: { NanoCPUs: 4e9 }, state: 'failed', desired: 'shutdown' }),
  ])
  const places = (more: Partial<Profile>, constraints: string[] = []) => placesFor(profile(more), rooms, constraints)
  assert.equal(places({ memoryGuarantee: 2 * GiB }), 1 + 4)
  assert.equal(places({ cpuGuarantee: 1 }), 4 + 2)
  assert.equal(places({ cpuGuarantee: 1, memoryGuarantee: 4 * GiB }), 0 + 2)
  assert.equal(places({ resources: { gpu: 1 } }), 1)
  assert.equal(places({ resources: { gpu: 2 } }), 0)
  assert.equal(places({ memoryGuarantee: GiB }, ['node.role==worker']), 8)
  assert.equal(places({ memoryGuarantee: GiB, placement: { constraints: ['node.labels.disk != SSD'] } }), 3)
  assert.equal(places({}), undefined, 'nothing is reserved for it: no limit')
  assert.equal(places({ placement: { constraints: ['node.labels.disk==none'] } }), 0)
  assert.equal(places({ placement: { constraints: ['node.hostname == n2'] } }), 0, 'paused')
  assert.equal(places({ placement: { platforms: ['linux/arm64'] } }), 0)
  assert.equal(places({ placement: { platforms: ['linux/arm64', 'linux/amd64'] } }), undefined)
})

test('a constraint that only the Swarm can judge keeps nobody from trying', () => {
  assert.ok(mayRun(nodeOf('n1'), undefined, ['node.ip==192.0.2.0/24', 'something.new!=1']))
  assert.ok(!mayRun(nodeOf('n1'), undefined, ['node.id!=id-n1']))
})

test('files are on one node with a local volume, a folder of the node or a constraint that names it, else they are shared', () => {
  const volume = (Name?: string, Options?: Record<string, string>) => ({
    Type: 'volume',
    Source: 'v',
    VolumeOptions: { DriverConfig: { ...(Name !== undefined && { Name }), ...(Options && { Options }) } },
  })
  const bind = (Source: string) => ({ Type: 'bind', Source })
  assert.ok(isPinned([{ Type: 'volume', Source: 'v' }], [], []))
  assert.ok(isPinned([volume('local', { type: 'ext4', device: '/dev/sdb' })], [], []))
  assert.ok(!isPinned([volume('local', { type: 'nfs4', device: ':/x' }), { Type: 'tmpfs' }], [], []))
  assert.ok(!isPinned([volume('vieux/sshfs', { sshcmd: 'x' })], [], []))
  assert.ok(isPinned([bind('/srv/homes/a')], [], []))
  assert.ok(!isPinned([bind('/srv/homes/a')], [], ['/srv/homes']))
  assert.ok(isPinned([bind('/srv/homes-of-others/a')], [], ['/srv/homes']))
  assert.ok(isPinned([], ['node.hostname==n1'], []) && isPinned([], ['node.id == x'], []))
  assert.ok(!isPinned([], ['node.hostname!=n1', 'node.labels.id==x'], []))
})

test('a server on a node that has been down for long enough is lost, whatever the Swarm says of its task', () => {
  const down = new Map([['id-n1', nodeOf('n1', { state: 'down' })]])
  const way = { network: null, port: 8888, addressOf: () => '192.0.2.7' }
  const known = { waited: 0, patience: 5000 }
  const at = (isLost: boolean, keeping: Keeping = 'shared') =>
    statusOf([taskOn('n1')], down, way, { ...known, isLost: () => isLost, keeping })
  assert.equal(at(false).state, 'unknown')
  const lost = at(true)
  assert.ok(lost.state === 'gone' && lost.cause.code === 'node-lost')
  assert.match(lost.cause.hint ?? '', /start it again, and it runs on another one/)
  const pinned = at(true, 'pinned')
  assert.match(pinned.state === 'gone' ? (pinned.cause.hint ?? '') : '', /on that machine alone/)
  const silent = new Map([['id-n1', nodeOf('n1', { state: 'unknown' })]])
  assert.equal(statusOf([taskOn('n1')], silent, way, { ...known, isLost: () => true }).state, 'unknown', 'not down')
})

test('the time that a node is down or paused counts from when it was seen first, and ends when it is back', async () => {
  let now: Node[] = []
  const engine = { ask: async () => now as never, open: () => Promise.reject(new Error('no')), engines: [] }
  const nodes = createNodes(engine, { constraints: [], nodeGrace: 0, moveAfter: 60_000 })
  const see = async (...seen: Node[]) => {
    now = seen
    await nodes.all(AbortSignal.timeout(1000))
  }
  await see(nodeOf('n1', { state: 'down' }), nodeOf('n2', { availability: 'pause' }))
  assert.ok(nodes.isLost(nodeOf('n1')) && !nodes.isLost(nodeOf('n2')))
  const at = nodes.movesAt('id-n2')
  assert.ok(at && at.getTime() > Date.now() + 50_000 && nodes.someClosed && !nodes.movesAt('id-n1'))
  await see(nodeOf('n1', { state: 'down' }), nodeOf('n2', { availability: 'pause' }))
  assert.deepEqual(nodes.movesAt('id-n2'), at)
  await see(nodeOf('n1'), nodeOf('n2'))
  assert.ok(!nodes.isLost(nodeOf('n1')) && !nodes.movesAt('id-n2') && !nodes.someClosed)
})

test('the notice tells what to do, and when the hub does it', () => {
  const at = new Date('2026-01-01T14:30:10Z')
  assert.match(noticeOf('n1', 'moving', at), /Save your work: from 14:30 UTC on, .* is stopped and started there/)
  assert.match(noticeOf('n1', 'shared', at), /stop this server and start it again/)
  assert.match(noticeOf('n1', 'pinned', at), /on that machine alone/)
})

// ---------------------------------------------------------------------------------------------------------------------
// Moving

/** A hub with one server, and a mover beside it. */
function moverOf(t: Parameters<typeof fakeHub>[0], keeping: Keeping, start: (tries: number) => void = () => {}) {
  const user = somebody('alice')
  const calls: string[] = []
  const servers: ServerView[] = [
    { user, name: 'lab', state: 'running', profile: 'p', started: null, lastActivity: null, node: 'n1' },
  ]
  let tries = 0
  const hub = fakeHub(t, {
    people: [user],
    servers: () => servers,
    async start(user, server) {
      calls.push(`start ${user}/${server}`)
      start(++tries)
    },
    async stop(user, server, reason) {
      calls.push(`stop ${user}/${server} ${reason}`)
      servers.length = 0
    },
  })
  const closed = { at: undefined as Date | undefined }
  const others = { found: [nodeOf('n1', { availability: 'pause' })] }
  const nodes = {
    room: async () => roomOf(others.found, []),
    movesAt: () => closed.at,
    get someClosed() {
      return closed.at !== undefined
    },
  } as unknown as ReturnType<typeof createNodes>
  let lists = 0
  const labels = { [labelKeys.userId]: user.id, [labelKeys.server]: 'lab', [labelKeys.generation]: 'g1' }
  const mover = createMover({
    nodes,
    keepingOf: () => keeping,
    async list() {
      lists++
      return [{ handle: {}, labels, status: { state: 'running', target: 'http://x', node: 'n1' }, task: taskOn('n1') }]
    },
  })
  t.after(mover.begin(hub))
  const stop = (code: Cause['code']): Stop => ({
    user,
    server: { user: 'alice', name: 'lab' },
    generation: 'g1',
    reason: 'lost',
    cause: { code, message: 'x' },
  })
  return { mover, calls, servers, closed, others, stop, lists: () => lists }
}

const settled = () => sleep(500)

test('a server that was lost comes up again once it is cleaned up, when it may and can', async t => {
  for (const [code, keeping, expected] of [
    ['node-lost', 'moving', ['start alice/lab']],
    ['node-drained', 'moving', ['start alice/lab']],
    ['node-lost', 'pinned', []],
    ['node-lost', 'shared', []],
    ['exited', 'moving', []],
  ] as const) {
    const { mover, calls, servers, stop } = moverOf(t, keeping)
    Object.assign(servers[0]!, { state: 'stopping' })
    await mover.hooks?.['before:stop']?.(stop(code), fakeContext())
    await mover.hooks?.['after:stop']?.(stop(code), fakeContext())
    await mover.hooks?.['after:stop']?.(stop(code), fakeContext())
    await sleep(50)
    assert.deepEqual(calls, [], 'not while the old one is being cleaned up')
    servers.length = 0
    await settled()
    assert.deepEqual(calls, expected, `${code} ${keeping}`)
  }
})

test('what its user has started in the meantime is left alone; a hub that is busy is asked again', async t => {
  const own = moverOf(t, 'moving')
  await own.mover.hooks?.['before:stop']?.(own.stop('node-lost'), fakeContext())
  await own.mover.hooks?.['after:stop']?.(own.stop('node-lost'), fakeContext())
  await settled()
  assert.deepEqual(own.calls, [])

  const busy = moverOf(t, 'moving', tries => {
    if (tries === 1) throw new HubError('busy', 'Many servers start.', { retryAfter: 0.01 })
  })
  busy.servers.length = 0
  await busy.mover.hooks?.['before:stop']?.(busy.stop('node-lost'), fakeContext())
  await busy.mover.hooks?.['after:stop']?.(busy.stop('node-lost'), fakeContext())
  await settled()
  assert.deepEqual(busy.calls, ['start alice/lab', 'start alice/lab'])
})

test('a server on a paused node is moved when its time has come, and not before; without such a node nothing is asked', async t => {
  const { mover, calls, closed, others, lists } = moverOf(t, 'moving')
  await mover.look(fakeContext())
  assert.equal(lists(), 0)
  closed.at = new Date(Date.now() + 60_000)
  await mover.look(fakeContext())
  assert.deepEqual([lists(), calls], [1, []])
  closed.at = new Date(Date.now() - 1)
  await mover.look(fakeContext())
  await settled()
  assert.deepEqual(calls, [], 'no other node takes it')
  others.found.push(nodeOf('n2'))
  await mover.look(fakeContext())
  await settled()
  assert.deepEqual(calls, ['stop alice/lab admin', 'start alice/lab'])
})

// ---------------------------------------------------------------------------------------------------------------------
// The page

test('the page of the nodes tells what is free and who is where, to administrators, and names no server that they may not see', async t => {
  const docker = await engineAt(t, (request, reply) => {
    const path = request.url?.replace(/^\/v[\d.]+|\?.*$/g, '')
    const answers: Record<string, unknown> = {
      '/version': { ApiVersion: '1.41' },
      '/info': {
        Name: 'm1',
        Swarm: { NodeID: 'id-m1', NodeAddr: '127.0.0.1', LocalNodeState: 'active', ControlAvailable: true },
      },
      '/nodes': [nodeOf('n1', { availability: 'pause', gpus: 2 }), nodeOf('m1')],
      '/tasks': [taskOn('n1', { reserves: { NanoCPUs: 1.5e9, MemoryBytes: 2 * GiB } })],
      '/images/json': [{ RepoTags: ['lab/<b>:1', 'lab/other:2'] }, { RepoTags: null }],
    }
    const answer = answers[path ?? '']
    reply.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? { message: 'none' }))
  })
  const view = (name: string, node: string): ServerView => {
    return { user: somebody(name), name: '', state: 'running', profile: 'p', started: null, lastActivity: null, node }
  }
  const plugin = swarm({ docker })
  const servers = () => [view('alice', 'n1'), view('b/ob', 'n1'), view('eve', 'm1')]
  t.after((await plugin.setup(fakeHub(t, { servers }))) ?? (() => {}))
  const core = fakeCore({ plugins: [plugin] })
  core.addUser('root', { admin: true })
  core.addUser('alice')
  core.addUser('helper', { scopes: ['admin-ui', 'read:servers!user=alice'] })
  const page = async (who: string) => (await browse(core, who).get('/hub/x/swarm/nodes')).text()

  const whole = (await page('root')).replace(/\s+/g, ' ')
  assert.ok(whole.indexOf('<h2>m1</h2>') < whole.indexOf('<h2>n1</h2>'))
  const [, m1 = '', n1 = ''] = whole.split('<h2>')
  assert.match(m1, /Ready, a manager.*4 of 4<.*8 of 8 GiB.*eve.*lab\/&lt;b&gt;:1/)
  assert.match(n1, /Ready; paused: it takes no new servers.*2.5 of 4<.*6 of 8 GiB.*Free gpu<.*2 of 2</)
  assert.match(n1, /<a href="..\/..\/admin\/users\/b%2Fob">b\/ob<\/a>.*Not known: an engine tells only its own/)

  const some = await page('helper')
  assert.match(some, />alice</)
  assert.match(some.replace(/\s+/g, ' '), /and 1 that you may not see/)
  assert.doesNotMatch(some, /eve|b\/ob/)
  assert.equal((await browse(core, 'alice').get('/hub/x/swarm/nodes')).status, 403)
})
