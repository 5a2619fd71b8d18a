import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { command, password } from './hostile.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { until } from './roles/loopback.ts'

test('on a network of a few addresses a user’s old URL and WebSocket never reach another user at a re-used address', {
  skip: noLab,
}, async t => {
  const { nodes, images } = await lab()
  const [manager] = nodes as [(typeof nodes)[0]]
  const name = `few-${randomBytes(3).toString('hex')}`
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-few-'))
  const text = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, overlay, swarm } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: ${JSON.stringify(password)}, allowPublic: true })],
  access: { everyone: true },
  networks: [overlay({ docker: '/docker.sock', name: ${JSON.stringify(name)} })],
  spawner: swarm({ docker: '/docker.sock', prefix: ${JSON.stringify(`${name}-`)}, network: 'overlay', refresh: '1s', stopGrace: '1s' }),
  proxy: httpProxy({ port: 8000 }),
  timeouts: { slow: '30s' },
  profiles: [{
    name: 'only', label: 'Only', image: ${JSON.stringify(images.node)}, command: ${JSON.stringify(['node', ...command.slice(1)])},
    placement: { constraints: ['node.labels.kind==manager'] },
  }],
})
`
  await writeFile(join(folder, 'hub.config.ts'), text)
  await docker(
    manager,
    ...['network', 'create', '--driver', 'overlay', '--attachable', '--subnet', `10.254.${randomBytes(1)[0]}.0/29`, name],
  )
  t.after(async () => {
    const left = await docker(manager, 'service', 'ls', '-q', '--filter', `name=${name}-`)
    if (left !== '') await docker(manager, 'service', 'rm', ...left.split('\n'))
    await docker(manager, 'rm', '--force', name).catch(() => {})
    for (let tries = 0; tries < 100; tries++) {
      if (await docker(manager, 'network', 'rm', name).then(Boolean, () => false)) break
      await sleep(200)
    }
    await rm(folder, { recursive: true, force: true })
  })
  // The same paths in the container as here.
  const binds = [...new Set([process.cwd(), await realpath('node_modules')])].map(path => `${path}:${path}:ro`)
  const volumes = [...binds, `${folder}:${folder}`, `${manager.socket}:/docker.sock`].flatMap(bind => ['-v', bind])
  await docker(
    manager,
    ...[
      'run',
      '-d',
      '--name',
      name,
      '--network',
      name,
      '-p',
      '8000',
      '-w',
      folder,
      '-e',
      'HOME=/tmp',
      '-e',
      'SWARMHUB_ALLOW_DUMMY=1',
      ...volumes,
      images.node,
    ],
    ...['node', join(process.cwd(), 'dist/core/main.js'), 'start'],
  )
  const port = Number((await docker(manager, 'port', name, '8000')).split('\n')[0]?.split(':').at(-1))
  const origin = `http://${manager.address}:${port}`
  const get = async (path: string) => {
    const reply = await fetch(origin + path, { redirect: 'manual', signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    return { status: reply?.status ?? 0, text: (await reply?.text()) ?? '' }
  }
  await until(async () => (await get('/hub/health')).status === 200).catch(async error =>
    assert.fail(`${error}\n${await docker(manager, 'logs', '--tail', '40', name)}`),
  )
  const tokens = new Map<string, string>()
  const server = async (user: string, method: string) => {
    if (!tokens.has(user)) {
      const body = JSON.stringify({ auth: { username: user, password }, scopes: ['inherit'] })
      const made = await fetch(`${origin}/hub/api/users/${user}/tokens`, { method: 'POST', body })
      tokens.set(user, ((await made.json()) as { token: string }).token)
    }
    const headers = { authorization: `token ${tokens.get(user)}` }
    const reply = await fetch(`${origin}/hub/api/users/${user}/server`, { method, headers })
    return { status: reply.status, text: await reply.text() }
  }
  const start = async (user: string) => {
    const begun = await server(user, 'POST')
    assert.ok(begun.status < 300, begun.text)
    await until(async () => (await get(`/user/${user}/`)).text.startsWith(`notebook of ${user}`))
    const id = await docker(
      manager,
      'service',
      'ls',
      '-q',
      '--filter',
      `label=org.swarmhub.user=${user}`,
      '--filter',
      `name=${name}-`,
    )
    const task = await docker(manager, 'service', 'ps', '-q', '--filter', 'desired-state=running', id)
    return docker(manager, 'inspect', '--type', 'task', '-f', '{{(index .NetworksAttachments 0).Addresses}}', task)
  }

  const were = new Set<string>()
  let again = 0
  for (let round = 0; again === 0 && round < 8; round++) {
    were.add(await start('alice'))
    const asked = request(`${origin}/user/alice/say`, { headers: { connection: 'Upgrade', upgrade: 'websocket' } }).end()
    const [, socket] = await once(asked, 'upgrade')
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data)).on('error', () => {})
    await server('alice', 'DELETE')
    await until(async () => (await server('alice', 'GET')).text.includes('"stopped":true'))
    if (were.has(await start('bob'))) again++
    if (!socket.destroyed) socket.write('from alice')
    for (let tries = 0; tries < 5; tries++) {
      const { status, text } = await get('/user/alice/')
      assert.ok(status >= 300 && !text.includes('notebook of'), `${status} ${text}`)
    }
    assert.ok(!heard.includes('from alice'), 'nobody answers on the old WebSocket')
    assert.match((await get('/user/bob/')).text, /^notebook of bob/)
    await server('bob', 'DELETE')
    await until(async () => (await server('bob', 'GET')).text.includes('"stopped":true'))
  }
  assert.ok(again > 0, `an address was used again: ${[...were].join()}`)
})
