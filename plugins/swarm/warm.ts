import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, HubError, isHubError, labelKeys, messageOf, type Offer, slug } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { isOpen, mayRun } from './capacity.ts'
import type { Nodes } from './nodes.ts'
import { signIn } from './registries.ts'
import type { Settings } from './settings.ts'
import { isOver, type Task, task as taskShape } from './status.ts'

/** On the services that get images: which one. */
const warmLabel = 'org.swarmhub.warm'

/** Milliseconds after which an image is given up for the nodes that do not have it by then. */
const patience = 3_600_000

interface WarmParts {
  engine: Docker
  settings: Settings
  nodes: Nodes
  /** The hub's id and what it offers; known once the plugin is set up. */
  hub(): { id: string; offers(): Iterable<Offer> }
  /** The image by its digest. */
  pinned(image: string, ctx: Context): Promise<string>
}

/** How far an image is on one node. */
type Progress = 'waiting' | 'getting' | 'ready' | { failed: string }

/** One image and where it may run. */
interface Wanted {
  image: string
  constraints: readonly string[]
  platforms: readonly string[]
  profiles: Set<string>
}

/**
 * Gets images onto nodes before anybody waits for them: for each a service with one task on every node that may run it, whose command ends
 * at once. One image at a time, so that neither registry nor network is flooded; what is there already costs a second.
 */
export function createWarmer({ engine, settings, nodes, hub, pinned }: WarmParts) {
  /** By image as the config names it, and by node's hostname. */
  const seen = new Map<string, Map<string, Progress>>()
  let last: Promise<unknown> = Promise.resolve()

  /** Each image once for every set of conditions. */
  function wanted(profile: string | undefined): Wanted[] {
    const found = new Map<string, Wanted>()
    for (const { profile: name, image = settings.image, placement } of hub().offers()) {
      if (image === undefined || (profile !== undefined && name !== profile)) continue
      const constraints = [...settings.constraints, ...(placement?.constraints ?? [])]
      const platforms = placement?.platforms ?? []
      const key = JSON.stringify([image, constraints, platforms])
      const same = found.get(key) ?? { image, constraints, platforms, profiles: new Set() }
      found.set(key, same)
      same.profiles.add(name)
    }
    return [...found.values()]
  }

  const tasksOf = (service: string, signal: AbortSignal) =>
    engine.ask({ path: '/tasks', query: { filters: { service: [service] } } }, z.array(taskShape), signal)

  async function remove(service: string, signal: AbortSignal): Promise<void> {
    await engine.ask({ method: 'DELETE', path: `/services/${service}` }, z.unknown(), signal).catch(error => {
      if (!isHubError(error) || error.code !== 'missing') throw error
    })
  }

  /** What a hub that was killed has left. */
  async function sweep(signal: AbortSignal): Promise<void> {
    const query = { filters: { label: [`${labelKeys.hub}=${hub().id}`, warmLabel] } }
    for (const { ID } of await engine.ask({ path: '/services', query }, z.array(serviceShape), signal)) await remove(ID, signal)
  }

  async function get(one: Wanted, ctx: Context): Promise<void> {
    const { image, constraints, platforms } = one
    const { signal } = ctx
    const open = [...(await nodes.all(signal)).values()].filter(
      node => isOpen(node) && mayRun(node, { constraints, platforms }, []),
    )
    const progress = seen.get(image) ?? new Map<string, Progress>()
    seen.set(image, progress)
    if (open.length === 0) return
    const body = jobSpec(one, await pinned(image, ctx), { prefix: settings.prefix, hub: hub().id })
    const headers = signIn(settings.registries, image)
    const request = { method: 'POST', path: '/services/create', body, headers, deadline: 30_000 } as const
    const { ID } = await engine.ask(request, created, signal)
    try {
      const limit = performance.now() + patience
      for (;;) {
        const tasks = await tasksOf(ID, signal)
        for (const node of open) {
          const { Hostname } = node.Description
          const before = progress.get(Hostname)
          const now = progressOf(tasks.find(({ NodeID }) => NodeID === node.ID))
          progress.set(Hostname, now)
          if (now === 'getting' && before !== 'getting') ctx.progress(`Getting ${image} on ${Hostname}`)
        }
        const left = open.filter(({ Description }) =>
          ['waiting', 'getting'].includes(progress.get(Description.Hostname) as string),
        )
        if (left.length === 0) return
        if (performance.now() > limit) {
          for (const { Description } of left) progress.set(Description.Hostname, { failed: 'it takes too long' })
          return
        }
        await sleep(500, undefined, { signal })
      }
    } finally {
      // Also when the work was aborted: it must not go on alone.
      await remove(ID, AbortSignal.timeout(10_000))
      const failed = [...progress].filter(([, state]) => typeof state === 'object')
      if (failed.length > 0)
        ctx.log.warn('an image could not be got onto all nodes', { image, nodes: Object.fromEntries(failed) })
      else ctx.log.debug('an image is on its nodes', { image, nodes: [...progress.keys()] })
    }
  }

  /** One after the other, and one run at a time. An image that cannot be got does not keep others from being. */
  async function run(profile: string | undefined, ctx: Context): Promise<Wanted[]> {
    await last.catch(() => {})
    const work = async () => {
      const all = wanted(profile)
      if (profile !== undefined && all.length === 0)
        throw new HubError('missing', `There is no profile "${profile}" that names an image.`)
      await sweep(ctx.signal)
      for (const one of all) {
        await get(one, ctx).catch(error => {
          ctx.signal.throwIfAborted()
          ctx.log.warn('an image could not be got ahead', { image: one.image, error: messageOf(error) })
          seen.set(one.image, new Map([['the Swarm', { failed: messageOf(error) }]]))
        })
      }
      return all
    }
    const mine = work()
    last = mine
    return mine
  }

  return {
    run,

    /** By image, how far it is on each node, as far as this hub has got it there. */
    seen: seen as ReadonlyMap<string, ReadonlyMap<string, Progress>>,

    /** What `swarmhub swarm warm [profile]` prints. */
    async report(profile: string | undefined, ctx: Context): Promise<string> {
      const images = new Set((await run(profile, ctx)).map(({ image }) => image))
      const lines = [...images].map(image => {
        const nodes = [...(seen.get(image) ?? [])].map(([node, state]) => `${node}: ${wordFor(state)}`)
        return `${image}\n  ${nodes.length > 0 ? nodes.join('\n  ') : 'no node may run it at the moment'}`
      })
      return lines.join('\n')
    },
  }
}

