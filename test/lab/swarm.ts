import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { daemon, run } from './command.ts'
import { docker } from './docker.ts'
import { dataRoot, inheritImages, startEngine, stopEngine } from './engine.ts'
import { daemonGroup, endGroup } from './group.ts'
import { locked } from './lock.ts'
import { freeSubnet, type Site, site } from './site.ts'

/** One machine of the Swarm: a dockerd in a network namespace of its own. */
export interface Node {
  /** Its hostname: `node1`, `node2`, … */
  name: string
  /** Its id in the Swarm. */
  id: string
  /** The path of its docker.sock. */
  socket: string
  /** Reached from the test process, and by the other nodes. */
  address: string
  /** The name of its network namespace, for `nsenter --net=/run/netns/NAME`. */
  netns: string
  /** Its labels in the Swarm. */
  labels: Record<string, string>
}

/** A running Swarm; the first node is its manager. */
export interface Swarm {
  nodes: Node[]
  /** The address of the test process, as nodes and containers see it. */
  bridge: string
}

/** Starts a manager and workers, and waits until all are Ready. Nothing of an earlier Swarm is left in them, but images. */
export async function startSwarm(here: Site, count: number): Promise<Swarm> {
  const subnet = freeSubnet(here)
  const bridge = `${subnet}.1`
  // An address of its own: one that it takes from its ports changes whenever a node comes or goes, and neighbours keep the old one.
  await ip('link', 'add', here.bridge, 'address', `02:${here.name.slice(-6).replace(/..(?=.)/g, '$&:')}:00:01`, 'type', 'bridge')
  await ip('addr', 'add', `${bridge}/24`, 'dev', here.bridge)
  await ip('link', 'set', here.bridge, 'up')

  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  await Promise.all(numbers.map(number => reserve(here, number)))
  return form(here, subnet, numbers)
}

/** Stops all nodes, whoever started them, and removes what they were made of. Their logs are copied into the folder. */
export async function stopSwarm(here: Site, logs?: string): Promise<void> {
  const names = new Set([...(await leftovers('/run/netns', `${here.name}-`)), ...(await leftovers(here.cache, 'node'))])
  const nodes = [...names].filter(name => /^node\d+$/.test(name))
  await Promise.all(nodes.map(name => stopNode(here, name, logs)))
  await ip('link', 'del', here.bridge).catch(() => {})
}

/** Removes the image stores of nodes that do not run. */
export async function forgetNodes(here: Site): Promise<void> {
  for (const name of await leftovers(here.cache, 'node')) {
    if (/^node\d+$/.test(name)) await rm(dataRoot(here, name), { recursive: true, force: true })
  }
}

/** Is every node of this Swarm there and Ready? */
export async function swarmUp({ nodes }: Swarm): Promise<boolean> {
  const states = await Promise.race([nodeStates(nodes[0]!).catch(() => ''), sleep(5000, '', { ref: false })])
  return nodes.every(({ name }) => states.includes(`${name} Ready`))
}

/**
 * Starts a Swarm of its own beside the shared one, for a test that breaks nodes: on the shared ones other tests run at the same time.
 * It has the same images. `endSwarm` at the end.
 */
export async function ownSwarm(shared: Swarm, count: number): Promise<Swarm> {
  const here = await site()
  const numbers: number[] = []
  for (let number = shared.nodes.length + 1; numbers.length < count; number++) {
    if (number > 200) throw new Error('too many nodes')
    if (await reserve(here, number)) numbers.push(number)
  }
  for (const number of numbers) await rm(dataRoot(here, `node${number}`), { recursive: true, force: true })
  return form(here, shared.bridge.replace(/\.\d+$/, ''), numbers)
}

/** Ends what `ownSwarm` gave; its nodes may be dead or alive. */
export async function endSwarm({ nodes }: Swarm): Promise<void> {
  const here = await site()
  for (const { name } of nodes) {
    await stopNode(here, name)
    await rm(dataRoot(here, name), { recursive: true, force: true })
  }
}

/** Pulls a node's plug: engine, shims and containers are killed at once. */
export async function killNode(node: Node): Promise<void> {
  const here = await site()
  await ip('link', 'set', veth(here, node.name), 'down').catch(() => {})
  await endGroup(`${here.name}/${node.name}`)
}

/** Takes a node's cable out: it goes on running, and no one reaches it. */
export async function cutNode(node: Node): Promise<void> {
  await ip('link', 'set', veth(await site(), node.name), 'down')
}

/** Puts the cable back. */
export async function mendNode(node: Node): Promise<void> {
  await ip('link', 'set', veth(await site(), node.name), 'up')
}

/** Stops a node's engine as an update does, and with it its containers. Its place in the Swarm stays. */
export async function stopNodeEngine({ name }: Node): Promise<void> {
  await stopEngine(await site(), name)
}

/** Starts it again, with what it had. */
export async function startNodeEngine({ name, netns, address }: Node): Promise<void> {
  await startEngine(await site(), { name, netns, resolver: address, flags: flagsFor(address), keep: true })
}

