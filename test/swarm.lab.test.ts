import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, resolve } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Cause, Handle, Spawner, Status } from 'swarmhub'
import { run } from './lab/command.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { endSwarm, killNode, ownSwarm } from './lab/swarm.ts'
import { fakeContext, fakeSpec } from './roles/spawn.ts'
import { tap } from './swarm-engine.ts'
import { on, onSwarm } from './swarm-lab.ts'

test('a real notebook starts on either node with the image’s own command, and answers the hub', { skip: noLab }, async t => {
  const { start, until, manager, worker, images, bridge } = await onSwarm(t)
  const calls: string[] = []
  const hub = createServer((request, reply) => {
    calls.push(`${request.headers.authorization} ${request.url}`)
    reply.setHeader('x-jupyterhub-version', '5.4.6').setHeader('content-type', 'application/json').end('{"version":"5.4.6"}')
  }).listen(0, bridge)
  await once(hub, 'listening')
  t.after(() => hub.close())
  const api = `http://${bridge}:${(hub.address() as AddressInfo).port}/hub/api`

  const found: string[] = []
  for (const node of [manager, worker]) {
    const plain = fakeSpec('')
    const env = {
      ...plain.env,
      ...{ JUPYTERHUB_API_URL: api, JUPYTERHUB_BASE_URL: '/', JUPYTERHUB_CLIENT_ID: 'jupyterhub-user-x', JUPYTERHUB_HOST: '' },
      ...{ JUPYTERHUB_OAUTH_CALLBACK_URL: `${plain.path}oauth_callback`, JUPYTERHUB_ACTIVITY_URL: `${api}/users/x/activity` },
    }
    const { handle, spec } = await start({ image: images.notebook, env, path: plain.path, ...on(node) })
    const { target, node: name } = await until(handle, 'running')
    assert.equal(name, node.name)
    found.push(target)
    let status: number | undefined
    for (let tries = 0; status === undefined && tries < 300; tries++) {
      status = await fetch(`${target}${plain.path}api`, { redirect: 'manual' }).then(
        reply => reply.status,
        () => void 0,
      )
      if (status === undefined) await sleep(100)
    }
    assert.equal(status, 200)
    const own = `token ${spec.secrets.JUPYTERHUB_API_TOKEN} `
    for (let tries = 0; !calls.some(call => call.startsWith(own)); tries++) {
      assert.ok(tries < 100, `it calls the hub with its own token: ${calls}`)
      await sleep(100)
    }
  }
  assert.equal(new Set(found).size, 2)
})

test('a token reaches the server, and stands nowhere that Docker tells', { skip: noLab }, async t => {
  const { spawner, start, until, manager, images } = await onSwarm(t)
  const token = `canary-${randomBytes(8).toString('hex')}'"$(id)\n${'x'.repeat(20)}`
  const look = ['sh', '-c', 'printf %s "$JUPYTERHUB_API_TOKEN" | sha256sum; echo "empty=$EMPTY."; exec sleep 1000']
  const secrets = { JUPYTERHUB_API_TOKEN: token, EMPTY: '' }
  const { handle } = await start({ image: images.base, command: look, secrets, ...on(manager) })
  await until(handle, 'running')
  const lines: string[] = []
  for await (const line of spawner.logs!(handle, fakeContext())) if (lines.push(line) === 2) break
  assert.deepEqual(lines, [`${createHash('sha256').update(token).digest('hex')}  -`, 'empty=.'])

  const secret = `nb-${handle.generation}`
  const containers = await docker(manager, 'ps', '-aq', '--filter', `label=org.swarmhub.generation=${handle.generation}`)
  const tasks = await docker(manager, 'service', 'ps', '-q', String(handle.service))
  const told = [
    await docker(manager, 'service', 'inspect', String(handle.service)),
    await docker(manager, 'inspect', '--type', 'task', ...tasks.split('\n')),
    await docker(manager, 'inspect', ...containers.split('\n')),
    await docker(manager, 'secret', 'inspect', secret),
    await docker(manager, 'events', '--since', '5m', '--until', '0s'),
  ].join('\n')
  assert.match(told, new RegExp(String(handle.generation)))
  assert.doesNotMatch(told, /canary-/)
  await spawner.stop(handle, fakeContext())
  await assert.rejects(docker(manager, 'secret', 'inspect', secret), /secret .* not found/i)
  await assert.rejects(docker(manager, 'service', 'inspect', String(handle.service)), /no such service/i)
})