export type Warmer = ReturnType<typeof createWarmer>

export const wordFor = (progress: Progress): string =>
  typeof progress === 'object' ? `failed: ${progress.failed}` : progress === 'getting' ? 'getting it' : progress

/** A container was made from it, so the image is there, also when there is no such command in it. */
function progressOf(task: Task | undefined): Progress {
  if (!task) return 'waiting'
  if (task.Status.ContainerStatus?.ContainerID) return 'ready'
  if (isOver(task)) return { failed: task.Status.Err ?? task.Status.State }
  return task.Status.State === 'preparing' ? 'getting' : 'waiting'
}

/**
 * One task on every node that there is and that may run it, tried once: a job of the Swarm's own kind would try again and again what cannot
 * be got. It mounts nothing, joins no network of the hub's and is told nothing.
 */
function jobSpec(wanted: Wanted, image: string, { prefix, hub }: { prefix: string; hub: string }): object {
  const { constraints, platforms } = wanted
  const Labels = { [labelKeys.hub]: hub, [warmLabel]: wanted.image }
  return {
    Name: slug(`${prefix}warm ${JSON.stringify([hub, image, constraints, platforms])}`, 63),
    Labels,
    Mode: { Global: {} },
    TaskTemplate: {
      ContainerSpec: {
        Image: image,
        Command: ['true'],
        Labels,
        User: '65534:65534',
        ReadOnly: true,
        Init: false,
        HealthCheck: { Test: ['NONE'] },
        CapabilityDrop: ['ALL'],
      },
      Resources: { Limits: { MemoryBytes: 64 * 2 ** 20, Pids: 16 } },
      RestartPolicy: { Condition: 'none' },
      Placement: {
        Constraints: constraints,
        Platforms: platforms.map(platform => ({ OS: platform.split('/')[0], Architecture: platform.split('/')[1] })),
      },
    },
    EndpointSpec: { Mode: 'dnsrr' },
  }
}

const created = z.object({ ID: z.string().min(1) })
const serviceShape = z.object({ ID: z.string() })
