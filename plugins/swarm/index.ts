import { type Hub, type Log, messageOf, type Plugin, parseOptions } from 'swarmhub'
import { docker } from '../docker/client.ts'
import { createMover } from './move.ts'
import { createNodes } from './nodes.ts'
import { nodesPage } from './nodes-page.ts'
import { orphans } from './orphans.ts'
import { findPlace, manager, type Place } from './place.ts'
import { type SwarmOptions, settings as schema } from './settings.ts'
import { createSpawner } from './spawner.ts'
import { createWarmer } from './warm.ts'

export type { SwarmOptions } from './settings.ts'

/** Each server is a service of a Docker Swarm, with one task. */
export function swarm(options: SwarmOptions = {}) {
  const settings = parseOptions('swarm', schema, options)
  const engine = docker(settings.docker)
  let own: Hub | undefined
  let found: Place | undefined
  /** Does not change while this process lives, except that its container joins networks; the engine may not be up yet. */
  const place = async (signal: AbortSignal, joining: readonly string[] = []) => {
    const mayHaveJoined = found?.contained && joining.length > 0 && !joining.some(id => found?.networks.has(id))
    if (!found || mayHaveJoined) found = await findPlace(engine, signal)
    return found
  }
  const nodes = createNodes(engine, settings)
  const { spawner, sweep, list, image, keepingOf } = createSpawner({ engine, settings, hub: () => own?.id ?? '', place, nodes })
  const mover = createMover({ nodes, keepingOf, list })
  const warmer = createWarmer({ engine, settings, nodes, hub: () => own!, pinned: image.pinned })
  const warmEvery = settings.warm === true ? 6 * 3_600_000 : settings.warm

  return {
    name: 'swarm',
    spawner,
    hooks: mover.hooks,
    jobs: {
      secrets: { every: 600_000, run: sweep },
      paused: { every: 10_000, run: mover.look },
      ...(warmEvery !== false && {
        warm: {
          every: warmEvery,
          atStart: true,
          deadline: 86_400_000,
          run: async ctx => void (await warmer.run(undefined, ctx)),
        },
      }),
    },
    commands: {
      orphans: orphans(() => own!, spawner),
      warm: {
        summary: '[profile]: get its image, or those of all profiles, onto all nodes that may run it',
        run: ([profile], ctx) => warmer.report(profile, ctx),
      },
    },
    web: nodesPage({ engine, nodes, warmer, hub: () => own! }),
    links: [{ label: 'Nodes', page: 'nodes', scope: 'admin-ui' }],
    health: async signal => void (await manager(engine, signal)),

    async setup(hub: Hub) {
      own = hub
      const { log } = hub
      await place(AbortSignal.timeout(10_000)).then(
        here => sayWay(log, here, settings.network),
        // It may come up later. Until then nothing can be started, and what runs runs on.
        error => log.warn('the Swarm cannot be asked', { error: messageOf(error) }),
      )
      return mover.begin(hub)
    },
  } satisfies Plugin
}

/** Does a manager of a Swarm answer here, within two seconds? Takes the plugin's option `docker`. Never rejects. */
swarm.answers = async (options: Pick<SwarmOptions, 'docker'> = {}): Promise<boolean> => {
  const { docker: address } = parseOptions('swarm.answers', schema.pick({ docker: true }), options)
  return manager(docker(address), AbortSignal.timeout(2000)).then(
    () => true,
    () => false,
  )
}

function sayWay(log: Log, { networks, reach, contained }: Place, wanted: 'auto' | 'overlay' | 'host-port'): void {
  if (wanted !== 'host-port' && networks.size > 0) {
    log.info('servers are reached over the network that the hub shares with them', { hub: reach.host })
  } else if (wanted === 'overlay') {
    log.warn('the hub is on no network of the Swarm: no server can be started until its container is attached to one')
  } else {
    log.info('the hub is on no network of the Swarm: each server is published on a port of its node', { hub: reach.host })
    if (contained) log.warn('the hub runs in a container: servers find it only when it is attached to their network')
  }
}
