import {
  type Context,
  type Hub,
  HubError,
  isHubError,
  labelKeys,
  messageOf,
  type Network as Role,
  type Spawn,
  type Stop,
  slug,
  type User,
} from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { findContainer, ownContainer, type Present } from '../docker/own-container.ts'
import { type Network, type Networks, subnetsOf, usable } from './networks.ts'
import type { Settings } from './settings.ts'
import { firstFree } from './subnet.ts'

/** On the networks of users and groups: whose it is. */
export const ownLabel = 'org.swarmhub.network'

/** A network role that takes its time. */
export interface Joining extends Role {
  join(spawn: Spawn, ctx: Context): Promise<string[]>
  leave?(stop: Stop, ctx: Context): Promise<void>
}

interface OwnParts {
  engine: Docker
  networks: Networks
  settings: Settings & { range: string; length: number }
  hub(): Pick<Hub, 'id' | 'log'>
}

/**
 * A network for each user or group, made with the first server in it and removed with the last. The hub's container, and those that `connect`
 * names, join every one. Only what carries the labels of this hub is ever touched.
 */
export function ownNetworks({ engine, networks, settings, hub }: OwnParts) {
  const { name, range, length, per, internal, connect, labels } = settings
  /** By whose network it is, the generations of servers that are to join it or have: some have no service yet. */
  const joined = new Map<string, Set<string>>()
  let last: Promise<unknown> = Promise.resolve()

  /** One after the other: a network is not removed while somebody is about to join it, and no subnet is given twice. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = last.then(work, work)
    last = mine.catch(() => {})
    return mine
  }

  const keysOf = ({ slug: user, groups }: User) =>
    per === 'group' && groups.length > 0 ? groups.map(group => `g-${slug(group)}`) : [`u-${user}`]

  const mine = (signal: AbortSignal) => networks.all(signal, `${labelKeys.hub}=${hub().id}`, ownLabel)

  async function ensure(key: string, signal: AbortSignal): Promise<string> {
    const full = `${name}-${key}`
    const present = await networks.find(full, signal)
    if (present && !isOwn(present, key))
      throw new HubError('conflict', `The network ${full} is not this hub’s. Remove it, or give overlay() another \`name\`.`)
    if (present) return usable(present, settings)
    const used = (await networks.all(signal)).flatMap(subnetsOf)
    const subnet = firstFree(range, length, used)
    if (subnet === undefined)
      throw new HubError('failed', `No network of length ${length} is left in ${range}. Give overlay() a larger \`subnet\`.`, {
        details: {
          code: 'network',
          message: 'There are no network addresses left for this server.',
          hint: 'Tell your administrator.',
        },
      })
    const made = await networks.make(full, subnet, { ...labels, [labelKeys.hub]: hub().id, [ownLabel]: key }, signal)
    if (!isOwn(made, key)) throw new HubError('conflict', `Somebody else has made the network ${full}.`)
    hub().log.info('network created', { name: full, subnet })
    return usable(made, settings)
  }

  const isOwn = ({ Labels }: Network, key: string) => Labels?.[labelKeys.hub] === hub().id && Labels[ownLabel] === key

  /** The containers that have to be on each network. */
  async function members(signal: AbortSignal): Promise<Present[]> {
    const own = await ownContainer(engine, signal)
    if (own?.Config.Labels?.['com.docker.swarm.task.id'] !== undefined) {
      const todo = 'Run it and the front as containers, join servers to networks that the stack file names, or leave `per` out.'
      throw new HubError(
        'config',
        `A hub that is a service of the Swarm cannot join the networks of users while it runs. ${todo}`,
      )
    }
    if (internal && !own)
      throw new HubError(
        'config',
        'On internal networks no server can be reached by a hub that is in no container of this engine.',
      )
    const named = await Promise.all(connect.map(name => findContainer(engine, name, signal)))
    const absent = connect.find((_, i) => !named[i])
    if (absent !== undefined)
      throw new HubError(
        'unavailable',
        `The container ${absent}, which is to join the networks of users, is on none of the engines.`,
      )
    return [...(own ? [own] : []), ...named.flatMap(found => found ?? [])]
  }

  async function join(ids: readonly string[], signal: AbortSignal): Promise<void> {
    for (const { engine, Id, NetworkSettings } of await members(signal)) {
      const present = new Set(Object.values(NetworkSettings.Networks ?? {}).map(({ NetworkID }) => NetworkID))
      for (const id of ids) {
        if (present.has(id)) continue
        const request = { method: 'POST', path: `/networks/${id}/connect`, body: { Container: Id } } as const
        await engine.ask(request, z.unknown(), signal).catch(error => {
          if (!/already exists in network/.test(messageOf(error))) throw error
        })
      }
    }
  }

  async function leave(id: string, signal: AbortSignal): Promise<void> {
    for (const { engine, Id, NetworkSettings } of await members(signal).catch(() => [])) {
      if (!Object.values(NetworkSettings.Networks ?? {}).some(({ NetworkID }) => NetworkID === id)) continue
      const request = { method: 'POST', path: `/networks/${id}/disconnect`, body: { Container: Id, Force: true } } as const
      await engine.ask(request, z.unknown(), signal).catch(error => {
        if (!isHubError(error) || error.code !== 'missing') throw error
      })
    }
  }

  /** The networks that servers are on or about to join, and those that nobody needs any more. */
  async function sorted(signal: AbortSignal): Promise<{ used: Network[]; idle: Network[] }> {
    const query = { filters: { label: [`${labelKeys.hub}=${hub().id}`] } }
    const [own, services] = await Promise.all([mine(signal), engine.ask({ path: '/services', query }, z.array(service), signal)])
    const targets = new Set(services.flatMap(({ Spec }) => Spec.TaskTemplate.Networks?.map(({ Target }) => Target) ?? []))
    const isUsed = ({ Id, Labels }: Network) => targets.has(Id) || joined.has(Labels?.[ownLabel] ?? '')
    return { used: own.filter(isUsed), idle: own.filter(network => !isUsed(network)) }
  }

  async function removeIdle(signal: AbortSignal): Promise<void> {
    for (const { Id, Name } of (await sorted(signal)).idle) {
      await leave(Id, signal)
      if (await networks.remove(Id, signal)) hub().log.info('network removed', { name: Name })
    }
  }

  const role: Joining = {
    join: ({ user, draft }, { signal }) =>
      inTurn(async () => {
        signal.throwIfAborted()
        const keys = keysOf(user)
        for (const key of keys) joined.set(key, (joined.get(key) ?? new Set()).add(draft.generation))
        const ids: string[] = []
        for (const key of keys) ids.push(await ensure(key, signal))
        await join(ids, signal)
        return ids
      }),

    leave: ({ generation }, { signal }) =>
      inTurn(async () => {
        for (const [key, generations] of joined) if (generations.delete(generation) && generations.size === 0) joined.delete(key)
        await removeIdle(signal)
      }),
  }

  return {
    role,
    mine,

    /** Set right what a crash, or a container that was made anew, has left. To be called now and then. */
    repair: ({ signal }: Context) =>
      inTurn(async () => {
        await removeIdle(signal)
        await join(
          (await sorted(signal)).used.map(({ Id }) => Id),
          signal,
        )
      }),

    /** Throws when the networks cannot be looked after. */
    async check(signal: AbortSignal): Promise<void> {
      await members(signal)
    },
  }
}

const service = z.object({
  Spec: z.object({ TaskTemplate: z.object({ Networks: z.array(z.object({ Target: z.string() })).nullish() }) }),
})
