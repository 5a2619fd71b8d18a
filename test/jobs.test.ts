import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { runJobs } from '../core/jobs.ts'
import { silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import type { Job } from '../core/plugin.ts'

function running(jobs: Record<string, Job>) {
  const metrics = createMetrics()
  const named = Object.entries(jobs).map(([name, job]) => ({ plugin: 'p', name, job }))
  const close = runJobs(named, silent, metrics)
  const runs = async (status: string) =>
    (await metrics.jobRuns.get()).values
      .filter(({ labels }) => labels.status === status)
      .reduce((sum, { value }) => sum + value, 0)
  return { close, runs }
}

test('one run of a job at a time, the next one an interval after the end of the last', async () => {
  let now = 0
  let most = 0
  let count = 0
  const { close } = running({
    slow: {
      every: 5,
      atStart: true,
      async run() {
        most = Math.max(most, ++now)
        count++
        await sleep(20)
        now--
      },
    },
  })
  await sleep(150)
  await close()
  assert.equal(most, 1)
  assert.ok(count >= 2, `${count} runs`)
})

test('a run that fails is counted, and the next still comes', async () => {
  let count = 0
  const { close, runs } = running({
    bad: {
      every: 5,
      run() {
        if (++count < 3) throw new Error('no')
      },
    },
  })
  while (count < 4) await sleep(5)
  await close()
  assert.equal(await runs('failure'), 2)
  assert.ok((await runs('success')) >= 1)
})

test('a run over its deadline is aborted and left behind', async () => {
  let aborted = 0
  const { close, runs } = running({
    deaf: { every: 5, deadline: 10, run: ctx => new Promise(() => ctx.signal.addEventListener('abort', () => aborted++)) },
  })
  while (aborted < 2) await sleep(5)
  await close()
  assert.ok((await runs('failure')) >= 1)
})

test('closing aborts what runs and starts nothing more', async () => {
  let count = 0
  let aborted = false
  const { close } = running({
    long: {
      every: 1,
      run(ctx) {
        count++
        return new Promise(() => ctx.signal.addEventListener('abort', () => (aborted = true)))
      },
    },
  })
  while (count === 0) await sleep(2)
  await close()
  await sleep(30)
  assert.equal(aborted, true)
  assert.equal(count, 1)
})
