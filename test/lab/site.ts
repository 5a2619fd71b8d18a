import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { homedir, networkInterfaces } from 'node:os'
import { join, resolve } from 'node:path'

/** Where a lab keeps its things, and what its parts are called: all follows from the cache folder, so two labs never share a name. */
export interface Site {
  /** Outlives the runs: images, the nodes' image stores, this lab's facts. */
  cache: string
  /** Sockets and logs, gone with the machine. A short path: a socket's may have 107 characters. */
  run: string
  /** The first word of every namespace and cgroup. */
  name: string
  /** The bridge that joins the nodes. Interface names have 15 characters at most. */
  bridge: string
}

/** The lab of this user on this machine. */
export async function site(): Promise<Site> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'swarmhub-lab')
  const id = createHash('sha256').update(resolve(cache)).digest('hex').slice(0, 6)
  const here = { cache, run: `/run/swarmhub-lab-${id}`, name: `swarmhub-lab-${id}`, bridge: `swl${id}` }
  await mkdir(here.cache, { recursive: true })
  await mkdir(here.run, { recursive: true })
  return here
}

/** The first three numbers of a subnet that no interface of this machine is in. */
export function freeSubnet(here: Site): string {
  const taken = Object.entries(networkInterfaces()).flatMap(([name, list = []]) => (name === here.bridge ? [] : list))
  const seed = Number.parseInt(here.name.slice(-6), 16)
  for (let i = 0; i < 100; i++) {
    // 10.0 to 10.15 belongs to the overlay networks: see `swarm init`.
    const subnet = `10.${64 + ((seed + i) % 128)}.${(seed >> 8) % 256}`
    if (!taken.some(({ address }) => address.startsWith(`${subnet}.`))) return subnet
  }
  throw new Error('no free subnet')
}

/** What a developer sees while the lab is prepared. */
export function say(line: string): void {
  process.stderr.write(`lab: ${line}\n`)
}

/** Does the work and says how long it took. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await work()
  say(`${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
  return result
}
