import { type Hub, type Log, messageOf, type Plugin, parseOptions } from 'swarmhub'
import { docker } from '../docker/client.ts'
import { orphans } from './orphans.ts'
import { findPlace, manager, type Place } from './place.ts'
import { type SwarmOptions, settings as schema } from './settings.ts'
import { createSpawner } from './spawner.ts'

export type { SwarmOptions } from './settings.ts'

/** Each server is a service of a Docker Swarm, with one task. */
export function swarm(options: SwarmOptions = {}) {
  const settings = parseOptions('swarm', schema, options)
  const engine = docker(settings.docker)
  let own: Hub | undefined
  let found: Place | undefined
  /** Does not change while this process lives, but the engine may not be up yet. */
  const place = async (signal: AbortSignal) => {
    found ??= await findPlace(engine, signal)
    return found
  }
  const { spawner, sweep } = createSpawner({ engine, settings, hub: () => own?.id ?? '', place })

  return {
    name: 'swarm',
    spawner,
    jobs: { secrets: { every: 600_000, run: sweep } },
    commands: { orphans: orphans(() => own!, spawner) },
    health: async signal => void (await manager(engine, signal)),

    async setup(hub: Hub) {
      own = hub
      const { log } = hub
      await place(AbortSignal.timeout(10_000)).then(
        here => sayWay(log, here, settings.network),
        // It may come up later. Until then nothing can be started, and what runs runs on.
        error => log.warn('the Swarm cannot be asked', { error: messageOf(error) }),
      )
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
