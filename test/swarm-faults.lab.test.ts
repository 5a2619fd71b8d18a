import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { command, password } from './hostile.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { endSwarm, type Node, ownSwarm, startNodeEngine, stopNodeEngine } from './lab/swarm.ts'
import { until, upgrade } from './roles/loopback.ts'
import { startHub } from './running-hub.ts'

const config = (manager: Node, image: string) => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, swarm } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: ${JSON.stringify(password)} })],
  access: { everyone: true },
  spawner: swarm({ docker: ${JSON.stringify(manager.socket)}, refresh: '1s' }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { poll: '1s', slow: '30s', hook: '5s' },
  profiles: ['worker', 'manager'].map(kind => ({
    name: kind, label: kind, image: ${JSON.stringify(image)}, command: ${JSON.stringify(['node', ...command.slice(1)])},
    placement: { constraints: ['node.labels.kind==' + kind] },
  })),
})
`

test('the manager’s engine is stopped for a while: a WebSocket to the other node lives, nothing is started, lost or doubled', {
  skip: noLab,
}, async t => {
  const shared = await lab()
  const own = await ownSwarm(shared, 2)
  const [manager] = own.nodes as [Node]
  t.after(async () => {
    await endSwarm(own)
  })
  const hub = await startHub(t, config(manager, shared.images.node))
  await hub.printed(/swarmhub is at/, 60_000)
  const api = async (user: string, method: string, path: string, body?: object) => {
    const made = await fetch(`${hub.origin}/hub/api/users/${user}/tokens`, {
      method: 'POST',
      body: JSON.stringify({ auth: { username: user, password }, scopes: ['inherit'] }),
    })
    const { token } = (await made.json()) as { token: string }
    const reply = await fetch(`${hub.origin}/hub/api${path}`, {
      method,
      headers: { authorization: `token ${token}` },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await reply.text()
    return { status: reply.status, json: text === '' ? undefined : JSON.parse(text) }
  }
  const started = await api('alice', 'POST', '/users/alice/server', { profile: 'worker' })
  assert.ok([201, 202].includes(started.status), JSON.stringify(started))
  const isReady = (user: string) => api(user, 'GET', `/users/${user}/server`).then(({ json }) => json.ready === true)
  await until(() => isReady('alice'))
  const before = await docker(manager, 'service', 'ls', '-q')

  const { socket } = await upgrade(t, Number(new URL(hub.origin).port), '/user/alice/say')
  let word = 0
  const echoes = async (socket: Socket) => {
    const said = `word ${++word};`
    let heard = ''
    socket.write(said)
    while (!heard.includes(said)) heard += String((await once(socket, 'data', { signal: AbortSignal.timeout(10_000) }))[0])
  }
  await echoes(socket)

  await stopNodeEngine(manager)
  await hub.printed(/engine cannot be asked/, 30_000)
  const refused = await api('bob', 'POST', '/users/bob/server', { profile: 'worker' })
  assert.equal(refused.status, 503, JSON.stringify(refused))
  for (let i = 0; i < 10; i++) {
    await echoes(socket)
    await sleep(1000)
  }
  assert.ok(await isReady('alice'), 'what cannot be asked is not taken for gone')

  await startNodeEngine(manager)
  await hub.printed(/engine answers again/, 60_000)
  await echoes(socket)
  await until(async () => [201, 202, 400].includes((await api('bob', 'POST', '/users/bob/server', { profile: 'worker' })).status))
  await until(() => isReady('bob'))
  await echoes(socket)
  assert.ok(await isReady('alice'))
  const services = (await docker(manager, 'service', 'ls', '-q')).split('\n')
  assert.equal(services.length, 2)
  assert.ok(services.includes(before), 'the same service as before')
})
