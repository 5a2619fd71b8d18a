import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MountSpec, Plugin, ServerView, Storage, User } from 'swarmhub'
import { bind } from '../plugins/bind/index.ts'
import { driver } from '../plugins/driver/index.ts'
import { localVolume } from '../plugins/local-volume/index.ts'
import { nfs } from '../plugins/nfs/index.ts'
import { swarm } from '../plugins/swarm/index.ts'
import { tmpfs } from '../plugins/tmpfs/index.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext, fakeSpawn, somebody } from './roles/spawn.ts'

/** A spawner on the lab's Swarm, for a hub of this test alone. */
async function onSwarm(t: TestContext) {
  const { nodes, images } = await lab()
  const views: ServerView[] = []
  const hub = fakeHub(t, { id: `hub-${randomBytes(4).toString('hex')}`, servers: () => views })
  const { spawner, setup } = swarm({ docker: nodes[0]!.socket })
  await setup(hub)
  t.after(async () => {
    for (const { handle } of await spawner.list(fakeContext())) await spawner.stop(handle, fakeContext())
  })

  /** One life of a server with these mounts: the first lines that it says. */
  async function run(mounts: readonly Plugin[], script: string, { user = somebody(), node = '' } = {}): Promise<string[]> {
    const ctx = fakeContext()
    const spawn = fakeSpawn(hub.id, user)
    Object.assign(spawn.draft, { image: images.notebook, command: ['sh', '-c', `(${script}) 2>&1; echo END; exec sleep 1000`] })
    if (node) spawn.draft.placement = { constraints: [`node.hostname==${node}`] }
    for (const { mount } of mounts) spawn.draft.mounts.push(...((await mount?.attach(spawn, ctx)) ?? []))
    const handle = await spawner.start(spawn.draft, ctx)
    for (;;) {
      const status = await spawner.poll(handle, ctx)
      if (status.state === 'gone') throw Object.assign(new Error(status.cause.engine), { cause: status.cause })
      if (status.state === 'running') {
        views.push({ user, name: '', state: 'running', profile: '', started: null, lastActivity: null, node: status.node! })
        break
      }
      await sleep(100)
    }
    for (const { hooks } of mounts) await hooks?.['after:spawn']?.(spawn, ctx)
    const said: string[] = []
    for await (const line of spawner.logs(handle, ctx)) {
      if (line === 'END') break
      said.push(line)
    }
    await spawner.stop(handle, ctx)
    views.length = 0
    return said
  }
  return { nodes, images, hub, run, views }
}

test('tmpfs and bind are in the server as their options say', { skip: noLab }, async t => {
  const { nodes, run } = await onSwarm(t)
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-bind-'))
  t.after(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'data/file'), 'of the node\n')
  const mounts = [
    tmpfs({ target: '/scratch', size: '10M', mode: 0o1777 }),
    tmpfs({ target: '/private', mode: 0o700 }),
    bind({ source: join(folder, 'data'), target: '/data', readOnly: true }),
  ]
  const script = [
    "stat -c '%a %U' /scratch /private",
    'df -k --output=size,fstype /scratch | tail -1',
    'cat /data/file',
    'touch /data/x || echo refused',
  ]
  const said = await run(mounts, script.join('; '), { node: nodes[0]!.name })
  assert.deepEqual(
    said.slice(0, 4).map(line => line.trim()),
    ['1777 root', '700 root', '10240 tmpfs', 'of the node'],
  )
  assert.equal(said.at(-1), 'refused')
})

test('a folder that a node does not have is a mount that failed', { skip: noLab }, async t => {
  const { run } = await onSwarm(t)
  await assert.rejects(run([bind({ source: '/nowhere/at/all', target: '/data' })], 'true'), (error: Error) => {
    assert.equal((error.cause as { code: string }).code, 'mount')
    return true
  })
})

test('a volume of any driver has its options', { skip: noLab }, async t => {
  const { nodes, run } = await onSwarm(t)
  const name = `lab-${randomBytes(4).toString('hex')}`
  t.after(() => Promise.allSettled(nodes.map(node => docker(node, 'volume', 'rm', name))))
  const options = { type: 'tmpfs', device: 'tmpfs', o: 'size=5m' }
  const said = await run(
    [driver({ driver: 'local', name, target: '/data', options, empty: true })],
    'df -k --output=size /data | tail -1',
  )
  assert.deepEqual(
    said.map(line => line.trim()),
    ['5120'],
  )
})

