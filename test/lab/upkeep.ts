import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { installed, labPackages } from './debian.ts'
import { BASE_IMAGE, EXITS_IMAGE, ensureImages, NODE_IMAGE, NOTEBOOK_IMAGE, provide, SILENT_IMAGE } from './images.ts'
import { locked } from './lock.ts'
import { startOf } from './process.ts'
import { type Site, say, site, timed } from './site.ts'
import { forgetNodes, type Swarm, startSwarm, stopSwarm, swarmUp } from './swarm.ts'

/** Prepares what is missing, starts the Swarm or joins the users of a running one. Gives the path of the lab's facts. */
export async function openLab(options: { keep: boolean }): Promise<string> {
  await installed(...labPackages)
  const here = await site()
  return locked(join(here.cache, 'lab.lock'), async () => {
    const images = await ensureImages(here)
    const others = await users(here)
    let swarm = await facts(here)
    if (swarm && !((others.length || (await kept(here))) && (await swarmUp(swarm)))) swarm = undefined
    if (swarm) say('the running Swarm is used')
    else swarm = await timed('a Swarm of two nodes is up', () => freshSwarm(here, images))
    await provide(here, images, swarm.nodes)
    await writeFile(madeOf(here), JSON.stringify(images))
    await keepFacts(here, swarm)
    await mkdir(usersOf(here), { recursive: true })
    await writeFile(join(usersOf(here), String(process.pid)), (await startOf(process.pid)) ?? '')
    if (options.keep) await writeFile(join(here.cache, 'keep'), '')
    return factsOf(here)
  })
}

/** Leaves the lab; the last user stops it, unless it is to be kept. */
export async function closeLab(options: { logs?: string; stop?: boolean } = {}): Promise<void> {
  const here = await site()
  await locked(join(here.cache, 'lab.lock'), async () => {
    await rm(join(usersOf(here), String(process.pid)), { force: true })
    if (!options.stop && ((await kept(here)) || (await users(here)).length)) return
    await stopSwarm(here, options.logs)
    await rm(here.run, { recursive: true, force: true })
    for (const name of ['lab.json', 'keep', 'users']) await rm(join(here.cache, name), { recursive: true, force: true })
  })
}

async function freshSwarm(here: Site, images: Record<string, string>): Promise<Swarm> {
  await stopSwarm(here)
  const had = await readFile(madeOf(here), 'utf8').catch(() => '')
  // It takes two seconds to give a node all of the builder's images, and half a minute to load changed ones.
  if (had !== JSON.stringify(images)) await forgetNodes(here)
  await rm(join(here.cache, 'keep'), { force: true })
  return startSwarm(here, 2)
}

async function keepFacts(here: Site, { nodes, bridge }: Swarm): Promise<void> {
  const images = { notebook: NOTEBOOK_IMAGE, base: BASE_IMAGE, node: NODE_IMAGE, exits: EXITS_IMAGE, silent: SILENT_IMAGE }
  await writeFile(`${factsOf(here)}.new`, `${JSON.stringify({ nodes, bridge, images }, null, 2)}\n`)
  await rename(`${factsOf(here)}.new`, factsOf(here))
}

async function facts(here: Site): Promise<Swarm | undefined> {
  const text = await readFile(factsOf(here), 'utf8').catch(() => undefined)
  return text ? JSON.parse(text) : undefined
}

/** Runs that are under way, of whatever checkout. One that was killed is not. */
async function users(here: Site): Promise<number[]> {
  const names = await readdir(usersOf(here)).catch(() => [])
  const alive: number[] = []
  for (const name of names) {
    const file = join(usersOf(here), name)
    if ((await readFile(file, 'utf8').catch(() => '')) === (await startOf(Number(name)))) alive.push(Number(name))
    else await rm(file, { force: true })
  }
  return alive
}

async function kept(here: Site): Promise<boolean> {
  return (await readFile(join(here.cache, 'keep')).catch(() => undefined)) !== undefined
}

const factsOf = (here: Site) => join(here.cache, 'lab.json')
const madeOf = (here: Site) => join(here.cache, 'nodes.json')
const usersOf = (here: Site) => join(here.cache, 'users')
