import type { Plugin } from './plugin.ts'

/**
 * Networks and mounts as hooks, to stand before all other plugins: on the way up each puts what it contributes onto the
 * draft, where a throw refuses the start; on the way down each cleans up, fenced from the others.
 */
export function draft(networks: readonly Plugin[], mounts: readonly Plugin[]): Plugin[] {
  return [
    ...networks.map(({ name, network }): Plugin => {
      return {
        name,
        hooks: {
          'before:spawn': async (spawn, ctx) => void spawn.draft.networks.push(...(await network!.join(spawn, ctx))),
          'after:stop': (stop, ctx) => network!.leave?.(stop, ctx),
        },
      }
    }),
    ...mounts.map(({ name, mount }): Plugin => {
      return {
        name,
        hooks: {
          'before:spawn': async (spawn, ctx) => void spawn.draft.mounts.push(...(await mount!.attach(spawn, ctx))),
          'after:stop': (stop, ctx) => mount!.detach?.(stop, ctx),
        },
      }
    }),
  ]
}
