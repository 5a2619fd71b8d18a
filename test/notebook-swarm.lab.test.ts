import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './lab/command.ts'
import { docker, dockerEnv } from './lab/docker.ts'
import { buildImage } from './lab/images.ts'
import { kernel } from './lab/jupyter.ts'
import { type Lab, lab, noLab } from './lab/lab.ts'
import { type Visitor, visitor } from './visitor.ts'

const image = 'swarmhub:test'
const stack = `hubtest-${randomBytes(3).toString('hex')}`

const config = `
import { defineConfig, env } from 'swarmhub'
import { httpProxy, local, localVolume, overlay, swarm } from 'swarmhub/plugins'
const image = env('NOTEBOOK_IMAGE')
export default defineConfig({
  authenticators: [local()],
  access: { everyone: true },
  networks: [overlay({ name: 'swarmhub' })],
  mounts: [localVolume({ target: '/home/jovyan/work' })],
  spawner: swarm(),
  proxy: httpProxy({ port: 8000 }),
  profiles: [
    { name: 'notebook', label: 'Notebook', image, env: { JUPYTERHUB_SINGLEUSER_APP: 'notebook.notebookapp.NotebookApp' } },
    { name: 'missing', label: 'No such image', image: 'swarmhub-lab/no-such-image:1' },
    { name: 'nowhere', label: 'Fits no node', image, placement: { constraints: ['node.labels.gpu == none-has-it'] } },
    { name: 'exits', label: 'Exits with 1', image: 'swarmhub-lab/exits:1' },
    { name: 'silent', label: 'Never answers', image: 'swarmhub-lab/silent:1' },
  ],
  timeouts: { poll: '3s', answer: '8s', start: '20s' },
})
`

