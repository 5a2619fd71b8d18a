import { type Plugin, parseOptions, size } from 'swarmhub'
import { z } from 'zod'
import { as, nameOf, target } from '../mounts/options.ts'

const schema = z.strictObject({
  as,
  /** The path in the container. */
  target,
  /** The most it may hold. Left out: as much as the server has memory. */
  size: size().optional(),
  /** Who may do what in it, as `0o700`. */
  mode: z.int().min(0).max(0o1777).default(0o1777),
})

export type TmpfsOptions = z.input<typeof schema>

/** A folder in memory, empty at each start. */
export function tmpfs(options: TmpfsOptions) {
  const { as: own, ...mount } = parseOptions('tmpfs', schema, options)
  return {
    name: nameOf('tmpfs', mount.target, own),
    mount: { attach: () => [{ type: 'tmpfs' as const, ...mount }] },
  } satisfies Plugin
}
