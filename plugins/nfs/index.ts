import { type Context, type Hub, HubError, type Plugin, parseOptions, type Spawn, type Storage, type User } from 'swarmhub'
import { docker } from '../docker/client.ts'
import { forUser, isPath, nameOf } from '../mounts/options.ts'
import { createShell, type Shell } from '../mounts/shell.ts'
import { explained } from './cause.ts'
import { commandsOf } from './commands.ts'
import { type Folders, folders as foldersShape, openFolders } from './folders.ts'
import { eraseFolder, makeFolder, measureFolders, under } from './scripts.ts'
import { type NfsOptions, owner as ownerShape, settings as schema } from './settings.ts'
import { createVolume } from './volume.ts'

export type { NfsOptions } from './settings.ts'

const folderPath = { what: 'The folder on the file server', fits: isPath, expected: 'an absolute path without ".."' }

/** Paths that one job looks at. */
const batch = 100

/** Folders of an NFS server. The nodes mount them; a new user's folder is made by a job on the Swarm, so that the hub needs no NFS. */
export function nfs(options: NfsOptions) {
  const settings = parseOptions('nfs', schema, options)
  const { server, target, readOnly, image, deadline, mode, prepare = [] } = settings
  const name = nameOf('nfs', target, settings.as)
  const engine = docker(settings.docker)
  const volume = createVolume(settings)
  const own = typeof settings.path === 'function'
  const create = settings.create ?? own
  const explain = (words: string) => explained(server, words)
  /** By folder, what makes it just now. */
  const making = new Map<string, Promise<void>>()
  /** By folder, bytes. */
  const sizes = new Map<string, number>()
  let hub: Hub
  let folders: Folders
  let shell: Shell

  const pathOf = (user: User) => forUser(settings.path, user, folderPath).replace(/(?<=.)\/+$/, '')
  const known = () => Object.entries(folders.all()).filter(([id, { path }]) => id === volume.of(path).source)

  function ownerOf(user: User): string {
    const given = typeof settings.owner === 'function' ? settings.owner(user) : settings.owner
    const { uid, gid } = parseOptions('nfs.owner', ownerShape, given)
    return `${uid}:${gid}`
  }

  /** It is there when this resolves. Only the first start with these options asks the server. */
  async function ensure(path: string, { user, draft }: Spawn, ctx: Context): Promise<void> {
    const id = volume.of(path).source
    while (making.has(path)) await making.get(path)?.catch(() => {})
    if (folders.all()[id]?.made) return
    const root = volume.root(path)
    const args = [under(root, path), ownerOf(user), mode.toString(8), ...prepare]
    ctx.progress('Making the folder for your files')
    const { constraints, platforms } = draft.placement ?? {}
    const task = { name: 'make-folder', mounts: [volume.mountRoot(root)], constraints, platforms, deadline }
    const work = shell.run({ ...task, script: makeFolder, args }, explain, ctx).then(() => folders.made(id, path))
    making.set(path, work)
    try {
      await work
    } finally {
      making.delete(path)
    }
    ctx.log.info('a folder is on the file server', { server, path })
  }

  const beside = () => ({ constraints: settings.constraints, deadline: 60_000 })

  /** By path, bytes. What cannot be read is left out. */
  async function* measured(paths: readonly string[], ctx: Context): AsyncGenerator<[string, number]> {
    for (const root of new Set(paths.map(volume.root))) {
      const below = paths.filter(path => volume.root(path) === root)
      for (let i = 0; i < below.length; i += batch) {
        const some = below.slice(i, i + batch)
        const args = some.map(path => under(root, path))
        const task = { ...beside(), name: 'measure', mounts: [volume.mountRoot(root)], script: measureFolders, args }
        for (const line of (await shell.run(task, explain, ctx)).split('\n')) {
          const [index, kib] = line.split(' ')
          const path = some[Number(index)]
          if (path !== undefined && /^\d+$/.test(kib ?? '')) yield [path, Number(kib) * 1024]
        }
      }
    }
  }

  async function* inventory(ctx: Context): AsyncGenerator<Storage> {
    const all = known().filter(([, { path }]) => path !== volume.root(path))
    const storage = ([id, { path, users, used }]: (typeof all)[number]): Storage => ({
      id,
      where: `${server}:${path}`,
      ...(users.length === 1 && users[0]!),
      ...(sizes.has(path) && { used: sizes.get(path)! }),
      ...(used !== undefined && { lastUse: new Date(used) }),
    })
    for (const one of all) yield storage(one)
    const byPath = new Map(all.map(one => [one[1].path, one]))
    for await (const [path, bytes] of measured([...byPath.keys()], ctx)) {
      sizes.set(path, bytes)
      yield storage(byPath.get(path)!)
    }
  }

  async function erase({ id }: Pick<Storage, 'id'>, ctx: Context): Promise<void> {
    const folder = known().find(([each]) => each === id)?.[1]
    if (!folder) throw new HubError('missing', `There is no folder ${id} that this plugin knows of.`)
    const { path, users } = folder
    const busy = [...hub.servers()].find(view => users.some(({ owner }) => owner === view.user.slug))
    if (busy) throw new HubError('conflict', `${busy.user.name} has a server. Stop it first, then erase the folder.`)
    const root = volume.root(path)
    if (under(root, path) === '') throw new HubError('invalid', `${path} is the root of what is mounted, and no user’s folder.`)
    const task = { ...beside(), name: 'erase', mounts: [volume.mountRoot(root)], script: eraseFolder, args: [under(root, path)] }
    await shell.run(task, explain, ctx)
    sizes.delete(path)
    await folders.forget(id)
    ctx.log.info('a folder was erased', { server, path })
  }

  return {
    name,

    async setup(given: Hub) {
      hub = given
      shell = createShell(engine, image, { hub: hub.id, plugin: name })
      folders = openFolders(await hub.file('folders', foldersShape, { folders: {} }))
      await shell.sweep(AbortSignal.timeout(5000)).catch(error => hub.log.debug('jobs of the last hub are not swept', { error }))
    },

    mount: {
      async attach(spawn, ctx) {
        const path = pathOf(spawn.user)
        shell.seen(spawn.draft.image)
        if (create) await ensure(path, spawn, ctx)
        const { source, driver } = volume.of(path)
        if (own) await folders.used(source, path, spawn.user)
        return [{ type: 'volume', target, source, readOnly, noCopy: true, labels: volume.labels(spawn.draft.hub), driver }]
      },

      /** What could not be mounted may have been removed: the next start looks, and tells why not. */
      async detach({ user, cause }) {
        if (!cause || !['mount', 'time-out'].includes(cause.code)) return
        for (const [id, { users }] of known()) if (users.some(({ owner }) => owner === user.slug)) await folders.unmade(id)
      },

      inventory,
      erase,
    },

    commands: commandsOf({ known: () => known(), erase: id => hub.erase(id), forget: id => folders.unmade(id) }),
  } satisfies Plugin
}
