import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { silent } from 'swarmhub'
import { overlay } from '../plugins/overlay/index.ts'
import { clash, firstFree, isSubnet } from '../plugins/overlay/subnet.ts'
import { checkSupply, warningOf } from '../plugins/overlay/usage.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, fakeSpawn, somebody } from './roles/spawn.ts'
import { engineAt } from './swarm-engine.ts'

interface Network {
  Id: string
  Name: string
  Driver: string
  Scope: string
  Attachable?: boolean
  IPAM: { Config: { Subnet: string }[] | null }
}

/** An engine with these networks, which makes more. */
async function engineWith(
  t: TestContext,
  networks: Network[],
  create?: (request: IncomingMessage, reply: ServerResponse) => void,
  tasks: object[] = [],
) {
  const calls: string[] = []
  const made: { IPAM: { Config: { Subnet: string }[] }; Options: object }[] = []
  const docker = await engineAt(t, async (request, reply) => {
    const path = request.url?.replace(/^\/v[\d.]+|\?.*$/g, '')
    calls.push(`${request.method} ${path}`)
    if (path === '/tasks') return reply.end(JSON.stringify(tasks))
    if (path === '/version') return reply.end('{"ApiVersion":"1.41"}')
    if (path === '/nodes') return reply.end(JSON.stringify([{ Status: { Addr: '10.97.3.4' } }]))
    if (path === '/networks') return reply.end(JSON.stringify(networks))
    const body = (await json(request)) as (typeof made)[number] & Network
    made.push(body)
    if (create) return create(request, reply)
    networks.push({ ...body, Id: 'made', Scope: 'swarm' })
    reply.end('{"Id":"made"}')
  })
  return { docker, made, calls }
}

const network = (Name: string, Subnet: string, more: Partial<Network> = {}): Network => {
  return { Id: `id-${Name}`, Name, Driver: 'overlay', Scope: 'swarm', Attachable: true, IPAM: { Config: [{ Subnet }] }, ...more }
}

test('networks clash when they share an address, whichever is the larger', () => {
  assert.ok(clash('10.96.0.0/16', '10.96.3.0/24') && clash('10.96.3.0/24', '10.96.0.0/16') && clash('10.0.0.0/8', '10.96.0.0/16'))
  assert.ok(
    clash('10.96.0.0/16', '10.96.7.8/32') && clash('0.0.0.0/0', '10.96.0.0/16') && clash('192.168.1.0/24', '192.168.1.5/24'),
  )
  assert.ok(!clash('10.96.0.0/16', '10.97.0.0/16') && !clash('10.96.0.0/16', 'fd00::/64') && !clash('128.0.0.0/1', '10.0.0.0/8'))
})

test('a subnet is an IPv4 network with room for servers', () => {
  for (const right of ['10.96.0.0/16', '172.30.0.0/20', '192.168.4.0/24']) assert.ok(isSubnet(right), right)
  for (const wrong of ['10.96.0.0', '10.96.0.1/16', '10.256.0.0/16', '10.0.0.0/33', '10.0.0.0/30', '0.0.0.0/0', 'fd00::/64', ''])
    assert.ok(!isSubnet(wrong), wrong)
})

test('the first /16 is taken that neither a network nor a node’s address is in', async t => {
  const { docker, made } = await engineWith(t, [
    network('ingress', '10.0.0.0/24'),
    network('other', '10.96.8.0/24'),
    network('bridge', '10.98.0.0/15', { Driver: 'bridge', Scope: 'local' }),
    { ...network('host', ''), IPAM: { Config: null } },
  ])
  await overlay({ docker }).setup(fakeHub(t))
  assert.deepEqual(
    made.map(({ IPAM }) => IPAM.Config[0]?.Subnet),
    ['10.100.0.0/16'],
  )
})

test('subnet and encryption are as the config says', async t => {
  const { docker, made } = await engineWith(t, [])
  await overlay({ docker, subnet: '172.30.0.0/20', encrypted: true }).setup(fakeHub(t))
  assert.deepEqual([made[0]?.IPAM.Config[0]?.Subnet, made[0]?.Options], ['172.30.0.0/20', { encrypted: '' }])
})

test('a network that another hub makes at the same moment is taken', async t => {
  const networks: Network[] = []
  const { docker } = await engineWith(t, networks, (_, reply) => {
    networks.push(network('swarmhub', '10.96.0.0/16'))
    reply.writeHead(409).end('{"message":"network with name swarmhub already exists"}')
  })
  assert.deepEqual(await overlay({ docker }).network.join(fakeSpawn('h'), fakeContext()), ['id-swarmhub'])
})

test('a network that is made but not answered for is taken, one that is not made is an outage', async t => {
  const networks: Network[] = []
  const lost = await engineWith(t, networks, (_, reply) => {
    networks.push(network('swarmhub', '10.96.0.0/16'))
    reply.destroy()
  })
  assert.deepEqual(await overlay({ docker: lost.docker }).network.join(fakeSpawn('h'), fakeContext()), ['id-swarmhub'])
  const failing = await engineWith(t, [], (_, reply) => reply.writeHead(500).end('{"message":"no"}'))
  await assert.rejects(async () => overlay({ docker: failing.docker }).network.join(fakeSpawn('h'), fakeContext()), {
    code: 'unavailable',
  })
})

