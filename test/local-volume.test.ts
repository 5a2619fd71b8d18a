import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Hub, Mount, ServerView, Spawn, User } from 'swarmhub'
import { localVolume } from '../plugins/local-volume/index.ts'
import { fakeHub } from './roles/hub.ts'
import { testMount } from './roles/mount.ts'
import { fakeContext, fakeSpawn, somebody, stopOf } from './roles/spawn.ts'

const target = '/home/jovyan/work'

testMount('local-volume', async t => {
  const plugin = localVolume({ target })
  await plugin.setup(fakeHub(t))
  return { mount: plugin.mount, hub: 'test-hub' }
})

testMount('local-volume that ends with the server', async t => {
  const plugin = localVolume({ target, keep: 'server' })
  await plugin.setup(fakeHub(t))
  return { mount: plugin.mount, hub: 'test-hub' }
})

const view = (user: User, name: string, node?: string): ServerView => {
  return {
    user,
    name,
    state: 'running',
    profile: 'notebook',
    started: null,
    lastActivity: null,
    ...(node !== undefined && { node }),
  }
}

/** The plugin on a hub with servers that the test sets. */
async function onHub(t: TestContext, options: Partial<Parameters<typeof localVolume>[0]> = {}, hub?: Hub) {
  const views: ServerView[] = []
  const own = hub ?? fakeHub(t, { servers: () => views })
  const plugin = localVolume({ target, docker: '/nonexistent/docker.sock', ...options })
  await plugin.setup(own)
  const mount: Mount = plugin.mount
  own.erase = id => plugin.mount.erase({ id }, fakeContext())
  /** Where a start of this user's server is placed. */
  const placed = async (user: User, server = '', constraints?: string[]) => {
    const spawn = fakeSpawn('h', user, server)
    if (constraints) spawn.draft.placement = { constraints }
    await mount.attach(spawn, fakeContext())
    return spawn.draft.placement?.constraints ?? []
  }
  const ran = (spawn: Spawn) => plugin.hooks['after:spawn'](spawn, fakeContext())
  return { plugin, views, hub: own, placed, ran, mount }
}

test('each user has a volume of their own, labelled, with the user’s slug and never the name', async t => {
  const { mount } = await onHub(t)
  const user = somebody('Anna.Smith@example.org')
  const [volume] = await mount.attach(fakeSpawn('hub1', user), fakeContext())
  assert.deepEqual(volume, {
    type: 'volume',
    target,
    source: `swarmhub-${user.slug}`,
    readOnly: false,
    noCopy: false,
    labels: { 'org.swarmhub.hub': 'hub1', 'org.swarmhub.user': 'Anna.Smith@example.org', 'org.swarmhub.user-id': user.id },
  })
})

test('driver, options and size are as the config says', async t => {
  const { mount } = await onHub(t, { size: '10G', options: { type: 'xfs' }, empty: true, readOnly: true, prefix: 'home-' })
  const [volume] = await mount.attach(fakeSpawn('h'), fakeContext())
  assert.deepEqual(volume?.driver, { name: 'local', options: { type: 'xfs', size: String(10 * 2 ** 30) } })
  assert.ok(volume?.noCopy && volume.readOnly && volume.source?.startsWith('home-'))
})

test('the first start may go anywhere; every later one goes where the volume is', async t => {
  const { views, placed, ran } = await onHub(t)
  const user = somebody()
  assert.deepEqual(await placed(user, '', ['node.role==worker']), ['node.role==worker'])
  views.push(view(user, '', 'node2'))
  await ran(fakeSpawn('h', user))
  views.length = 0
  assert.deepEqual(await placed(user), ['node.hostname==node2'])
  assert.deepEqual(await placed(user, 'second', ['node.role==worker']), ['node.role==worker', 'node.hostname==node2'])
  assert.deepEqual(await placed(somebody()), [], 'others are free')
})

test('the node outlives the hub, and does not change by a later start', async t => {
  const { hub, views, ran } = await onHub(t)
  const user = somebody()
  views.push(view(user, '', 'node2'))
  await ran(fakeSpawn('h', user))
  views.splice(0, 1, view(user, '', 'node1'))
  await ran(fakeSpawn('h', user))
  views.length = 0
  const next = await onHub(t, {}, hub)
  assert.deepEqual(await next.placed(user), ['node.hostname==node2'])
})

