import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { overlay } from '../plugins/overlay/index.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'
import { testNetwork } from './roles/network.ts'
import { fakeContext, fakeSpawn } from './roles/spawn.ts'

/** A name for a network, which is removed at the end. */
async function fresh(t: TestContext) {
  const { nodes, images } = await lab()
  const manager = nodes[0]!
  const name = `net-${randomBytes(4).toString('hex')}`
  t.after(async () => {
    for (let tries = 0; tries < 50; tries++) {
      const ids = (await docker(manager, 'network', 'ls', '-q', '--filter', `name=${name}`)).split('\n').filter(Boolean)
      if (ids.length === 0) return
      await docker(manager, 'network', 'rm', ...ids).catch(() => sleep(200))
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
