import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Mount, ServerView } from 'swarmhub'
import { localVolume } from '../plugins/local-volume/index.ts'
import { swarm } from '../plugins/swarm/index.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, fakeSpawn, somebody, stopOf } from './roles/spawn.ts'

test('a user’s file is still there after stop and start, whichever node it is on', { skip: noLab }, async t => {
  const { nodes, images } = await lab()
  const views: ServerView[] = []
  const hub = fakeHub(t, { id: `hub-${randomBytes(4).toString('hex')}`, servers: () => views })
  const { spawner, setup } = swarm({ docker: nodes[0]!.socket })
  const volume = localVolume({ target: '/home/jovyan/work', prefix: 'lab-' })
  await setup(hub)
  await volume.setup(hub)
  const mount: Mount = volume.mount
  const ctx = fakeContext()

  for (const node of nodes) {
    const user = somebody()
    t.after(async () => {
      for (const { handle } of await spawner.list(fakeContext())) await spawner.stop(handle, fakeContext())
      await Promise.allSettled(nodes.map(each => docker(each, 'volume', 'rm', `lab-${user.slug}`)))
    })
    /** One life of the user's server; what it says. */
    const run = async (command: string, constraints: string[] = []) => {
      const spawn = fakeSpawn(hub.id, user)
      Object.assign(spawn.draft, { image: images.notebook, command: ['sh', '-c', `${command}; exec sleep 1000`] })
      if (constraints.length > 0) spawn.draft.placement = { constraints }
      spawn.draft.mounts.push(...(await mount.attach(spawn, ctx)))
      const handle = await spawner.start(spawn.draft, ctx)
      let status = await spawner.poll(handle, ctx)
      for (; status.state !== 'running'; status = await spawner.poll(handle, ctx)) {
        assert.equal(status.state, 'starting', JSON.stringify(status))
        await sleep(100)
      }
      const view = { user, name: '', state: 'running', profile: 'notebook', started: null, lastActivity: null } as const
      views.splice(0, views.length, { ...view, node: status.node! })
      await volume.hooks['after:spawn'](spawn, ctx)
      let said = ''
      for await (const line of spawner.logs(handle, ctx)) {
        said = line
        break
      }
      await volume.hooks['before:stop'](stopOf(spawn), ctx)
      await spawner.stop(handle, ctx)
      views.length = 0
      return { said, node: status.node }
    }

    const first = await run('echo "of yesterday" > work/file && ls -ld work', [`node.hostname==${node.name}`])
    assert.equal(first.node, node.name)
    assert.match(first.said, /jovyan jovyan/, 'a fresh volume is the user’s, as the image’s folder is')
    for (const _ of [1, 2]) assert.deepEqual(await run('cat work/file'), { said: 'of yesterday', node: node.name })
    const labels = JSON.parse(await docker(node, 'volume', 'inspect', `lab-${user.slug}`))[0].Labels
    assert.deepEqual([labels['org.swarmhub.hub'], labels['org.swarmhub.user']], [hub.id, user.name])
  }
})
