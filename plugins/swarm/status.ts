import type { Cause, Status } from 'swarmhub'
import { z } from 'zod'
import { causeOfFailure, causeOfWaiting, lost } from './cause.ts'
import { drained, type Keeping, taskMount } from './storage.ts'

/** Amounts, of a node or reserved for a task. A generic resource is counted, or has names of which each is one. */
const resources = z
  .object({
    NanoCPUs: z.number().optional(),
    MemoryBytes: z.number().optional(),
    GenericResources: z
      .array(
        z.object({
          DiscreteResourceSpec: z.object({ Kind: z.string(), Value: z.number() }).nullish(),
          NamedResourceSpec: z.object({ Kind: z.string() }).nullish(),
        }),
      )
      .nullish(),
  })
  .nullish()
const words = z.record(z.string(), z.string()).nullish()

/** What is read of a task. */
export const task = z.object({
  ID: z.string(),
  ServiceID: z.string(),
  NodeID: z.string().optional(),
  CreatedAt: z.string(),
  DesiredState: z.string(),
  Status: z.object({
    State: z.string(),
    Message: z.string().optional(),
    Err: z.string().optional(),
    ContainerStatus: z.object({ ContainerID: z.string().optional(), ExitCode: z.number().optional() }).nullish(),
    PortStatus: z
      .object({ Ports: z.array(z.object({ TargetPort: z.number(), PublishedPort: z.number().optional() })).nullish() })
      .nullish(),
  }),
  Spec: z.object({
    ContainerSpec: z.object({ Image: z.string(), Mounts: z.array(taskMount).nullish() }),
    Resources: z.object({ Limits: resources, Reservations: resources }).nullish(),
    Placement: z.object({ Constraints: z.array(z.string()).nullish() }).nullish(),
    Networks: z.array(z.object({ Target: z.string() })).nullish(),
    RestartPolicy: z.object({ Condition: z.string().optional() }).nullish(),
  }),
  NetworksAttachments: z
    .array(z.object({ Network: z.object({ ID: z.string() }), Addresses: z.array(z.string()).nullish() }))
    .nullish(),
})

/** What is read of a node. */
export const node = z.object({
  ID: z.string(),
  Spec: z.object({ Availability: z.string(), Role: z.string().optional(), Labels: words }),
  Description: z.object({
    Hostname: z.string(),
    Platform: z.object({ Architecture: z.string().optional(), OS: z.string().optional() }).nullish(),
    Engine: z.object({ Labels: words }).nullish(),
    Resources: resources,
  }),
  Status: z.object({ State: z.string(), Addr: z.string().optional() }),
  ManagerStatus: z.object({ Addr: z.string().optional() }).nullish(),
})

export type Task = z.output<typeof task>
export type Node = z.output<typeof node>

/** What is known beside tasks and nodes. */
export interface Known {
  waited: number
  patience: number
  isLost?(node: Node): boolean
  keeping?: Keeping
}

/** How a server is reached. */
export interface Way {
  /** The id of the network that it shares with the hub; null when it is published on its node instead. */
  network: string | null
  /** The port it listens on. */
  port: number
  /** How the hub reaches a node. */
  addressOf(node: Node): string
}

/**
 * What a service's tasks say, together with the state of their nodes: neither alone is the truth. `waited` is for how many
 * milliseconds it has been known that no node fits, `patience` after how many that is final; `isLost`, whether its node has been down for so
 * long that it is taken for lost, whatever the Swarm still says of the task; `keeping`, where its files are.
 */
