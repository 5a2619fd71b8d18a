import { setTimeout as sleep } from 'node:timers/promises'
import { HubError, messageOf } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import type { Settings } from './settings.ts'

/** What is read of a network. */
export const network = z.object({
  Id: z.string(),
  Name: z.string(),
  Driver: z.string(),
  Scope: z.string(),
  Attachable: z.boolean().optional(),
  Ingress: z.boolean().optional(),
  Internal: z.boolean().optional(),
  Labels: z.record(z.string(), z.string()).nullish(),
  Options: z.record(z.string(), z.string()).nullish(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() }),
})
export type Network = z.output<typeof network>

type Kind = Pick<Settings, 'encrypted' | 'internal' | 'attachable'>

export const subnetsOf = ({ IPAM }: Network) => IPAM.Config?.flatMap(({ Subnet }) => Subnet ?? []) ?? []

/** The networks of a Swarm, as this plugin makes them. */
export function networksOf(engine: Docker, kind: Kind) {
  /** The network of this name, once Swarm has told what it is: at first it does not. */
  async function find(name: string, signal: AbortSignal): Promise<Network | undefined> {
    for (let tries = 0; tries < 100; tries++) {
      const found = await named(name, signal)
      if (found?.Driver !== '') return found
      await sleep(50, undefined, { signal })
    }
    const why = 'Its subnet may be one that is in use: remove the network, and give overlay() another `subnet`.'
    throw new HubError('unavailable', `The Swarm has no addresses for the network ${name}. ${why}`)
  }

  /** Of the networks of this name the one of the Swarm, else any: a network of one engine alone may have the same name. */
  async function named(name: string, signal: AbortSignal): Promise<Network | undefined> {
    const query = { filters: { name: [name] } }
    const found = (await engine.ask({ path: '/networks', query }, z.array(network), signal)).filter(({ Name }) => Name === name)
    return found.find(({ Scope }) => Scope === 'swarm') ?? found[0]
  }

  return {
    find,

    /** Made by whoever comes first: Swarm has only one network of a name, so that reading settles it. */
    async make(name: string, subnet: string, labels: Record<string, string>, signal: AbortSignal): Promise<Network> {
      const body = {
        Name: name,
        Driver: 'overlay',
        Attachable: kind.attachable,
        Internal: kind.internal,
        CheckDuplicate: true,
        IPAM: { Config: [{ Subnet: subnet }] },
        Options: kind.encrypted ? { encrypted: '' } : {},
        Labels: labels,
      }
      try {
        await engine.ask({ method: 'POST', path: '/networks/create', body }, z.unknown(), signal)
      } catch (error) {
        signal.throwIfAborted()
        const made = await find(name, signal)
        if (made) return made
        throw new HubError('unavailable', `The network ${name} could not be made: ${messageOf(error)}`, { cause: error })
      }
      const made = await find(name, signal)
      if (!made) throw new HubError('unavailable', `The network ${name} was made, and is not there.`)
      return made
    },

    /** All that the Swarm and this engine have, or those with all of these labels. */
    async all(signal: AbortSignal, ...label: string[]): Promise<Network[]> {
      return engine.ask({ path: '/networks', query: { filters: { label } } }, z.array(network), signal)
    },

    /** Gone, or still in use: then false. */
    async remove(id: string, signal: AbortSignal): Promise<boolean> {
      for (let tries = 0; ; tries++) {
        try {
          await engine.ask({ method: 'DELETE', path: `/networks/${id}` }, z.unknown(), signal)
          return true
        } catch (error) {
          signal.throwIfAborted()
          // Engines answer 500 as well as 404 for one that is gone: reading tells.
          const query = { filters: { id: [id] } }
          const left = await engine.ask({ path: '/networks', query }, z.array(network), signal)
          if (left.length === 0) return true
          // What has just left it is in it for a moment still.
          if (!/in use|active endpoints|not found/.test(messageOf(error))) throw error
          if (tries === 5) return false
          await sleep(400, undefined, { signal })
        }
      }
    },
  }
}

export type Networks = ReturnType<typeof networksOf>

/** Its id, when it is what the config asks for. Throws `config` when it is not. */
export function usable({ Id, Name, Driver, Scope, ...found }: Network, kind: Kind): string {
  const wrong =
    Driver !== 'overlay' || Scope !== 'swarm'
      ? `is a ${Driver} network of one machine alone`
      : found.Ingress
        ? 'is the Swarm’s own ingress network'
        : kind.attachable && !found.Attachable
          ? 'is not attachable'
          : kind.encrypted && found.Options?.encrypted === undefined
            ? 'is not encrypted'
            : kind.internal && !found.Internal && 'is not internal'
  if (!wrong) return Id
  throw new HubError('config', `The network ${Name} ${wrong}. Remove it, or give overlay() another \`name\`.`)
}
