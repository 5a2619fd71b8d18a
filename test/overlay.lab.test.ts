import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { overlay } from '../plugins/overlay/index.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'
import { testNetwork } from './roles/network.ts'
import { fakeContext, fakeSpawn, somebody, stopOf } from './roles/spawn.ts'
import { tap } from './swarm-engine.ts'

/** A name for a network, which is removed at the end. */
async function fresh(t: TestContext) {
  const { nodes, images } = await lab()
  const manager = nodes[0]!
  const name = `net-${randomBytes(4).toString('hex')}`
  t.after(async () => {
    for (let tries = 0; tries < 50; tries++) {
      // The filter `name` takes whole names of networks of the Swarm only.
      const all = (await docker(manager, 'network', 'ls', '--format', '{{.Name}}')).split('\n')
      const own = all.filter(other => other.startsWith(name))
      if (own.length === 0) return
      await docker(manager, 'network', 'rm', ...own).catch(() => sleep(200))
    }
  })
  const inspect = async () => JSON.parse(await docker(manager, 'network', 'inspect', name))[0]
  return { name, manager, docker: manager.socket, images, inspect }
}

testNetwork(
  'overlay',
  async t => {
    const { name, docker: socket, manager } = await fresh(t)
    const plugin = overlay({ name, docker: socket })
    await plugin.setup(fakeHub(t))
    const exists = (id: string) =>
      docker(manager, 'network', 'inspect', id).then(
        () => true,
        () => false,
      )
    return { network: plugin.network, hub: 'test-hub', exists, unreachable: overlay({ docker: '/no/such/docker.sock' }).network }
  },
  { skip: noLab },
)

test('the network is an attachable overlay, a /16 that nothing else uses, with the hub’s label', { skip: noLab }, async t => {
  const { name, docker: socket, inspect, manager } = await fresh(t)
  const plugin = overlay({ name, docker: socket, labels: { room: 'seven' } })
  await plugin.setup(fakeHub(t, { id: 'hub-of-overlay' }))
  const made = await inspect()
  assert.deepEqual([made.Driver, made.Scope, made.Attachable, made.Ingress], ['overlay', 'swarm', true, false])
  assert.deepEqual(made.Labels, { room: 'seven', 'org.swarmhub.hub': 'hub-of-overlay' })
  const { Subnet } = made.IPAM.Config[0]
  assert.match(Subnet, /^10\.\d+\.0\.0\/16$/)
  const ids = (await docker(manager, 'network', 'ls', '-q')).split('\n')
  const all: { Name: string; IPAM: { Config: { Subnet?: string }[] | null } }[] = JSON.parse(
    await docker(manager, 'network', 'inspect', ...ids),
  )
  const prefix = Subnet.replace('0.0/16', '')
  for (const other of all) {
    if (other.Name !== name)
      for (const config of other.IPAM.Config ?? []) assert.ok(!config.Subnet?.startsWith(prefix), other.Name)
  }
})

test('hubs that make it at the same time agree on one network', { skip: noLab }, async t => {
  const { name, docker: socket, manager } = await fresh(t)
  const hubs = [1, 2, 3, 4].map(() => overlay({ name, docker: socket }))
  await Promise.all(hubs.map(plugin => plugin.setup(fakeHub(t))))
  const joined = await Promise.all(hubs.map(plugin => plugin.network.join(fakeSpawn('x'), fakeContext())))
  for (const ids of joined) assert.deepEqual(ids, joined[0])
  assert.equal((await docker(manager, 'network', 'ls', '-q', '--filter', `name=${name}`)).split('\n').length, 1)
})

test('a network that is there is used as it is; one that cannot be is refused in words', { skip: noLab }, async t => {
  const attachable = await fresh(t)
  const id = await docker(attachable.manager, 'network', 'create', '-d', 'overlay', '--attachable', attachable.name)
  const used = overlay({ name: attachable.name, docker: attachable.docker })
  assert.deepEqual(await used.network.join(fakeSpawn('x'), fakeContext()), [id])

  const closed = await fresh(t)
  await docker(closed.manager, 'network', 'create', '-d', 'overlay', closed.name)
  const refused = overlay({ name: closed.name, docker: closed.docker })
  await assert.rejects(refused.setup(fakeHub(t)), { code: 'config', message: /is not attachable/ })
  await assert.rejects(refused.network.join(fakeSpawn('x'), fakeContext()), { code: 'config' })

  const bridge = await fresh(t)
  await docker(bridge.manager, 'network', 'create', '-d', 'bridge', bridge.name)
  await assert.rejects(overlay({ name: bridge.name, docker: bridge.docker }).setup(fakeHub(t)), { message: /bridge network/ })
})

// ---------------------------------------------------------------------------------------------------------------------
// A network for each user or group

const networksOf = async (hub: string) => {
  const { nodes } = await lab()
  return (await docker(nodes[0]!, 'network', 'ls', '--format', '{{.Name}}', '--filter', `label=org.swarmhub.hub=${hub}`))
    .split('\n')
    .filter(Boolean)
    .sort()
}