test('what is not this hub’s is never touched', { skip: noLab }, async t => {
  const { spawner, hub, manager, images } = await onSwarm(t)
  const spec = { ...fakeSpec(hub), image: images.silent }
  const name = `nb-${spec.name}`
  await docker(manager, 'service', 'create', '--detach', '--no-resolve-image', '--name', name, images.silent)
  t.after(() => docker(manager, 'service', 'rm', name))
  await assert.rejects(spawner.start(spec, fakeContext()), { code: 'conflict', message: new RegExp(name) })
  assert.deepEqual(await spawner.list(fakeContext()), [])
  assert.equal(await docker(manager, 'service', 'ls', '-q', '--filter', `name=${name}`).then(ids => ids.split('\n').length), 1)
  assert.equal(await docker(manager, 'secret', 'ls', '-q', '--filter', `label=org.swarmhub.hub=${hub}`), '')

  // The same server of another hub with the same prefix.
  const other = await onSwarm(t)
  await other.start({ ...fakeSpec(other.hub, spec.user), image: images.silent, name: 'shared-name' })
  await assert.rejects(spawner.start({ ...spec, name: 'shared-name' }, fakeContext()), { code: 'conflict' })
  assert.equal((await other.spawner.list(fakeContext())).length, 1)
})

test('all servers are listed by three calls, and a poll takes two, however many there are', { skip: noLab }, async t => {
  const { nodes } = await lab()
  const { socket, calls } = await tap(t, nodes[0]!.socket)
  const { spawner, start, until, images } = await onSwarm(t, { docker: socket })
  const counts: string[][] = []
  for (const _ of [1, 2, 3]) {
    const { handle } = await start({ image: images.silent })
    await until(handle, 'running')
    calls.length = 0
    await spawner.list(fakeContext())
    await spawner.poll(handle, fakeContext())
    counts.push([...calls].sort())
  }
  assert.deepEqual(counts[0], ['GET /nodes', 'GET /nodes', 'GET /services', 'GET /tasks', 'GET /tasks'])
  assert.deepEqual(counts[2], counts[0])
})

test('a creation whose answer is lost is settled by reading: one service, adopted', { skip: noLab }, async t => {
  const { nodes } = await lab()
  const faults = { lost: 0 }
  const { socket, calls } = await tap(t, nodes[0]!.socket, (asked, reply) => {
    if (faults.lost === 0 || !asked.url?.includes('/services/create')) return false
    faults.lost--
    // It is carried out, and nobody hears of it.
    const sent = request({ socketPath: nodes[0]!.socket, method: 'POST', path: asked.url, headers: asked.headers }, got =>
      got.resume().on('end', () => reply.destroy()),
    )
    asked.pipe(sent)
    return true
  })
  const { spawner, start, until, images } = await onSwarm(t, { docker: socket })
  faults.lost = 1
  const { handle } = await start({ image: images.silent })
  assert.equal(faults.lost, 0)
  assert.equal(calls.filter(call => call === 'POST /services/create').length, 1)
  await until(handle, 'running')
  assert.equal((await spawner.list(fakeContext())).length, 1)
})

test('a refused service leaves no secret behind, and the refusal is told', { skip: noLab }, async t => {
  const { start, manager, images, hub } = await onSwarm(t)
  const bad = start({ image: images.silent, placement: { constraints: ['node.nonsense ~ 1'] } })
  await assert.rejects(
    bad,
    ({ details }: { details: Cause }) => details.code === 'refused' && /constraint/.test(details.engine ?? ''),
  )
  assert.equal(await docker(manager, 'secret', 'ls', '-q', '--filter', `label=org.swarmhub.hub=${hub}`), '')
})

