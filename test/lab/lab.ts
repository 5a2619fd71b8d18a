import { mkdir, readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Node, Swarm } from './swarm.ts'

export type { Node } from './swarm.ts'

/** What `npm test` has made ready. The Swarm is shared by all tests: give what you create there names of your own, and remove it. */
export interface Lab extends Swarm {
  /** The manager first. */
  nodes: Node[]
  /** The address that a server of the test process listens on, to be reached from nodes and containers. */
  bridge: string
  /** Present on every node. */
  images: {
    /** Debian's jupyterhub-singleuser; user jovyan (1000), work folder /home/jovyan/work, port 8888. */
    notebook: string
    base: string
    node: string
    /** Exits with 1 at once. */
    exits: string
    /** Runs, and never listens. */
    silent: string
  }
  /** Screenshots, logs, reports of this run. */
  artefacts: string
}

/** Where screenshots, logs and reports go. */
export const artefacts = resolve('artefacts')

/**
 * Why there is no lab here, else false: `test('…', { skip: noLab }, async () => { const { nodes } = await lab() … })`.
 * Under CI nothing is skipped: `lab()` throws the reason instead.
 */
export const noLab: string | false = process.env.SWARMHUB_LAB || process.env.CI ? false : reason()

/** The lab that `npm test` started. Throws the reason when there is none: ask `noLab` first. */
export async function lab(): Promise<Lab> {
  const file = process.env.SWARMHUB_LAB
  if (!file) throw new Error(reason())
  await mkdir(artefacts, { recursive: true })
  return { ...JSON.parse(await readFile(file, 'utf8')), artefacts }
}

function reason(): string {
  return process.env.SWARMHUB_NO_LAB || 'no lab: run it by `npm test`, or name a lab of SWARMHUB_LAB_KEEP=1 in SWARMHUB_LAB'
}