const flagsFor = (address: string) => [
  ...['--dns', address, '--insecure-registry', `${address.replace(/\.\d+$/, '')}.0/24`, '--shutdown-timeout', '3'],
]

/** Makes a Swarm of nodes whose numbers are reserved. */
async function form(here: Site, subnet: string, numbers: number[]): Promise<Swarm> {
  const nodes = await Promise.all(numbers.map(number => startNode(here, subnet, number)))
  const [manager, ...workers] = nodes as [Node, ...Node[]]
  const pool = ['--default-addr-pool', '10.0.0.0/12', '--default-addr-pool-mask-length', '24']
  await docker(manager, 'swarm', 'init', '--advertise-addr', manager.address, '--listen-addr', `${manager.address}:2377`, ...pool)
  await Promise.all(workers.map(worker => enter(manager, worker)))
  await Promise.all(nodes.map(node => enrol(manager, node, node === manager ? 'manager' : 'worker')))
  return { nodes, bridge: `${subnet}.1` }
}

/** Making its namespace is what reserves a node's number: it fails when there is one already. */
async function reserve(here: Site, number: number): Promise<boolean> {
  return ip('netns', 'add', `${here.name}-node${number}`).then(
    () => true,
    () => false,
  )
}

async function startNode(here: Site, subnet: string, number: number): Promise<Node> {
  const name = `node${number}`
  const netns = `${here.name}-${name}`
  const address = `${subnet}.${10 + number}`
  const cable = veth(here, name)
  await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns)
  await ip('link', 'set', cable, 'master', here.bridge, 'up')
  await ip('-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  // No default route: what cannot be reached is refused at once.
  await ip('-n', netns, 'link', 'set', 'eth0', 'up')
  await ip('-n', netns, 'link', 'set', 'lo', 'up')
  await startResolver(here, name, netns, address)
  await locked(join(here.cache, 'builder.lock'), () => inheritImages(dataRoot(here, 'builder'), dataRoot(here, name)))
  const { socket } = await startEngine(here, { name, netns, resolver: address, flags: flagsFor(address) })
  return { name, id: '', socket, address, netns, labels: {} }
}

/** Without an answer every image look-up and every unknown name waits 10 to 20 s. This one refuses at once. */
async function startResolver(here: Site, name: string, netns: string, address: string): Promise<void> {
  const group = await daemonGroup(`${here.name}/${name}`)
  const options = ['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', '--pid-file=']
  const only = [`--listen-address=${address}`, '--bind-interfaces']
  const [shell, ...inNetns] = [
    'sh',
    '-c',
    'echo $$ > "$1"; shift; exec nsenter "$@"',
    'sh',
    group,
    `--net=/run/netns/${netns}`,
  ] as [string, ...string[]]
  await mkdir(here.run, { recursive: true })
  await daemon(join(here.run, `${name}-dns.log`), shell, [...inNetns, 'dnsmasq', ...options, ...only])
}

async function stopNode(here: Site, name: string, logs?: string): Promise<void> {
  const netns = `${here.name}-${name}`
  await endGroup(`${here.name}/${name}`)
  await ip('link', 'del', veth(here, name)).catch(() => {})
  if (existsSync(`/run/netns/${netns}`)) await ip('netns', 'del', netns)
  if (logs) {
    await mkdir(logs, { recursive: true })
    await copyFile(join(here.run, `${name}.log`), join(resolve(logs), `${name}.log`)).catch(() => {})
  }
  for (const part of ['', '.sock', '.log', '-dns.log'])
    await rm(join(here.run, `${name}${part}`), { recursive: true, force: true })
}

async function enter(manager: Node, worker: Node): Promise<void> {
  const token = await docker(manager, 'swarm', 'join-token', '-q', 'worker')
  const addresses = ['--advertise-addr', worker.address, '--listen-addr', `${worker.address}:2377`]
  await docker(worker, 'swarm', 'join', '--token', token, ...addresses, `${manager.address}:2377`)
}

/** Waits until the manager calls the node Ready, and labels it. */
async function enrol(manager: Node, node: Node, kind: string): Promise<void> {
  node.id = await docker(node, 'info', '-f', '{{.Swarm.NodeID}}')
  const deadline = performance.now() + 60_000
  while (!(await nodeStates(manager)).split('\n').includes(`${node.name} Ready ${node.id}`)) {
    if (performance.now() > deadline) throw new Error(`${node.name} does not get Ready`)
    await sleep(100)
  }
  node.labels = { kind }
  await docker(manager, 'node', 'update', '--label-add', `kind=${kind}`, node.id)
}

function nodeStates(manager: Node): Promise<string> {
  return docker(manager, 'node', 'ls', '--format', '{{.Hostname}} {{.Status}} {{.ID}}')
}

async function leftovers(folder: string, prefix: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[])
  return names.filter(name => name.startsWith(prefix)).map(name => name.replace(/^.*(?=node\d+$)/, ''))
}

function veth(here: Site, name: string): string {
  return `${here.bridge}${name.replace('node', 'n')}`
}

async function ip(...args: string[]): Promise<string> {
  return run('ip', args)
}
