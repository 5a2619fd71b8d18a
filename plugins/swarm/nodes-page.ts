import { Hono } from 'hono'
import { html } from 'hono/html'
import { type Hub, type HubEnv, HubError, messageOf, type ServerView } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import type { Amounts, Room } from './capacity.ts'
import type { Nodes } from './nodes.ts'
import { type Warmer, wordFor } from './warm.ts'

interface PageParts {
  engine: Docker
  nodes: Nodes
  warmer: Pick<Warmer, 'seen'>
  hub(): Pick<Hub, 'servers'>
}

/** For administrators: each node with what is free on it, which servers run there, and which images it has. */
export function nodesPage({ engine, nodes, warmer, hub }: PageParts): Hono<HubEnv> {
  const app = new Hono<HubEnv>()

  app.get('/nodes', async c => {
    const caller = c.get('caller')
    if (!caller.allows('admin-ui')) throw new HubError('denied', 'Only administrators see the nodes.')
    const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(10_000)])
    const [rooms, own] = await Promise.all([nodes.room(signal), ownImages(engine, signal)]).catch(error => {
      throw new HubError('unavailable', `The Swarm cannot be asked. ${messageOf(error)}`)
    })
    const servers = [...hub().servers()]
    const sorted = [...rooms].sort((a, b) => (a.node.Description.Hostname < b.node.Description.Hostname ? -1 : 1))
    const page = sorted.map(room => {
      const { Hostname } = room.node.Description
      const here = servers.filter(({ node }) => node === Hostname)
      const shown = here.filter(({ user, name }) => caller.allows('read:servers', { user: user.name, server: name }))
      const images = own.get(room.node.ID) ?? imagesOn(warmer, Hostname)
      return nodeBlock(room, { here, shown, images, isOwn: own.has(room.node.ID) })
    })
    return c.get('page')(
      'Nodes',
      html`<p>
          <a href="../../admin">Users and servers</a> · What is free is what no task of the Swarm has reserved: only
          <code>cpuGuarantee</code>, <code>memoryGuarantee</code> and <code>resources</code> of a profile are counted.
        </p>
        ${page}`,
    )
  })

  return app
}

interface Contents {
  here: readonly ServerView[]
  /** Those of them that the visitor may see. */
  shown: readonly ServerView[]
  images: readonly string[]
  /** Is it that of an engine that the hub asks? */
  isOwn: boolean
}

function nodeBlock({ node, total, free }: Room, { here, shown, images, isOwn }: Contents) {
  const { Spec, Status, Description } = node
  const kinds = [...new Set([...total.keys()])]
  const hidden = here.length - shown.length
  return html`<section>
    <h2>${Description.Hostname}</h2>
    <dl class="facts">
      <div><dt>State</dt><dd>${stateOf(Status.State, Spec.Availability)}${Spec.Role === 'manager' && ', a manager'}</dd></div>
      ${kinds.map(kind => html`<div><dt>${labelOf(kind)}</dt><dd>${shareOf(kind, free, total)}</dd></div>`)}
      <div>
        <dt>Servers</dt>
        <dd>
          ${here.length === 0 && 'None'}
          ${shown.map(
            ({ user, name, state }, i) =>
              html`${i > 0 && ', '}<a href="../../admin/users/${encodeURIComponent(user.name)}">${user.name}${name && `/${name}`}</a>${
                state === 'running' ? '' : ` (${state})`
              }`,
          )}
          ${hidden > 0 && `${shown.length > 0 ? ' and ' : ''}${hidden} that you may not see`}
        </dd>
      </div>
      <div>
        <dt>Images</dt>
        <dd>
          ${
            images.length > 0
              ? html`<details><summary>${images.length}</summary>${images.map(image => html`<code>${image}</code><br />`)}</details>`
              : isOwn
                ? 'None'
                : 'Not known: an engine tells only its own'
          }
        </dd>
      </div>
    </dl>
  </section>`
}

function stateOf(state: string, availability: string): string {
  const reached = state === 'ready' ? 'Ready' : state === 'down' ? 'Down: it does not answer' : 'Not known at the moment'
  if (availability === 'pause') return `${reached}; paused: it takes no new servers`
  if (availability === 'drain') return `${reached}; drained: the Swarm has ended what ran there`
  return reached
}

const labelOf = (kind: string) => ({ cpu: 'Free CPUs', memory: 'Free memory' })[kind] ?? `Free ${kind.replace(/^generic /, '')}`

function shareOf(kind: string, free: Amounts, total: Amounts): string {
  const unit = { cpu: 1e9, memory: 2 ** 30 }[kind] ?? 1
  const shown = (amount = 0) => Number((amount / unit).toFixed(2))
  return `${shown(free.get(kind))} of ${shown(total.get(kind))}${kind === 'memory' ? ' GiB' : ''}`
}

/** What was got onto it ahead. */
const imagesOn = ({ seen }: Pick<Warmer, 'seen'>, hostname: string): string[] =>
  [...seen].flatMap(([image, nodes]) => {
    const state = nodes.get(hostname)
    return state === undefined ? [] : [state === 'ready' ? image : `${image} (${wordFor(state)})`]
  })

/** By node: an engine tells of its own images, of no other's. Those of the option `docker` are asked; who does not answer is left out. */
async function ownImages({ engines }: Docker, signal: AbortSignal): Promise<Map<string, string[]>> {
  const told = await Promise.allSettled(
    engines.map(async engine => {
      const [{ Swarm }, found] = await Promise.all([
        engine.ask({ path: '/info' }, z.object({ Swarm: z.object({ NodeID: z.string() }) }), signal),
        engine.ask({ path: '/images/json' }, z.array(z.object({ RepoTags: z.array(z.string()).nullish() })), signal),
      ])
      const tags = found.flatMap(({ RepoTags }) => RepoTags ?? []).filter(tag => tag !== '<none>:<none>')
      return [Swarm.NodeID, tags.sort()] as const
    }),
  )
  return new Map(told.flatMap(one => (one.status === 'fulfilled' ? [one.value] : [])))
}
