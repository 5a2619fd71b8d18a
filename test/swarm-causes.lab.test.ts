import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { password } from './hostile.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { pushed, registryOn } from './lab/registry.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

/** Whatever keeps a server from running, by the profile that has it: what the page says, and what to do. */
const causes: Record<string, RegExp[]> = {
  missing: [/The machine does not have the image swarmhub-lab\/no-such-image:1/, /Tell your administrator/],
  locked: [/The registry [\d.:]+ does not accept the name and password/, /registries/, /unauthorized/],
  nowhere: [/no machine that is up meets node\.labels\.gpu==none-has-it/, /Tell your administrator/],
  large: [/it needs 900 GiB of memory, and the most that is free on one machine is [\d.]+ GiB of memory/, /smaller profile/],
  bind: [/A folder of this server could not be mounted/, /bind source path does not exist: \/no\/such\/folder/, /storage/],
  exits: [/ended by itself, with exit code 1\b/, /the licence server cannot be reached/],
  memory: [/The server was ended because it used more than the 32 MiB of memory/, /larger profile/],
  killed: [/ended from outside by force, and not for want of memory/, /Start it again/],
  silent: [/did not answer within 5 seconds/, /is this a notebook image/],
  full: [/The network [\w-]+ \(10\.255\.[\d.]+\/29\) has no address left for this server/, /larger `subnet`/],
}

test('what keeps a server from running is told on its page, with what to do next', { skip: noLab }, async t => {
  const { nodes, images } = await lab()
  const [manager] = nodes as [(typeof nodes)[0]]
  const wrong = `canary-${randomBytes(8).toString('hex')}`
  const registry = await registryOn(t, manager, 'the right one')
  const locked = await pushed(t, nodes, images.base, registry, 'the right one')
  const tiny = `tiny-${randomBytes(3).toString('hex')}`
  const subnet = `10.255.${randomBytes(1)[0]}.0/29`
  await docker(manager, 'network', 'create', '--driver', 'overlay', '--attachable', '--subnet', subnet, tiny)
  await docker(
    manager,
    ...['service', 'create', '--detach', '--no-resolve-image', '--endpoint-mode', 'dnsrr', '--name', tiny, '--network', tiny],
    ...['--replicas', '8', images.silent],
  )
  t.after(async () => {
    await docker(manager, 'service', 'rm', tiny)
    for (let tries = 0; tries < 100; tries++) {
      if (await docker(manager, 'network', 'rm', tiny).then(Boolean, () => false)) return
      await sleep(200)
    }
  })
  const states = async () => {
    const filter = ['--filter', 'desired-state=running']
    return (await docker(manager, 'service', 'ps', ...filter, '--format', '{{.CurrentState}}', tiny)).split('\n')
  }
  // Some have no address, and no other is on its way to one.
  const isFull = (now: string[]) =>
    now.some(state => /^New/.test(state)) &&
    !now.some(state => /^(Pending|Assigned|Accepted|Preparing|Ready|Starting)/.test(state))
  for (let tries = 0, now = await states(); !isFull(now); tries++, now = await states()) {
    assert.ok(tries < 600, `the network is never full: ${now}`)
    await sleep(200)
  }
  const eats = ['sh', '-c', 'exec tail /dev/zero']
  const here = { constraints: ['node.labels.kind==manager'] }
  const text = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, overlay, swarm } from 'swarmhub/plugins'
const here = ${JSON.stringify(here)}
const base = ${JSON.stringify(images.base)}
const bad = { name: 'bad', mount: { attach: () => [{ type: 'bind', source: '/no/such/folder', target: '/mnt' }] } }
const tiny = { name: 'tiny', network: { join: () => [${JSON.stringify(tiny)}] } }
export default defineConfig({
  authenticators: [dummy({ password: ${JSON.stringify(password)} })],
  access: { everyone: true },
  spawner: swarm({
    docker: ${JSON.stringify(manager.socket)},
    prefix: 'cause-',
    noNodeGrace: '2s',
    refresh: '1s',
    registries: { ${JSON.stringify(registry)}: { username: 'hub', password: ${JSON.stringify(wrong)} } },
  }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  limits: { binds: ['/no'], starts: 50 },
  timeouts: { poll: '2s', answer: '5s', start: '60s' },
  profiles: [
    { name: 'missing', label: 'x', image: 'swarmhub-lab/no-such-image:1' },
    { name: 'locked', label: 'x', image: ${JSON.stringify(locked)}, placement: { constraints: ['node.labels.kind==worker'] } },
    { name: 'nowhere', label: 'x', image: base, placement: { constraints: ['node.labels.gpu==none-has-it'] } },
    { name: 'large', label: 'x', image: base, memoryGuarantee: '900G', memory: '900G' },
    { name: 'bind', label: 'x', image: base, mounts: [bad] },
    { name: 'exits', label: 'x', image: ${JSON.stringify(images.exits)} },
    { name: 'memory', label: 'x', image: base, memory: '32M', command: ${JSON.stringify(eats)}, placement: here },
    { name: 'killed', label: 'x', image: base, memory: '512M', command: ['sh', '-c', 'sleep 1; kill -9 $$'], placement: here },
    { name: 'silent', label: 'x', image: ${JSON.stringify(images.silent)} },
    { name: 'full', label: 'x', image: ${JSON.stringify(images.silent)}, networks: [tiny] },
  ],
})
`
  const hub = await startHub(t, text)
  await hub.printed(/swarmhub is at/, 60_000)
  const failed = async (profile: string) => {
    const user = visitor(hub.origin)
    await user.signIn(profile, password, '/hub/home')
    const started = await user.submit('/hub/spawn', 'spawn', { profile })
    assert.match(started.path, /^\/hub\/spawn-pending/, started.text)
    for (let tries = 0; tries < 400; tries++) {
      const { reply, text } = await user.open(`/hub/spawn-pending/${profile}`)
      if (reply.status === 500) return text
      assert.equal(reply.status, 200, text)
      await sleep(200)
    }
    return assert.fail(`${profile} does not fail`)
  }
  await Promise.all(
    Object.entries(causes).map(async ([profile, says]) =>
      t.test(`on the page: ${profile}`, async () => {
        const page = (await failed(profile)).replaceAll('&#39;', "'")
        for (const words of says) assert.match(page, words, profile)
        assert.ok(!page.includes(wrong))
      }),
    ),
  )
  assert.ok(!hub.output().includes(wrong), 'not in the log')
})