test('a start that a restarted hub has finished is remembered at the stop', async t => {
  const { plugin, views, placed } = await onHub(t)
  const user = somebody()
  const spawn = fakeSpawn('h', user)
  await plugin.hooks['before:stop'](stopOf(spawn), fakeContext())
  assert.deepEqual(await placed(user), [], 'it never ran')
  views.push(view(user, '', 'node2'))
  await plugin.hooks['before:stop'](stopOf(spawn), fakeContext())
  views.length = 0
  assert.deepEqual(await placed(user), ['node.hostname==node2'])
})

test('a stop is not refused when the node cannot be written down', async t => {
  const views: ServerView[] = []
  const full = async () => {
    throw new Error('disk full')
  }
  const file = async () => ({ data: { nodes: {}, owners: {} }, update: full, remove: full }) as never
  const { plugin } = await onHub(t, {}, fakeHub(t, { servers: () => views, file }))
  const spawn = fakeSpawn('h')
  views.push(view(spawn.user, '', 'node2'))
  await plugin.hooks['before:stop'](stopOf(spawn), fakeContext())
})

test('a second server that starts beside the first goes to its node, though none is remembered yet', async t => {
  const { views, placed } = await onHub(t)
  const user = somebody()
  views.push(view(user, '', 'node1'), view(somebody(), '', 'node2'))
  assert.deepEqual(await placed(user, 'second'), ['node.hostname==node1'])
})

test('shared storage and servers without a node pin nothing', async t => {
  const shared = await onHub(t, { shared: true, driver: 'nfs-driver' })
  const user = somebody()
  shared.views.push(view(user, '', 'node1'))
  await shared.ran(fakeSpawn('h', user))
  assert.deepEqual(await shared.placed(user), [])
  const nowhere = await onHub(t)
  nowhere.views.push(view(user, ''))
  await nowhere.ran(fakeSpawn('h', user))
  assert.deepEqual(await nowhere.placed(user), [])
})

test('an admin sees where volumes are, and may let one go', async t => {
  const { plugin, views, ran, placed } = await onHub(t)
  const { nodes, forget } = plugin.commands
  await plugin.mount.attach(fakeSpawn('h', somebody()))
  const user = somebody()
  assert.equal(nodes.run(), '')
  views.push(view(user, '', 'node2'))
  await ran(fakeSpawn('h', user))
  views.length = 0
  assert.equal(nodes.run(), `swarmhub-${user.slug}  node2`)
  await assert.rejects(forget.run(['__proto__']), { code: 'missing' })
  await forget.run([`swarmhub-${user.slug}`])
  assert.equal(nodes.run(), '')
  assert.deepEqual(await placed(user), [])
})

test('two of them with two prefixes have two names; wrong options are refused', () => {
  assert.equal(localVolume({ target }).name, 'local-volume')
  assert.equal(localVolume({ target: '/scratch', prefix: 'scratch_' }).name, 'local-volume-scratch')
  for (const options of [
    { target: 'work' },
    { target: '/' },
    { target: '/a/../b' },
    { target, prefix: '' },
    { target, prefix: '{u}' },
    { target, sise: '1G' },
  ])
    assert.throws(() => localVolume(options as never), { code: 'config' }, JSON.stringify(options))
})

/** The name of the volume that a start of this user has. */
const volumeOf = async (mount: Mount, user: User) => (await mount.attach(fakeSpawn('h', user), fakeContext()))[0]?.source

test('names of the hubs that came before can be kept, and a user keeps the volume when renamed', async t => {
  const md5 = (text: string) => createHash('md5').update(text).digest('hex')
  const { mount } = await onHub(t, { name: user => `jupyterhub-user-${md5(user.name)}` })
  const anna = somebody('anna')
  assert.equal(await volumeOf(mount, anna), 'jupyterhub-user-a70f9e38ff015afaa9ab0aacabee2e13')
  assert.equal(await volumeOf(mount, { ...anna, name: 'anna-maria' }), 'jupyterhub-user-a70f9e38ff015afaa9ab0aacabee2e13')
})

