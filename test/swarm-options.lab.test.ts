import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerSpec } from 'swarmhub'
import { docker } from './lab/docker.ts'
import { noLab } from './lab/lab.ts'
import { fakeContext } from './roles/spawn.ts'
import { on, onSwarm } from './swarm-lab.ts'

/** What a shell in a running server of this spec says, line by line. */
async function told(t: TestContext, script: string, lines: number, more: (hub: Hub) => Partial<ServerSpec>): Promise<string[]> {
  const hub = await onSwarm(t)
  const { handle } = await hub.start({
    image: hub.images.base,
    ...on(hub.manager),
    command: ['sh', '-c', `${script}; exec sleep 1000`],
    ...more(hub),
  })
  await hub.until(handle, 'running')
  const said: string[] = []
  for await (const line of hub.spawner.logs!(handle, fakeContext())) if (said.push(line) === lines) break
  return said
}
type Hub = Awaited<ReturnType<typeof onSwarm>>

test('swarm options: user, groups, folder, processes, limits of the shell, shared memory hold in the container', {
  skip: noLab,
}, async t => {
  const script =
    'id -u; id -g; id -G; pwd; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1 | awk "{print \\$2}"'
  const said = await told(t, script, 8, () => ({
    runAs: '1234:100',
    supplementaryGroups: ['2345'],
    workdir: '/tmp',
    pids: 77,
    ulimits: { nofile: { soft: 100, hard: 200 } },
    shm: 32 * 2 ** 20,
    secrets: {},
  }))
  assert.deepEqual(said, ['1234', '100', '100 2345', '/tmp', '77', '100', '200', '32768'])
})

test('swarm options: memory and cpus are limits of the container', { skip: noLab }, async t => {
  // Version 2 of cgroups, or version 1.
  const memory = 'cat memory.max memory/memory.limit_in_bytes 2>/dev/null'
  const cpus = 'cat cpu.max cpu/cpu.cfs_quota_us 2>/dev/null'
  const said = await told(t, `cd /sys/fs/cgroup; ${memory}; ${cpus}`, 2, () => ({ memory: 64 * 2 ** 20, cpus: 0.5 }))
  assert.deepEqual(
    said.map(line => line.split(' ')[0]),
    [String(64 * 2 ** 20), '50000'],
  )
})

