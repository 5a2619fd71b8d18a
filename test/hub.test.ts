import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { LoadedConfig } from '../core/config/load.ts'
import { config } from '../core/config/schema.ts'
import { createHub } from '../core/hub.ts'
import { silent } from '../core/log.ts'
import type { Hub, Log, Plugin } from '../core/plugin.ts'

const authenticator: Plugin = { name: 'nobody', authenticator: { kind: 'password', label: 'x', check: async () => null } }
const spawner: Plugin = {
  name: 'nothing',
  spawner: {
    start: async () => ({}),
    poll: async () => ({ state: 'gone', cause: { code: 'missing', message: 'It is not there.' } }),
    stop: async () => {},
    list: async () => [],
  },
}
const proxy: Plugin = { name: 'none', proxy: { add: async () => {}, remove: async () => {}, list: async () => [] } }

/** A hub with these plugins, in a data folder that several may share. */
async function hubOf(t: TestContext, plugins: Plugin[], folder?: string, log: Log = silent) {
  const dataFolder = folder ?? (await mkdtemp(join(tmpdir(), 'hub-')))
  t.after(() => rm(dataFolder, { recursive: true, force: true }))
  const settings = config.parse({
    authenticators: [authenticator],
    spawner,
    proxy,
    hub: { port: 0 },
    access: { everyone: true },
    plugins,
  })
  const socket = join(dataFolder, 'hub.sock')
  const loaded: LoadedConfig = {
    settings,
    plugins: [authenticator, spawner, proxy, ...plugins],
    dataFolder,
    file: '',
    warnings: [],
    bundle: undefined as never,
  }
  const hub = createHub(loaded, { log, socket, routeApi: { at: { socket: '/nowhere' }, token: '' }, end() {} })
  t.after(() => hub.close())
  return { ...hub, dataFolder, socket }
}

const get = (socketPath: string, path: string) =>
  new Promise<{ status: number; body: string }>((resolve, reject) => {
    request({ socketPath, path }, reply => {
      let body = ''
      reply.on('data', chunk => (body += chunk))
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }))
    })
      .on('error', reject)
      .end()
  })

test('plugins are set up in config order, and closed in reverse', async t => {
  const told: string[] = []
  const plugin = (name: string): Plugin => ({
    name,
    setup: () => {
      told.push(`${name} up`)
      return () => void told.push(`${name} down`)
    },
  })
  const hub = await hubOf(t, [plugin('one'), plugin('two'), { name: 'three', setup: () => void told.push('three up') }])
  await hub.start()
  assert.deepEqual(told, ['one up', 'two up', 'three up'])
  await hub.close()
  assert.deepEqual(told.slice(3), ['two down', 'one down'])
  await hub.close()
  assert.equal(told.length, 5)
})

test('half a start is closed in reverse, too: the error is the plugin’s, nothing listens, the folder is free again', async t => {
  const told: string[] = []
  const broken: Plugin = {
    name: 'broken',
    setup() {
      throw new Error('no directory server')
    },
  }
  const first: Plugin = { name: 'first', setup: () => () => void told.push('first down') }
  const hub = await hubOf(t, [first, broken, { name: 'last', setup: () => void told.push('last up') }])
  await assert.rejects(hub.start(), { message: 'no directory server', plugin: 'broken', hook: 'setup' })
  assert.deepEqual(told, ['first down'])
  await assert.rejects(stat(hub.socket), { code: 'ENOENT' })
  const next = await hubOf(t, [], hub.dataFolder)
  await next.start()
})

test('a close that fails or hangs is logged and in nobody’s way', async t => {
  const errors: unknown[] = []
  const log: Log = { ...silent, error: (message, data) => void errors.push({ message, ...data }), with: () => log }
  const told: string[] = []
  const first: Plugin = { name: 'first', setup: () => () => void told.push('first down') }
  const bad: Plugin = {
    name: 'bad',
    setup: () => () => {
      throw new Error('cannot')
    },
  }
  const hub = await hubOf(t, [first, bad], undefined, log)
  await hub.start()
  await hub.close()
  assert.deepEqual(told, ['first down'])
  assert.equal(errors.length, 1)
})

test('one hub per data folder: a second one is refused and harms nothing; after the first has closed it may', async t => {
  const first = await hubOf(t, [])
  await first.start()
  const second = await hubOf(t, [], first.dataFolder)
  await assert.rejects(second.start(), { name: 'HubError' })
  assert.equal((await get(first.socket, '/hub/health')).status, 200)
  await first.close()
  const third = await hubOf(t, [], first.dataFolder)
  await third.start()
})

test('a plugin has a folder and files of its own, pages, endpoints, jobs and verbs', async t => {
  const { Hono } = await import('hono')
  let given: Hub | undefined
  let ran = 0
  const plugin: Plugin = {
    name: 'whole',
    setup(hub) {
      given = hub
    },
    welcome: new Hono<never>().get('/hello', c => c.text('hello')) as never,
    jobs: { count: { every: 1000, atStart: true, run: () => void ran++ } },
    commands: { greet: { summary: 'NAME: greet', run: args => `Hello ${args.join(' ')}` } },
  }
  const hub = await hubOf(t, [plugin])
  await hub.start()
  assert.equal((await stat(given!.folder)).mode & 0o777, 0o700)
  const notes = await given!.file('notes', z.strictObject({ list: z.array(z.string()) }), { list: [] })
  const same = await given!.file('notes', z.strictObject({ list: z.array(z.string()) }), { list: [] })
  await Promise.all([notes.update(draft => void draft.list.push('a')), same.update(draft => void draft.list.push('b'))])
  assert.deepEqual(notes.data.list, ['a', 'b'])
  assert.equal((await stat(join(given!.folder, 'notes.json'))).mode & 0o777, 0o600)
  assert.deepEqual(await get(hub.socket, '/hub/x/whole/hello'), { status: 200, body: 'hello' })
  assert.equal(await hub.command('whole', 'greet', ['you']), 'Hello you')
  await assert.rejects(hub.command('whole', 'great', []), /has no verb "great". It has: greet/)
  await assert.rejects(hub.command('hole', 'greet', []), /There is no plugin "hole"/)
  for (let i = 0; i < 100 && ran === 0; i++) await sleep(5)
  assert.equal(ran, 1)
})