export function statusOf(
  tasks: readonly Task[],
  nodes: ReadonlyMap<string, Node>,
  way: Way,
  { waited, patience, isLost = () => false, keeping = 'shared' }: Known,
): Status {
  const task = newest(tasks)
  if (!task) return { state: 'starting', step: 'queued', message: 'Waiting for a place to run' }
  const { State: state, Err: words } = task.Status
  const at = task.NodeID === undefined ? undefined : nodes.get(task.NodeID)
  const name = at?.Description.Hostname
  const starting = (step: 'queued' | 'placed' | 'pulling' | 'starting', message: string): Status => {
    return { state: 'starting', step, message, ...(name !== undefined && { node: name }) }
  }

  if (isStartedAgain(task)) return starting('starting', `Failed on ${name}, starting again`)
  if (isOver(task)) return { state: 'gone', cause: causeOfEnd(task, at, keeping) }
  if (task.NodeID !== undefined && !at)
    return { state: 'gone', cause: lost(undefined, 'the node is no part of the Swarm any more', keeping) }
  if (at && at.Status.State !== 'ready') {
    // Swarm has given it up: should the node come back, its server is ended there.
    if (at.Status.State === 'down' && (task.DesiredState !== 'running' || isLost(at)))
      return { state: 'gone', cause: lost(name, words, keeping) }
    return { state: 'unknown', why: `The node ${name} does not answer.` }
  }
  switch (state) {
    case 'running': {
      const target = targetOf(task, at, way)
      if (target !== undefined) return { state: 'running', target, ...(name !== undefined && { node: name }) }
      if (task.DesiredState !== 'running') return { state: 'unknown', why: 'The Swarm is ending the server.' }
      return starting('starting', 'Waiting for an address')
    }
    case 'pending':
      if (words && waited >= patience)
        return { state: 'gone', cause: causeOfWaiting(words, task.Spec.Placement?.Constraints ?? []) }
      return starting('queued', words ? 'Waiting for a node with room' : 'Waiting for a place to run')
    case 'new':
      return starting('queued', waited >= patience ? 'Waiting for an address on its network' : 'Waiting for a place to run')
    case 'assigned':
    case 'accepted':
      return starting('placed', `Placed on ${name}`)
    case 'preparing':
      return starting('pulling', `Getting the image ready on ${name}`)
    case 'ready':
    case 'starting':
      return starting('starting', `Starting on ${name}`)
    default:
      return starting('queued', 'Waiting for a place to run')
  }
}

/** Does it wait because no node fits, or for an address? The latter takes no time while there are any. */
export function isWaiting(tasks: readonly Task[]): boolean {
  const { State, Err } = newest(tasks)?.Status ?? {}
  return State === 'new' || (State === 'pending' && Boolean(Err))
}

/** Is nothing of it left on its node? */
export function isOver(task: Task): boolean {
  return ['complete', 'shutdown', 'failed', 'rejected', 'orphaned'].includes(task.Status.State)
}

/** Has it failed, and will the Swarm put another in its place? Until it has, it still wants this one to run. */
const isStartedAgain = ({ Status, DesiredState, Spec }: Task) =>
  ['failed', 'rejected'].includes(Status.State) && DesiredState === 'running' && Spec.RestartPolicy?.Condition === 'on-failure'

/** The task that counts: one that Swarm wants to run, else the last there was. */
export function newest(tasks: readonly Task[]): Task | undefined {
  const wanted = tasks.filter(({ DesiredState }) => DesiredState === 'running' || DesiredState === 'ready')
  return (wanted.length > 0 ? wanted : [...tasks]).sort((a, b) => (a.CreatedAt < b.CreatedAt ? 1 : -1))[0]
}

function causeOfEnd(task: Task, at: Node | undefined, keeping: Keeping): Cause {
  const { State, Err, ContainerStatus } = task.Status
  const ran = Boolean(ContainerStatus?.ContainerID)
  if (State === 'orphaned' || (State === 'shutdown' && at?.Status.State !== 'ready'))
    return lost(at?.Description.Hostname, Err, keeping)
  if (State === 'complete') return { code: 'exited', message: 'The server was shut down from inside.', exitCode: 0 }
  if (State === 'shutdown') {
    if (at?.Spec.Availability === 'drain') return drained(at.Description.Hostname, Err, keeping)
    const message = 'The server was ended by the administrator of the Swarm.'
    return { code: 'killed', message, hint: 'Start it again.', ...(Err && { engine: Err }) }
  }
  return causeOfFailure(Err ?? '', {
    image: task.Spec.ContainerSpec.Image,
    memory: task.Spec.Resources?.Limits?.MemoryBytes,
    exitCode: ran ? ContainerStatus?.ExitCode : undefined,
  })
}

function targetOf(task: Task, at: Node | undefined, way: Way): string | undefined {
  if (way.network === null) {
    const port = task.Status.PortStatus?.Ports?.find(({ TargetPort }) => TargetPort === way.port)?.PublishedPort
    return at && port ? `http://${way.addressOf(at)}:${port}` : undefined
  }
  const address = task.NetworksAttachments?.find(({ Network }) => Network.ID === way.network)?.Addresses?.[0]
  return address && `http://${address.replace(/\/\d+$/, '')}:${way.port}`
}
