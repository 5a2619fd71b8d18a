import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attributionOf, call, createStager } from '../core/hooks.ts'
import { silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import type { Hooks, Log, Login, Plugin } from '../core/plugin.ts'

const subject = (): Login => ({ identity: { name: 'alice' }, authenticator: 'test', address: '127.0.0.1' })
const never = new AbortController().signal

function stage(hooks: Record<string, Hooks>, deadline = 1000, log: Log = silent) {
  const metrics = createMetrics()
  const plugins: Plugin[] = Object.entries(hooks).map(([name, hooks]) => ({ name, hooks }))
  const stager = createStager(plugins, deadline, metrics)
  const failures = async () =>
    (await metrics.hookFailures.get()).values.map(({ labels, value }) => [labels.plugin, labels.hook, value])
  return { stager, failures, options: { log, signal: never } }
}

test('a stage runs before hooks one by one in config order, then the role, then the after hooks', async () => {
  const told: string[] = []
  const slow = async (name: string) => {
    told.push(`${name} begins`)
    await new Promise(resolve => setTimeout(resolve, 5))
    told.push(`${name} ends`)
  }
  const { stager, options } = stage({
    one: { 'before:login': () => slow('one'), 'after:login': () => void told.push('after one') },
    two: { 'before:login': () => slow('two') },
  })
  await stager.run('login', subject(), async () => void told.push('role'), options)
  assert.deepEqual(told, ['one begins', 'one ends', 'two begins', 'two ends', 'role', 'after one'])
})

test('a before hook vetoes: nothing after it runs but the failed hooks, and the error is its own, marked', async () => {
  const told: string[] = []
  const veto = new TypeError('not today')
  const { stager, options } = stage({
    first: { 'failed:login': () => void told.push('first failed') },
    guard: {
      'before:login': () => {
        throw veto
      },
    },
    last: { 'before:login': () => void told.push('last'), 'after:login': () => void told.push('after') },
  })
  const error = await stager.run('login', subject(), async () => void told.push('role'), options).catch(error => error)
  assert.equal(error, veto)
  assert.deepEqual(attributionOf(error), { plugin: 'guard', hook: 'before:login' })
  assert.deepEqual(told, ['first failed'])
})

test('a before hook changes the subject for all that come after it', async () => {
  const { stager, options } = stage({
    rename: {
      'before:login': login => {
        login.identity.name = 'bob'
      },
    },
  })
  const login = subject()
  let seen = ''
  await stager.run('login', login, async () => void (seen = login.identity.name), options)
  assert.equal(seen, 'bob')
})

test('after hooks are fenced: one that throws is counted and harms neither the others nor the stage', async () => {
  const told: string[] = []
  const { stager, options, failures } = stage({
    bad: {
      'after:login': () => {
        throw new Error('oh')
      },
    },
    good: { 'after:login': () => void told.push('good') },
  })
  await stager.run('login', subject(), async () => {}, options)
  assert.deepEqual(told, ['good'])
  assert.deepEqual(await failures(), [['bad', 'after:login', 1]])
})

test('where there is nothing to refuse a throw of a before hook is counted, and the role still acts', async () => {
  let acted = false
  const { stager, options, failures } = stage({ bad: { 'before:login': () => Promise.reject(new Error('no')) } })
  await stager.run('login', subject(), async () => void (acted = true), { ...options, refusable: false })
  assert.equal(acted, true)
  assert.deepEqual(await failures(), [['bad', 'before:login', 1]])
})

test('a hook that does not react to its deadline is left behind, with a timeout that names it', async () => {
  const { stager, options } = stage({ deaf: { 'before:login': () => new Promise(() => {}) } }, 20)
  const error = await stager.run('login', subject(), async () => {}, options).catch(error => error)
  assert.equal(error.code, 'timeout')
  assert.match(error.message, /^deaf \(before:login\) did not finish within 0\.02 seconds\./)
})

test('a hook that hangs is named in the log after three seconds', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const lines: unknown[] = []
  const log: Log = {
    ...silent,
    with: fields => ({ ...silent, info: (message, data) => void lines.push({ message, ...fields, ...data }) }),
  }
  const { stager, options } = stage({ deaf: { 'before:login': () => new Promise(() => {}) } }, 60_000, log)
  const run = stager.run('login', subject(), async () => {}, options).catch(error => error)
  t.mock.timers.tick(2999)
  assert.deepEqual(lines, [])
  t.mock.timers.tick(1)
  assert.deepEqual(lines, [{ message: 'waiting for a plugin', plugin: 'deaf', hook: 'before:login', seconds: 3 }])
  t.mock.timers.tick(57_000)
  t.mock.timers.tick(0)
  assert.equal((await run).code, 'timeout')
})

test('one hook that hangs does not keep another stage waiting', async () => {
  const { stager, options } = stage({
    sometimes: { 'before:login': login => (login.address === 'slow' ? new Promise(() => {}) : undefined) },
  })
  const control = new AbortController()
  const hanging = stager
    .run('login', { ...subject(), address: 'slow' }, async () => {}, { ...options, signal: control.signal })
    .catch(error => error.message)
  let acted = false
  await stager.run('login', subject(), async () => void (acted = true), options)
  assert.equal(acted, true)
  control.abort(new Error('cancelled'))
  assert.equal(await hanging, 'cancelled')
})

test('a cancel aborts the signal of what runs and rejects with its reason; the failed hooks still run to their end', async () => {
  const told: string[] = []
  const control = new AbortController()
  const { stager, options } = stage({
    watching: {
      'before:login': (_, ctx) =>
        new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(new Error('I was cut')))),
      'failed:login': async (_, ctx) => {
        await new Promise(resolve => setTimeout(resolve, 5))
        told.push(`failed, aborted: ${ctx.signal.aborted}`)
      },
    },
  })
  const run = stager.run('login', subject(), async () => {}, { ...options, signal: control.signal }).catch(error => error.message)
  control.abort(new Error('cancelled'))
  assert.equal(await run, 'cancelled')
  assert.deepEqual(told, ['failed, aborted: false'])
})

test('a call that is waited for may still answer after an abort', async () => {
  const control = new AbortController()
  const answer = call({ plugin: 'p', hook: 'h' }, () => new Promise(resolve => setTimeout(resolve, 20, 'made')), {
    log: silent,
    signal: control.signal,
    deadline: 1000,
    patience: 500,
  })
  control.abort(new Error('cancelled'))
  assert.equal(await answer, 'made')
})

test('a call under an aborted signal is not made', async () => {
  let made = false
  const answer = call({ plugin: 'p', hook: 'h' }, () => void (made = true), {
    log: silent,
    signal: AbortSignal.abort(new Error('over')),
    deadline: 10,
  })
  await assert.rejects(answer, { message: 'over' })
  assert.equal(made, false)
})
