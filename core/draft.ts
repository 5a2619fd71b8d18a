import type { Settings } from './config/schema.ts'
import { mountsIn, networksIn } from './config/shapes.ts'
import type { Plugin } from './plugin.ts'

/**
 * Networks and mounts as hooks, to stand before all other plugins: on the way up each puts what it contributes onto the
 * draft, where a throw refuses the start; on the way down each cleans up, fenced from the others. What stands in a profile, an
 * override or an option does so for the servers that it concerns.
 */
export function draft(settings: Pick<Settings, 'networks' | 'mounts' | 'profiles' | 'overrides'>): Plugin[] {
  return [
    ...networksIn(settings).map((plugin): Plugin => {
      const { name, network } = plugin
      return {
        name,
        hooks: {
          'before:spawn': async (spawn, ctx) => {
            if (!settings.networks.includes(plugin) && !spawn.profile.networks?.includes(plugin)) return
            spawn.draft.networks.push(...(await network.join(spawn, ctx)))
          },
          'after:stop': (stop, ctx) => network.leave?.(stop, ctx),
        },
      }
    }),
    ...mountsIn(settings).map((plugin): Plugin => {
      const { name, mount } = plugin
      return {
        name,
        hooks: {
          'before:spawn': async (spawn, ctx) => {
            if (!settings.mounts.includes(plugin) && !spawn.profile.mounts?.includes(plugin)) return
            spawn.draft.mounts.push(...(await mount.attach(spawn, ctx)))
          },
          'after:stop': (stop, ctx) => mount.detach?.(stop, ctx),
        },
      }
    }),
  ]
}
