import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cause, Mount, MountSpec, Storage, User } from 'swarmhub'
import { type NfsOptions, nfs } from '../plugins/nfs/index.ts'
import { swarm } from '../plugins/swarm/index.ts'
import { run } from './lab/command.ts'
import { dockerEnv } from './lab/docker.ts'
import { noLab } from './lab/lab.ts'
import { type Machine, noMachine, startMachine } from './lab/uml.ts'
import { fakeHub } from './roles/hub.ts'
import { testMount } from './roles/mount.ts'
import { fakeContext, fakeSpawn, somebody } from './roles/spawn.ts'

const skip = noLab || (await noMachine())

let machine: Machine
before(async () => {
  if (!skip) machine = await startMachine()
})
after(() => machine?.stop())

const image = 'busybox:1.37'
const target = '/home/jovyan/work'
const owner = { uid: 4321, gid: 100 }
const engine = () => ({ host: machine.address, port: 2375 })
const docker = (...args: string[]) => run('docker', ['-H', `tcp://${machine.address}:2375`, ...args], { env: dockerEnv() })

const homes = (more: Partial<NfsOptions> = {}): NfsOptions => ({
  docker: engine(),
  server: machine.address,
  path: user => `/homes/${user.slug}`,
  target,
  owner,
  mode: 0o750,
  ...more,
})

type Hub = ReturnType<typeof fakeHub>
type Test = Parameters<typeof fakeHub>[0]

const hubOf = (t: Test) => fakeHub(t, { id: `hub-${randomBytes(4).toString('hex')}` })

async function mountOf(hub: Hub, options: NfsOptions) {
  const plugin = nfs(options)
  await plugin.setup(hub)
  return plugin.mount satisfies Mount
}

const attach = (mount: Mount, user: User): Promise<MountSpec[]> =>
  Promise.resolve(mount.attach({ ...fakeSpawn('h', user) }, fakeContext()))

/** One life of a server of this user with these mounts: what it says, or why it did not start. */
async function life(t: Test, user: User, mounts: MountSpec[], script: string): Promise<string[] | Cause> {
  const ctx = fakeContext()
  const { spawner, setup } = swarm({ docker: engine() })
  await setup(hubOf(t))
  const { draft } = fakeSpawn('h', user)
  const command = ['sh', '-c', `(${script}) 2>&1; echo END; exec sleep 1000`]
  Object.assign(draft, { image, runAs: '4321:100', stopGrace: 100, command, mounts })
  const handle = await spawner.start(draft, ctx)
  try {
    for (;;) {
      const status = await spawner.poll(handle, ctx)
      if (status.state === 'gone') return status.cause
      if (status.state === 'running') break
      await sleep(200)
    }
    const said: string[] = []
    for await (const line of spawner.logs(handle, ctx)) {
      if (line === 'END') break
      said.push(line)
    }
    return said
  } finally {
    await spawner.stop(handle, ctx)
  }
}

/** Why the folder cannot be made, and how long it took to know, in milliseconds. */
async function refusal(mount: Mount): Promise<Cause & { ms: number }> {
  const begun = performance.now()
  const error = await attach(mount, somebody()).then(
    () => assert.fail('it was made'),
    error => error,
  )
  assert.equal(error.code, 'failed')
  return { ...error.details, ms: performance.now() - begun }
}

testMount('nfs, for real', async t => ({ mount: await mountOf(hubOf(t), homes({ create: false })), hub: 'test-hub' }), {
  skip: noLab,
})

