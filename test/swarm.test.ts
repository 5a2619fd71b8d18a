import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Handle, type ServerSpec, type Spawner, type Status, serverName, serverPath, slug } from 'swarmhub'
import { causeOfFailure, causeOfWaiting } from '../plugins/swarm/cause.ts'
import { swarm } from '../plugins/swarm/index.ts'
import { secretName, secretScript, serviceName, serviceSpec } from '../plugins/swarm/service.ts'
import { settings } from '../plugins/swarm/settings.ts'
import { type Node, node, statusOf, type Task, task } from '../plugins/swarm/status.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, fakeSpec, somebody } from './roles/spawn.ts'
import { engineAt } from './swarm-engine.ts'

// ---------------------------------------------------------------------------------------------------------------------
// What tasks and nodes say together

const nodeOf = (name: string, state = 'ready', availability = 'active'): Node =>
  node.parse({
    ID: name,
    Spec: { Availability: availability },
    Description: { Hostname: name },
    Status: { State: state, Addr: '192.0.2.7' },
  })

/** A task as the engine tells it, on the node `n1`. */
function taskOf(
  state: string,
  more: { desired?: string; at?: string; node?: string | null; err?: string; exit?: number } = {},
): Task {
  const { desired = 'running', at = '2026-01-01T00:00:00Z', node: on = 'n1', err, exit } = more
  return task.parse({
    ID: `t-${state}`,
    ServiceID: 's1',
    ...(on !== null && { NodeID: on }),
    CreatedAt: at,
    DesiredState: desired,
    Status: {
      State: state,
      ...(err && { Err: err }),
      ...(exit !== undefined && { ContainerStatus: { ContainerID: 'c1', ExitCode: exit } }),
      PortStatus: {
        Ports: [
          { TargetPort: 9, PublishedPort: 1 },
          { TargetPort: 8888, PublishedPort: 32000 },
        ],
      },
    },
    Spec: { ContainerSpec: { Image: 'lab/image:1' }, Placement: { Constraints: ['node.labels.gpu==true'] } },
    NetworksAttachments: [
      { Network: { ID: 'other' }, Addresses: ['10.1.0.9/24'] },
      { Network: { ID: 'net1' }, Addresses: ['10.96.0.9/16'] },
    ],
  })
}

function judge(tasks: Task[], options: { nodes?: Node[]; network?: string | null; waited?: number } = {}): Status {
  const { nodes = [nodeOf('n1'), nodeOf('n2')], network = 'net1', waited = 0 } = options
  const way = { network, port: 8888, addressOf: ({ Status }: Node) => Status.Addr ?? '' }
  return statusOf(tasks, new Map(nodes.map(each => [each.ID, each])), way, { waited, patience: 5000 })
}

const codeOf = (status: Status) => (status.state === 'gone' ? status.cause.code : status.state)

test('the way of a server from the queue to the node is told step by step', () => {
  assert.deepEqual(judge([]), { state: 'starting', step: 'queued', message: 'Waiting for a place to run' })
  const steps = ['new', 'pending', 'assigned', 'accepted', 'preparing', 'ready', 'starting'].map(state => {
    const status = judge([taskOf(state, state === 'new' || state === 'pending' ? { node: null } : {})])
    assert.ok(status.state === 'starting')
    return [state, status.step, status.node]
  })
  assert.deepEqual(steps, [
    ['new', 'queued', undefined],
    ['pending', 'queued', undefined],
    ['assigned', 'placed', 'n1'],
    ['accepted', 'placed', 'n1'],
    ['preparing', 'pulling', 'n1'],
    ['ready', 'starting', 'n1'],
    ['starting', 'starting', 'n1'],
  ])
})

test('a running server is reached on the network that it shares with the hub, else on its node’s published port', () => {
  assert.deepEqual(judge([taskOf('running')]), { state: 'running', target: 'http://10.96.0.9:8888', node: 'n1' })
  assert.deepEqual(judge([taskOf('running')], { network: null }), {
    state: 'running',
    target: 'http://192.0.2.7:32000',
    node: 'n1',
  })
  assert.equal(judge([taskOf('running')], { network: 'third' }).state, 'starting', 'no address yet')
})

test('what Swarm wants to run counts, not the tasks that were before', () => {
  const old = [taskOf('failed', { desired: 'shutdown', at: '2026-01-02T00:00:00Z' }), taskOf('rejected', { desired: 'shutdown' })]
  assert.equal(judge([...old, taskOf('running')]).state, 'running')
  const ended = [
    taskOf('failed', { desired: 'shutdown', err: 'task: non-zero exit (3)', exit: 3 }),
    taskOf('complete', { desired: 'shutdown', at: '2025-01-01T00:00:00Z' }),
  ]
  const status = judge(ended)
  assert.ok(status.state === 'gone' && status.cause.exitCode === 3, 'the last of them')
})

