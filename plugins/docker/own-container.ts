import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { isHubError } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from './client.ts'

/** A container, and the engine that has it. */
export interface Present extends Container {
  engine: Pick<Docker, 'ask'>
}

/** The container that this process runs in, if one of the engines knows it. */
export async function ownContainer(docker: Docker, signal: AbortSignal): Promise<Present | undefined> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  // Docker puts these files there from the container's folder. On the host itself they are the host's own.
  const mounted = /\/([0-9a-f]{64})\/\S+ \/etc\/(?:hostname|hosts|resolv\.conf) /.exec(mounts)?.[1]
  const id = mounted ?? (/^[0-9a-f]{12}$/.test(hostname()) ? hostname() : undefined)
  if (id === undefined) return undefined
  const found = await findContainer(docker, id, signal)
  return found?.Id.startsWith(id) ? found : undefined
}

/** By name or id, on the first of the engines that has it. */
export async function findContainer(docker: Docker, name: string, signal: AbortSignal): Promise<Present | undefined> {
  for (const engine of docker.engines) {
    const found = await engine.ask({ path: `/containers/${name}/json` }, container, signal).catch(error => {
      if (isHubError(error) && error.code === 'missing') return undefined
      throw error
    })
    if (found) return { ...found, engine }
  }
  return undefined
}

/** What is read of a container. */
const container = z.object({
  Id: z.string(),
  Name: z.string(),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }),
  NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ NetworkID: z.string() })).nullish() }),
})
export type Container = z.output<typeof container>