test('a new user’s folder is made for its owner, and a file in it outlives server, volume and hub', { skip }, async t => {
  const user = somebody()
  const hub = hubOf(t)
  const prepare = ['sh', '-c', 'echo welcome > README; chown 4321:100 README']
  const mounts = await attach(await mountOf(hub, homes({ prepare })), user)
  const look = `cat ${target}/README; stat -c '%u:%g %a' ${target}`
  assert.deepEqual(await life(t, user, mounts, `${look}; echo again > ${target}/README; mount | grep -c 'type nfs4'`), [
    ...['welcome', '4321:100 750', '1'],
  ])
  // As on another node, which has no such volume yet.
  let gone = false
  for (let tries = 0; !gone && tries < 50; tries++) {
    gone = await docker('volume', 'rm', mounts[0]!.source!).then(
      () => true,
      () => sleep(200, false),
    )
  }
  assert.ok(gone)
  // Made once, the engine is not asked any more: here there is none.
  assert.deepEqual(await attach(await mountOf(hub, homes({ docker: '/nonexistent/docker.sock' })), user), mounts)
  // Another hub makes nothing new of it, whatever it would make.
  await attach(await mountOf(hubOf(t), homes({ owner: { uid: 1, gid: 1 }, mode: 0o777 })), user)
  assert.deepEqual(await life(t, user, mounts, look), ['again', '4321:100 750'])
})

test('NFS 3 the same', { skip }, async t => {
  const user = somebody()
  const path = ({ slug }: User) => `/srv/export/homes/${slug}`
  const mounts = await attach(await mountOf(hubOf(t), homes({ version: 3, path })), user)
  const script = `stat -c '%u:%g %a' ${target}; echo x > ${target}/file; mount | grep ' ${target} ' | grep -o ,vers=3`
  assert.deepEqual(await life(t, user, mounts, script), ['4321:100 750', ',vers=3'])
})

test('an export that is not there, or lets nobody be root, ends in its cause', { skip }, async t => {
  const missing = await refusal(await mountOf(hubOf(t), homes({ path: ({ slug }) => `/nothing/${slug}` })))
  assert.equal(missing.code, 'mount')
  assert.match(missing.message, /does not have the folder/)
  assert.match(missing.engine ?? '', /no such file or directory/)
  const squashed = await refusal(await mountOf(hubOf(t), homes({ path: ({ slug }) => `/squashed/${slug}` })))
  assert.match(squashed.message, /does not allow to make or change/)
  assert.match(squashed.engine ?? '', /Permission denied|not permitted/)
  const user = somebody()
  const late = await life(
    t,
    user,
    await attach(await mountOf(hubOf(t), homes({ path: '/nothing', create: false })), user),
    'true',
  )
  assert.equal((late as Cause).code, 'mount')
})

test('a file server that is dead ends in its cause within the time-out', { skip }, async t => {
  const [refuses, silent] = await Promise.all([
    refusal(await mountOf(hubOf(t), homes({ server: machine.host }))),
    refusal(await mountOf(hubOf(t), homes({ server: '192.0.2.1', deadline: '12s' }))),
  ])
  for (const { code, message } of [refuses, silent]) {
    assert.equal(code, 'mount')
    assert.match(message, /does not answer/)
  }
})

test('the inventory measures; what is erased is gone, and made again once a mount has failed', { skip }, async t => {
  const user = somebody()
  const hub = hubOf(t)
  const mount = await mountOf(hub, homes())
  await life(t, user, await attach(mount, user), `head -c 500000 /dev/urandom > ${target}/big`)
  let last: Storage | undefined
  for await (const storage of mount.inventory(fakeContext())) last = storage
  const { id, owner, where, used = 0 } = last!
  assert.deepEqual([owner, where], [user.slug, `${machine.address}:/homes/${user.slug}`])
  assert.ok(used >= 500_000 && used < 550_000, String(used))
  await mount.erase({ id }, fakeContext())
  const begun: string[] = []
  const spawn = fakeSpawn('h', user)
  await mount.attach(spawn, { ...fakeContext(), progress: message => void begun.push(message) })
  assert.deepEqual(begun, ['Making the folder for your files'])
  // With no engine to ask: only what is remembered is there.
  const offline = await mountOf(hub, homes({ docker: '/nonexistent/docker.sock' }))
  await attach(offline, user)
  const stop = { user, server: spawn.server, generation: 'g', reason: 'failed' } as const
  await offline.detach({ ...stop, cause: { code: 'exited', message: 'It ended.' } })
  await attach(offline, user)
  await offline.detach({ ...stop, cause: { code: 'mount', message: 'It could not be mounted.' } })
  await assert.rejects(attach(offline, user), { code: 'unavailable' })
  assert.equal((await docker('service', 'ls', '-q')).trim(), '')
})