test('a running task on a node that does not answer is not known to run, and is lost once Swarm has given it up', () => {
  assert.equal(codeOf(judge([taskOf('running')], { nodes: [nodeOf('n1', 'unknown')] })), 'unknown')
  assert.equal(codeOf(judge([taskOf('running')], { nodes: [nodeOf('n1', 'down')] })), 'unknown')
  assert.equal(codeOf(judge([taskOf('running', { desired: 'shutdown' })], { nodes: [nodeOf('n1', 'down')] })), 'node-lost')
  assert.equal(codeOf(judge([taskOf('running', { desired: 'shutdown' })])), 'running', 'until it has ended')
  assert.equal(codeOf(judge([taskOf('running')], { nodes: [] })), 'node-lost', 'a node that was removed')
  assert.equal(codeOf(judge([taskOf('orphaned', { desired: 'shutdown' })])), 'node-lost')
  assert.equal(codeOf(judge([taskOf('shutdown', { desired: 'shutdown' })], { nodes: [nodeOf('n1', 'down')] })), 'node-lost')
})

test('a server that no node fits waits a little, then it is told why, with the conditions', () => {
  const err = 'no suitable node (scheduling constraints not satisfied on 2 nodes; insufficient resources on 1 node)'
  const waiting = taskOf('pending', { node: null, err })
  assert.equal(codeOf(judge([waiting], { waited: 4999 })), 'starting')
  const status = judge([waiting], { waited: 5000 })
  assert.ok(status.state === 'gone')
  assert.equal(status.cause.code, 'no-node')
  assert.match(status.cause.message, /node\.labels\.gpu==true; there is not enough CPU or memory free/)
  assert.equal(status.cause.engine, err)
})

test('how a server ended decides the cause', () => {
  const end = (state: string, more: Parameters<typeof taskOf>[1] = {}) => judge([taskOf(state, { desired: 'shutdown', ...more })])
  assert.deepEqual(codeOf(end('complete', { exit: 0 })), 'exited')
  assert.deepEqual(codeOf(end('failed', { err: 'task: non-zero exit (1)', exit: 1 })), 'exited')
  assert.deepEqual(codeOf(end('rejected', { err: 'No such image: lab/image:1' })), 'no-image')
  assert.deepEqual(codeOf(end('shutdown')), 'killed')
  const drained = judge([taskOf('shutdown', { desired: 'shutdown' })], { nodes: [nodeOf('n1', 'ready', 'drain')] })
  assert.match(drained.state === 'gone' ? drained.cause.message : '', /n1, is being emptied/)
})

for (const [words, code] of [
  ['No such image: x:1', 'no-image'],
  ['manifest for x:1 not found: manifest unknown', 'no-image'],
  ['pull access denied for x, repository does not exist or may require authorization', 'registry-auth'],
  ['Get https://r.example.org/v2/x/manifests/1: unauthorized: authentication required', 'registry-auth'],
  ['invalid mount config for type "bind": bind source path does not exist: /x', 'mount'],
  [
    "starting container failed: error while mounting volume '/var/lib/docker/volumes/x/_data': failed to mount local volume: mount :/x:/var/lib/docker/volumes/x/_data: connection refused",
    'mount',
  ],
  ['create x: error looking up volume plugin nope: plugin "nope" not found', 'mount'],
  ['starting container failed: Address already in use', 'network'],
  ['network sandbox join failed: subnet sandbox join failed', 'network'],
  ['starting container failed: OCI runtime create failed: exec: "sh": executable file not found in $PATH', 'engine'],
  ['something new', 'engine'],
  ['', 'engine'],
] as const) {
  test(`the engine’s “${words.slice(0, 60)}” means ${code}`, () => {
    const cause = causeOfFailure(words, { image: 'x:1', memory: undefined, exitCode: undefined })
    assert.equal(cause.code, code)
    assert.equal(cause.engine, words || undefined)
  })
}

test('exit codes are told in words: by force, out of memory, no such command', () => {
  const exit = (exitCode: number, memory?: number) =>
    causeOfFailure(`task: non-zero exit (${exitCode})`, { image: 'x:1', memory, exitCode })
  assert.deepEqual([exit(1).code, exit(1).exitCode], ['exited', 1])
  assert.equal(exit(137).code, 'killed')
  assert.equal(exit(137, 2 ** 30).code, 'out-of-memory')
  assert.match(exit(137, 1.5 * 2 ** 30).message, /1\.5 GiB/)
  assert.match(exit(143).message, /signal 15/)
  assert.match(exit(127).message, /does not have the command/)
  assert.equal(causeOfWaiting('no suitable node (3 nodes not available for new tasks)', []).code, 'no-node')
})

