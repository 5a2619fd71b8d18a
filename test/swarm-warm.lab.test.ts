import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Offer } from 'swarmhub'
import { swarm } from '../plugins/swarm/index.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext } from './roles/spawn.ts'
import { tap } from './swarm-engine.ts'

test('images are got onto the nodes that may run them, one at a time, and nothing of it is left or taken for a server', {
  skip: noLab,
}, async t => {
  const { nodes, images } = await lab()
  const [manager, worker] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  const id = `hub-${randomBytes(4).toString('hex')}`
  const services = () => docker(manager, 'service', 'ls', '-q', '--filter', `label=org.swarmhub.hub=${id}`)
  const names = (label: string) => docker(worker, 'ps', '-aq', '--filter', `label=${label}`)
  /** By image, the nodes on which a container was made from it. */
  const made: string[] = []
  let most = 0
  const seen = { atOnce: new Set<string>() }
  const { socket } = await tap(t, manager.socket, asked => {
    const path = asked.url?.replace(/^\/v[\d.]+|\?.*$/g, '') ?? ''
    if (path === '/services/create') made.push(path)
    if (path === '/services/create') seen.atOnce.add(`${made.length}`)
    if (asked.method === 'DELETE') seen.atOnce.clear()
    most = Math.max(most, seen.atOnce.size)
    return false
  })
  // Two of them need no more than one service; the worker alone may run the third; the fourth is nowhere.
  const only = { constraints: [`node.labels.kind==${worker.labels.kind}`] }
  const offers = (): Offer[] => [
    { profile: 'a', image: images.silent },
    { profile: 'b', image: images.silent },
    { profile: 'c', image: images.base, placement: only },
    { profile: 'd', image: 'swarmhub-lab/no-such-image:1' },
    { profile: 'e', image: images.base, placement: { constraints: ['node.labels.kind==none'] } },
  ]
  const plugin = swarm({ docker: socket, prefix: `${id}-` })
  t.after((await plugin.setup(fakeHub(t, { id, offers }))) ?? (() => {}))
  const whileAtWork = plugin.commands.warm.run([], fakeContext())
  let listed = 0
  for (let tries = 0; tries < 20 && (await services()) !== ''; tries++)
    listed += (await plugin.spawner.list(fakeContext())).length
  const report = await whileAtWork
  assert.equal(listed, 0, 'it counts as no server')
  assert.equal(await services(), '')
  assert.deepEqual([made.length, most], [3, 1])
  const [silent, base, missing] = report.split('\n').reduce<string[][]>((all, line) => {
    if (line.startsWith(' ')) all.at(-1)?.push(line.trim())
    else all.push([line])
    return all
  }, [])
  assert.deepEqual(silent?.sort(), [`${manager.name}: ready`, `${worker.name}: ready`, images.silent].sort())
  assert.deepEqual(base, [images.base, `${worker.name}: ready`])
  assert.match(missing?.join('\n') ?? '', /no-such-image:1\n.*failed: No such image/)
  const left = () => names(`org.swarmhub.hub=${id}`)
  // Nodes take their time over the containers of a service that is gone.
  for (let tries = 0; tries < 50 && (await left()) !== ''; tries++) await sleep(200)
  assert.equal(await left(), '')

  assert.match(await plugin.commands.warm.run(['c'], fakeContext()), /^debian:.*\n {2}node2: ready$/)
  await assert.rejects(plugin.commands.warm.run(['z'], fakeContext()), { code: 'missing', message: /no profile "z"/ })
})

test('what a hub that was killed has left at work is removed by the next, and nothing else', { skip: noLab }, async t => {
  const { nodes, images } = await lab()
  const manager = nodes[0]!
  const id = `hub-${randomBytes(4).toString('hex')}`
  const create = async (...labels: string[]) => {
    const args = ['--detach', '--no-resolve-image', ...labels.flatMap(label => ['--label', label]), images.silent]
    const made = await docker(manager, 'service', 'create', ...args)
    t.after(() => docker(manager, 'service', 'rm', made).catch(() => {}))
    return made
  }
  const left = await create(`org.swarmhub.hub=${id}`, 'org.swarmhub.warm=x:1')
  const others = [await create('org.swarmhub.hub=another', 'org.swarmhub.warm=x:1'), await create(`org.swarmhub.hub=${id}`)]
  const plugin = swarm({ docker: manager.socket, warm: true, prefix: `${id}-` })
  t.after((await plugin.setup(fakeHub(t, { id, offers: () => [{ profile: 'a', image: images.base }] }))) ?? (() => {}))
  const job = plugin.jobs.warm
  assert.ok(job?.atStart && job.every === 6 * 3_600_000)
  await job.run(fakeContext())
  const all = (await docker(manager, 'service', 'ls', '-q')).split('\n')
  const isThere = (service: string) => all.some(short => service.startsWith(short))
  assert.deepEqual([left, ...others].map(isThere), [false, true, true])
})
