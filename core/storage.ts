import { setTimeout as sleep } from 'node:timers/promises'
import type { Audit } from './audit.ts'
import { HubError } from './errors.ts'
import { call } from './hooks.ts'
import type { Users } from './identity/users.ts'
import type { Log, Mount, Plugin, Storage } from './plugin.ts'

/** Milliseconds that a page waits for sizes; what comes later is there when it is opened again. */
const patience = 2000
/** For how many times as long as a look took it is not done again: measuring reads every folder. At least these milliseconds. */
const rest = { times: 20, least: 10_000 }
/** Milliseconds for one look of one plugin, and for erasing one thing. */
const deadlines = { look: 600_000, erase: 120_000 }

/** What somebody keeps, and by which plugin. */
export interface Stored extends Storage {
  plugin: string
}

/** What users keep in the mounts of this hub. */
export interface Inventory {
  /** What is known within two seconds. `measuring`: more is coming. `silent`: the plugins that could not tell. */
  look(): Promise<{ stored: Stored[]; measuring: boolean; silent: string[] }>
  /**
   * Remove something for good. Goes into the audit trail, also when it fails. Rejects with `missing` when the plugin does not keep it, and with
   * `conflict` while a server has it.
   */
  erase(plugin: string, id: string): Promise<void>
}

interface Parts {
  mounts: readonly (Plugin & { mount: Mount })[]
  users: Users
  audit: Audit
  log: Log
  closing: AbortSignal
}

export function createInventory({ mounts, users, audit, log, closing }: Parts): Inventory {
  const shelves = mounts.filter(({ mount }) => mount.inventory).map(plugin => shelf(plugin, log, closing))

  const looked = () => Promise.race([Promise.all(shelves.map(shelf => shelf.look())), sleep(patience, undefined, { ref: false })])

  return {
    async look() {
      await looked()
      return {
        stored: shelves.flatMap(shelf => [...shelf.stored.values()]),
        measuring: shelves.some(shelf => shelf.busy),
        silent: shelves.flatMap(({ name, failed }) => (failed ? [name] : [])),
      }
    },

    async erase(plugin, id) {
      const found = shelves.find(({ name }) => name === plugin)
      if (!found?.erase) throw new HubError('missing', `${plugin} keeps nothing that could be erased.`)
      if (!found.stored.has(id)) await looked()
      const { owner, where } = found.stored.get(id) ?? {}
      const user = owner === undefined ? undefined : users.bySlug(owner)?.name
      const told = {
        action: 'storage.erase',
        target: user === undefined ? {} : { user },
        details: { plugin, id, where: where ?? null },
      } as const
      try {
        await found.erase(id)
        audit.record(told)
      } catch (error) {
        audit.record({ ...told, result: 'failed' })
        throw error
      }
    },
  }
}

/** What one plugin keeps. */
function shelf({ name, mount }: Plugin & { mount: Mount }, log: Log, closing: AbortSignal) {
  const stored = new Map<string, Stored>()
  const options = { log, signal: closing }
  let running: Promise<void> | undefined
  let again = 0
  let failed = false

  async function find(): Promise<void> {
    const begun = performance.now()
    try {
      const seen = new Set<string>()
      const collect = async (ctx: Parameters<NonNullable<Mount['inventory']>>[0]) => {
        for await (const one of mount.inventory!(ctx)) {
          seen.add(one.id)
          stored.set(one.id, { ...one, plugin: name })
        }
      }
      await call({ plugin: name, hook: 'mount.inventory' }, collect, { ...options, deadline: deadlines.look })
      for (const id of stored.keys()) if (!seen.has(id)) stored.delete(id)
      failed = false
      again = performance.now() + Math.max(rest.least, rest.times * (performance.now() - begun))
    } catch (error) {
      if (closing.aborted) return
      failed = true
      log.warn('the inventory of a mount is not whole', { plugin: name, error })
    }
  }

  return {
    name,
    stored,
    get busy() {
      return running !== undefined
    },
    get failed() {
      return failed
    },
    async look(): Promise<void> {
      if (performance.now() < again) return
      running ??= find().finally(() => (running = undefined))
      await running
    },
    erase:
      mount.erase &&
      (async (id: string) => {
        const who = { plugin: name, hook: 'mount.erase' }
        await call(who, ctx => mount.erase!({ id }, ctx), { ...options, deadline: deadlines.erase })
        stored.delete(id)
      }),
  }
}