// ---------------------------------------------------------------------------------------------------------------------
// The service

const parsed = (options = {}) => settings.parse(options)
const found = {
  image: 'x@sha256:1',
  run: { Args: ['a'], init: true },
  networks: ['net1'],
  publish: false,
  configs: [],
  secretFiles: [],
  secret: undefined,
}

test('a service’s name is a DNS label of its own for every user and server', () => {
  const users = ['a', 'a-b', 'a_b', 'a.b', 'a@b', 'A', 'x'.repeat(200), `${'x'.repeat(199)}y`, '__proto__', 'é', '用户', '-']
  const servers = ['', 'b', 'b-c', 'b_c', 'y'.repeat(200), 'Ω']
  for (const prefix of ['nb-', 'a-rather-long-prefix-of-30-ch-']) {
    const names = users.flatMap(user => servers.map(server => serviceName(prefix, { name: serverName(slug(user), server) })))
    assert.equal(new Set(names).size, names.length)
    for (const name of names) assert.match(name, /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/)
  }
})

test('what a shell makes of the secret is what went in', () => {
  const secrets = { TOKEN: 'plain', QUOTE: `'"\\$(id)\`id\`;&|\n\t end`, EMPTY: '', UNICODE: 'é用', SPACE: ' a  b ' }
  const script = `${secretScript(secrets)}exec "$0" -p 'JSON.stringify(process.env)'`
  const environment = JSON.parse(execFileSync('/bin/sh', ['-c', script, process.execPath], { env: {}, encoding: 'utf8' }))
  for (const [key, value] of Object.entries(secrets)) assert.equal(environment[key], value)
})

test('the service of a server: no virtual address, no restart, no health check, few abilities, labels on service and container', () => {
  const spec: ServerSpec = {
    ...fakeSpec('hub1'),
    cpus: 1.5,
    memory: 2 ** 30,
    cpuGuarantee: 0.001,
    placement: { constraints: ['node.labels.gpu==true'] },
    mounts: [
      { type: 'volume', source: 'v', target: '/v', labels: { a: 'b' }, driver: { name: 'local', options: { type: 'nfs' } } },
      { type: 'tmpfs', target: '/t', size: 1000 },
    ],
  }
  const made = serviceSpec(spec, parsed({ constraints: ['node.role==worker'] }), found) as Record<string, never>
  const told = JSON.parse(JSON.stringify(made))
  const { ContainerSpec, ...template } = told.TaskTemplate
  assert.deepEqual(told.EndpointSpec, { Mode: 'dnsrr', Ports: [] })
  assert.equal(told.Networks, undefined, 'only in the task template')
  assert.deepEqual(template.Networks, [{ Target: 'net1' }])
  assert.deepEqual(template.RestartPolicy, { Condition: 'none' })
  assert.deepEqual(ContainerSpec.HealthCheck, { Test: ['NONE'] })
  assert.deepEqual(ContainerSpec.CapabilityDrop, ['ALL'])
  assert.ok(!ContainerSpec.CapabilityAdd.includes('NET_RAW'))
  assert.deepEqual(ContainerSpec.Labels, spec.labels)
  for (const [key, value] of Object.entries(spec.labels)) assert.equal(told.Labels[key], value)
  assert.deepEqual(template.Placement.Constraints, ['node.role==worker', 'node.labels.gpu==true'])
  assert.deepEqual(template.Resources, {
    Limits: { NanoCPUs: 1.5e9, MemoryBytes: 2 ** 30, Pids: 4096 },
    Reservations: { NanoCPUs: 1e6, GenericResources: [] },
  })
  assert.deepEqual(ContainerSpec.Mounts[0], {
    Type: 'volume',
    Target: '/v',
    Source: 'v',
    ReadOnly: false,
    VolumeOptions: { NoCopy: false, Labels: { a: 'b' }, DriverConfig: { Name: 'local', Options: { type: 'nfs' } } },
  })
  assert.deepEqual(ContainerSpec.Mounts[1], { Type: 'tmpfs', Target: '/t', ReadOnly: false, TmpfsOptions: { SizeBytes: 1000 } })
  assert.ok(!JSON.stringify(told).includes(spec.secrets.JUPYTERHUB_API_TOKEN!), 'no token')
  assert.equal(ContainerSpec.Command, undefined)
})