test('swarm options: configs and secrets that the profile names are files, and secrets stand nowhere that Docker tells', {
  skip: noLab,
}, async t => {
  const id = randomBytes(4).toString('hex')
  const secret = `canary-${id}`
  const script = `cat /etc/course.json; echo; cat /run/secrets/key-${id}; echo; stat -c "%u %g %a" /run/secrets/key-${id}`
  const hub = await onSwarm(t)
  const folder = await mkdtemp(join(tmpdir(), 'files-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'config'), '{"course":"physics"}')
  await writeFile(join(folder, 'secret'), secret)
  await docker(hub.manager, 'config', 'create', `course-${id}`, join(folder, 'config'))
  await docker(hub.manager, 'secret', 'create', `key-${id}`, join(folder, 'secret'))
  await docker(hub.manager, 'secret', 'create', `key-${id}-longer`, join(folder, 'config'))
  t.after(async () => {
    await docker(hub.manager, 'config', 'rm', `course-${id}`)
    await docker(hub.manager, 'secret', 'rm', `key-${id}`, `key-${id}-longer`)
  })
  const file = { uid: 0, gid: 0, mode: 0o444 }
  const { handle } = await hub.start({
    image: hub.images.base,
    ...on(hub.manager),
    command: ['sh', '-c', `${script}; exec sleep 1000`],
    configs: [{ ...file, name: `course-${id}`, target: '/etc/course.json' }],
    secretFiles: [{ name: `key-${id}`, uid: 1000, gid: 100, mode: 0o440 }],
  })
  // A service goes before what it uses.
  t.after(() => hub.spawner.stop(handle, fakeContext()))
  await hub.until(handle, 'running')
  const said: string[] = []
  for await (const line of hub.spawner.logs!(handle, fakeContext())) if (said.push(line) === 3) break
  assert.deepEqual(said, ['{"course":"physics"}', secret, '1000 100 440'])
  assert.ok(!(await docker(hub.manager, 'service', 'inspect', String(handle.service))).includes(secret))
  await assert.rejects(
    hub.start({ image: hub.images.base, secretFiles: [{ ...file, name: `key-${id}-no` }] }),
    /The Swarm has no secret key-.*-no, which this profile needs/,
  )
})

test('swarm options: what fails is started again as often as the profile says, and then it is over', { skip: noLab }, async t => {
  const hub = await onSwarm(t)
  const { handle } = await hub.start({
    image: hub.images.base,
    ...on(hub.manager),
    command: ['sh', '-c', 'exit 3'],
    restart: { attempts: 2, delay: 100, window: 600_000 },
  })
  const seen = new Set<string>()
  for (;;) {
    const status = await hub.spawner.poll(handle, fakeContext())
    seen.add(status.state)
    if (status.state === 'gone') {
      assert.equal(status.cause.exitCode, 3)
      break
    }
    await sleep(50)
  }
  assert.ok(seen.has('starting'))
  const tasks = await docker(hub.manager, 'service', 'ps', '-q', String(handle.service))
  assert.equal(tasks.split('\n').length, 3, 'the first and two more')
})

test('swarm options: what its user has shut down is not started again', { skip: noLab }, async t => {
  const hub = await onSwarm(t)
  const { handle } = await hub.start({
    image: hub.images.base,
    ...on(hub.manager),
    command: ['sh', '-c', 'exit 0'],
    restart: { attempts: 5, delay: 100, window: 600_000 },
  })
  for (;;) {
    const status = await hub.spawner.poll(handle, fakeContext())
    if (status.state === 'gone') {
      assert.equal(status.cause.code, 'exited')
      assert.equal(status.cause.exitCode, 0)
      break
    }
    await sleep(50)
  }
  await sleep(500)
  assert.equal((await docker(hub.manager, 'service', 'ps', '-q', String(handle.service))).split('\n').length, 1)
})

test('swarm options: a health check of the profile ends what is not well; the image’s own is off unless it is asked for', {
  skip: noLab,
}, async t => {
  const hub = await onSwarm(t)
  const sick = { every: 1000, deadline: 1000, retries: 1, startPeriod: 0 }
  const { handle } = await hub.start({
    image: hub.images.base,
    ...on(hub.manager),
    command: ['sleep', '1000'],
    healthCheck: { ...sick, command: ['false'] },
  })
  for (;;) {
    const status = await hub.spawner.poll(handle, fakeContext())
    if (status.state === 'gone') {
      assert.match(status.cause.engine ?? '', /unhealthy|health/i)
      break
    }
    await sleep(100)
  }
})

test('swarm options: preferences, platforms, generic resources, log driver and grace reach the service', {
  skip: noLab,
}, async t => {
  const hub = await onSwarm(t)
  const { handle } = await hub.start({
    image: hub.images.base,
    command: ['sleep', '1000'],
    placement: { spread: ['node.labels.kind'], platforms: ['linux/amd64', 'linux/x86_64'] },
    log: { driver: 'json-file', options: { 'max-size': '1m' } },
    stopGrace: 3000,
  })
  await hub.until(handle, 'running')
  const [service] = JSON.parse(await docker(hub.manager, 'service', 'inspect', String(handle.service)))
  const { Placement, LogDriver, ContainerSpec } = service.Spec.TaskTemplate
  assert.deepEqual(Placement.Preferences, [{ Spread: { SpreadDescriptor: 'node.labels.kind' } }])
  assert.deepEqual(Placement.Platforms[0], { OS: 'linux', Architecture: 'amd64' })
  assert.deepEqual(LogDriver, { Name: 'json-file', Options: { 'max-size': '1m' } })
  assert.equal(ContainerSpec.StopGracePeriod, 3e9)
  const lacking = await hub.start({ image: hub.images.base, command: ['sleep', '1000'], resources: { gpu: 1 } })
  for (;;) {
    const status = await hub.spawner.poll(lacking.handle, fakeContext())
    if (status.state === 'gone') {
      assert.equal(status.cause.code, 'no-node')
      break
    }
    await sleep(100)
  }
})

test('swarm options: no server joins a network of the host, or that of published ports', { skip: noLab }, async t => {
  const hub = await onSwarm(t)
  for (const network of ['host', 'bridge', 'none', 'docker_gwbridge', 'ingress'])
    await assert.rejects(hub.start({ image: hub.images.base, networks: [network] }), {
      message: `The Swarm has no network ${network}.`,
    })
})