/** The hub as an admin deploys it: built from the Dockerfile, by deploy/stack.yml, on the Swarm's manager. */
async function deploy(t: TestContext, { nodes: [manager], images }: Lab) {
  assert.ok(manager)
  const folder = await mkdtemp(join(tmpdir(), 'stack-'))
  /** This hub's services or secrets, all or one user's: other hubs may share the Swarm. */
  const ours = async (what: 'service' | 'secret', user?: string) => {
    const { id } = JSON.parse(await inHub('cat', '/srv/swarmhub/data/hub.json')) as { id: string }
    const filters = [`label=org.swarmhub.hub=${id}`, ...(user === undefined ? [] : [`label=org.swarmhub.user=${user}`])]
    const found = await docker(manager, what, 'ls', '-q', ...filters.flatMap(filter => ['--filter', filter]))
    return found === '' ? [] : found.split('\n')
  }
  await writeFile(join(folder, 'hub.config.ts'), config)
  await docker(manager, 'secret', 'rm', 'swarmhub-route-token').catch(() => {})
  await run('docker', ['-H', `unix://${manager.socket}`, 'secret', 'create', 'swarmhub-route-token', '-'], {
    env: dockerEnv(),
    input: randomBytes(32).toString('hex'),
  })
  t.after(async () => {
    for (const name of ['hub', 'front']) {
      await writeFile(
        join('artefacts', `stack-${name}.log`),
        await docker(manager, 'service', 'logs', '--raw', `${stack}_${name}`).catch(String),
      )
    }
    for (const what of ['service', 'secret'] as const) {
      const left = await ours(what)
      for (let i = 0; left.length > 0 && i < 20; i++) {
        // A secret is in use until its task is gone.
        if (
          await docker(manager, what, 'rm', ...left).then(
            () => true,
            () => false,
          )
        )
          break
        await sleep(500)
      }
    }
    await docker(manager, 'stack', 'rm', stack)
    for (let i = 0; i < 60; i++) {
      if (!(await docker(manager, 'ps', '-aq', '--filter', `label=com.docker.stack.namespace=${stack}`))) break
      await sleep(500)
    }
    // A network that a task has just left may still be in use for a moment.
    for (let i = 0; i < 20; i++) {
      if (
        await docker(manager, 'network', 'rm', 'swarmhub', `${stack}_control`).then(
          () => true,
          () => false,
        )
      )
        break
      await sleep(500)
    }
    await docker(manager, 'volume', 'rm', `${stack}_state`, `${stack}_front`)
    await rm(folder, { recursive: true, force: true })
  })
  const env = {
    ...dockerEnv(),
    SWARMHUB_IMAGE: image,
    NOTEBOOK_IMAGE: images.notebook,
    DOCKER_GID: String((await stat(manager.socket)).gid),
    DOCKER_SOCKET: manager.socket,
    HUB_CONFIG: join(folder, 'hub.config.ts'),
  }
  const file = join(process.cwd(), 'deploy/stack.yml')
  await run('docker', ['-H', `unix://${manager.socket}`, 'stack', 'deploy', '--resolve-image', 'never', '-c', file, stack], {
    env,
  })

  const container = async (service: string) => {
    for (let i = 0; i < 240; i++) {
      const id = await docker(
        manager,
        'ps',
        '-q',
        '--filter',
        `label=com.docker.swarm.service.name=${stack}_${service}`,
        '--filter',
        'status=running',
      )
      if (id) return id.split('\n')[0]!
      await sleep(250)
    }
    const tasks = await docker(manager, 'service', 'ps', '--no-trunc', `${stack}_${service}`)
    return assert.fail(`no container of ${service}:\n${tasks}`)
  }
  const origin = `http://${manager.address}:8000`
  const healthy = async () => {
    const end = performance.now() + 60_000
    while (performance.now() < end) {
      const reply = await fetch(`${origin}/hub/health`, { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
      await reply?.body?.cancel()
      if (reply?.status === 200) return
      await sleep(250)
    }
    assert.fail(`the hub is not healthy: ${await docker(manager, 'service', 'logs', '--raw', '--tail', '40', `${stack}_hub`)}`)
  }
  const inHub = async (...args: string[]) => docker(manager, 'exec', await container('hub'), ...args)
  const swarmhub = (...args: string[]) => inHub('node', '/app/dist/core/main.js', ...args)
  await container('front')
  await container('hub')
  await healthy()
  return {
    manager,
    origin,
    container,
    healthy,
    swarmhub,
    ours,
    logs: () => docker(manager, 'service', 'logs', '--raw', `${stack}_hub`),
  }
}

interface ServiceSpec {
  Spec: { Name: string; TaskTemplate: { ContainerSpec: { Mounts: { Source: string }[] } } }
}

const linkIn = (text: string) => {
  const link = /\/hub\/x\/local\/[^\s"]+/.exec(text)?.[0]
  assert.ok(link, `a one-time link in: ${text}`)
  return link
}

/** What the API says of a user's servers. */
async function serversOf(admin: Visitor, user: string) {
  const reply = await admin.ask(`/hub/api/users/${encodeURIComponent(user)}`, { headers: { accept: 'application/json' } })
  assert.equal(reply.status, 200)
  return ((await reply.json()) as { servers: Record<string, { ready: boolean; pending: string | null }> }).servers
}

async function ready(someone: Visitor, user: string): Promise<string> {
  for (let i = 0; i < 300; i++) {
    const { path, text, reply } = await someone.open(`/hub/spawn-pending/${user}`)
    if (path.startsWith('/user/')) return `/user/${user}/`
    assert.equal(reply.status, 200, text)
    await sleep(200)
  }
  return assert.fail(`the server of ${user} never became ready`)
}

test('the deployed hub on two nodes, end to end', { skip: noLab }, async t => {
  const real = await lab()
  await buildImage(real, { tag: image, context: process.cwd() })
  const hub = await deploy(t, real)
  const { manager, origin } = hub

  let broken = false
  /** Each step stands on the one before. */
  const step = (name: string, run: () => Promise<void>) =>
    broken
      ? undefined
      : t.test(name, async () => {
          broken = true
          await run()
          broken = false
        })

  const root = visitor(origin)
  await step('the one-time link of the log makes the admin', async () => {
    await root.submit(linkIn(await hub.logs()), 'local', {
      username: 'root',
      password: 'a very good password',
      repeated: 'a very good password',
    })
    const home = await root.signIn('root', 'a very good password', '/hub/home')
    assert.equal(home.path, '/hub/home')
  })

  const people = ['alice', 'bob', 'carol', 'dave']
  const visitors = new Map<string, Visitor>()
  await step('accounts are added inside the running hub', async () => {
    for (const name of people) {
      const someone = visitor(origin)
      await someone.submit(linkIn(await hub.swarmhub('local', 'add', name)), 'local', {
        password: `password of ${name}`,
        repeated: `password of ${name}`,
      })
      assert.equal((await someone.signIn(name, `password of ${name}`, '/hub/home')).path, '/hub/home')
      visitors.set(name, someone)
    }
  })

  await step('notebooks start, and land on both nodes', async () => {
    await Promise.all(
      people.map(async name => {
        await visitors.get(name)!.submit('/hub/spawn', 'spawn', { profile: 'notebook' })
        await ready(visitors.get(name)!, name)
      }),
    )
    const nodes = await Promise.all(
      people.map(async name => docker(manager, 'service', 'ps', '--format', '{{.Node}}', ...(await hub.ours('service', name)))),
    )
    assert.deepEqual([...new Set(nodes.flatMap(text => text.split('\n')))].sort(), ['node1', 'node2'])
  })

  const alice = visitors.get('alice')!
  const base = '/user/alice/'
  const code = async (text: string) => {
    const python = await kernel({ url: origin + base, headers: { cookie: alice.cookieFor(base) } })
    try {
      return await python.run(text)
    } finally {
      await python.close()
    }
  }

  await step('a kernel answers, the token is nowhere in the engine’s API, another user is refused', async () => {
    assert.equal(await code('print(6*7)'), '42\n')
    assert.equal(await code("open('/home/jovyan/work/kept.txt', 'w').write('still here'); print('ok')"), 'ok\n')
    const token = (await code("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")).trim()
    assert.ok(token.length >= 32)
    const told = await docker(manager, 'service', 'inspect', ...(await hub.ours('service', 'alice')))
    assert.ok(!told.includes(token))
    const refused = await visitors.get('bob')!.open(`${base}api/contents`)
    assert.equal(refused.reply.status, 403)
  })

  await step('the hub’s container is killed: the WebSocket lives, the hub adopts, nothing is doubled', async () => {
    const python = await kernel({ url: origin + base, headers: { cookie: alice.cookieFor(base) } })
    assert.equal(await python.run('x = 41; print(x)'), '41\n')
    const before = await hub.ours('service', 'alice')
    const killed = await hub.container('hub')
    await docker(manager, 'kill', '-s', 'KILL', killed)
    assert.equal(await python.run('print(x + 1)'), '42\n')
    for (let i = 0; i < 120 && (await hub.container('hub')) === killed; i++) await sleep(250)
    await hub.healthy()
    assert.equal(await python.run('print(x + 1)'), '42\n')
    await python.close()
    for (const name of people) assert.equal((await serversOf(root, name))['']?.ready, true, name)
    assert.deepEqual(await hub.ours('service', 'alice'), before)
    assert.equal((await hub.ours('service')).length, people.length)
  })

  await step('after stop and start the user’s file is still there, and nothing of the old server', async () => {
    await alice.submit('/hub/home', 'stop', {})
    for (let i = 0; i < 100 && (await serversOf(root, 'alice'))['']; i++) await sleep(200)
    assert.deepEqual(await hub.ours('service', 'alice'), [])
    assert.deepEqual(await hub.ours('secret', 'alice'), [])
    await alice.submit('/hub/spawn', 'spawn', { profile: 'notebook' })
    await ready(alice, 'alice')
    assert.equal(await code("print(open('/home/jovyan/work/kept.txt').read())"), 'still here\n')
    await alice.submit('/hub/home', 'stop', {})
    for (let i = 0; i < 100 && (await serversOf(root, 'alice'))['']; i++) await sleep(200)
  })

  await step(
    'odd names, and pairs that collide where they are joined naively, get services, volumes and routes of their own',
    async () => {
      const xsrf = await root.xsrf()
      const api = (method: string, path: string, body?: object) =>
        root.ask(`/hub/api/${path}`, {
          method,
          headers: { accept: 'application/json', 'content-type': 'application/json', 'x-xsrftoken': xsrf },
          ...(body && { body: JSON.stringify(body) }),
        })
      const pairs = [
        ['bob@x.org', ''],
        ['first.last', ''],
        ['a+b', ''],
        ['Carol', ''],
        ['x'.repeat(200), ''],
        ['__proto__', ''],
        ['a-b', 'c'],
        ['a', 'b-c'],
      ] as const
      const paths = new Set<string>()
      for (const [user, server] of pairs) {
        const name = encodeURIComponent(user)
        assert.equal((await api('POST', `users/${name}`)).status, 201, user)
        const started = await api('POST', `users/${name}/servers/${encodeURIComponent(server)}`, { profile: 'notebook' })
        assert.ok(started.status === 201 || started.status === 202, `${user}: ${started.status} ${await started.text()}`)
        let url = ''
        for (let i = 0; i < 150 && url === ''; i++) {
          const { servers } = (await (await api('GET', `users/${name}`)).json()) as {
            servers: Record<string, { ready: boolean; url: string }>
          }
          if (servers[server]?.ready) url = servers[server].url
          else await sleep(200)
        }
        assert.notEqual(url, '', `${user} never became ready`)
        paths.add(url)
        const reply = await fetch(`${origin}${url}api`)
        assert.equal(reply.status, 200, url)
      }
      const mine = (await Promise.all(pairs.map(([user]) => hub.ours('service', user)))).flat()
      assert.equal(mine.length, pairs.length)
      const specs = (JSON.parse(await docker(manager, 'service', 'inspect', ...mine)) as ServiceSpec[]).map(({ Spec }) => Spec)
      assert.equal(new Set(specs.map(({ Name }) => Name)).size, pairs.length)
      assert.equal(new Set(specs.map(({ TaskTemplate }) => TaskTemplate.ContainerSpec.Mounts[0]?.Source)).size, pairs.length)
      assert.equal(paths.size, pairs.length)
      for (const [user] of pairs) assert.equal((await api('DELETE', `users/${encodeURIComponent(user)}`)).status, 204, user)
      assert.deepEqual((await Promise.all(pairs.map(([user]) => hub.ours('service', user)))).flat(), [])
    },
  )

  for (const [profile, says] of [
    ['missing', /no-such-image/],
    ['nowhere', /none-has-it/],
    ['exits', /code 1\b/],
    ['silent', /did not answer/],
  ] as const) {
    await step(`what cannot run says so in words: ${profile}`, async () => {
      await alice.submit('/hub/spawn', 'spawn', { profile })
      const events = await alice.ask('/hub/api/users/alice/server/progress', {
        headers: { accept: 'text/event-stream', 'sec-fetch-mode': 'navigate' },
      })
      const lines = await events.text()
      const last = lines.trim().split('\n\n').at(-1) ?? ''
      assert.match(last, /"failed":true/)
      assert.match(last, says)
      const page = await alice.open('/hub/spawn-pending/alice')
      assert.equal(page.reply.status, 500)
      assert.match(page.text, says)
      assert.deepEqual(await hub.ours('service', 'alice'), [])
    })
  }
})