test('tokens are in the environment only when the config says so', () => {
  const spec = fakeSpec('hub1')
  assert.match(
    JSON.stringify(serviceSpec(spec, parsed({ secrets: 'env' }), found)),
    new RegExp(spec.secrets.JUPYTERHUB_API_TOKEN!),
  )
})

test('outside the overlay a server is published on its node, by a port that the engine picks', () => {
  const { EndpointSpec } = serviceSpec(fakeSpec('h'), parsed(), { ...found, publish: true }) as { EndpointSpec: unknown }
  assert.deepEqual(EndpointSpec, { Mode: 'dnsrr', Ports: [{ Protocol: 'tcp', TargetPort: 8888, PublishMode: 'host' }] })
})

test('wrong options are refused by name', () => {
  const wrong = [
    { pids: 0 },
    { prefix: 'NB' },
    { secrets: 'both' },
    { networks: [] },
    { stopGrace: 10 },
    { constraints: ['node.role'] },
  ]
  for (const options of wrong) assert.throws(() => swarm(options as never), { code: 'config' }, JSON.stringify(options))
})

// ---------------------------------------------------------------------------------------------------------------------
// An engine with faults

type Act = (request: IncomingMessage, reply: ServerResponse) => void
type Answer = Act | object

const info = {
  Name: 'm1',
  Swarm: { NodeID: 'n1', NodeAddr: '127.0.0.1', LocalNodeState: 'active', ControlAvailable: true, Nodes: 2 },
}

/** A spawner on an engine that answers these paths; all others with 404. The last call's body is kept by path. */
async function onEngine(t: TestContext, answers: Record<string, Answer>, options: Parameters<typeof swarm>[0] = {}) {
  const calls: string[] = []
  const bodies = new Map<string, unknown>()
  const docker = await engineAt(t, async (request, reply) => {
    const path = request.url?.replace(/^\/v[\d.]+|\?.*$/g, '') ?? ''
    const call = `${request.method} ${path}`
    calls.push(call)
    if (request.method === 'POST') bodies.set(path, await json(request))
    const answer =
      { '/version': { ApiVersion: '1.41' }, 'GET /info': info, ...answers }[path] ?? { 'GET /info': info, ...answers }[call]
    if (typeof answer === 'function') return (answer as Act)(request, reply)
    if (answer === undefined) return reply.writeHead(404).end(JSON.stringify({ message: `no ${path}` }))
    reply.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  })
  const plugin = swarm({ docker, image: 'lab/image:1', ...options })
  const hub = fakeHub(t, { id: 'hub1' })
  await plugin.setup(hub)
  const spawner: Spawner = plugin.spawner
  return { plugin, spawner, calls, bodies, hub }
}

const handle: Handle = { service: 's1', name: 'nb-a', generation: 'g1', network: null, port: 8888 }
const fails =
  (status: number, message = 'the words') =>
  (_: IncomingMessage, reply: ServerResponse) =>
    reply.writeHead(status).end(JSON.stringify({ message }))

const serviceOf = (spec: ServerSpec, more: Record<string, string> = {}) => ({
  ID: 's1',
  Spec: { Name: `nb-${spec.name}`, Labels: { ...spec.labels, 'org.swarmhub.port': '8888', ...more }, TaskTemplate: {} },
})

for (const [what, answer] of Object.entries<Answer>({
  'answers 500': fails(500),
  'answers 503': fails(503),
  'answers 403': fails(403),
  'answers something else': { message: 'hello' },
  'answers no JSON': (_: IncomingMessage, reply: ServerResponse) => reply.end('<html>'),
  'breaks off': (_: IncomingMessage, reply: ServerResponse) =>
    reply.writeHead(200, { 'content-length': 99 }).write('[', () => reply.destroy()),
})) {
  for (const path of ['/tasks', '/nodes']) {
    test(`an engine that ${what} at ${path} leaves it unknown what runs`, async t => {
      const { spawner } = await onEngine(t, {
        'GET /services': [],
        'GET /tasks': [taskOf('running')],
        'GET /nodes': [],
        [`GET ${path}`]: answer,
      })
      assert.equal((await spawner.poll(handle, fakeContext())).state, 'unknown')
      await assert.rejects(spawner.list(fakeContext()))
    })
  }
}

test('an engine that hangs leaves it unknown what runs, after ten seconds', async t => {
  const { spawner } = await onEngine(t, { 'GET /tasks': () => {}, 'GET /nodes': [] })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const polled = spawner.poll(handle, fakeContext())
  await new Promise(setImmediate)
  t.mock.timers.tick(10_000)
  const status = await polled
  assert.ok(status.state === 'unknown' && /no answer in time/.test(status.why), JSON.stringify(status))
})

