import { setTimeout as sleep } from 'node:timers/promises'
import { type Hub, HubError, isHubError, type Log, labelKeys, messageOf, type Plugin, parseOptions } from 'swarmhub'
import { z } from 'zod'
import { type Docker, docker, dockerAddress } from '../docker/client.ts'
import { clash, isSubnet } from './subnet.ts'

const schema = z.strictObject({
  /** A manager of the Swarm, as for swarm(). */
  docker: dockerAddress.optional(),
  name: z
    .string()
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/, 'expected letters, digits, "_", "." and "-"')
    .default('swarmhub'),
  /** IPv4 with its length: `10.96.0.0/16`. Left out: the first /16 from 10.96.0.0 on that no other network uses. */
  subnet: z.string().refine(isSubnet, 'expected an IPv4 network such as "10.96.0.0/16"').optional(),
  /** Encrypt what goes from node to node. Costs speed. */
  encrypted: z.boolean().default(false),
  labels: z.record(z.string(), z.string()).default({}),
})

export type OverlayOptions = z.input<typeof schema>

/** One network that spans the Swarm, which all notebooks and the hub are on. Found by its name, made when there is none, never removed. */
export function overlay(options: OverlayOptions = {}) {
  const { name, docker: address, ...wanted } = parseOptions('overlay', schema, options)
  const engine = docker(address)
  let hub: Pick<Hub, 'id' | 'log'> | undefined

  /** Its id. Made by whoever comes first: Swarm has only one network of a name, so that reading settles it. */
  async function ensure(signal: AbortSignal): Promise<string> {
    const present = await find(engine, name, signal)
    if (present) return usable(present)
    const subnet = wanted.subnet ?? (await freeSubnet(engine, signal))
    const body = {
      Name: name,
      Driver: 'overlay',
      Attachable: true,
      CheckDuplicate: true,
      IPAM: { Config: [{ Subnet: subnet }] },
      Options: wanted.encrypted ? { encrypted: '' } : {},
      Labels: { ...wanted.labels, ...(hub && { [labelKeys.hub]: hub.id }) },
    }
    try {
      await engine.ask({ method: 'POST', path: '/networks/create', body }, z.unknown(), signal)
      hub?.log.info('network created', { name, subnet })
    } catch (error) {
      signal.throwIfAborted()
      const made = await find(engine, name, signal)
      if (made) return usable(made)
      throw new HubError('unavailable', `The network ${name} could not be made: ${messageOf(error)}`, { cause: error })
    }
    const made = await find(engine, name, signal)
    if (!made) throw new HubError('unavailable', `The network ${name} was made, and is not there.`)
    return usable(made)
  }

  return {
    name: 'overlay',
    network: { join: async (_spawn, { signal }) => [await ensure(signal)] },
    health: async signal => void (await ensure(signal)),

    async setup({ id, log }: Hub) {
      hub = { id, log }
      await ensure(AbortSignal.timeout(10_000)).catch(error => laterUnlessWrong(error, log))
    },
  } satisfies Plugin
}

/** An engine that is not up yet may come up later; a network that cannot be used stays so. */
function laterUnlessWrong(error: unknown, log: Log): void {
  if (isHubError(error) && error.code === 'config') throw error
  log.warn('the network cannot be looked after yet', { error: messageOf(error) })
}

/** The network of this name, once Swarm has told what it is: at first it does not. */
async function find(engine: Docker, name: string, signal: AbortSignal): Promise<Network | undefined> {
  for (let tries = 0; tries < 100; tries++) {
    const found = await named(engine, name, signal)
    if (found?.Driver !== '') return found
    await sleep(50, undefined, { signal })
  }
  const why = 'Its subnet may be one that is in use: remove the network, and give overlay() another `subnet`.'
  throw new HubError('unavailable', `The Swarm has no addresses for the network ${name}. ${why}`)
}

/** Of the networks of this name the one of the Swarm, else any: a network of one engine alone may have the same name. */
async function named(engine: Docker, name: string, signal: AbortSignal): Promise<Network | undefined> {
  const found = await engine.ask({ path: '/networks', query: { filters: { name: [name] } } }, z.array(network), signal)
  const exact = found.filter(({ Name }) => Name === name)
  return exact.find(({ Scope }) => Scope === 'swarm') ?? exact[0]
}

function usable({ Id, Name, Driver, Scope, Attachable, Ingress }: Network): string {
  const wrong =
    Driver !== 'overlay' || Scope !== 'swarm'
      ? `is a ${Driver} network of one machine alone`
      : Ingress
        ? 'is the Swarm’s own ingress network'
        : !Attachable && 'is not attachable'
  if (!wrong) return Id
  throw new HubError('config', `The network ${Name} ${wrong}. Remove it, or give overlay() another \`name\`.`)
}

/** A /16 that no network of the Swarm or of this engine uses, and no node has its address in. */
async function freeSubnet(engine: Docker, signal: AbortSignal): Promise<string> {
  const [networks, nodes] = await Promise.all([
    engine.ask({ path: '/networks' }, z.array(network), signal),
    engine.ask({ path: '/nodes' }, z.array(node), signal),
  ])
  const used = [
    ...networks.flatMap(({ IPAM }) => IPAM.Config?.flatMap(({ Subnet }) => Subnet ?? []) ?? []),
    ...nodes.flatMap(({ Status }) => (Status.Addr ? [`${Status.Addr}/32`] : [])),
  ]
  for (let second = 96; second < 128; second++) {
    const subnet = `10.${second}.0.0/16`
    if (!used.some(other => clash(subnet, other))) return subnet
  }
  throw new HubError('failed', 'All networks from 10.96.0.0/16 to 10.127.0.0/16 are in use. Give overlay() a `subnet`.')
}

const network = z.object({
  Id: z.string(),
  Name: z.string(),
  Driver: z.string(),
  Scope: z.string(),
  Attachable: z.boolean().optional(),
  Ingress: z.boolean().optional(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() }),
})
type Network = z.output<typeof network>

const node = z.object({ Status: z.object({ Addr: z.string().optional() }) })
