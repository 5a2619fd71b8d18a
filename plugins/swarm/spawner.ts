import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Cause,
  type Context,
  type FileSpec,
  type Handle,
  HubError,
  isHubError,
  labelKeys,
  messageOf,
  type ServerSpec,
  type Spawner,
  type Status,
} from 'swarmhub'
import { z } from 'zod'
import { type Docker, isAnswer } from '../docker/client.ts'
import { logLines } from '../docker/lines.ts'
import { bytes, causeOfForce, causeOfNoAddress, missing } from './cause.ts'
import { images } from './image.ts'
import type { Nodes } from './nodes.ts'
import type { Place } from './place.ts'
import { signIn } from './registries.ts'
import { whyNoRoom, withReason } from './room.ts'
import { handleOf, handleShape, secretName, secretScript, serviceName, service as serviceShape, serviceSpec } from './service.ts'
import type { Settings } from './settings.ts'
import { isOver, isWaiting, type Node, newest, statusOf, type Task, task as taskShape } from './status.ts'
import { isPinned, type Keeping, noticeOf } from './storage.ts'
import { type Event, follow as watchAll } from './watch.ts'

export interface SpawnerParts {
  engine: Docker
  settings: Settings
  /** The hub's id; known once the plugin is set up. */
  hub(): string
  /** `joining`: ids of networks that a server is about to join; the hub may have joined one of them just now. */
  place(signal: AbortSignal, joining?: readonly string[]): Promise<Place>
  nodes: Nodes
}