test('only a 404 that names the service means gone', async t => {
  const gone = { 'GET /tasks': fails(404, 'service s1 not found') }
  const poll = async (answers: Record<string, Answer>) => {
    const { spawner } = await onEngine(t, answers)
    return codeOf(await spawner.poll(handle, fakeContext()))
  }
  assert.equal(await poll({ ...gone, 'GET /nodes': [] }), 'missing')
  assert.equal(await poll({ 'GET /tasks': fails(404, 'page not found'), 'GET /nodes': [] }), 'unknown')
  assert.equal(await poll({ 'GET /tasks': [taskOf('running')] }), 'unknown', 'a 404 of something else')
  const lost = { 'GET /tasks': [taskOf('running')], 'GET /nodes': [nodeOf('n1')], 'GET /info': fails(404) }
  assert.equal(await poll(lost), 'unknown', 'nor is it known where the hub is')
})

test('a stop that the engine does not answer is not taken for done', async t => {
  const { spawner } = await onEngine(t, { 'DELETE /services/s1': fails(500), 'GET /tasks': [], 'GET /secrets': [] })
  await assert.rejects(spawner.stop(handle, fakeContext()), { code: 'unavailable' })
})

test('a stop waits until nothing of it is left on a node that answers, then takes the secret', async t => {
  const left = [
    [taskOf('running', { desired: 'remove' })],
    [taskOf('running', { desired: 'remove' })],
    [taskOf('shutdown', { desired: 'remove' })],
  ]
  const { spawner, calls } = await onEngine(t, {
    'DELETE /services/s1': {},
    'GET /tasks': (_: IncomingMessage, reply: ServerResponse) => reply.end(JSON.stringify(left.shift() ?? [])),
    'GET /nodes': [nodeOf('n1')],
    'GET /secrets': [{ ID: 'x1', Spec: { Name: 'nb-g1' } }],
    'DELETE /secrets/x1': {},
  })
  await spawner.stop(handle, fakeContext())
  assert.equal(left.length, 0)
  assert.equal(calls.at(-1), 'DELETE /secrets/x1')
})

test('a stop does not wait for a node that does not answer', async t => {
  const { spawner } = await onEngine(t, {
    'GET /tasks': [taskOf('running', { desired: 'remove' })],
    'GET /nodes': [nodeOf('n1', 'down')],
    'GET /secrets': [],
  })
  await spawner.stop(handle, fakeContext())
})

/** What a start needs to get as far as making the service. */
const upTo = { '/images/lab/image:1/json': { RepoDigests: [], Config: { Cmd: ['start.sh', '--flag'] } }, 'GET /secrets': [] }

test('a start makes the secret, then the service, which keeps the image’s own command', async t => {
  const spec = fakeSpec('hub1')
  let made = false
  const { spawner, bodies, calls } = await onEngine(t, {
    ...upTo,
    'POST /secrets/create': { ID: 'x1' },
    'POST /services/create': (_: IncomingMessage, reply: ServerResponse) => {
      made = true
      reply.end('{"ID":"s1"}')
    },
    '/services/s1': serviceOf(spec),
  })
  assert.deepEqual(await spawner.start(spec, fakeContext()), {
    service: 's1',
    name: `nb-${spec.name}`,
    generation: spec.generation,
    network: null,
    port: 8888,
  })
  assert.ok(made)
  const creations = calls.filter(call => call.startsWith('POST'))
  assert.deepEqual(creations, ['POST /secrets/create', 'POST /services/create'])
  const { TaskTemplate } = bodies.get('/services/create') as {
    TaskTemplate: { ContainerSpec: { Args: string[]; Image: string } }
  }
  assert.deepEqual(TaskTemplate.ContainerSpec.Args, [
    'sh',
    '-c',
    '. /run/secrets/swarmhub && exec "$@"',
    'sh',
    'start.sh',
    '--flag',
  ])
  assert.equal(TaskTemplate.ContainerSpec.Image, 'lab/image:1')
  const { Data, Labels } = bodies.get('/secrets/create') as { Data: string; Labels: object }
  assert.match(Buffer.from(Data, 'base64').toString(), new RegExp(spec.secrets.JUPYTERHUB_API_TOKEN!))
  assert.deepEqual(Labels, spec.labels)
})