/** What runs as the hub elsewhere: starts a server that calls back, and reaches it. Prints what it found. */
const hubInside = `
import { createServer } from 'node:http'
const { plugin: path, docker, image, networks, spec } = JSON.parse(process.env.TRIAL)
const { swarm } = await import(path)
const plugin = swarm({ docker })
const log = { debug() {}, info() {}, warn: console.error }
await plugin.setup({ id: spec.hub, log })
const ctx = { log, signal: AbortSignal.timeout(60000), progress() {} }
const { spawner } = plugin
const reach = await spawner.reach(ctx)
let heard
const calledBack = new Promise(resolve => (heard = resolve))
createServer((request, reply) => { reply.end(); heard(request.url) }).listen(8081, reach.listen)
const code = 'import urllib.request as r, os; r.urlopen("http://' + reach.host + ':8081/back", timeout=20); os.execvp("python3", ["python3", "-m", "http.server", "8888"])'
const handle = await spawner.start({ ...spec, image, networks, command: ['python3', '-c', code] }, ctx)
let status
do status = await spawner.poll(handle, ctx); while (status.state !== 'running' && status.state !== 'gone')
if (status.state === 'gone') throw new Error(JSON.stringify(status))
const back = await calledBack
let answer
// A proxy that hangs up before it has answered leaves a fetch waiting for ever.
while (!answer) answer = await fetch(status.target, { signal: AbortSignal.timeout(1000) }).then(reply => reply.status, () => new Promise(resolve => setTimeout(resolve, 100)))
await spawner.stop(handle, ctx)
console.log('FOUND ' + JSON.stringify({ reach, network: handle.network, target: status.target, back, answer }))
process.exit()
`

for (const kind of ['container', 'service'] as const) {
  test(`a hub in a ${kind} on the overlay and its servers find each other there, by a lasting name`, { skip: noLab }, async t => {
    const { manager, worker, images } = await onSwarm(t)
    const name = `hub-${randomBytes(4).toString('hex')}`
    const id = await docker(manager, 'network', 'create', '--driver', 'overlay', '--attachable', name)
    const plugin = fileURLToPath(new URL('../plugins/swarm/index.js', import.meta.url))
    // The same paths in the container as here: the bundle's folder, and what it imports.
    const folders = [resolve(dirname(plugin), '../..'), await realpath('node_modules')]
    const spec = { ...fakeSpec(name), ...on(worker) }
    const trial = JSON.stringify({ plugin, docker: '/docker.sock', image: images.notebook, networks: [name], spec })
    const mounts = [...folders.map(path => [path, path] as const), [manager.socket, '/docker.sock'] as const]
    const options = ['--name', name, '--network', name, '--env', `TRIAL=${trial}`]
    const binds = mounts.flatMap(([from, to]) => ['--mount', `type=bind,source=${from},target=${to},readonly`])
    const command = [images.node, 'node', '--input-type=module', '-e', hubInside]
    const service = [
      'service',
      'create',
      '--detach',
      '--no-resolve-image',
      '--endpoint-mode',
      'dnsrr',
      '--restart-condition',
      'none',
    ]
    await (kind === 'service'
      ? docker(manager, ...service, '--constraint', `node.id==${manager.id}`, ...options, ...binds, ...command)
      : docker(manager, 'run', '--detach', ...options, ...binds, ...command))
    t.after(async () => {
      await (kind === 'service' ? docker(manager, 'service', 'rm', name) : docker(manager, 'rm', '--force', name))
      for (let tries = 0; tries < 50; tries++) {
        if (await docker(manager, 'network', 'rm', name).then(Boolean, () => false)) return
        await sleep(200)
      }
    })
    let output = ''
    for (let tries = 0; !output.includes('FOUND '); tries++) {
      assert.ok(tries < 150, output)
      await sleep(200)
      output = await docker(manager, ...(kind === 'service' ? ['service', 'logs', '--raw', name] : ['logs', name])).catch(String)
    }
    const found = JSON.parse(output.slice(output.indexOf('FOUND ') + 6))
    assert.deepEqual(found.reach, { listen: '0.0.0.0', host: kind === 'service' ? `tasks.${name}` : name })
    assert.equal(found.network, id)
    assert.equal(found.back, '/back')
    assert.equal(found.answer, 200)
    assert.match(found.target, /^http:\/\/10\.[\d.]+:8888$/)
  })
}

