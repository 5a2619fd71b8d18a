import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStartLog } from '../core/servers/start-log.ts'

const never = new AbortController().signal
const collect = async <T>(lines: AsyncIterable<T>) => {
  const all: T[] = []
  for await (const line of lines) all.push(line)
  return all
}

test('a follower gets the lines so far, then new ones, and ends with the start', async () => {
  const log = createStartLog()
  log.tell('requested', 'asked')
  const followed = collect(log.follow(0, never))
  await new Promise(resolve => setImmediate(resolve))
  log.tell('queued', 'waiting')
  log.tell('ready', 'there')
  assert.deepEqual(
    (await followed).map(({ id, step, progress }) => [id, step, progress]),
    [
      [1, 'requested', 0],
      [2, 'queued', 10],
      [3, 'ready', 100],
    ],
  )
})

test('who comes back with the number of the last line misses nothing and hears nothing twice', async () => {
  const log = createStartLog()
  log.tell('requested', 'asked')
  log.tell('queued', 'waiting')
  log.tell('failed', 'no')
  assert.deepEqual(
    (await collect(log.follow(1, never))).map(({ id }) => id),
    [2, 3],
  )
})

test('the same is not told twice, progress never goes back, and nothing is told after the end', async () => {
  const log = createStartLog()
  log.tell('pulling', 'pulling', { percent: 50 })
  log.tell('pulling', 'pulling', { percent: 50 })
  log.tell('queued', 'again')
  log.tell('cancelled', 'over')
  log.tell('ready', 'too late')
  const lines = await collect(log.follow(0, never))
  assert.deepEqual(
    lines.map(({ step, progress }) => [step, progress]),
    [
      ['pulling', 45],
      ['queued', 45],
      ['cancelled', 100],
    ],
  )
})

test('a follower who leaves ends at once', async () => {
  const log = createStartLog()
  const control = new AbortController()
  const followed = collect(log.follow(0, control.signal))
  control.abort()
  assert.deepEqual(await followed, [])
})