test('a creation that is carried out but answered with an error is adopted', async t => {
  for (const answer of [fails(500), fails(409), (_: IncomingMessage, reply: ServerResponse) => reply.destroy()]) {
    const spec = fakeSpec('hub1')
    const path = `/services/nb-${spec.name}`
    let made = false
    const { spawner, calls } = await onEngine(t, {
      ...upTo,
      'POST /secrets/create': { ID: 'x1' },
      'POST /services/create': (request: IncomingMessage, reply: ServerResponse) => {
        made = true
        answer(request, reply)
      },
      [path]: (_: IncomingMessage, reply: ServerResponse) =>
        made ? reply.end(JSON.stringify(serviceOf(spec))) : reply.writeHead(404).end('{"message":"none"}'),
    })
    assert.equal((await spawner.start(spec, fakeContext())).service, 's1')
    assert.equal(calls.filter(call => call === 'POST /services/create').length, 1, 'it is sent once')
  }
})

test('a creation that failed leaves no secret', async t => {
  const spec = fakeSpec('hub1')
  const { spawner, calls } = await onEngine(t, {
    ...upTo,
    'POST /secrets/create': { ID: 'x1' },
    'POST /services/create': fails(500, 'rpc error: no'),
    'GET /secrets': [{ ID: 'x1', Spec: { Name: 'nb-g', Labels: spec.labels } }],
    'DELETE /secrets/x1': {},
  })
  await assert.rejects(spawner.start(spec, fakeContext()), ({ details }: { details: { code: string; engine: string } }) => {
    return details.code === 'refused' && details.engine.includes('rpc error: no')
  })
  assert.ok(calls.includes('DELETE /secrets/x1'))
})

test('while the present service cannot be read nothing is made', async t => {
  const spec = fakeSpec('hub1')
  const { spawner, calls } = await onEngine(t, { ...upTo, [`/services/nb-${spec.name}`]: fails(500) })
  await assert.rejects(spawner.start(spec, fakeContext()), { code: 'unavailable' })
  assert.ok(calls.every(call => !call.startsWith('POST') && !call.startsWith('DELETE')))
})

test('a service that is somebody else’s is left alone', async t => {
  const user = somebody()
  const spec = fakeSpec('hub1', user)
  for (const [key, value] of [
    ['org.swarmhub.hub', 'another hub'],
    ['org.swarmhub.user-id', 'another user'],
    ['org.swarmhub.server', 'another server'],
  ] as const) {
    const { spawner, calls } = await onEngine(t, { ...upTo, [`/services/nb-${spec.name}`]: serviceOf(spec, { [key]: value }) })
    await assert.rejects(spawner.start(spec, fakeContext()), { code: 'conflict' })
    assert.ok(
      calls.every(call => !call.startsWith('POST') && !call.startsWith('DELETE')),
      key,
    )
  }
})

test('an image is pinned to its digest where a registry tells it, and left as it is where it was built here', async t => {
  const digest = `sha256:${'a'.repeat(64)}`
  const known = `sha256:${'b'.repeat(64)}`
  const Config = { Cmd: ['run'] }
  for (const [images, expected] of [
    [{ '/distribution/lab/image:1/json': { Descriptor: { digest } } }, `lab/image:1@${digest}`],
    [{ '/images/lab/image:1/json': { RepoDigests: [`lab/image@${known}`], Config } }, 'lab/image:1'],
    [
      { '/images/lab/image:1/json': { RepoDigests: [], Config }, '/distribution/lab/image:1/json': { Descriptor: { digest } } },
      'lab/image:1',
    ],
    [{}, 'lab/image:1'],
  ] as const) {
    const spec = { ...fakeSpec('hub1'), command: ['run'] }
    const { spawner, bodies } = await onEngine(t, {
      ...images,
      'POST /secrets/create': { ID: 'x1' },
      'POST /services/create': { ID: 's1' },
      '/services/s1': serviceOf(spec),
    })
    await spawner.start(spec, fakeContext())
    const { TaskTemplate } = bodies.get('/services/create') as { TaskTemplate: { ContainerSpec: { Image: string } } }
    assert.equal(TaskTemplate.ContainerSpec.Image, expected)
  }
})

test('a secret without a server is removed at the second sweep, one of a start under way is not', async t => {
  const labels = (generation: string) => ({ 'org.swarmhub.hub': 'hub1', 'org.swarmhub.generation': generation })
  const secret = (id: string) => ({ ID: id, Spec: { Name: id, Labels: labels(id) } })
  const secrets = [secret('live'), secret('stray')]
  const spec = fakeSpec('hub1')
  const { plugin, calls } = await onEngine(t, {
    'GET /secrets': secrets,
    'GET /services': [serviceOf(spec, labels('live'))],
    'DELETE /secrets/stray': {},
  })
  const removed = () => calls.filter(call => call.startsWith('DELETE'))
  await plugin.jobs.secrets.run(fakeContext())
  assert.deepEqual(removed(), [])
  secrets.push(secret('new'))
  await plugin.jobs.secrets.run(fakeContext())
  assert.deepEqual(removed(), ['DELETE /secrets/stray'])
})

