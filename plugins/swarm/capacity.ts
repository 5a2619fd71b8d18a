import type { Placement, Profile } from 'swarmhub'
import { isOver, type Node, type Task } from './status.ts'

/** By kind: `cpu` in billionths of one, `memory` in bytes, and `generic <kind>`. */
export type Amounts = ReadonlyMap<string, number>

/** A node that can take servers or not, what it has, and what of it is not reserved. */
export interface Room {
  node: Node
  total: Amounts
  free: Amounts
}

/** What the nodes have, and what the reservations of their tasks leave of it, whosever these are: as the Swarm itself counts. */
export function roomOf(nodes: Iterable<Node>, tasks: readonly Task[]): Room[] {
  const used = new Map<string, Map<string, number>>()
  for (const task of tasks) {
    if (task.NodeID === undefined || isOver(task)) continue
    const onNode = used.get(task.NodeID) ?? new Map<string, number>()
    used.set(task.NodeID, onNode)
    for (const [kind, amount] of amountsOf(task.Spec.Resources?.Reservations)) onNode.set(kind, (onNode.get(kind) ?? 0) + amount)
  }
  return [...nodes].map(node => {
    const total = amountsOf(node.Description.Resources)
    const free = new Map([...total].map(([kind, amount]) => [kind, amount - (used.get(node.ID)?.get(kind) ?? 0)]))
    return { node, total, free }
  })
}

/** How many more servers of this profile find a place; undefined where one does and nothing is reserved for it, so that there is no limit. */
export function placesFor(profile: Profile, rooms: readonly Room[], constraints: readonly string[]): number | undefined {
  const { placement, cpuGuarantee = 0, memoryGuarantee = 0, resources = {} } = profile
  const open = rooms.filter(({ node }) => isOpen(node) && mayRun(node, placement, constraints))
  const needs = new Map([
    ['cpu', cpuGuarantee * 1e9],
    ['memory', memoryGuarantee],
    ...Object.entries(resources).map(([kind, amount]) => [`generic ${kind}`, amount] as const),
  ])
  return placesIn(open, needs)
}

/** Would a task like this one find a place on another node than its own? */
export function hasPlaceElsewhere({ NodeID, Spec }: Task, rooms: readonly Room[]): boolean {
  const constraints = Spec.Placement?.Constraints ?? []
  const open = rooms.filter(({ node }) => node.ID !== NodeID && isOpen(node) && mayRun(node, undefined, constraints))
  return placesIn(open, amountsOf(Spec.Resources?.Reservations)) !== 0
}

function placesIn(open: readonly Room[], needs: Amounts): number | undefined {
  const wanted = [...needs].filter(([, amount]) => amount > 0)
  if (wanted.length === 0) return open.length > 0 ? undefined : 0
  const onNode = ({ free }: Room) => Math.min(...wanted.map(([kind, amount]) => Math.floor((free.get(kind) ?? 0) / amount)))
  return open.reduce((sum, room) => sum + Math.max(0, onNode(room)), 0)
}

/** Does it take new tasks? */
export const isOpen = ({ Spec, Status }: Node) => Spec.Availability === 'active' && Status.State === 'ready'

/** May these tasks run on this node, as the Swarm's scheduler would say? A constraint that is not known here counts as met. */
export function mayRun(node: Node, placement: Placement | undefined, constraints: readonly string[]): boolean {
  const { platforms = [] } = placement ?? {}
  return (
    [...constraints, ...(placement?.constraints ?? [])].every(constraint => meets(node, constraint)) &&
    (platforms.length === 0 || platforms.some(platform => isPlatform(node, platform)))
  )
}

/** Does a node meet a condition? One that is not known here counts as met. Source: swarmkit, `constraint.go`. */
export function meets(node: Node, constraint: string): boolean {
  const [, key = '', sign, value = ''] = /^(\S+?)\s*([!=]=)\s*(.*)$/.exec(constraint.trim()) ?? []
  const has = factOf(node, key)
  return has === undefined || (has.toLowerCase() === value.toLowerCase()) === (sign === '==')
}

/** '' for a label that the node has not; undefined for what is not known here. */
function factOf({ ID, Spec, Description }: Node, key: string): string | undefined {
  const { Hostname, Platform, Engine } = Description
  if (key.startsWith('node.labels.')) return Spec.Labels?.[key.slice('node.labels.'.length)] ?? ''
  if (key.startsWith('engine.labels.')) return Engine?.Labels?.[key.slice('engine.labels.'.length)] ?? ''
  if (key === 'node.id') return ID
  if (key === 'node.hostname') return Hostname
  if (key === 'node.role') return Spec.Role
  if (key === 'node.platform.os') return Platform?.OS
  if (key === 'node.platform.arch') return Platform?.Architecture
  return undefined
}

/** The engine names architectures as the kernel does, images as Go does. */
function isPlatform({ Description: { Platform } }: Node, platform: string): boolean {
  const [os, architecture] = platform.split('/')
  const names: Record<string, string> = { x86_64: 'amd64', aarch64: 'arm64' }
  const has = Platform?.Architecture ?? ''
  return Platform?.OS === os && [has, names[has]].includes(architecture)
}

/** Amounts by their kind. */
export function amountsOf(given: Node['Description']['Resources']): Map<string, number> {
  const found = new Map<string, number>()
  const add = (kind: string, amount: number) => found.set(kind, (found.get(kind) ?? 0) + amount)
  if (given?.NanoCPUs) add('cpu', given.NanoCPUs)
  if (given?.MemoryBytes) add('memory', given.MemoryBytes)
  for (const { DiscreteResourceSpec: counted, NamedResourceSpec: named } of given?.GenericResources ?? []) {
    if (counted) add(`generic ${counted.Kind}`, counted.Value)
    if (named) add(`generic ${named.Kind}`, 1)
  }
  return found
}