test('a volume that ends with its server is empty each time, and gone from the node', { skip: noLab }, async t => {
  const { nodes, run } = await onSwarm(t)
  const label = `lab=${randomBytes(4).toString('hex')}`
  const [key, value] = label.split('=') as [string, string]
  const volume = localVolume({ target: '/home/jovyan/work', keep: 'server', labels: { [key]: value }, docker: nodes[0]!.socket })
  await volume.setup(fakeHub(t))
  const there = async () =>
    (await Promise.all(nodes.map(node => docker(node, 'volume', 'ls', '-q', '--filter', `label=${label}`)))).join('')
  for (const { name } of nodes) {
    const said = await run([volume], 'ls work; echo x > work/file; cat work/file', { node: name })
    assert.deepEqual(said, ['x'])
  }
  // The engine removes a container, and its volumes with it, a moment after the server is over.
  for (let tries = 0; (await there()) !== '' && tries < 100; tries++) await sleep(100)
  assert.equal(await there(), '')
})

test('the inventory measures volumes on the node of each; what is erased is empty for good', { skip: noLab }, async t => {
  const { nodes, images, hub, run, views } = await onSwarm(t)
  const prefix = `lab-${randomBytes(4).toString('hex')}-`
  const volume = localVolume({ target: '/home/jovyan/work', prefix, docker: nodes[0]!.socket, image: images.base })
  await volume.setup(hub)
  const people: User[] = nodes.map(() => somebody())
  const ids = people.map(({ slug }) => prefix + slug)
  t.after(() => Promise.allSettled(nodes.flatMap(node => ids.map(id => docker(node, 'volume', 'rm', id)))))
  for (const [i, user] of people.entries())
    await run([volume], `head -c ${(i + 1) * 1_000_000} /dev/urandom > work/big; touch work/.hidden`, {
      user,
      node: nodes[i]!.name,
    })

  const found = new Map<string, Storage>()
  for await (const storage of volume.mount.inventory(fakeContext())) found.set(storage.id, storage)
  for (const [i, id] of ids.entries()) {
    const { owner, where, used = 0 } = found.get(id)!
    assert.equal(owner, people[i]!.slug)
    assert.equal(where, `volume ${id} on ${nodes[i]!.name}`)
    assert.ok(used > (i + 1) * 1_000_000 && used < (i + 1) * 1_000_000 + 100_000, String(used))
  }

  views.push({ user: people[0]!, name: '', state: 'running', profile: '', started: null, lastActivity: null })
  await assert.rejects(volume.mount.erase({ id: ids[0]! }, fakeContext()), { code: 'conflict' })
  views.length = 0
  for (const [i, id] of ids.entries()) {
    await volume.mount.erase({ id }, fakeContext())
    assert.deepEqual(await run([volume], 'ls -A work', { user: people[i]!, node: nodes[i]!.name }), [])
  }
})

test('the volumes of users who are no more go, with `keep: user`; nobody else’s do', { skip: noLab }, async t => {
  const { nodes, images, hub, run } = await onSwarm(t)
  const prefix = `lab-${randomBytes(4).toString('hex')}-`
  const people = [somebody(), somebody()] as const
  const own = { ...hub, users: () => [people[0]] }
  const volume = localVolume({ target: '/home/jovyan/work', prefix, keep: 'user', docker: nodes[0]!.socket, image: images.base })
  await volume.setup(own)
  own.erase = id => volume.mount.erase({ id }, fakeContext())
  t.after(() => Promise.allSettled(nodes.flatMap(node => people.map(({ slug }) => docker(node, 'volume', 'rm', prefix + slug)))))
  const [node] = nodes
  for (const user of people) await run([volume], 'echo x > work/file', { user, node: node!.name })
  await volume.jobs!.tidy.run()
  assert.equal(volume.commands.nodes.run(), `${prefix}${people[0].slug}  ${node!.name}`)
  const left = await docker(node!, 'volume', 'ls', '-q', '--filter', `name=${prefix}`)
  assert.equal(left, prefix + people[0].slug)
})

test('where the nodes cannot mount NFS, or have no image for it, the start says so', { skip: noLab }, async t => {
  const { nodes, images, hub } = await onSwarm(t)
  const options = { server: '127.0.0.1', path: (user: User) => `/homes/${user.slug}`, target: '/data', docker: nodes[0]!.socket }
  const attach = async (image: string): Promise<MountSpec[]> => {
    const plugin = nfs({ ...options, image })
    await plugin.setup(hub)
    const spawn = fakeSpawn(hub.id)
    spawn.draft.image = images.base
    return plugin.mount.attach(spawn, fakeContext())
  }
  for (const image of [images.base, 'no.such.registry.invalid/x:1'])
    await assert.rejects(attach(image), (error: { details: { code: string; engine: string } }) => {
      assert.equal(error.details.code, 'mount')
      assert.match(error.details.engine, /mount/, 'also with the server’s own image')
      return true
    })
})
