import type { Cause } from 'swarmhub'
import { bytes } from './cause.ts'
import { isOver, type Node, type Task } from './status.ts'

/** What a server needs and a node has: cpus in billionths, bytes, and generic resources by their kind. */
type Amounts = ReadonlyMap<string, number>

/**
 * Why no node fits, in terms of what was asked for: the conditions that no node meets; else what they lack, and how much of it is free on the
 * one with the most. `tasks` are all of the Swarm's, other hubs' and other services' too. Nothing when it cannot be told.
 */
export function whyNoRoom(task: Task, nodes: readonly Node[], tasks: readonly Task[]): string | undefined {
  const open = nodes.filter(({ Status, Spec }) => Status.State === 'ready' && Spec.Availability === 'active')
  if (open.length === 0) return 'all machines are down or closed for new servers'
  const constraints = task.Spec.Placement?.Constraints ?? []
  const fitting = open.filter(node => constraints.every(constraint => meets(node, constraint)))
  if (fitting.length === 0) {
    const unmet = constraints.filter(constraint => !open.some(node => meets(node, constraint)))
    return `no machine that is up meets ${unmet.length > 0 ? list(unmet) : `all of ${list(constraints)} at once`}`
  }
  const needs = amountsOf(task.Spec.Resources?.Reservations)
  const free = fitting.map(node => freeOn(node, tasks))
  const lacking = [...needs].flatMap(([kind, amount]) => {
    const most = Math.max(...free.map(amounts => amounts.get(kind) ?? 0))
    return most < amount ? [`${spoken(kind, amount)}, and the most that is free on one machine is ${spoken(kind, most)}`] : []
  })
  if (lacking.length > 0) return `it needs ${lacking.join('; it needs ')}`
  return free.some(amounts => [...needs].every(([kind, amount]) => (amounts.get(kind) ?? 0) >= amount))
    ? undefined
    : `it needs ${[...needs].map(([kind, amount]) => spoken(kind, amount)).join(' and ')}, and no one machine has all of that free`
}

/** With what is known of the nodes, in the place of what the scheduler says in general. */
export function withReason(cause: Cause, reason: string | undefined): Cause {
  return reason === undefined ? cause : { ...cause, message: `No machine of the Swarm can run this server: ${reason}.` }
}

/** Does a node meet a condition? One that is not known here is taken for met. Source: swarmkit, `constraint.go`. */
function meets({ ID, Spec, Description }: Node, constraint: string): boolean {
  const [, key = '', operator, wanted = ''] = /^\s*([\w.\-/]+)\s*([!=]=)\s*(.*?)\s*$/.exec(constraint) ?? []
  const label = /^(node|engine)\.labels\.(.+)$/i.exec(key)
  const { Architecture, OS } = Description.Platform ?? {}
  const known: Record<string, string | undefined> = {
    'node.id': ID,
    'node.hostname': Description.Hostname,
    'node.role': Spec.Role,
    'node.platform.os': OS,
    'node.platform.arch': Architecture,
  }
  const labels = label?.[1] === 'node' ? Spec.Labels : Description.Engine?.Labels
  if (!label && known[key.toLowerCase()] === undefined) return true
  const has = label ? (labels?.[label[2]!] ?? '') : known[key.toLowerCase()]!
  return (has.toLowerCase() === wanted.toLowerCase()) === (operator === '==')
}

function freeOn(node: Node, tasks: readonly Task[]): Amounts {
  const free = new Map(amountsOf(node.Description.Resources))
  for (const task of tasks) {
    if (task.NodeID !== node.ID || isOver(task)) continue
    for (const [kind, amount] of amountsOf(task.Spec.Resources?.Reservations)) free.set(kind, (free.get(kind) ?? 0) - amount)
  }
  return free
}

function amountsOf(resources: Node['Description']['Resources']): Amounts {
  const amounts = new Map<string, number>()
  const add = (kind: string, amount: number | undefined) => amount && amounts.set(kind, (amounts.get(kind) ?? 0) + amount)
  add('cpus', resources?.NanoCPUs)
  add('memory', resources?.MemoryBytes)
  for (const { DiscreteResourceSpec, NamedResourceSpec } of resources?.GenericResources ?? []) {
    if (DiscreteResourceSpec) add(DiscreteResourceSpec.Kind, DiscreteResourceSpec.Value)
    // One of a kind that are told apart, such as GPUs by their ids.
    if (NamedResourceSpec) add(NamedResourceSpec.Kind, 1)
  }
  return amounts
}

function spoken(kind: string, amount: number): string {
  if (kind === 'cpus') return `${+(Math.max(0, amount) / 1e9).toFixed(2)} cpus`
  if (kind === 'memory') return `${bytes(Math.max(0, amount))} of memory`
  return `${Math.max(0, amount)} of ${kind}`
}

const list = (items: readonly string[]) => items.join(' and ')
