import type { Cause } from 'swarmhub'
import { amountsOf, isOpen, meets, roomOf } from './capacity.ts'
import { bytes } from './cause.ts'
import type { Node, Task } from './status.ts'

/**
 * Why no node fits, in terms of what was asked for: the conditions that no node meets; else what they lack, and how much of it is free on the
 * one with the most. `tasks` are all of the Swarm's, other hubs' and other services' too. Nothing when it cannot be told.
 */
export function whyNoRoom(task: Task, nodes: readonly Node[], tasks: readonly Task[]): string | undefined {
  const open = nodes.filter(isOpen)
  if (open.length === 0) return 'all machines are down or closed for new servers'
  const constraints = task.Spec.Placement?.Constraints ?? []
  const fitting = open.filter(node => constraints.every(constraint => meets(node, constraint)))
  if (fitting.length === 0) {
    const unmet = constraints.filter(constraint => !open.some(node => meets(node, constraint)))
    return `no machine that is up meets ${unmet.length > 0 ? list(unmet) : `all of ${list(constraints)} at once`}`
  }
  const needs = amountsOf(task.Spec.Resources?.Reservations)
  const free = roomOf(fitting, tasks).map(({ free }) => free)
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

function spoken(kind: string, amount: number): string {
  if (kind === 'cpu') return `${+(Math.max(0, amount) / 1e9).toFixed(2)} cpus`
  if (kind === 'memory') return `${bytes(Math.max(0, amount))} of memory`
  return `${Math.max(0, amount)} of ${kind.replace(/^generic /, '')}`
}

const list = (items: readonly string[]) => items.join(' and ')
