import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { HubError, type Reach } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { type Container, ownContainer } from '../docker/own-container.ts'
import type { Node } from './status.ts'

/** Where this hub runs, as seen from the Swarm. */
export interface Place {
  /** The ids of the Swarm's networks that this process is on: none unless it runs in a container. */
  networks: ReadonlySet<string>
  /** Does it run in a container of this engine? */
  contained: boolean
  /** Where servers find this hub. */
  reach: Reach
  /** How this hub reaches a node. */
  addressOf(node: Node): string
}

/** Finds out where this process runs. Rejects when the engine cannot be asked, or is no manager of a Swarm. */
export async function findPlace(docker: Docker, signal: AbortSignal): Promise<Place> {
  const { Name, Swarm } = await manager(docker, signal)
  const container = await ownContainer(docker, signal)
  const networks = container ? await swarmNetworks(docker, container, signal) : []
  const isOwnMachine = !container && Name === hostname()
  return {
    networks: new Set(networks),
    contained: container !== undefined,
    reach:
      container && networks.length > 0
        ? { listen: '0.0.0.0', host: nameOf(container) }
        : await outside(docker, Swarm.Nodes === 1, Swarm.NodeAddr, signal),
    addressOf(node) {
      // The address of a laptop changes with the network it is in; Swarm keeps the first.
      if (isOwnMachine && node.ID === Swarm.NodeID) return '127.0.0.1'
      const { Addr } = node.Status
      return Addr && Addr !== '0.0.0.0' ? Addr : (node.ManagerStatus?.Addr?.replace(/:\d+$/, '') ?? Swarm.NodeAddr)
    },
  }
}

/** What the engine says of itself. Rejects when it is no manager of a Swarm. */
export async function manager(docker: Docker, signal: AbortSignal, deadline?: number) {
  const info = await docker.ask({ path: '/info', ...(deadline !== undefined && { deadline }) }, infoShape, signal)
  if (info.Swarm.ControlAvailable && info.Swarm.LocalNodeState === 'active') return info
  const state = info.Swarm.LocalNodeState === 'inactive' ? 'is in no Swarm' : 'is no manager of its Swarm'
  const todo =
    info.Swarm.LocalNodeState === 'inactive' ? 'Run `docker swarm init` on it' : 'Name a manager in the option `docker`'
  throw new HubError('unavailable', `The Docker engine ${info.Name} ${state}. ${todo}. ${info.Swarm.Error ?? ''}`.trim())
}

/** Those of its networks that span the Swarm. */
async function swarmNetworks(docker: Docker, { NetworkSettings }: Container, signal: AbortSignal): Promise<string[]> {
  const own = new Set(Object.values(NetworkSettings.Networks ?? {}).map(({ NetworkID }) => NetworkID))
  const all = await docker.ask({ path: '/networks', query: { filters: { scope: ['swarm'] } } }, networksShape, signal)
  return all.flatMap(({ Id, Ingress }) => (own.has(Id) && !Ingress ? [Id] : []))
}

/** The name by which the Swarm's DNS knows the container: for a service's that of all its tasks, which has no virtual address. */
function nameOf({ Name, Config }: Container): string {
  const service = Config.Labels?.['com.docker.swarm.service.name']
  return service === undefined ? Name.replace(/^\//, '') : `tasks.${service}`
}

/**
 * How containers reach a process on the machine itself: on Docker's own bridge where that is on this machine and there are no others, so
 * that nobody else does. The bridge of overlay networks would do as well, but is made only with the first of them.
 */
async function outside(docker: Docker, single: boolean, nodeAddress: string, signal: AbortSignal): Promise<Reach> {
  if (single) {
    const networks = await docker.ask({ path: '/networks', query: { filters: { name: ['bridge'] } } }, networksShape, signal)
    const [config] = networks.find(({ Name }) => Name === 'bridge')?.IPAM.Config ?? []
    // Told only by newer engines, and when it was configured; else it is the first address.
    const gateway = config?.Gateway ?? config?.Subnet?.replace(/\.\d+\/\d+$/, '.1')
    if (gateway && (await isOwn(gateway))) return { listen: gateway, host: gateway }
  }
  const address = await sourceAddress(nodeAddress)
  return { listen: address, host: address }
}

/** Is this an address of this machine? The list of interfaces leaves out a bridge that nothing is attached to yet. */
async function isOwn(address: string): Promise<boolean> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  try {
    socket.bind(0, address)
    await once(socket, 'listening')
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}

/** The address from which this machine speaks to that one. Nothing is sent. */
async function sourceAddress(to: string): Promise<string> {
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4')
  try {
    socket.connect(9, to)
    await once(socket, 'connect')
    return socket.address().address
  } finally {
    socket.close()
  }
}

const infoShape = z.object({
  Name: z.string(),
  Swarm: z.object({
    NodeID: z.string(),
    NodeAddr: z.string(),
    LocalNodeState: z.string(),
    ControlAvailable: z.boolean(),
    Error: z.string().optional(),
    Nodes: z.number().optional(),
  }),
})

const networkShape = z.object({
  Id: z.string(),
  Name: z.string(),
  Ingress: z.boolean().optional(),
  IPAM: z.object({ Config: z.array(z.object({ Gateway: z.string().optional(), Subnet: z.string().optional() })).nullish() }),
})
const networksShape = z.array(networkShape)