test('nobody gets a volume that is or was somebody else’s, until an admin gives it', async t => {
  const people: User[] = []
  const shared = await onHub(t, { name: user => `home-${user.name.slice(-4)}` }, fakeHub(t, { people }))
  const [anna, hanna] = [somebody('anna'), somebody('hanna')]
  people.push(hanna)
  assert.equal(await volumeOf(shared.mount, anna), 'home-anna')
  await assert.rejects(volumeOf(shared.mount, hanna), { code: 'conflict', message: /home-anna is somebody else/ })
  const refused = (await volumeOf(shared.mount, hanna).catch(error => error)) as { details: { code: string } }
  assert.equal(refused.details.code, 'mount')
  const { give } = shared.plugin.commands
  await assert.rejects(give.run(['home-anna', 'nobody']), { code: 'missing' })
  await give.run(['home-anna', 'hanna'])
  assert.equal(await volumeOf(shared.mount, hanna), 'home-anna')
  await assert.rejects(volumeOf(shared.mount, anna), { code: 'conflict' })
  const again = await onHub(t)
  const first = somebody('bob')
  await volumeOf(again.mount, first)
  await assert.rejects(volumeOf(again.mount, { ...first, id: 'another-bob' }), { code: 'conflict' })
})

test('a name that is none is no start', async t => {
  for (const name of ['a/b', '', 'a b', '../x', 'x'.repeat(129), undefined]) {
    const { mount } = await onHub(t, { name: () => name as string })
    await assert.rejects(volumeOf(mount, somebody()), { code: 'failed' }, String(name))
  }
})

test('a volume that ends with its server has no name, no node and no entry', async t => {
  const { plugin, mount, views, ran, placed } = await onHub(t, { keep: 'server', labels: { course: 'physics' } })
  const user = somebody()
  const [volume] = await mount.attach(fakeSpawn('h', user), fakeContext())
  assert.ok(volume && !('source' in volume))
  assert.equal(volume.labels?.course, 'physics')
  views.push(view(user, '', 'node1'))
  await ran(fakeSpawn('h', user))
  assert.deepEqual(await placed(user), [])
  assert.equal(plugin.commands.list.run(), '')
})

test('a volume of another hub is placed before its first start', async t => {
  const { plugin, placed } = await onHub(t)
  const user = somebody()
  const { place, list } = plugin.commands
  await assert.rejects(place.run([`swarmhub-${user.slug}`, 'a b']), { code: 'invalid' })
  await assert.rejects(place.run(['a/b', 'node1']), { code: 'invalid' })
  await place.run([`swarmhub-${user.slug}`, 'node1'])
  assert.deepEqual(await placed(user), ['node.hostname==node1'])
  assert.match(list.run(), new RegExp(`^swarmhub-${user.slug}  ${user.slug}  node1  \\d{4}-\\d\\d-\\d\\d$`))
})

test('the inventory tells whose, where and since when at once, whatever the engine does', async t => {
  const { mount, views, ran } = await onHub(t)
  const user = somebody()
  await volumeOf(mount, user)
  views.push(view(user, '', 'node2'))
  await ran(fakeSpawn('h', user))
  const found = []
  for await (const storage of mount.inventory!(fakeContext())) found.push(storage)
  const day = new Date(new Date().toISOString().slice(0, 10))
  const id = `swarmhub-${user.slug}`
  assert.deepEqual(found, [{ id, where: `volume ${id} on node2`, owner: user.slug, lastUse: day }])
})

test('nothing is erased that is in use, not known, not confirmed or on no known node', async t => {
  const { plugin, mount, views } = await onHub(t)
  const user = somebody()
  const id = `swarmhub-${user.slug}`
  await volumeOf(mount, user)
  const { erase, list } = plugin.commands
  await assert.rejects(erase.run([id]), { code: 'invalid', message: /Nothing was erased/ })
  await assert.rejects(erase.run([id, 'x']), { code: 'invalid' })
  await assert.rejects(erase.run(['x', 'x']), { code: 'missing' })
  await assert.rejects(erase.run([id, id]), { code: 'failed', message: /not known on which node/ })
  views.push(view(user, '', 'node2'))
  await assert.rejects(erase.run([id, id]), { code: 'conflict', message: /Stop it first/ })
  views.length = 0
  await plugin.commands.place.run([id, 'node2'])
  await assert.rejects(erase.run([id, id]), { code: 'unavailable' }, 'there is no engine')
  assert.match(list.run(), new RegExp(id), 'what could not be erased is still there')
})
