import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { endSwarm, killNode, type Node, ownSwarm } from './lab/swarm.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

/** Answers every page, and says back over a WebSocket's connection what it hears. */
const server = `require('http').createServer((q, r) => r.end('up')).on('upgrade', (q, s) => {
  s.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n'); s.pipe(s)
}).listen(8888)`

const configOf = (manager: Node, image: string, options: string, profiles: string) => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, localVolume, swarm } from 'swarmhub/plugins'
const command = ['node', '-e', ${JSON.stringify(server)}]
const image = '${image}'
export default defineConfig({
  authenticators: [dummy()],
  access: { everyone: true, admins: ['root'] },
  spawner: swarm({ docker: '${manager.socket}', refresh: '1s', ${options} }),
  proxy: httpProxy({ host: '127.0.0.1', port: $PORT }),
  hub: { port: $HUB_PORT },
  profiles: [${profiles}],
})`

/** A connection that stays open; what is sent comes back. */
async function socketTo(t: TestContext, origin: string, path: string): Promise<(text: string) => Promise<string>> {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  }
  const asked = request(new URL(path, origin), { headers }).end()
  const [, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Socket, Buffer]
  t.after(() => socket.destroy())
  return async text => {
    socket.write(text)
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(5000) })) as [Buffer]
    return chunk.toString()
  }
}

test('servers whose node is emptied, paused or killed come up on another one, their users told; another user’s WebSocket stays open', {
  skip: noLab,
}, async t => {
  const shared = await lab()
  const own = await ownSwarm(shared, 2)
  t.after(() => endSwarm(own))
  const [manager, worker] = own.nodes as [Node, Node]
  const profiles = `
    { name: 'anywhere', label: 'Anywhere', image, command, memory: '200M', memoryGuarantee: '100M' },
    { name: 'here', label: 'Here', image, command, placement: { constraints: ['node.hostname==${manager.name}'] } },
    { name: 'nowhere', label: 'Nowhere', image, command, placement: { constraints: ['node.labels.kind==none'] } },`
  const options = "onNodeLost: 'restart', moveAfter: '2s', nodeGrace: '5s', stopGrace: '1s'"
  const hub = await startHub(t, configOf(manager, shared.images.node, options, profiles))
  await hub.healthy()
  const available = (node: Node, how: string) => docker(manager, 'node', 'update', '--availability', how, node.name)
  const people = new Map<string, ReturnType<typeof visitor>>()
  for (const name of ['victim', 'other', 'root']) {
    people.set(name, visitor(hub.origin))
    await people.get(name)!.signIn(name, 'x')
  }
  const homeOf = async (name: string) => (await people.get(name)!.open('/hub/home')).text
  const until = async (what: string, name: string, pattern: RegExp, seconds: number) => {
    const end = performance.now() + seconds * 1000
    for (let text = ''; ; await sleep(250)) {
      text = await homeOf(name)
      if (pattern.test(text)) return text
      assert.ok(performance.now() < end, `${what}:\n${text.slice(text.indexOf('<article'))}\n${hub.output()}`)
    }
  }
  const runsOn = (node: Node) => new RegExp(`state running[\\s\\S]*<dd>${node.name}</dd>`)

  await available(manager, 'pause')
  const choice = await people.get('victim')!.open('/hub/spawn')
  assert.match(choice.text, /memory · node:24-bookworm-slim · (\d+|more than 99) free places</)
  assert.equal(choice.text.match(/no machine has room for it at the moment/g)?.length, 2, 'nowhere, and on the paused manager')
  await people.get('victim')!.submit('/hub/spawn', 'spawn', { profile: 'anywhere' })
  await until('a start on the node that is open', 'victim', runsOn(worker), 30)
  await available(manager, 'active')
  await people.get('other')!.submit('/hub/spawn', 'spawn', { profile: 'here' })
  await until('another one', 'other', runsOn(manager), 30)
  const echo = await socketTo(t, hub.origin, '/user/other/ws')
  assert.equal(await echo('one'), 'one')

  await t.test('emptied: the Swarm ends it, the hub starts it on another node', async () => {
    await available(worker, 'drain')
    await until('it runs on the other node', 'victim', runsOn(manager), 30)
    assert.match(hub.output(), /node-drained.*server is stopped/)
    assert.equal(await echo('two'), 'two')
    await available(worker, 'active')
  })

  await t.test('paused: who can be moved is told when, and moved; whose files are there alone is told so, and left', async () => {
    await available(manager, 'pause')
    await until('the notice of a move', 'victim', /class="notice">The machine \S+ is being taken out of service.* UTC/, 15)
    await until('the notice of one that stays', 'other', /class="notice">The machine .* on that machine alone/, 15)
    const nodes = await people.get('root')!.open('/hub/x/swarm/nodes')
    assert.match(nodes.text, /paused: it takes no new servers/)
    await until('it runs on the other node', 'victim', runsOn(worker), 30)
    assert.match(await homeOf('other'), runsOn(manager))
    await available(manager, 'active')
    await until('no notice any more', 'other', /^(?![\s\S]*class="notice")/, 15)
    assert.equal(await echo('three'), 'three')
  })

  await t.test('killed: it is lost within a minute, and starts on another node', async () => {
    await killNode(worker)
    await until('it runs on the other node', 'victim', runsOn(manager), 60)
    assert.match(hub.output(), /node-lost.*server is stopped/)
    assert.equal(await echo('four'), 'four')
    assert.match((await people.get('root')!.open('/hub/x/swarm/nodes')).text, /Down: it does not answer/)
  })
})

test('without the policy a lost server is offered again, and one with its files on the node says that they are there', {
  skip: noLab,
}, async t => {
  const shared = await lab()
  const own = await ownSwarm(shared, 2)
  t.after(() => endSwarm(own))
  const [manager, worker] = own.nodes as [Node, Node]
  const profiles = `
    { name: 'plain', label: 'Plain', image, command },
    { name: 'kept', label: 'Kept', image, command, mounts: [localVolume({ target: '/work' })] },`
  const hub = await startHub(t, configOf(manager, shared.images.node, "nodeGrace: '5s'", profiles))
  await hub.healthy()
  await docker(manager, 'node', 'update', '--availability', 'pause', manager.name)
  const people = ['plain', 'kept'].map(name => ({ name, someone: visitor(hub.origin) }))
  for (const { name, someone } of people) {
    await someone.signIn(name, 'x')
    await someone.submit('/hub/spawn', 'spawn', { profile: name })
  }
  const until = async (someone: ReturnType<typeof visitor>, pattern: RegExp, seconds: number) => {
    const end = performance.now() + seconds * 1000
    for (;;) {
      const { text } = await someone.open('/hub/home')
      if (pattern.test(text)) return
      assert.ok(performance.now() < end, `${pattern}\n${text.slice(text.indexOf('<article'))}\n${hub.output()}`)
      await sleep(250)
    }
  }
  for (const { someone } of people) await until(someone, /state running/, 30)
  await docker(manager, 'node', 'update', '--availability', 'active', manager.name)
  await killNode(worker)
  for (const { name, someone } of people) {
    await until(someone, /state failed/, 60)
    const page = await someone.open(`/hub/spawn-pending/${name}`)
    assert.match(page.text, new RegExp(`The machine on which the server ran, ${worker.name}, does not answer any more`))
    assert.match(page.text, name === 'plain' ? /start it again, and it runs on another one/ : /on that machine alone/)
  }
  const plain = people[0]!.someone
  await plain.submit('/hub/spawn', 'spawn', { profile: 'plain' })
  await until(plain, new RegExp(`state running[\\s\\S]*<dd>${manager.name}</dd>`), 30)
})