/** The servers of one hub as services of a Swarm. `sweep` removes secrets whose server is gone; it is to be called now and then. */
export function createSpawner({ engine, settings, hub, place, nodes }: SpawnerParts) {
  const image = images(engine, settings.registries)
  /** By generation, where the files of a server are. */
  const keepings = new Map<string, Keeping>()
  /** Services for which no node fits, and since when; monotonic. */
  const waiting = new Map<string, number>()
  /** Secrets without a service, as of the last sweep. */
  let strays = new Set<string>()

  // -------------------------------------------------------------------------------------------------------------------
  // What the engine knows

  const serviceNamed = (name: string, signal: AbortSignal) =>
    engine.ask({ path: `/services/${name}` }, serviceShape, signal).catch(unlessMissing)

  const servicesOf = (query: Filters, signal: AbortSignal) =>
    engine.ask({ path: '/services', query }, z.array(serviceShape), signal)

  const tasksOf = (query: Filters, signal: AbortSignal) => engine.ask({ path: '/tasks', query }, z.array(taskShape), signal)

  /** Also those of other services: they take room and addresses, too. */
  const allTasks = (signal: AbortSignal) => tasksOf({ filters: {} }, signal)

  const secretsOf = (query: Filters, signal: AbortSignal) => engine.ask({ path: '/secrets', query }, z.array(secretShape), signal)

  const { all: allNodes } = nodes

  /** What these tasks and nodes say of a server. */
  async function judge(handle: Handle, tasks: Task[], known: ReadonlyMap<string, Node>, signal: AbortSignal): Promise<Status> {
    const { service, generation, network, port } = handleShape.parse(handle)
    const now = performance.now()
    if (!isWaiting(tasks)) waiting.delete(service)
    else if (!waiting.has(service)) waiting.set(service, now)
    const { addressOf } = await place(signal)
    const waited = now - (waiting.get(service) ?? now)
    const keeping = keepingOf(newest(tasks))
    keepings.set(generation, keeping)
    const { isLost } = nodes
    const way = { network, port, addressOf }
    const status = statusOf(tasks, known, way, { waited, patience: settings.noNodeGrace, isLost, keeping })
    const at = nodes.movesAt(newest(tasks)?.NodeID ?? '')
    return status.state === 'running' && status.node !== undefined && at
      ? { ...status, notice: noticeOf(status.node, keeping, at) }
      : status
  }

  function keepingOf(task: Task | undefined): Keeping {
    const { ContainerSpec, Placement } = task?.Spec ?? {}
    if (isPinned(ContainerSpec?.Mounts ?? [], Placement?.Constraints ?? [], settings.sharedFolders)) return 'pinned'
    return settings.onNodeLost === 'restart' ? 'moving' : 'shared'
  }

  /** All of this hub's servers, in three calls. */
  async function list(signal: AbortSignal) {
    const mine = labelled(labelKeys.hub, hub())
    // A job that gets an image is the hub's, too, and no server.
    const servers = { filters: { label: [...mine.filters.label, labelKeys.generation] } }
    const [services, tasks, nodes] = await Promise.all([servicesOf(servers, signal), tasksOf(mine, signal), allNodes(signal)])
    const byService = new Map<string, Task[]>(services.map(({ ID }) => [ID, []]))
    for (const task of tasks) byService.get(task.ServiceID)?.push(task)
    for (const id of waiting.keys()) if (!byService.has(id)) waiting.delete(id)
    const generations = new Set(services.map(({ Spec }) => Spec.Labels?.[labelKeys.generation]))
    for (const generation of keepings.keys()) if (!generations.has(generation)) keepings.delete(generation)
    return Promise.all(
      services.map(async service => {
        const handle = handleOf(service)
        const own = byService.get(service.ID) ?? []
        const status = await judge(handle, own, nodes, signal)
        const task = newest(own)
        return { handle, labels: service.Spec.Labels ?? {}, status, ...(task && { task }) }
      }),
    )
  }

  async function poll(handle: Handle, signal: AbortSignal): Promise<Status> {
    const { service } = handleShape.parse(handle)
    try {
      const [tasks, nodes] = await Promise.all([
        tasksOf({ filters: { service: [service] } }, signal).catch(error => unlessGone(error, service)),
        allNodes(signal),
      ])
      if (!tasks) return { state: 'gone', cause: missing }
      const status = await judge(handle, tasks, nodes, signal)
      if (status.state === 'gone') return { state: 'gone', cause: await explained(status.cause, service, tasks, nodes, signal) }
      if (status.state === 'starting' && status.step === 'pulling') return await sized(status, tasks, signal)
      const isNew = newest(tasks)?.Status.State === 'new'
      const cause = isNew && hasWaited(service) ? await noAddress(newest(tasks), signal) : undefined
      return cause ? { state: 'gone', cause } : status
    } catch (error) {
      signal.throwIfAborted()
      return { state: 'unknown', why: messageOf(error) }
    }
  }

  /** Nodes do not tell how far they are with an image: how large it is, is what can be told. */
  async function sized(status: Extract<Status, { state: 'starting' }>, tasks: Task[], signal: AbortSignal): Promise<Status> {
    const size = await image.size(newest(tasks)?.Spec.ContainerSpec.Image ?? '', signal)
    return size === undefined ? status : { ...status, message: `${status.message} (${bytes(size)} unpacked)` }
  }

  /** The cause, with what only another question tells. */
  async function explained(
    cause: Cause,
    service: string,
    tasks: Task[],
    nodes: ReadonlyMap<string, Node>,
    signal: AbortSignal,
  ): Promise<Cause> {
    const task = newest(tasks)
    if (!task) return cause
    const { ContainerSpec, Resources } = task.Spec
    if (/addresses may be exhausted|available IP/.test(cause.engine ?? '')) {
      const full = await noAddress(task, signal)
      return full ? { ...full, engine: cause.engine } : cause
    }
    if (cause.code === 'no-image') return image.whyNot(ContainerSpec.Image, cause, signal)
    if (cause.code === 'no-node') return withReason(cause, whyNoRoom(task, [...nodes.values()], await allTasks(signal)))
    const container = task.Status.ContainerStatus?.ContainerID
    if (!container) return cause
    const [log, force] = await Promise.all([
      lastLines(service, signal),
      cause.exitCode === 137 ? outOfMemory(container, signal) : undefined,
    ])
    const told = force === undefined ? cause : causeOfForce(cause, force, Resources?.Limits?.MemoryBytes)
    return log.length > 0 ? { ...told, log } : told
  }

  /** Did the kernel end this container for its memory? Undefined when it is on another node than this engine's. */
  const outOfMemory = (container: string, signal: AbortSignal) =>
    engine.ask({ path: `/containers/${container}/json` }, containerShape, signal).then(
      ({ State }) => State.OOMKilled,
      error => unlessMissing(error),
    )

  const hasWaited = (service: string) => performance.now() - (waiting.get(service) ?? Infinity) >= settings.noNodeGrace

  /** Is there a network of this task that has no address left? */
  async function noAddress(task: Task | undefined, signal: AbortSignal): Promise<Cause | undefined> {
    const all = await allTasks(signal)
    for (const { Target } of task?.Spec.Networks ?? []) {
      const { Name, IPAM } = await engine.ask({ path: `/networks/${Target}` }, poolShape, signal)
      const subnets = (IPAM.Config ?? []).flatMap(({ Subnet }) => (Subnet?.includes('.') ? [Subnet] : []))
      const size = subnets.reduce((sum, subnet) => sum + 2 ** (32 - Number(subnet.split('/')[1])) - 2, 0)
      const on = all.filter(other => !isOver(other) && other.NetworksAttachments?.some(({ Network }) => Network.ID === Target))
      // The gateway's address, one for each node that has servers on it, and a second one on its way.
      const taken = 1 + on.length + new Set(on.map(({ NodeID }) => NodeID)).size
      if (size > 0 && taken >= size - 1) return causeOfNoAddress(Name, subnets, size)
    }
    return undefined
  }

  /** The last lines of a log, as far as they come within three seconds: a cause is told without them, too. */
  async function lastLines(service: string, signal: AbortSignal): Promise<string[]> {
    const lines: string[] = []
    const limited = AbortSignal.any([signal, AbortSignal.timeout(3000)])
    try {
      const query = { stdout: true, stderr: true, tail: 50 }
      for await (const line of logLines(await engine.open({ path: `/services/${service}/logs`, query }, limited)))
        lines.push(line)
    } catch {
      signal.throwIfAborted()
    }
    return lines.slice(-50)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Up

  async function start(spec: ServerSpec, ctx: Context): Promise<Handle> {
    const { signal } = ctx
    const name = serviceName(settings.prefix, spec)
    const present = await serviceNamed(name, signal)
    if (present) {
      const { Labels } = present.Spec
      if (!isSameServer(Labels, spec)) throw taken(name)
      if (Labels?.[labelKeys.generation] === spec.generation) return handleOf(present)
      // Never two live servers for one (user, name).
      await stop(handleOf(present), ctx)
    }
    try {
      return await create(spec, ctx)
    } catch (error) {
      return settle(name, spec, error)
    }
  }

  /** Finds out what the service needs to know, and makes it. */
  async function create(spec: ServerSpec, ctx: Context): Promise<Handle> {
    const { signal } = ctx
    const named = spec.image ?? settings.image
    if (named === undefined) throw new HubError('failed', 'No image is named for this server. Set `image` in its profile.')
    const [pinned, networks] = await Promise.all([image.pinned(named, ctx), networkIds(spec.networks, signal)])
    const { networks: own } = await place(signal, networks)
    const shared = settings.network === 'host-port' ? undefined : networks.find(id => own.has(id))
    if (settings.network === 'overlay' && shared === undefined) {
      const says = 'The hub is on none of the networks of this server. Attach the hub’s container to one of them.'
      throw failed({ code: 'network', message: says })
    }
    const [configs, secretFiles] = await Promise.all([
      filesOf('configs', spec.configs, signal),
      filesOf('secrets', spec.secretFiles, signal),
    ])
    const isSecret = settings.secrets === 'file' && Object.keys(spec.secrets).length > 0
    const run = await image.run(pinned, { command: spec.command, secret: isSecret }, ctx)
    const body = serviceSpec(spec, settings, {
      image: pinned,
      run,
      networks: shared === undefined ? networks : [shared, ...networks.filter(id => id !== shared)],
      publish: shared === undefined,
      configs,
      secretFiles,
      secret: isSecret ? await makeSecret(spec, signal) : undefined,
    })
    // The nodes pull with these, for as long as the service lives.
    const headers = signIn(settings.registries, pinned)
    const { ID } = await engine.ask(
      { method: 'POST', path: '/services/create', body, headers, deadline: 30_000 },
      created,
      signal,
    )
    return handleOf(serviceShape.parse({ ID, Spec: body }))
  }

  /** One secret for each generation; the one that is there already has the same content. */
  async function makeSecret(spec: ServerSpec, signal: AbortSignal): Promise<{ id: string; name: string }> {
    const name = secretName(settings.prefix, spec.generation)
    const body = { Name: name, Labels: spec.labels, Data: Buffer.from(secretScript(spec.secrets)).toString('base64') }
    try {
      const { ID } = await engine.ask({ method: 'POST', path: '/secrets/create', body }, created, signal)
      return { id: ID, name }
    } catch (error) {
      if (!isHubError(error) || error.code !== 'conflict') throw error
      const [present] = await secretsOf(labelled(labelKeys.generation, spec.generation), signal)
      if (!present || !isSameServer(present.Spec.Labels, spec)) throw taken(name)
      return { id: present.ID, name }
    }
  }

  /** A creation that failed, or whose outcome is not known: reading tells. What was left half made is removed. */
  async function settle(name: string, spec: ServerSpec, error: unknown): Promise<Handle> {
    const signal = AbortSignal.timeout(5000)
    const present = await serviceNamed(name, signal)
    if (present?.Spec.Labels?.[labelKeys.generation] === spec.generation) return handleOf(present)
    await removeSecrets(spec.generation, signal)
    if (present) throw isSameServer(present.Spec.Labels, spec) ? busy(name) : taken(name)
    throw refusal(error)
  }

  /** The configs or secrets that the profile names, with their ids. */
  async function filesOf(kind: 'configs' | 'secrets', wanted: readonly FileSpec[], signal: AbortSignal) {
    if (wanted.length === 0) return []
    const query = { filters: { name: wanted.map(({ name }) => name) } }
    const known = await engine.ask({ path: `/${kind}`, query }, z.array(secretShape), signal)
    return wanted.map(file => {
      // The engine's filter takes the beginning of a name for the name.
      const found = known.find(({ Spec }) => Spec.Name === file.name)
      if (found) return { ...file, id: found.ID }
      const message = `The Swarm has no ${kind.slice(0, -1)} ${file.name}, which this profile needs.`
      throw failed({ code: 'refused', message, hint: 'Tell your administrator.' })
    })
  }

  /** Networks by name or id, as ids: those of the Swarm, and none of the host's own (`host`, `bridge`) or that of published ports. */
  async function networkIds(wanted: readonly string[], signal: AbortSignal): Promise<string[]> {
    if (wanted.length === 0) return []
    const query = { filters: { scope: ['swarm'] } }
    const known = await engine.ask({ path: '/networks', query }, z.array(networkShape), signal)
    return wanted.map(name => {
      const found = known.find(({ Id, Name, Ingress }) => !Ingress && (Id === name || Name === name))
      if (found) return found.Id
      throw failed({ code: 'network', message: `The Swarm has no network ${name}.`, hint: 'Tell your administrator.' })
    })
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Down

  async function stop(handle: Handle, { signal, log }: Context): Promise<void> {
    const { service, generation, name } = handleShape.parse(handle)
    await remove(`/services/${service}`, signal)
    waiting.delete(service)
    const limit = performance.now() + settings.stopGrace + 20_000
    for (;;) {
      const tasks = await tasksOf(labelled(labelKeys.generation, generation), signal)
      const left = tasks.filter(task => !isOver(task))
      if (left.length === 0) break
      const nodes = await allNodes(signal)
      const isDead = ({ NodeID }: Task) => NodeID !== undefined && nodes.get(NodeID)?.Status.State !== 'ready'
      if (left.every(isDead)) {
        log.warn('a server is on a node that does not answer; Swarm ends it there when the node is back', { service: name })
        break
      }
      if (performance.now() > limit) throw new HubError('timeout', `The server ${name} is still being ended by the Swarm.`)
      await sleep(200, undefined, { signal })
    }
    await removeSecrets(generation, signal)
  }

  async function removeSecrets(generation: string, signal: AbortSignal): Promise<void> {
    for (const { ID } of await secretsOf(labelled(labelKeys.generation, generation), signal))
      await remove(`/secrets/${ID}`, signal)
  }

  const remove = (path: string, signal: AbortSignal) =>
    engine.ask({ method: 'DELETE', path }, z.unknown(), signal).catch(unlessMissing)

  /** A start that was cut short may leave a secret. One that has no service at two sweeps is removed. */
  async function sweep({ signal, log }: Context): Promise<void> {
    const mine = labelled(labelKeys.hub, hub())
    const secrets = await secretsOf(mine, signal)
    const live = new Set((await servicesOf(mine, signal)).map(({ Spec }) => Spec.Labels?.[labelKeys.generation]))
    const stray = secrets.filter(({ Spec }) => !live.has(Spec.Labels?.[labelKeys.generation]))
    for (const { ID, Spec } of stray.filter(({ ID }) => strays.has(ID))) {
      log.info('removing a secret without a server', { name: Spec.Name })
      await remove(`/secrets/${ID}`, signal)
    }
    strays = new Set(stray.map(({ ID }) => ID))
  }

  /** Other people's services and containers change nothing here; the state of any node may. */
  function concerns({ Type, Actor: { Attributes } }: Event): boolean {
    if (Type === 'container') return Attributes[labelKeys.hub] === hub()
    return Type !== 'service' || Boolean(Attributes.name?.startsWith(settings.prefix))
  }

  const spawner = {
    start,
    stop,
    poll: (handle, { signal }) => poll(handle, signal),
    list: async ({ signal }) => (await list(signal)).map(({ handle, labels, status }) => ({ handle, labels, status })),
    watch: (changed, ctx) => watchAll(engine, { look: list, every: settings.refresh, concerns, changed }, ctx),
    async *logs(handle, { signal }, { follow = true } = {}) {
      const { service } = handleShape.parse(handle)
      const query = { stdout: true, stderr: true, tail: 1000, follow }
      try {
        yield* logLines(await engine.open({ path: `/services/${service}/logs`, query }, signal))
      } catch (error) {
        if (!signal.aborted) unlessMissing(error)
      }
    },
    capacity: nodes.capacity,
    reach: async ({ signal }) => (await place(signal)).reach,
  } satisfies Spawner

  return { spawner, sweep, list, image, keepingOf: (generation: string) => keepings.get(generation) }
}

/** What the engine is to look for. */
type Filters = { filters: Record<string, string[]> }
type Labelled = { filters: { label: string[] } }

const labelled = (label: string, value: string): Labelled => ({ filters: { label: [`${label}=${value}`] } })

/** What is not there need not be removed, and only a 404 says so. */
function unlessMissing(error: unknown): undefined {
  if (isHubError(error) && error.code === 'missing') return undefined
  throw error
}

/** A 404 that names the service; one of something in between, such as a proxy before the socket, says nothing of it. */
function unlessGone(error: unknown, service: string): undefined {
  if (messageOf(error).includes(service)) return unlessMissing(error)
  throw error
}

type Labels = Record<string, string> | null | undefined

const isSameServer = (labels: Labels, spec: ServerSpec) =>
  [labelKeys.hub, labelKeys.userId, labelKeys.server].every(key => labels?.[key] === spec.labels[key])

const failed = (cause: Cause) => new HubError('failed', cause.message, { details: cause })

const busy = (name: string) => new HubError('conflict', `The server ${name} is being started already.`)

const taken = (name: string) =>
  new HubError(
    'conflict',
    `The Swarm has a service or secret named ${name} already, and it is not this server’s. Remove it, or give swarm() another \`prefix\`.`,
  )

/** Why a service was not made, when the engine has said so and reading has shown that it is not there. Everything else as it is. */
function refusal(error: unknown): unknown {
  if (!isHubError(error) || !isAnswer(error)) return error
  const engine = messageOf(error)
  const hint = 'Tell your administrator.'
  return failed(
    /network/i.test(engine)
      ? { code: 'network', message: 'The server could not be connected to its network.', hint, engine }
      : { code: 'refused', message: 'The Swarm does not take this server.', hint, engine },
  )
}

const created = z.object({ ID: z.string().min(1) })

const secretShape = z.object({
  ID: z.string(),
  Spec: z.object({ Name: z.string(), Labels: z.record(z.string(), z.string()).nullish() }),
})

const containerShape = z.object({ State: z.object({ OOMKilled: z.boolean() }) })

const poolShape = z.object({
  Name: z.string(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() }),
})

const networkShape = z.object({ Id: z.string(), Name: z.string(), Ingress: z.boolean().optional() })
