import { type Plugin, parseOptions } from 'swarmhub'
import { z } from 'zod'
import { as, forUser, isPath, nameOf, perUser, target } from '../mounts/options.ts'

const schema = z.strictObject({
  as,
  /** The folder on the node. It has to be below one of `limits.binds`, and has to be there. */
  source: perUser('the path of a folder'),
  /** The path in the container. */
  target,
  readOnly: z.boolean().default(false),
  /** What the node mounts below the folder while a server runs: `rslave` shows it there too, as homes by autofs need it. */
  propagation: z.enum(['rprivate', 'rslave']).default('rprivate'),
})

export type BindOptions = z.input<typeof schema>

const folder = { what: 'The folder of a mount', fits: isPath, expected: 'an absolute path without ".."' }

/** A folder of the node that the server runs on. */
export function bind(options: BindOptions) {
  const { as: own, source, ...mount } = parseOptions('bind', schema, options)
  return {
    name: nameOf('bind', mount.target, own),
    mount: { attach: ({ user }) => [{ type: 'bind', source: forUser(source, user, folder), ...mount }] },
  } satisfies Plugin
}
