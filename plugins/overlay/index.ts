import { Hono } from 'hono'
import {
  type Hub,
  type HubEnv,
  HubError,
  isHubError,
  type Log,
  labelKeys,
  messageOf,
  type Plugin,
  parseOptions,
  silent,
} from 'swarmhub'
import { z } from 'zod'
import { docker } from '../docker/client.ts'
import { type Network, networksOf, subnetsOf, usable } from './networks.ts'
import { type Joining, ownNetworks } from './own-networks.ts'
import { type OverlayOptions, settings as schema } from './settings.ts'
import { clash, firstFree, sizeOf } from './subnet.ts'
import { addressesOf, checkSupply, type Shown, type Usage, usagePage, watchSupply } from './usage.ts'

export type { OverlayOptions } from './settings.ts'

/**
 * Networks that span the Swarm: one that all notebooks and the hub are on, found by its name, made when there is none, never removed; or one
 * for each user or group, made and removed with their servers.
 */
export function overlay(options: OverlayOptions = {}) {
  const settings = parseOptions('overlay', schema, options)
  const { name, per } = settings
  const engine = docker(settings.docker)
  const networks = networksOf(engine, settings)
  let hub: Pick<Hub, 'id' | 'log'> = { id: '', log: silent }
  const range = settings.subnet ?? '10.112.0.0/12'
  const length = settings.length ?? (per === 'user' ? 27 : 24)
  const own = ownNetworks({ engine, networks, settings: { ...settings, range, length }, hub: () => hub })
  const watch = watchSupply(() => hub.log)

  /** The one network. */
  async function ensure(signal: AbortSignal): Promise<Network> {
    const present = await networks.find(name, signal)
    const subnet = present ? '' : (settings.subnet ?? (await freeSubnet(signal)))
    const labels = { ...settings.labels, ...(hub.id !== '' && { [labelKeys.hub]: hub.id }) }
    const found = present ?? (await networks.make(name, subnet, labels, signal))
    usable(found, settings)
    if (!present) hub.log.info('network created', { name, subnet })
    return found
  }

  /** A /16 that no network of the Swarm or of this engine uses, and no node has its address in. */
  async function freeSubnet(signal: AbortSignal): Promise<string> {
    const [all, nodes] = await Promise.all([networks.all(signal), engine.ask({ path: '/nodes' }, z.array(node), signal)])
    const used = [...all.flatMap(subnetsOf), ...nodes.flatMap(({ Status }) => (Status.Addr ? [`${Status.Addr}/32`] : []))]
    const subnet = firstFree('10.96.0.0/11', 16, used)
    if (subnet !== undefined) return subnet
    throw new HubError('failed', 'All networks from 10.96.0.0/16 to 10.127.0.0/16 are in use. Give overlay() a `subnet`.')
  }

  const shared: Joining = { join: async (_spawn, { signal }) => [(await ensure(signal)).Id] }

  async function usage(signal: AbortSignal): Promise<Usage> {
    if (per === 'hub') {
      const found = await ensure(signal)
      return addressesOf(engine, found.Id, subnetsOf(found)[0] ?? '', signal)
    }
    const taken = (await networks.all(signal)).flatMap(subnetsOf).filter(subnet => clash(subnet, range))
    return { what: `networks in ${range}`, used: taken.length, total: sizeOf(range) / 2 ** (32 - length) }
  }

  async function shown(signal: AbortSignal): Promise<Shown> {
    const [used, all] = await Promise.all([usage(signal), per === 'hub' ? ensure(signal).then(one => [one]) : own.mine(signal)])
    const { encrypted, internal } = settings
    const kind = [per === 'hub' ? 'One for all servers' : `One for each ${per}`]
    if (encrypted) kind.push('encrypted between nodes')
    if (internal) kind.push('no way out')
    return {
      usage: used,
      kind: kind.join(', '),
      networks: all.map(one => ({ name: one.Name, subnet: subnetsOf(one).join(', ') })),
    }
  }

  const web = new Hono<HubEnv>().get('/networks', async c => {
    if (!c.get('caller').allows('admin-ui')) throw new HubError('denied', 'Only administrators see the networks.')
    const page = await shown(AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(10_000)]))
    return c.get('page')('Networks', usagePage(page))
  })

  return {
    // Several overlays are several plugins.
    name:
      name === 'swarmhub'
        ? 'overlay'
        : `overlay-${name
            .toLowerCase()
            .replace(/[^a-z0-9]+/g, '-')
            .replace(/-$/, '')}`,
    network: per === 'hub' ? shared : own.role,
    web,
    links: [{ label: name === 'swarmhub' ? 'Networks' : `Network ${name}`, page: 'networks', scope: 'admin-ui' }],
    jobs: {
      supply: { every: 60_000, atStart: true, run: async ({ signal }) => watch(await usage(signal)) },
      ...(per !== 'hub' && { repair: { every: 30_000, run: own.repair } }),
    },
    async health(signal) {
      if (per !== 'hub') await own.check(signal)
      checkSupply(await usage(signal))
    },

    async setup({ id, log }: Hub) {
      hub = { id, log }
      const signal = AbortSignal.timeout(10_000)
      await (per === 'hub' ? ensure(signal) : own.check(signal)).catch(error => laterUnlessWrong(error, log))
    },
  } satisfies Plugin
}

/** An engine that is not up yet may come up later; a network that cannot be used stays so. */
function laterUnlessWrong(error: unknown, log: Log): void {
  if (isHubError(error) && error.code === 'config') throw error
  log.warn('the network cannot be looked after yet', { error: messageOf(error) })
}

const node = z.object({ Status: z.object({ Addr: z.string().optional() }) })
