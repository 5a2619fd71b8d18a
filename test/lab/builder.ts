import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { docker } from './docker.ts'
import { startEngine } from './engine.ts'
import { endGroup } from './group.ts'
import { locked } from './lock.ts'
import { signal, startOf } from './process.ts'
import type { Site } from './site.ts'

/** The engine that builds: it has the machine's own network, and no network for containers. */
export interface Builder {
  socket: string
  here: Site
}

/** Starts the building engine, does the work, stops it. One at a time on a machine. */
export async function withBuilder<T>(here: Site, work: (builder: Builder) => Promise<T>): Promise<T> {
  const group = `${here.name}/builder`
  return locked(join(here.cache, 'builder.lock'), async () => {
    await endGroup(group)
    const engine = await startEngine(here, {
      name: 'builder',
      flags: ['--bridge=none', '--iptables=false', '--ip-forward=false'],
    })
    try {
      return await work({ socket: engine.socket, here })
    } finally {
      // Its children end with it when it is asked; its image store is what all nodes are made of, so it is asked first.
      signal(engine.pid, 'SIGTERM')
      for (let i = 0; i < 200 && (await startOf(engine.pid)); i++) await sleep(50)
      await endGroup(group)
    }
  })
}

/** Copies images from the builder into engines. */
export async function deliver(builder: Builder, tags: string[], nodes: { socket: string }[]): Promise<void> {
  if (!tags.length || !nodes.length) return
  await mkdir(join(builder.here.cache, 'tmp'), { recursive: true })
  const folder = await mkdtemp(join(builder.here.cache, 'tmp/save-'))
  try {
    const tar = join(folder, 'images.tar')
    await docker(builder, 'save', '-o', tar, ...tags)
    await Promise.all(nodes.map(node => loadImage(node, tar)))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Loads what `docker save` wrote into one node. */
export async function loadImage(node: { socket: string }, tar: string): Promise<void> {
  await docker(node, 'load', '-q', '-i', tar)
}