testNetwork(
  'overlay for each user',
  async t => {
    const { name, docker: socket, manager } = await fresh(t)
    const plugin = overlay({ name, docker: socket, per: 'user' })
    await plugin.setup(fakeHub(t, { id: name }))
    const exists = (id: string) =>
      docker(manager, 'network', 'inspect', id).then(
        () => true,
        () => false,
      )
    const unreachable = overlay({ docker: '/no/such/docker.sock', per: 'user' }).network
    return { network: plugin.network, hub: name, exists, unreachable }
  },
  { skip: noLab },
)

test('a user’s network stays while a server needs it, and goes with the last; nobody else’s is touched', {
  skip: noLab,
}, async t => {
  const { name, docker: socket, manager, images } = await fresh(t)
  const plugin = overlay({ name, docker: socket, per: 'user', labels: { room: 'seven' } })
  await plugin.setup(fakeHub(t, { id: name }))
  const foreign = `${name}-foreign`
  await docker(manager, 'network', 'create', '-d', 'overlay', '--label', `org.swarmhub.hub=${name}`, foreign)
  const user = somebody('alice')
  const [one, two, bob] = [fakeSpawn(name, user), fakeSpawn(name, user, 'two'), fakeSpawn(name, somebody('bob'))]
  const join = (spawn: typeof one) => plugin.network.join(spawn, fakeContext())
  const leave = async (spawn: typeof one) => plugin.network.leave?.(stopOf(spawn), fakeContext())
  const [ids] = await Promise.all([join(one), join(two), join(bob)])
  assert.deepEqual(await networksOf(name), [foreign, `${name}-u-alice`, `${name}-u-bob`])
  const [made] = JSON.parse(await docker(manager, 'network', 'inspect', ids[0]!))
  assert.match(made.IPAM.Config[0].Subnet, /\/27$/)
  assert.deepEqual(made.Labels, { room: 'seven', 'org.swarmhub.hub': name, 'org.swarmhub.network': 'u-alice' })

  await leave(one)
  await leave(bob)
  assert.deepEqual(await networksOf(name), [foreign, `${name}-u-alice`])

  // A service needs it, though nobody remembers: the hub was restarted.
  const args = ['--detach', '--no-resolve-image', '--endpoint-mode', 'dnsrr', '--label', `org.swarmhub.hub=${name}`]
  const service = await docker(manager, 'service', 'create', ...args, '--network', ids[0]!, images.silent)
  t.after(() => docker(manager, 'service', 'rm', service).catch(() => {}))
  const { socket: tapped, calls } = await tap(t, socket)
  const next = overlay({ name, docker: tapped, per: 'user' })
  await next.setup(fakeHub(t, { id: name }))
  await next.network.leave?.(stopOf(two), fakeContext())
  await next.jobs.repair?.run(fakeContext())
  assert.deepEqual(await networksOf(name), [foreign, `${name}-u-alice`])
  assert.ok(!calls.some(call => call.startsWith('DELETE')), 'it is not even tried: the hub would leave the network first')
  await docker(manager, 'service', 'rm', service)
  for (let tries = 0; (await networksOf(name)).length > 1 && tries < 10; tries++) await next.jobs.repair?.run(fakeContext())
  assert.deepEqual(await networksOf(name), [foreign])
})

test('members of a group share its network; who is in none has their own', { skip: noLab }, async t => {
  const { name, docker: socket } = await fresh(t)
  const plugin = overlay({ name, docker: socket, per: 'group' })
  await plugin.setup(fakeHub(t, { id: name }))
  const spawns = [['x', 'Übung 1'], ['Übung 1'], []].map((groups, i) => fakeSpawn(name, { ...somebody(`user${i}`), groups }))
  const [both, one, none] = await Promise.all(spawns.map(async spawn => plugin.network.join(spawn, fakeContext())))
  assert.equal(both?.length, 2)
  assert.ok(one?.length === 1 && both?.includes(one[0]!))
  assert.ok(none?.length === 1 && !both?.includes(none[0]!))
  for (const spawn of spawns) await plugin.network.leave?.(stopOf(spawn), fakeContext())
  assert.deepEqual(await networksOf(name), [])
})

