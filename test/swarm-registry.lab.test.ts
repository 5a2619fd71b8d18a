import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Handle, Spawner, Status } from 'swarmhub'
import { run } from './lab/command.ts'
import { installed } from './lab/debian.ts'
import { docker, dockerEnv } from './lab/docker.ts'
import { noLab } from './lab/lab.ts'
import type { Node } from './lab/swarm.ts'
import { fakeContext } from './roles/spawn.ts'
import { on, onSwarm } from './swarm-lab.ts'

/** A registry on a node, for all nodes to reach; with a password, for nobody else. Gives `host:port`. */
async function registryOn(t: TestContext, node: Node, password?: string): Promise<string> {
  await installed('docker-registry')
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-registry-'))
  const at = `${node.address}:${5000 + randomInt(1000)}`
  const path = join(folder, 'htpasswd')
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: at },
    ...(password !== undefined && { auth: { htpasswd: { realm: 'lab', path } } }),
  }
  if (password !== undefined) {
    const hash = ['-e', 'print crypt($ARGV[0], q($2b$05$) . "abcdefghijklmnopqrstuu")', password]
    await writeFile(path, `hub:${await run('perl', hash)}\n`)
  }
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const server = spawn('nsenter', [`--net=/run/netns/${node.netns}`, 'docker-registry', 'serve', join(folder, 'config.yml')], {
    stdio: 'ignore',
  })
  t.after(async () => {
    server.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://${at}/v2/`).catch(() => undefined)
    if (answer?.ok || answer?.status === 401) return at
    assert.ok(tries < 100, 'no registry')
    await sleep(100)
  }
}

test('an image that only a registry has is pinned, pulled where it runs, and keeps its own command', { skip: noLab }, async t => {
  const hub = await onSwarm(t)
  const { spawner, start, until, manager, worker } = hub
  const image = await pushed(t, hub, await registryOn(t, manager))
  const { handle } = await start({ image, ...on(worker) })
  const format = '{{.Spec.TaskTemplate.ContainerSpec.Image}}'
  const service = String(handle.service)
  assert.match(await docker(manager, 'service', 'inspect', '-f', format, service), /^[\d.]+:\d+\/own-.{6}:1@sha256:[0-9a-f]{64}$/)
  assert.equal((await until(handle, 'running')).node, worker.name)
  for await (const line of spawner.logs!(handle, fakeContext())) {
    assert.equal(line, 'the image’s own command')
    break
  }
  // A second start has it all at hand.
  await spawner.stop(handle, fakeContext())
  const again = await start({ image, ...on(worker) })
  await until(again.handle, 'running')
})

/** An image that only this registry has, whose own command says a line. Gives its name. */
async function pushed(t: TestContext, { manager, worker, images }: Lab, registry: string, password?: string): Promise<string> {
  const image = `${registry}/own-${randomBytes(3).toString('hex')}:1`
  const made = await docker(manager, 'create', images.base)
  await docker(manager, 'commit', '--change', 'CMD ["sh", "-c", "echo the image’s own command; exec sleep 1000"]', made, image)
  await docker(manager, 'rm', made)
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-docker-'))
  const env = { ...dockerEnv(), DOCKER_CONFIG: folder }
  const command = ['-H', `unix://${manager.socket}`]
  if (password !== undefined)
    await run('docker', [...command, 'login', '-u', 'hub', '--password-stdin', registry], { env, input: password })
  await run('docker', [...command, 'push', image], { env })
  await rm(folder, { recursive: true })
  await docker(manager, 'rmi', image)
  t.after(async () => {
    for (const node of [manager, worker]) {
      const ids = await docker(node, 'images', '-q', image.replace(/:1$/, ''))
      if (ids) await docker(node, 'rmi', '--force', ...new Set(ids.split('\n')))
    }
  })
  return image
}
type Lab = Awaited<ReturnType<typeof onSwarm>>

