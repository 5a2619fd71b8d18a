import {
  type Context,
  type Hub,
  HubError,
  labelKeys,
  messageOf,
  type Plugin,
  parseOptions,
  type StateFile,
  size,
  type User,
} from 'swarmhub'
import { z } from 'zod'

const schema = z.strictObject({
  /** The path in the container. */
  target: z
    .string()
    .startsWith('/')
    .refine(path => path !== '/' && !path.split('/').includes('..'), 'expected a path such as "/home/jovyan/work"'),
  /** What the volumes' names begin with; the user's slug follows. Two of these need two. */
  prefix: z
    .string()
    .regex(/^[a-z][a-z0-9_.-]{0,30}$/, 'expected at most 31 characters of a-z, 0-9, "_", "." and "-", starting with a letter')
    .default('swarmhub-'),
  /** The most it may hold. Docker refuses this where the node's disk has no quotas. */
  size: size().optional(),
  readOnly: z.boolean().default(false),
  /** Leave a new volume empty, whatever the image has at the target. */
  empty: z.boolean().default(false),
  driver: z.string().default('local'),
  /** What `docker volume create --opt` takes. */
  options: z.record(z.string(), z.string()).default({}),
  /** Every node sees the same files: the driver's storage is shared. Then a server may run anywhere. */
  shared: z.boolean().default(false),
})

export type LocalVolumeOptions = z.input<typeof schema>

/** By volume, the hostname of the node that has it. */
const homes = z.object({ nodes: z.record(z.string(), z.string()) })
type Homes = z.output<typeof homes>

/**
 * A Docker volume for each user. It is on the disk of one node, so that the node on which a user's server first ran is remembered, and the
 * user's later servers are placed there.
 */
export function localVolume(options: LocalVolumeOptions) {
  const { target, prefix, driver, shared, readOnly, empty, ...rest } = parseOptions('localVolume', schema, options)
  const driverOptions = { ...rest.options, ...(rest.size !== undefined && { size: String(rest.size) }) }
  const volumeOf = (user: Pick<User, 'slug'>) => prefix + user.slug
  let hub: Hub
  let known: StateFile<Homes> | undefined

  /** Where this server runs is where the volume is, once and for all. */
  async function remember(user: User, server: string, { log }: Context): Promise<void> {
    const volume = volumeOf(user)
    if (!known || Object.hasOwn(known.data.nodes, volume)) return
    const node = nodeOf(user, server)
    if (node === undefined) return
    await known.update(draft => void (draft.nodes[volume] ??= node))
    log.info('a volume’s node is remembered', { volume, node })
  }

  const nodeOf = (user: User, server?: string) =>
    [...hub.servers()].find(view => view.user.id === user.id && (server === undefined || view.name === server) && view.node)?.node

  return {
    name: prefix === 'swarmhub-' ? 'local-volume' : `local-volume-${prefix.replace(/[^a-z0-9]+/g, '-').replace(/-$/, '')}`,

    async setup(own: Hub) {
      hub = own
      if (!shared) known = await own.file('nodes', homes, { nodes: {} })
    },

    mount: {
      attach({ user, draft }) {
        const node = known && (known.data.nodes[volumeOf(user)] ?? nodeOf(user))
        if (node !== undefined) {
          draft.placement = {
            ...draft.placement,
            constraints: [...(draft.placement?.constraints ?? []), `node.hostname==${node}`],
          }
        }
        const labels = { [labelKeys.hub]: draft.hub, [labelKeys.user]: user.name, [labelKeys.userId]: user.id }
        const isPlain = driver === 'local' && Object.keys(driverOptions).length === 0
        return [
          {
            type: 'volume',
            target,
            source: volumeOf(user),
            readOnly,
            noCopy: empty,
            labels,
            ...(!isPlain && { driver: { name: driver, options: driverOptions } }),
          },
        ]
      },
    },

    hooks: {
      'after:spawn': ({ user, server }, ctx) => remember(user, server.name, ctx),
      // A start that a restarted hub has finished comes to no `after:spawn`. Nothing is refused here.
      'before:stop': ({ user, server }, ctx) =>
        remember(user, server.name, ctx).catch(error =>
          ctx.log.warn('a volume’s node is not remembered', { volume: volumeOf(user), error: messageOf(error) }),
        ),
    },

    commands: {
      nodes: {
        summary: 'list the volumes and the nodes that have them',
        run: () =>
          Object.entries(known?.data.nodes ?? {})
            .map(pair => pair.join('  '))
            .join('\n'),
      },
      forget: {
        summary: '<volume>: its files were moved, or are lost; the next start finds it a new node',
        async run([volume = '']) {
          if (!known || !Object.hasOwn(known.data.nodes, volume))
            throw new HubError('missing', `No node is remembered for the volume "${volume}".`)
          await known.update(draft => void delete draft.nodes[volume])
          return `The node of ${volume} is forgotten.`
        },
      },
    },
  } satisfies Plugin
}
