import { html } from 'hono/html'
import { HubError, type Log } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { sizeOf } from './subnet.ts'

/** How much of a supply is used: of the addresses of a network, or of the networks in a range. */
export interface Usage {
  what: string
  used: number
  total: number
}

/** Shares of the whole: above the first the log warns, above the second the plugin is not well. */
const tight = 0.8
const nearlyOut = 0.95

const left = ({ used, total }: Usage) => Math.max(0, total - used)
const share = ({ used, total }: Usage) => used / total

/** A sentence when the supply runs low. */
export function warningOf(usage: Usage): string | undefined {
  if (share(usage) < tight) return undefined
  return `Of ${usage.total} ${usage.what} only ${left(usage)} are left. When they are used up no server starts: give overlay() a larger \`subnet\`, with another \`name\`.`
}

/** Throws when it is nearly used up. */
export function checkSupply(usage: Usage): void {
  if (share(usage) >= nearlyOut) throw new HubError('unavailable', warningOf(usage) ?? '')
}

/** Warns when the supply runs low: once, until there is plenty again. */
export function watchSupply(log: () => Log) {
  let warned = false
  return (usage: Usage) => {
    const warning = warningOf(usage)
    if (warning && !warned) log().warn(warning, { used: usage.used, total: usage.total })
    warned = warning !== undefined
  }
}

/** The addresses of one network: each task on it has one, and each node with such a task; the first and last two are never given. */
export async function addressesOf(engine: Docker, id: string, subnet: string, signal: AbortSignal): Promise<Usage> {
  const query = { filters: { 'desired-state': ['running'] } }
  const tasks = await engine.ask({ path: '/tasks', query }, z.array(task), signal)
  const here = tasks.filter(({ NetworksAttachments: all }) => all?.some(({ Network }) => Network.ID === id))
  const nodes = new Set(here.flatMap(({ NodeID }) => NodeID ?? []))
  return { what: `addresses in ${subnet}`, used: here.length + nodes.size, total: sizeOf(subnet) - 3 }
}

const task = z.object({
  NodeID: z.string().optional(),
  NetworksAttachments: z.array(z.object({ Network: z.object({ ID: z.string() }) })).nullish(),
})

export interface Shown {
  usage: Usage
  kind: string
  networks: { name: string; subnet: string }[]
}

/** For administrators. */
export function usagePage({ usage, kind, networks }: Shown) {
  const warning = warningOf(usage)
  return html`<p><a href="../../admin">Users and servers</a></p>
    ${warning && html`<p role="alert">${warning}</p>`}
    <dl class="facts">
      <div><dt>Used</dt><dd>${usage.used} of ${usage.total} ${usage.what}</dd></div>
      <div><dt>Kind</dt><dd>${kind}</dd></div>
    </dl>
    <table>
      <thead><tr><th scope="col">Network</th><th scope="col">Subnet</th></tr></thead>
      <tbody>
        ${networks.map(({ name, subnet }) => html`<tr><th scope="row">${name}</th><td data-label="Subnet">${subnet}</td></tr>`)}
      </tbody>
    </table>`
}
