import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './command.ts'
import { installed } from './debian.ts'
import { docker, dockerEnv } from './docker.ts'
import type { Node } from './swarm.ts'

/** A registry on a node, for all nodes to reach; with a password, for nobody else. Gives `host:port`. */
export async function registryOn(t: TestContext, node: Node, password?: string): Promise<string> {
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

/** An image that only this registry has, whose own command says a line. Gives its name. */
export async function pushed(t: TestContext, nodes: Node[], from: string, registry: string, password?: string): Promise<string> {
  const image = `${registry}/own-${randomBytes(3).toString('hex')}:1`
  const [manager] = nodes as [Node]
  const made = await docker(manager, 'create', from)
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
    for (const node of nodes) {
      const ids = await docker(node, 'images', '-q', image.replace(/:1$/, ''))
      if (ids) await docker(node, 'rmi', '--force', ...new Set(ids.split('\n')))
    }
  })
  return image
}