test('what the hub has no record of is listed as an orphan, and removed only when it is asked for', async t => {
  const spec = fakeSpec('hub1')
  const labels = (generation: string) => ({ ...spec.labels, 'org.swarmhub.generation': generation })
  const service = (id: string) => ({
    ...serviceOf(spec, labels(id)),
    ID: id,
    Spec: { ...serviceOf(spec, labels(id)).Spec, Name: `nb-${id}` },
  })
  const { plugin, calls, hub } = await onEngine(t, {
    'GET /services': [service('known'), service('stray')],
    'GET /tasks': [],
    'GET /nodes': [],
    'GET /secrets': [],
    'DELETE /services/stray': {},
  })
  const view = { user: spec.user, name: '', state: 'running', profile: '', started: null, lastActivity: null } as const
  hub.servers = () => [{ ...view, generation: 'known' }]
  const removed = () => calls.filter(call => call.startsWith('DELETE'))
  const told = await plugin.commands.orphans.run([], fakeContext())
  assert.match(String(told), /^orphan {3}nb-stray {2}of .*generation stray\)\n1 server is in the hub’s records and stays/)
  assert.deepEqual(removed(), [])
  await assert.rejects(async () => plugin.commands.orphans.run(['--all'], fakeContext()), { code: 'invalid' })
  assert.match(String(await plugin.commands.orphans.run(['--remove'], fakeContext())), /^removed {2}nb-stray/)
  assert.deepEqual(removed(), ['DELETE /services/stray'])
  hub.servers = () => [
    { ...view, generation: 'known' },
    { ...view, generation: 'stray' },
  ]
  assert.match(String(await plugin.commands.orphans.run(['--remove'], fakeContext())), /^Nothing to remove\. 2 servers/)
  assert.deepEqual(removed(), ['DELETE /services/stray'])
})

for (const count of [10, 100]) {
  test(`watching ${count} servers takes three calls for each look, and one stream of events`, async t => {
    const spec = fakeSpec('hub1')
    const ids = Array.from({ length: count }, (_, i) => `s${i}`)
    const services = ids.map(id => ({ ...serviceOf(spec, { 'org.swarmhub.generation': id }), ID: id }))
    const tasks = ids.map(id => ({ ...taskOf('running'), ID: `t${id}`, ServiceID: id }))
    let events: ServerResponse | undefined
    const { spawner, calls } = await onEngine(
      t,
      {
        'GET /services': services,
        'GET /tasks': (_: IncomingMessage, reply: ServerResponse) => reply.end(JSON.stringify(tasks)),
        'GET /nodes': [nodeOf('n1')],
        'GET /events': (_: IncomingMessage, reply: ServerResponse) => {
          events = reply.writeHead(200)
          reply.flushHeaders()
        },
      },
      { refresh: '20ms' },
    )
    const changed: unknown[] = []
    calls.length = 0
    const close = await spawner.watch!(handle => changed.push(handle.service), fakeContext())
    while (calls.filter(call => call === 'GET /tasks').length < 10 || !events) await new Promise(setImmediate)
    await close()
    const looks = calls.filter(call => call === 'GET /tasks').length
    const other = calls.filter(call => !['GET /services', 'GET /tasks', 'GET /nodes'].includes(call))
    assert.ok(calls.length - other.length <= 3 * looks, 'three calls a look')
    assert.deepEqual(other, ['GET /events'])
    assert.deepEqual(changed, [])
  })
}

/** A watcher of one server whose task the test sets; `tell` is an event of the engine. No other look comes by itself in time. */
async function watched(t: TestContext, state: string) {
  const spec = fakeSpec('hub1')
  const now = { state, looks: 0 }
  let events: ServerResponse | undefined
  const { spawner, hub } = await onEngine(
    t,
    {
      'GET /services': [{ ...serviceOf(spec, {}), ID: 's1' }],
      'GET /tasks': (_: IncomingMessage, reply: ServerResponse) => {
        now.looks++
        reply.end(JSON.stringify([taskOf(now.state)]))
      },
      'GET /nodes': [nodeOf('n1')],
      'GET /events': (_: IncomingMessage, reply: ServerResponse) => {
        events = reply.writeHead(200)
        reply.flushHeaders()
      },
    },
    { refresh: '1h' },
  )
  const told: unknown[] = []
  const close = await spawner.watch!((_, status) => told.push(status?.state), fakeContext())
  t.after(close)
  while (!events) await sleep(5)
  const tell = (Type: string, Attributes: object) => events?.write(`${JSON.stringify({ Type, Actor: { Attributes } })}\n`)
  return { now, told, tell, hub }
}

