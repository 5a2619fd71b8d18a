import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { daemon, run } from './command.ts'
import { engineUp } from './docker.ts'
import { daemonGroup } from './group.ts'
import { signal, startOf } from './process.ts'
import type { Site } from './site.ts'

/** One dockerd of the lab. */
export interface EngineOptions {
  /** Names its data folder, its socket and its cgroup. */
  name: string
  /** Where it runs; the machine's own network when left out. */
  netns?: string
  /** The only resolver that it and its containers have. */
  resolver?: string
  flags: string[]
  /** Go on with what it had when it was stopped; left out: nothing is left but images. */
  keep?: boolean
}

/** A running dockerd. */
export interface Engine {
  name: string
  socket: string
  pid: number
}

// The mounts are private, and so gone with the last process: resolv.conf; containerd's folder of shim sockets, where the machine's own
// containerd would be found; and /etc/docker, where dockerd keeps the key that its ID is made of.
const inPrivate = `set -e
echo $$ > "$1"
hostname "$2"
[ -z "$3" ] || mount --bind "$3" /etc/resolv.conf
mkdir -p /run/containerd /etc/docker
mount -t tmpfs tmpfs /run/containerd
mount --bind "$4" /etc/docker
shift 4
exec "$@"`

/** Starts a dockerd with nothing in it but the images of its last run, and waits until it answers. */
export async function startEngine(here: Site, { name, netns, resolver, flags, keep = false }: EngineOptions): Promise<Engine> {
  const data = dataRoot(here, name)
  const own = join(here.run, name)
  const socket = `${own}.sock`
  const group = `${here.name}/${name}`
  if (!keep) await forgetAllButImages(data)
  if (!keep) await rm(own, { recursive: true, force: true })
  await mkdir(join(own, 'etc'), { recursive: true })
  await writeFile(join(own, 'daemon.json'), '{}')
  if (resolver) await writeFile(join(own, 'resolv.conf'), `nameserver ${resolver}\n`)

  const enter = netns ? ['nsenter', `--net=/run/netns/${netns}`] : []
  const [command, ...args] = [
    ...[...enter, 'unshare', '--uts', '--mount', 'sh', '-c', inPrivate, 'sh'],
    ...[await daemonGroup(group), netns ? name : here.name, resolver ? join(own, 'resolv.conf') : '', join(own, 'etc')],
    ...['dockerd', '--config-file', join(own, 'daemon.json'), '--data-root', data, '--exec-root', join(own, 'exec')],
    ...['-p', join(own, 'pid'), '-H', `unix://${socket}`, '--cgroup-parent', `/${group}`],
    ...['--exec-opt', 'native.cgroupdriver=cgroupfs', '--storage-driver', 'overlay2', ...flags],
  ] as [string, ...string[]]
  await rm(`${own}.log`, { force: true })
  const pid = await daemon(`${own}.log`, command, args, { ...process.env, DOCKER_HOST: '' })
  try {
    await engineUp(socket, () => signal(pid, 0))
  } catch (error) {
    const log = await readFile(`${own}.log`, 'utf8').catch(() => '')
    throw new Error(`${name}: ${(error as Error).message}\n${log.split('\n').slice(-15).join('\n')}`)
  }
  return { name, socket, pid }
}

/** Asks an engine to end, and waits until it has. Its containers end with it; what it knows stays on the disk. */
export async function stopEngine(here: Site, name: string): Promise<void> {
  const pid = Number(await readFile(join(here.run, name, 'pid'), 'utf8'))
  signal(pid, 'SIGTERM')
  for (let tries = 0; await startOf(pid); tries++) {
    if (tries > 300) throw new Error(`the engine of ${name} does not end`)
    await sleep(100)
  }
}

/** Where an engine keeps its images. */
export function dataRoot(here: Site, name: string): string {
  return join(here.cache, name)
}

/** Gives an engine that has never run the images of another one: the layers are hard links, so this takes no space and two seconds. */
export async function inheritImages(from: string, to: string): Promise<void> {
  if (existsSync(join(to, 'image'))) return
  await rm(to, { recursive: true, force: true })
  const half = `${to}.half`
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { recursive: true })
  await Promise.all([
    run('cp', ['-a', join(from, 'image'), half]),
    // No one ever writes to a layer, and the lists of layers are replaced by renaming.
    run('cp', ['-al', join(from, 'overlay2'), half]),
  ])
  await run('mv', [half, to])
}

/** Removes the Swarm, networks, volumes and containers of an engine that does not run. Its images stay: they take long to load. */
async function forgetAllButImages(data: string): Promise<void> {
  await mkdir(data, { recursive: true })
  for (const name of await readdir(data)) {
    if (name !== 'image' && name !== 'overlay2') await rm(join(data, name), { recursive: true, force: true })
  }
  const mounts = join(data, 'image/overlay2/layerdb/mounts')
  const layers = join(data, 'overlay2')
  for (const container of existsSync(mounts) ? await readdir(mounts) : []) {
    for (const kind of ['mount-id', 'init-id']) {
      const id = await readFile(join(mounts, container, kind), 'utf8').catch(() => '')
      if (!id) continue
      const link = await readFile(join(layers, id, 'link'), 'utf8').catch(() => '')
      if (link) await rm(join(layers, 'l', link), { force: true })
      await rm(join(layers, id), { recursive: true, force: true })
    }
    await rm(join(mounts, container), { recursive: true, force: true })
  }
}
