import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { docker as client } from '../plugins/docker/client.ts'
import { createJobs, type Job } from '../plugins/docker/job.ts'
import { docker } from './lab/docker.ts'
import { lab, noLab } from './lab/lab.ts'
import { fakeContext } from './roles/spawn.ts'

/** Jobs of a hub that only this test has, and what of it is on the Swarm. */
async function jobsOf() {
  const { nodes, images } = await lab()
  const hub = `hub-${randomBytes(4).toString('hex')}`
  const jobs = createJobs(client(nodes[0]!.socket), { hub, plugin: 'test' })
  const left = async () => {
    const list = ['service', 'ls', '-q', '--filter', `label=org.swarmhub.job=${hub}/test`]
    return (await docker(nodes[0]!, ...list)).split('\n').filter(Boolean)
  }
  const begun = async (running: Promise<unknown>) => {
    for (let over = false; !over && (await left()).length === 0; ) {
      running.catch(() => {}).finally(() => (over = true))
      await sleep(100)
    }
  }
  const job = (script: string, more: Partial<Job> = {}): Job => ({
    name: 'try',
    image: images.base,
    command: ['sh', '-c', script],
    mounts: [],
    deadline: 30_000,
    ...more,
  })
  return { jobs, nodes, left, begun, job }
}

test('a job runs on the node that is asked for, and its exit code and output come back', { skip: noLab }, async () => {
  const { jobs, nodes, left, job } = await jobsOf()
  for (const { name } of nodes) {
    const constraints = [`node.hostname==${name}`]
    const done = await jobs.run(job('echo out; echo err >&2; id -u; exit 3', { constraints }), fakeContext())
    assert.equal(done.state, 'ended')
    assert.equal(done.exitCode, 3)
    assert.deepEqual(done.output.split('\n').sort(), ['0', 'err', 'out'])
  }
  const quiet = await jobs.run(job('true'), fakeContext())
  assert.deepEqual(quiet, { state: 'ended', exitCode: 0, output: '' })
  assert.deepEqual(await left(), [])
})

test('arguments stay arguments, whatever is in them', { skip: noLab }, async () => {
  const { jobs, job } = await jobsOf()
  const hostile = '"; echo $(id) `id` && \\ \'\n é'
  const done = await jobs.run({ ...job(''), command: ['printf', '%s', hostile] }, fakeContext())
  assert.deepEqual(done, { state: 'ended', exitCode: 0, output: hostile })
})

test('what cannot run, and what does not end, is told in the engine’s words and removed', { skip: noLab }, async () => {
  const { jobs, left, job } = await jobsOf()
  const mounts = [
    {
      type: 'volume',
      target: '/x',
      source: `bad-${randomBytes(4).toString('hex')}`,
      driver: { name: 'local', options: { type: 'nosuchfs', device: 'x' } },
    },
  ] as const
  const [mounted, image, unplaced, endless] = await Promise.all([
    jobs.run(job('true', { mounts }), fakeContext()),
    jobs.run(job('true', { image: 'no.such.registry.invalid/x:1' }), fakeContext()),
    jobs.run(job('true', { constraints: ['node.hostname==nowhere'], deadline: 3000 }), fakeContext()),
    jobs.run(job('sleep 100', { deadline: 4000 }), fakeContext()),
  ])
  assert.equal(mounted.state, 'refused')
  assert.match(mounted.words, /mount/)
  assert.equal(image.state, 'refused')
  assert.match(image.words, /No such image|not found|no such host/i)
  assert.equal(unplaced.state, 'late')
  assert.match(unplaced.words, /no suitable node/)
  assert.equal(endless.state, 'late')
  assert.deepEqual(await left(), [])
})

test('a job that is cancelled is removed, and what a killed hub left is swept', { skip: noLab }, async () => {
  const { jobs, left, begun, job } = await jobsOf()
  const cancel = new AbortController()
  const running = jobs.run(job('sleep 100'), { ...fakeContext(cancel.signal) })
  await begun(running)
  cancel.abort(new Error('cancelled'))
  await assert.rejects(running, /cancelled/)
  assert.deepEqual(await left(), [])
  const lost = jobs.run(job('sleep 100', { deadline: 20_000 }), fakeContext())
  await begun(lost)
  await jobs.sweep(AbortSignal.timeout(10_000))
  assert.deepEqual(await left(), [])
  await lost.catch(() => {})
})
