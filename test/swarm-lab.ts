import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Handle, ServerSpec, Spawner, Status } from 'swarmhub'
import { swarm } from '../plugins/swarm/index.ts'
import { lab } from './lab/lab.ts'
import type { Node, Swarm } from './lab/swarm.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, fakeSpec } from './roles/spawn.ts'

/** A spawner for a hub of its own on the lab's Swarm, and the verbs that a test needs; what it starts is stopped at the end. */
export async function onSwarm(t: TestContext, options: Parameters<typeof swarm>[0] = {}, own?: Swarm) {
  const { images, ...shared } = await lab()
  const { nodes, bridge } = own ?? shared
  const [manager, worker] = nodes as [Node, Node]
  const hub = fakeHub(t, { id: `hub-${randomBytes(4).toString('hex')}` })
  const plugin = swarm({ docker: manager.socket, refresh: '1s', noNodeGrace: '1s', ...options })
  await plugin.setup(hub)
  const spawner: Spawner = plugin.spawner
  // By another way than the one that the test may have cut.
  const cleaner = swarm({ docker: manager.socket })
  await cleaner.setup(hub)
  t.after(async () => {
    const left = await cleaner.spawner.list(fakeContext())
    await Promise.all(left.map(({ handle }) => cleaner.spawner.stop(handle, fakeContext())))
  })
  const start = async (more: Partial<ServerSpec>) => {
    const spec = { ...fakeSpec(hub.id), ...more }
    return { spec, handle: await spawner.start(spec, fakeContext()) }
  }
  const until = async <S extends Status['state']>(handle: Handle, state: S) => {
    for (;;) {
      const status = await spawner.poll(handle, fakeContext())
      if (status.state === state) return status as Extract<Status, { state: S }>
      assert.notEqual(status.state, 'gone', JSON.stringify(status))
      await sleep(100)
    }
  }
  return { plugin, spawner, hub: hub.id, start, until, manager, worker, images, bridge }
}

/** Placed on this node. */
export const on = (node: Node) => ({ placement: { constraints: [`node.labels.kind==${node.labels.kind}`] } })
