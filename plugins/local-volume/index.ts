import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Context,
  type Hub,
  HubError,
  isHubError,
  labelKeys,
  type MountSpec,
  messageOf,
  type Plugin,
  parseOptions,
  type Storage,
  type User,
} from 'swarmhub'
import { z } from 'zod'
import { docker } from '../docker/client.ts'
import { forUser, isVolumeName } from '../mounts/options.ts'
import { createShell, type Shell } from '../mounts/shell.ts'
import { commandsOf } from './commands.ts'
import { type Homes, homes as homesShape, openHomes } from './homes.ts'
import { batch, emptyVolume, inJob, measureVolumes } from './measure.ts'
import { type LocalVolumeOptions, settings as schema } from './settings.ts'

export type { LocalVolumeOptions } from './settings.ts'

const volumeName = {
  what: 'The name of a volume',
  fits: isVolumeName,
  expected: 'at most 128 letters, digits, "_", "." and "-", starting with a letter or digit',
}

/**
 * A Docker volume for each user. It is on the disk of one node, so that the node on which a user's server first ran is remembered, and the
 * user's later servers are placed there.
 */
export function localVolume(options: LocalVolumeOptions) {
  const settings = parseOptions('localVolume', schema, options)
  const { target, prefix, driver, shared, readOnly, empty, keep, labels, image } = settings
  const name = settings.as ?? nameOf(prefix)
  const engine = docker(settings.docker)
  const driverOptions = { ...settings.options, ...(settings.size !== undefined && { size: String(settings.size) }) }
  const isPlain = driver === 'local' && Object.keys(driverOptions).length === 0
  const choose = (user: User) => forUser(settings.name ?? (({ slug }) => prefix + slug), user, volumeName)
  const volumeOf = (user: User) => homes.of(user, choose)
  /** Being erased: nothing is started with them. */
  const erasing = new Set<string>()
  /** By volume, bytes. */
  const sizes = new Map<string, number>()
  let hub: Hub
  let homes: Homes
  let shell: Shell

  const nodeOf = (user: User, server?: string) =>
    [...hub.servers()].find(view => view.user.id === user.id && (server === undefined || view.name === server) && view.node)?.node

  /** Where this server runs is where the volume is, once and for all. */
  async function remember(user: User, server: string, { log }: Context): Promise<void> {
    if (keep === 'server' || shared) return
    const volume = volumeOf(user)
    const node = nodeOf(user, server)
    if (node === undefined || homes.get(volume)?.node !== undefined) return
    await homes.place(volume, node)
    log.info('a volume’s node is remembered', { volume, node })
  }

  const specOf = (source: string | undefined, labels: Record<string, string>): MountSpec => ({
    type: 'volume',
    target,
    ...(source !== undefined && { source }),
    readOnly,
    noCopy: empty,
    labels,
    ...(!isPlain && { driver: { name: driver, options: driverOptions } }),
  })

  const labelsFor = (hub: string, user: User) => {
    return { ...labels, [labelKeys.hub]: hub, [labelKeys.user]: user.name, [labelKeys.userId]: user.id }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What is kept, and the end of it

  const at = (node: string | undefined) => (node === undefined ? [] : [`node.hostname==${node}`])
  const notReached = (node: string | undefined) => () => `The volumes on ${node ?? 'the nodes'} could not be looked at.`

  async function* inventory(ctx: Context): AsyncGenerator<Storage> {
    const all = homes.all()
    const storage = ({ volume, node, owner }: (typeof all)[number]): Storage => ({
      id: volume,
      where: shared ? `volume ${volume}` : `volume ${volume} on ${node ?? 'a node that is not known'}`,
      ...(owner && { owner: owner.slug, lastUse: new Date(owner.used) }),
      ...(sizes.has(volume) && { used: sizes.get(volume)! }),
    })
    for (const home of all) yield storage(home)
    const nodes = shared ? [undefined] : [...new Set(all.flatMap(({ node }) => node ?? []))]
    // A node that is away keeps nobody from knowing of the others.
    for (const node of nodes) {
      const there = all.filter(home => shared || home.node === node)
      for (let i = 0; i < there.length; i += batch) {
        const some = there.slice(i, i + batch)
        try {
          await measure(
            some.map(({ volume }) => volume),
            node,
            ctx,
          )
        } catch (error) {
          ctx.signal.throwIfAborted()
          ctx.log.warn('the sizes of volumes are not known', { node, error: messageOf(error) })
          break
        }
        for (const home of some) yield storage(home)
      }
    }
  }

  async function measure(volumes: readonly string[], node: string | undefined, ctx: Context): Promise<void> {
    const output = await shell.run(
      {
        name: 'measure',
        script: measureVolumes,
        args: [String(volumes.length)],
        mounts: volumes.map((volume, i) => ({ ...inJob(specOf(volume, labels), i), readOnly: true })),
        constraints: at(node),
        deadline: 60_000,
      },
      notReached(node),
      ctx,
    )
    for (const line of output.split('\n')) {
      const [index, kib] = line.split(' ')
      const volume = volumes[Number(index)]
      if (volume !== undefined && /^\d+$/.test(kib ?? '')) sizes.set(volume, Number(kib) * 1024)
    }
  }

  /** What is in it goes, on the node that has it; then the volume, where that is this engine's, and what is known of it. */
  async function erase({ id }: Pick<Storage, 'id'>, ctx: Context): Promise<void> {
    const home = homes.get(id)
    if (!home) throw new HubError('missing', `There is no volume ${id} that this plugin knows of.`)
    const busy = [...hub.servers()].find(({ user }) => user.id === home.owner?.id)
    if (busy) throw new HubError('conflict', `${busy.user.name} has a server. Stop it first, then erase the volume.`)
    if (home.node === undefined && !shared)
      throw new HubError('failed', `It is not known on which node the volume ${id} is. The command \`place\` tells it.`)
    erasing.add(id)
    try {
      await shell.run(
        {
          name: 'erase',
          script: emptyVolume,
          args: [],
          mounts: [inJob(specOf(id, labels), 0)],
          constraints: shared ? [] : at(home.node),
          deadline: 60_000,
        },
        () => `The volume ${id} could not be erased.`,
        ctx,
      )
      await removeHere(id, home.node, ctx)
      await homes.forget(id)
      sizes.delete(id)
    } finally {
      erasing.delete(id)
    }
    ctx.log.info('a volume was erased', { volume: id, node: home.node })
  }

  /** Of the volumes of other nodes the empty rest stays: no engine removes another's. */
  async function removeHere(volume: string, node: string | undefined, { signal, log }: Context): Promise<void> {
    const { Name } = await engine.ask({ path: '/info' }, z.object({ Name: z.string() }), signal)
    if (Name !== node) return
    // The job's container goes a moment after the job, and so long has the volume.
    for (let tries = 0; tries < 50; tries++) {
      try {
        return void (await engine.ask({ method: 'DELETE', path: `/volumes/${volume}` }, z.unknown(), signal))
      } catch (error) {
        if (isHubError(error) && error.code === 'missing') return
        if (!isHubError(error) || error.code !== 'conflict') throw error
      }
      await sleep(100, undefined, { signal })
    }
    log.info('an empty volume stays: a container has it', { volume })
  }

  /** Those of users who are no more. */
  async function tidy(): Promise<void> {
    const users = new Set([...hub.users()].map(({ id }) => id))
    for (const { volume, owner } of homes.all()) if (owner && !users.has(owner.id)) await hub.erase(volume)
  }

  return {
    name,

    async setup(own: Hub) {
      hub = own
      homes = openHomes(await own.file('nodes', homesShape, { nodes: {}, owners: {} }))
      shell = createShell(engine, image, { hub: own.id, plugin: name })
      await shell.sweep(AbortSignal.timeout(5000)).catch(error => own.log.debug('jobs of the last hub are not swept', { error }))
    },

    mount: {
      async attach({ user, draft }) {
        shell.seen(draft.image)
        // Docker names it, and removes it with its container, on whichever node that was.
        if (keep === 'server') return [specOf(undefined, labelsFor(draft.hub, user))]
        const volume = volumeOf(user)
        if (erasing.has(volume)) throw new HubError('conflict', `The volume ${volume} is being erased. Try again in a minute.`)
        await homes.claim(volume, user)
        const node = shared ? undefined : (homes.get(volume)?.node ?? nodeOf(user))
        if (node !== undefined)
          draft.placement = { ...draft.placement, constraints: [...(draft.placement?.constraints ?? []), ...at(node)] }
        return [specOf(volume, labelsFor(draft.hub, user))]
      },
      inventory,
      erase,
    },

    hooks: {
      'after:spawn': ({ user, server }, ctx) => remember(user, server.name, ctx),
      // A start that a restarted hub has finished comes to no `after:spawn`. Nothing is refused here.
      'before:stop': ({ user, server }, ctx) =>
        remember(user, server.name, ctx).catch(error =>
          ctx.log.warn('a volume’s node is not remembered', { user: user.name, error: messageOf(error) }),
        ),
    },

    ...(keep === 'user' && { jobs: { tidy: { every: 600_000, deadline: 600_000, run: tidy } } }),

    commands: commandsOf({ hub: () => hub, homes: () => homes }),
  } satisfies Plugin
}

const nameOf = (prefix: string) =>
  prefix === 'swarmhub-' ? 'local-volume' : `local-volume-${prefix.replace(/[^a-z0-9]+/g, '-').replace(/-$/, '')}`