test('a hub on a machine with a Swarm of one node finds its servers on their ports, and they find it on Docker’s bridge', {
  skip: noLab,
}, async t => {
  const own = await ownSwarm(await lab(), 1)
  const { manager, images } = await onSwarm(t, {}, own)
  t.after(() => endSwarm(own))
  const plugin = fileURLToPath(new URL('../plugins/swarm/index.js', import.meta.url))
  await docker(manager, 'network', 'create', '--driver', 'overlay', 'an-overlay')
  const gateway = '172.17.0.1'
  // On the machine itself, as far as a process can tell: in its network, under its name.
  const enter = [`--net=/run/netns/${manager.netns}`, 'unshare', '--uts', 'sh', '-c', 'hostname "$0"; exec "$@"', manager.name]
  for (const networks of [[], ['an-overlay']]) {
    const trial = { plugin, docker: manager.socket, image: images.notebook, networks, spec: fakeSpec('hub-on-a-laptop') }
    const env = { ...process.env, TRIAL: JSON.stringify(trial) }
    const output = await run('nsenter', [...enter, process.execPath, '--input-type=module', '-e', hubInside], {
      env,
      timeout: 60_000,
    })
    const found = JSON.parse(output.slice(output.indexOf('FOUND ') + 6))
    assert.deepEqual(found.reach, { listen: gateway, host: gateway })
    assert.match(found.target, /^http:\/\/127\.0\.0\.1:\d+$/)
    assert.deepEqual([found.back, found.answer, found.network], ['/back', 200, null])
  }
})

test('a server whose node is emptied or lost is gone, with that cause; a silent node alone says nothing', {
  skip: noLab,
}, async t => {
  const own = await ownSwarm(await lab(), 2)
  const { spawner, start, until, manager, worker, images } = await onSwarm(t, {}, own)
  t.after(() => endSwarm(own))

  const first = await start({ image: images.silent, ...on(worker) })
  await until(first.handle, 'running')
  await docker(manager, 'node', 'update', '--availability', 'drain', worker.id)
  const drained = await gone(spawner, first.handle)
  assert.equal(drained.cause.code, 'node-drained')
  assert.match(drained.cause.message, new RegExp(`${worker.name}, is being emptied`))
  await spawner.stop(first.handle, fakeContext())

  await docker(manager, 'node', 'update', '--availability', 'active', worker.id)
  const second = await start({ image: images.silent, ...on(worker) })
  await until(second.handle, 'running')
  await killNode(worker)
  const { cause } = await gone(spawner, second.handle)
  assert.equal(cause.code, 'node-lost')
  assert.match(cause.message, new RegExp(worker.name))
  assert.deepEqual((await spawner.list(fakeContext()))[0]?.status, { state: 'gone', cause })
  await spawner.stop(second.handle, fakeContext())
  assert.deepEqual(await spawner.list(fakeContext()), [])
  assert.equal(await docker(manager, 'secret', 'ls', '-q'), '')
})

/** What it says in the end. Until then it may run, or not be known. */
async function gone(spawner: Spawner, handle: Handle): Promise<Extract<Status, { state: 'gone' }>> {
  for (let tries = 0; ; tries++) {
    const status = await spawner.poll(handle, fakeContext())
    if (status.state === 'gone') return status
    assert.ok(['running', 'unknown'].includes(status.state) && tries < 600, JSON.stringify(status))
    await sleep(100)
  }
}