test('of two networks of one name the Swarm’s is taken', async t => {
  const local = network('swarmhub', '172.18.0.0/16', { Id: 'local', Driver: 'bridge', Scope: 'local' })
  const { docker } = await engineWith(t, [local, network('swarmhub', '10.96.0.0/16')])
  assert.deepEqual(await overlay({ docker }).network.join(fakeSpawn('h'), fakeContext()), ['id-swarmhub'])
})

test('a network of a similar name is another one', async t => {
  const { docker, made } = await engineWith(t, [network('swarmhub-old', '10.96.0.0/16')])
  assert.deepEqual(await overlay({ docker }).network.join(fakeSpawn('h'), fakeContext()), ['made'])
  assert.equal(made.length, 1)
})

test('a hub that comes up before its engine starts all the same', async t => {
  await overlay({ docker: '/no/such.sock' }).setup(fakeHub(t))
})

test('of a range the first network is given that shares no address with any other, until there is none', () => {
  assert.equal(firstFree('10.112.0.0/12', 27, []), '10.112.0.0/27')
  assert.equal(firstFree('10.112.0.0/12', 27, ['10.112.0.0/27', '10.112.0.64/27']), '10.112.0.32/27')
  assert.equal(firstFree('10.112.0.0/12', 24, ['10.112.0.33/32', '10.112.0.0/15', 'fd00::/64']), '10.114.0.0/24')
  assert.equal(firstFree('10.112.0.0/28', 28, ['10.112.0.3/32']), undefined)
  assert.equal(firstFree('10.112.0.0/24', 16, []), undefined)
  const used: string[] = []
  for (let next = firstFree('10.0.0.0/24', 27, used); next; next = firstFree('10.0.0.0/24', 27, used)) used.push(next)
  assert.equal(new Set(used).size, 8)
  assert.ok(used.every((one, i) => used.every((other, j) => i === j || !clash(one, other))))
})

test('a supply that runs low is warned of, and one that is nearly used up is not well', () => {
  const usage = (used: number) => ({ what: 'addresses in 10.96.0.0/24', used, total: 253 })
  assert.equal(warningOf(usage(200)), undefined)
  assert.match(warningOf(usage(210)) ?? '', /Of 253 addresses in 10.96.0.0\/24 only 43 are left/)
  checkSupply(usage(230))
  assert.throws(() => checkSupply(usage(245)), { code: 'unavailable', message: /only 8 are left/ })
})

test('the addresses of the network are counted by its tasks and their nodes; the log warns once, and health tells when few are left', async t => {
  const tasks = Array.from({ length: 12 }, (_, i) => ({
    NodeID: `n${i % 2}`,
    NetworksAttachments: [{ Network: { ID: i < 10 ? 'id-swarmhub' : 'another' } }],
  }))
  const { docker } = await engineWith(t, [network('swarmhub', '10.96.0.0/28')], undefined, tasks)
  const warnings: string[] = []
  const plugin = overlay({ docker })
  await plugin.setup(fakeHub(t, { log: { ...silent, warn: message => void warnings.push(message) } }))
  await plugin.jobs.supply.run(fakeContext())
  await plugin.jobs.supply.run(fakeContext())
  assert.deepEqual(warnings.length, 1)
  assert.match(warnings[0] ?? '', /Of 13 addresses in 10.96.0.0\/28 only 1 are left/)
  await plugin.health(AbortSignal.timeout(5000))
  tasks.push({ NodeID: 'n3', NetworksAttachments: [{ Network: { ID: 'id-swarmhub' } }] })
  await assert.rejects(plugin.health(AbortSignal.timeout(5000)), { message: /only 0 are left/ })
})

test('a network that is less safe than the config says is refused', async t => {
  const { docker } = await engineWith(t, [network('swarmhub', '10.96.0.0/16')])
  const setup = (options: object) => overlay({ docker, ...options }).setup(fakeHub(t))
  await assert.rejects(setup({ encrypted: true }), { code: 'config', message: /is not encrypted/ })
  await assert.rejects(setup({ internal: true }), { code: 'config', message: /is not internal/ })
  assert.throws(() => overlay({ per: 'user', attachable: false }), { code: 'config' })
})

test('a network of a user’s that is not this hub’s is left alone', async t => {
  const user = somebody('alice')
  for (const Labels of [{}, { 'org.swarmhub.hub': 'another', 'org.swarmhub.network': 'u-alice' }]) {
    const there = { ...network('swarmhub-u-alice', '10.112.0.0/27'), Labels }
    const { docker, calls } = await engineWith(t, [there])
    const plugin = overlay({ docker, per: 'user' })
    await plugin.setup(fakeHub(t, { id: 'mine' }))
    await assert.rejects(async () => plugin.network.join(fakeSpawn('mine', user), fakeContext()), { code: 'conflict' })
    assert.ok(
      calls.every(call => call.startsWith('GET')),
      calls.join(),
    )
  }
})