test('a registry with a password: the image is pinned and pulled where it runs, and the password stands nowhere', {
  skip: noLab,
}, async t => {
  const password = `canary-${randomBytes(8).toString('hex')}`
  const { manager } = await onSwarm(t)
  const registry = await registryOn(t, manager, password)
  const hub = await onSwarm(t, { registries: { [registry]: { username: 'hub', password } } })
  const image = await pushed(t, hub, registry, password)
  const { handle } = await hub.start({ image, ...on(hub.worker) })
  await hub.until(handle, 'running')
  const told = [
    await docker(manager, 'service', 'inspect', String(handle.service)),
    await docker(
      manager,
      'inspect',
      '--type',
      'task',
      ...(await docker(manager, 'service', 'ps', '-q', String(handle.service))).split('\n'),
    ),
  ].join('\n')
  assert.match(told, /@sha256:[0-9a-f]{64}/)
  assert.ok(!told.includes(password) && !told.includes(Buffer.from(password).toString('base64').slice(0, 20)))
})

test('a registry that does not accept the password, or wants one, is the cause; an image that it does not have is another', {
  skip: noLab,
}, async t => {
  const password = `right-${randomBytes(4).toString('hex')}`
  const wrong = `canary-${randomBytes(8).toString('hex')}`
  const plain = await onSwarm(t)
  const registry = await registryOn(t, plain.manager, password)
  const image = await pushed(t, plain, registry, password)
  const credentials = (password: string) => ({ registries: { [registry]: { username: 'hub', password } } })
  for (const [options, named, code, says] of [
    [credentials(wrong), image, 'registry-auth', /does not accept the name and password/],
    [{}, image, 'registry-auth', /without a password/],
    [credentials(password), `${registry}/nothing:1`, 'no-image', /has no image/],
    [{}, '127.0.0.1:9/nothing:1', 'no-image', /cannot be asked/],
  ] as const) {
    const { start, spawner, worker } = await onSwarm(t, options)
    const { handle } = await start({ image: named, ...on(worker) })
    const { cause } = await ended(spawner, handle)
    assert.equal(cause.code, code, JSON.stringify(cause))
    assert.match(cause.message, says)
    assert.ok(!JSON.stringify(cause).includes(wrong))
    await spawner.stop(handle, fakeContext())
  }
})

async function ended(spawner: Spawner, handle: Handle): Promise<Extract<Status, { state: 'gone' }>> {
  for (;;) {
    const status = await spawner.poll(handle, fakeContext())
    if (status.state === 'gone') return status
    await sleep(100)
  }
}

test('an image that only another node has is started by the usual script that is in it', { skip: noLab }, async t => {
  const { spawner, start, until, worker, images } = await onSwarm(t)
  const image = `only-there-${randomBytes(3).toString('hex')}:1`
  const made = await docker(worker, 'create', images.base)
  const script = '#!/bin/sh\necho "usual, with a token of $(printf %s "$JUPYTERHUB_API_TOKEN" | wc -c)"; exec sleep 1000\n'
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-image-'))
  await writeFile(join(folder, 'start-notebook.sh'), script, { mode: 0o755 })
  await docker(worker, 'cp', join(folder, 'start-notebook.sh'), `${made}:/usr/local/bin/start-notebook.sh`)
  await docker(worker, 'commit', '--change', 'CMD ["never"]', made, image)
  await docker(worker, 'rm', made)
  t.after(async () => {
    await rm(folder, { recursive: true })
    await docker(worker, 'rmi', '--force', image)
  })
  const { handle } = await start({ image, ...on(worker) })
  await until(handle, 'running')
  for await (const line of spawner.logs!(handle, fakeContext())) {
    assert.equal(line, 'usual, with a token of 32')
    break
  }
})

test('an image whose all is in the ENTRYPOINT gets its token, too', { skip: noLab }, async t => {
  const { spawner, start, until, manager, images } = await onSwarm(t)
  const image = `entrypoint-${randomBytes(3).toString('hex')}:1`
  const made = await docker(manager, 'create', images.base)
  const entrypoint = JSON.stringify([
    'sh',
    '-c',
    'echo "$# arguments, a token of $(printf %s "$JUPYTERHUB_API_TOKEN" | wc -c)"; exec sleep 1000',
    'sh',
  ])
  await docker(manager, 'commit', '--change', 'CMD []', '--change', `ENTRYPOINT ${entrypoint}`, made, image)
  await docker(manager, 'rm', made)
  t.after(() => docker(manager, 'rmi', '--force', image))
  const { handle } = await start({ image, ...on(manager) })
  await until(handle, 'running')
  for await (const line of spawner.logs!(handle, fakeContext())) {
    assert.equal(line, '0 arguments, a token of 32')
    break
  }
})