/** The hub in a container: makes a server for each of two users, reaches both, and waits for a signal to end them. */
const hubInside = `
import { createServer } from 'node:http'
const { plugins, docker, image, name, spawns, internal } = JSON.parse(process.env.TRIAL)
const { overlay } = await import(plugins + '/overlay/index.js')
const { swarm } = await import(plugins + '/swarm/index.js')
const log = { debug() {}, info() {}, warn: console.error }
const hub = { id: name, log, offers: () => [], servers: () => [] }
const network = overlay({ docker, name, per: 'user', internal })
const { spawner, setup } = swarm({ docker, prefix: name.slice(0, 20) + '-' })
const ctx = { log, signal: AbortSignal.timeout(60000), progress() {} }
const reach = await spawner.reach(ctx)
await setup(hub)
await network.setup(hub)
createServer((request, reply) => reply.end('the hub')).listen(8081, reach.listen)
const made = []
for (const spawn of spawns) {
  const networks = await network.network.join(spawn, ctx)
  const handle = await spawner.start({ ...spawn.draft, image, networks, command: ['python3', '-m', 'http.server', '8888'] }, ctx)
  made.push({ spawn, handle })
}
const found = []
for (const { handle } of made) {
  let status
  do status = await spawner.poll(handle, ctx); while (status.state !== 'running' && status.state !== 'gone')
  if (status.state === 'gone') throw new Error(JSON.stringify(status))
  let answer
  while (!answer) answer = await fetch(status.target, { signal: AbortSignal.timeout(1000) }).then(reply => reply.status, () => new Promise(resolve => setTimeout(resolve, 100)))
  found.push({ answer, target: status.target, network: handle.network })
}
console.log('FOUND ' + JSON.stringify({ reach, found }))
await new Promise(resolve => process.once('SIGUSR2', resolve))
for (const { spawn, handle } of made) {
  await spawner.stop(handle, ctx)
  await network.network.leave({ user: spawn.user, server: spawn.server, generation: spawn.draft.generation, reason: 'user' }, ctx)
}
console.log('LEFT')
process.exit()
`

for (const internal of [false, true]) {
  const kind = internal ? 'internal networks of users' : 'networks of users'
  test(`on ${kind} the hub and each server reach each other, and no user’s server another’s`, { skip: noLab }, async t => {
    const { name, docker: socket, manager, images } = await fresh(t)
    const { nodes, bridge } = await lab()
    const worker = nodes[1]!
    await docker(manager, 'network', 'create', '--driver', 'overlay', '--attachable', name)
    const plugins = fileURLToPath(new URL('../plugins', import.meta.url))
    const folders = [resolve(plugins, '../..'), await realpath('node_modules')]
    // One on the hub's node, and one on the other.
    const spawns = [manager, worker].map(node => {
      const spawn = fakeSpawn(name, somebody(`user-${node.name}`))
      return { ...spawn, draft: { ...spawn.draft, placement: { constraints: [`node.labels.kind==${node.labels.kind}`] } } }
    })
    const trial = JSON.stringify({ plugins, docker: '/docker.sock', image: images.notebook, name, spawns, internal })
    const mounts = [...folders.map(path => [path, path] as const), [socket, '/docker.sock'] as const]
    const binds = mounts.flatMap(([from, to]) => ['--mount', `type=bind,source=${from},target=${to},readonly`])
    const command = [images.node, 'node', '--input-type=module', '-e', hubInside]
    await docker(
      manager,
      'run',
      '--detach',
      '--init',
      '--name',
      name,
      '--network',
      name,
      '--env',
      `TRIAL=${trial}`,
      ...binds,
      ...command,
    )
    t.after(() => docker(manager, 'rm', '--force', name))
    const printed = async (word: string) => {
      for (let tries = 0; ; tries++) {
        const output = await docker(manager, 'logs', name)
        if (output.includes(word)) return output.slice(output.indexOf(word) + word.length)
        assert.ok(tries < 150, output)
        await sleep(200)
      }
    }
    const { found, reach } = JSON.parse((await printed('FOUND ')).split('\n')[0]!)
    assert.deepEqual(reach, { listen: '0.0.0.0', host: name })
    assert.ok(found.every(({ answer, network }: { answer: number; network: unknown }) => answer === 200 && network))

    // Outside of the networks: this process, as Docker's own port on a node or a cloud's metadata would be.
    const outside = createServer((_, reply) => reply.end('outside')).listen(0, bridge)
    await once(outside, 'listening')
    t.after(() => outside.close())
    const beyond = `http://${bridge}:${(outside.address() as AddressInfo).port}/`
    const get = 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read()[:20])'
    const from = async (i: number, url: string) => {
      const node = [manager, worker][i]!
      const label = `label=org.swarmhub.generation=${spawns[i]!.draft.generation}`
      const container = await docker(node, 'ps', '-q', '--filter', label)
      return docker(node, 'exec', container, 'python3', '-c', get, url).catch(error => {
        assert.match(String(error), /timed out|unreachable|refused|No route/)
        return 'not reached'
      })
    }
    for (const [i, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      assert.match(await from(i, `http://${name}:8081/`), /the hub/)
      assert.match(await from(i, 'http://127.0.0.1:8888/'), /DOCTYPE/i)
      assert.equal(await from(i, found[other].target), 'not reached')
      const addresses = internal ? [`http://${manager.address}:2377/`, 'http://169.254.169.254/'] : []
      for (const address of addresses) assert.equal(await from(i, address), 'not reached')
      assert.equal(await from(i, beyond), internal ? 'not reached' : "b'outside'")
    }
    assert.equal((await networksOf(name)).length, 2)
    await docker(manager, 'kill', '--signal', 'USR2', name)
    await printed('LEFT')
    for (let tries = 0; tries < 5 && (await networksOf(name)).length > 0; tries++) await sleep(500)
    assert.deepEqual(await networksOf(name), [])
  })
}
