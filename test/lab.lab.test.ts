import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { browser } from './lab/chromium.ts'
import { docker } from './lab/docker.ts'
import { buildImage } from './lab/images.ts'
import { kernel, notebookUp, runCode } from './lab/jupyter.ts'
import { lab, noLab } from './lab/lab.ts'
import { cutNode, endSwarm, killNode, mendNode, type Node, ownSwarm } from './lab/swarm.ts'

test('two nodes are Ready, labelled, and have the images', { skip: noLab }, async () => {
  const { nodes, images } = await lab()
  const list = await docker(nodes[0]!, 'node', 'ls', '--format', '{{.Hostname}} {{.Status}}')
  assert.match(list, /^node1 Ready$/m)
  assert.match(list, /^node2 Ready$/m)
  const format = '{{.Spec.Labels.kind}}'
  assert.equal(await docker(nodes[0]!, 'node', 'inspect', '-f', format, nodes[0]!.id, nodes[1]!.id), 'manager\nworker')
  for (const node of nodes) await docker(node, 'image', 'inspect', ...Object.values(images))
})

test('a real notebook is reached over the overlay from the other node, and on its published port', { skip: noLab }, async t => {
  const { nodes, images, bridge } = await lab()
  const [manager, worker] = nodes as [Node, Node]
  const name = `lab-${randomBytes(3).toString('hex')}`
  const port = 20_000 + randomInt(8000)
  await docker(manager, 'network', 'create', '--driver', 'overlay', '--attachable', name)
  await docker(
    manager,
    ...['service', 'create', '--detach', '--name', name, '--network', name, '--endpoint-mode', 'dnsrr', '--no-resolve-image'],
    ...['--publish', `mode=host,target=8888,published=${port}`, '--constraint', 'node.labels.kind==worker'],
    ...['--mount', `type=volume,source=${name},target=/home/jovyan/work`, images.notebook],
    ...['jupyter', 'notebook', '--no-browser', '--ip=0.0.0.0', '--port=8888', '--NotebookApp.token=secret'],
  )
  t.after(async () => {
    await docker(manager, 'service', 'rm', name)
    await untilItWorks(() => docker(worker, 'volume', 'rm', name))
    await untilItWorks(() => docker(manager, 'network', 'rm', name))
  })

  const url = `http://${worker.address}:${port}/`
  await notebookUp(url)
  const fetching = `import urllib.request as r; print(r.urlopen("http://${name}:8888/api", timeout=5).status)`
  assert.equal(await docker(manager, 'run', '--rm', '--network', name, images.notebook, 'python3', '-c', fetching), '200')

  const headers = { authorization: 'token secret' }
  const code = 'import os; open("/home/jovyan/work/seen", "w").close(); print(os.getuid(), 6 * 7)'
  assert.equal(await runCode({ url, headers, code }), '1000 42\n', 'code runs as jovyan, who may write to the fresh volume')

  const server = createServer((_, reply) => reply.end('the test process')).listen(0, bridge)
  await once(server, 'listening')
  t.after(() => server.close())
  const back = `import urllib.request as r; print(r.urlopen("http://${bridge}:${(server.address() as AddressInfo).port}/", timeout=5).read())`
  assert.equal(await runCode({ url, headers, code: back }), "b'the test process'\n", 'a container reaches the test process')

  const { context, page } = await browser(t, { width: 390, height: 800, colorScheme: 'dark' })
  await page.goto(`${url}tree?token=secret`)
  await page.getByText('work', { exact: true }).waitFor()
  const cookie = (await context.cookies(url)).map(({ name, value }) => `${name}=${value}`).join('; ')
  const visitor = await kernel({ url, headers: { cookie } })
  assert.equal(await visitor.run('print("by cookie and _xsrf")'), 'by cookie and _xsrf\n')
  await assert.rejects(visitor.run('1 / 0'), /ZeroDivisionError/)
  await visitor.close()
})

test('an image that exits and one that never listens', { skip: noLab }, async () => {
  const { nodes, images } = await lab()
  await assert.rejects(docker(nodes[1]!, 'run', '--rm', images.exits), /ended with 1:\n.*licence server/)
  const id = await docker(nodes[1]!, 'run', '--detach', '--rm', images.silent)
  assert.equal(await docker(nodes[1]!, 'inspect', '-f', '{{.State.Running}}', id), 'true')
  await docker(nodes[1]!, 'stop', id)
})

test('a Dockerfile that uses apt and npm is built, and its image is on every node', { skip: noLab }, async t => {
  const shared = await lab()
  const context = await mkdtemp(join(tmpdir(), 'swarmhub-build-'))
  t.after(() => rm(context, { recursive: true }))
  const steps = 'apt-get update && apt-get install -y --no-install-recommends tini && npm pack ms@2.1.3'
  await writeFile(join(context, 'Dockerfile'), `FROM ${shared.images.node}\nRUN ${steps}\nCMD ["--print", "process.version"]\n`)
  const tag = 'swarmhub-lab/built:1'
  const id = await buildImage(shared, { tag, context })
  for (const node of shared.nodes) {
    assert.equal(await docker(node, 'image', 'inspect', '-f', '{{.Id}}', tag), id)
    assert.match(await docker(node, 'run', '--rm', tag), /^v24\./)
    await docker(node, 'rmi', tag)
  }
})

test('an unknown name is refused at once, also inside a container', { skip: noLab }, async () => {
  const { nodes, images } = await lab()
  const start = performance.now()
  await assert.rejects(docker(nodes[0]!, 'run', '--rm', images.base, 'getent', 'hosts', 'unknown.example.org'))
  assert.ok(performance.now() - start < 5000)
})

test('a node of an own Swarm is cut off, mended, and killed', { skip: noLab }, async t => {
  const own = await ownSwarm(await lab(), 2)
  t.after(() => endSwarm(own))
  const [manager, worker] = own.nodes as [Node, Node]
  const state = () => docker(manager, 'node', 'inspect', '-f', '{{.Status.State}}', worker.id)
  assert.equal(await state(), 'ready')
  await reach(worker)
  await cutNode(worker)
  await assert.rejects(reach(worker), /timeout/i)
  await mendNode(worker)
  await untilItWorks(() => reach(worker))
  await killNode(worker)
  await assert.rejects(docker(worker, 'version'))
  await untilItWorks(async () => assert.equal(await state(), 'down'))
})

/** Opens a connection to the port that the nodes of a Swarm gossip on. */
async function reach(node: Node): Promise<void> {
  const socket = connect({ host: node.address, port: 7946, timeout: 1500 })
  socket.on('timeout', () => socket.destroy(new Error('timeout')))
  await once(socket, 'connect').finally(() => socket.destroy())
}

/** A network is in use until its last task is gone; a node is called down some heart-beats after it fell silent. */
async function untilItWorks(work: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    try {
      await work()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(250)
    }
  }
}