test('while a server starts, what has become of it is seen without an event, and told', async t => {
  const { now, told } = await watched(t, 'starting')
  now.state = 'running'
  for (let tries = 0; told.length === 0 && tries < 1000; tries++) await sleep(5)
  assert.deepEqual(told, ['running'])
})

test('what else runs on the Swarm causes no look; a service, a container of the hub, and any node does', async t => {
  const { now, tell, hub } = await watched(t, 'running')
  tell('container', { name: 'postgres.1.x' })
  tell('container', { name: 'nb-of-another-hub', 'org.swarmhub.hub': 'another' })
  tell('service', { name: 'postgres' })
  await sleep(300)
  assert.equal(now.looks, 1, 'the first one')
  for (const [type, attributes] of [
    ['container', { 'org.swarmhub.hub': hub.id }],
    ['service', { name: 'nb-alice' }],
    ['node', { name: 'n1' }],
  ] as const) {
    const before: number = now.looks
    tell(type, attributes)
    while (now.looks === before) await sleep(5)
  }
})

test('whether a Swarm answers is found out in two seconds, whatever there is', async t => {
  assert.equal(await swarm.answers({ docker: '/no/such.sock' }), false)
  const answers = async (answer: Answer) => {
    const docker = await engineAt(t, (request, reply) => {
      if (request.url?.startsWith('/version')) return reply.end('{"ApiVersion":"1.41"}')
      if (typeof answer === 'function') return (answer as Act)(request, reply)
      reply.end(JSON.stringify(answer))
    })
    return swarm.answers({ docker })
  }
  assert.equal(await answers(info), true)
  assert.equal(await answers({ ...info, Swarm: { ...info.Swarm, ControlAvailable: false } }), false)
  assert.equal(
    await answers({ Name: 'x', Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false } }),
    false,
  )
  assert.equal(await answers(fails(500)), false)
  assert.equal(await answers(() => {}), false)
})

test('an engine that is no manager says what to do', async t => {
  const { plugin } = await onEngine(t, {
    'GET /info': { Name: 'm1', Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false } },
  })
  await assert.rejects(async () => plugin.health(AbortSignal.timeout(5000)), {
    message: /m1 is in no Swarm\. Run `docker swarm init`/,
  })
})

test('100,000 pairs of random names: no two have a service, a volume, a secret or a route in common', () => {
  const letters = ['a', 'b', 'A', '-', '--', '_', '.', '@', '+', ' ', '/', 'é', '用', '%2d', '0', 'nb-', 'x'.repeat(70)]
  let seed = 20_260_131
  // Bounded, and the same each time. Source: Lehmer, 48271 mod 2^31 - 1.
  const next = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
  const word = (most: number) => Array.from({ length: next(most + 1) }, () => letters[next(letters.length)]).join('')
  const pairs = new Map<string, readonly [string, string]>()
  while (pairs.size < 100_000) {
    const pair = [`${letters[next(letters.length)]}${word(4)}`, word(4)] as const
    pairs.set(JSON.stringify(pair), pair)
  }
  const all = [...pairs.values()]
  const users = [...new Set(all.map(([user]) => user))]
  const different = (names: string[]) => assert.equal(new Set(names).size, names.length)
  const services = all.map(([user, server]) => serviceName('nb-', { name: serverName(slug(user), server) }))
  different(services)
  for (const name of services) assert.match(name, /^[a-z][a-z0-9-]{0,62}$/)
  different(users.map(user => `swarmhub-${slug(user)}`))
  // A secret is named by the generation alone: 64 random bits, whole in the name.
  different(all.map((_, i) => secretName('nb-', i.toString(16).padStart(16, '0'))))
  different(all.map(([user, server]) => serverPath('/', user, server)))
})

test('while a node pulls an image its size is told, where the hub’s engine knows it', async t => {
  const { spawner } = await onEngine(t, {
    'GET /tasks': [taskOf('preparing')],
    'GET /nodes': [nodeOf('n1')],
    '/images/lab/image:1/json': { Size: 3 * 2 ** 30 },
  })
  const status = await spawner.poll(handle, fakeContext())
  assert.ok(status.state === 'starting')
  assert.deepEqual([status.step, status.message], ['pulling', 'Getting the image ready on n1 (3 GiB unpacked)'])
})
