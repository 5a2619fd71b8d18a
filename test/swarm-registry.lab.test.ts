import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Handle, Spawner, Status } from 'swarmhub'
import { docker } from './lab/docker.ts'
import { noLab } from './lab/lab.ts'
import { pushed, registryOn } from './lab/registry.ts'
import { fakeContext } from './roles/spawn.ts'
import { on, onSwarm } from './swarm-lab.ts'

test('an image that only a registry has is pinned, pulled where it runs, and keeps its own command', { skip: noLab }, async t => {
  const hub = await onSwarm(t)
  const { spawner, start, until, manager, worker } = hub
  const image = await pushed(t, [manager, worker], hub.images.base, await registryOn(t, manager))
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

test('a registry with a password: the image is pinned and pulled where it runs, and the password stands nowhere', {
  skip: noLab,
}, async t => {
  const password = `canary-${randomBytes(8).toString('hex')}`
  const { manager } = await onSwarm(t)
  const registry = await registryOn(t, manager, password)
  const hub = await onSwarm(t, { registries: { [registry]: { username: 'hub', password } } })
  const image = await pushed(t, [hub.manager, hub.worker], hub.images.base, registry, password)
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
  const image = await pushed(t, [plain.manager, plain.worker], plain.images.base, registry, password)
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
