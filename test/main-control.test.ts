import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { giveOrder, type Order, serveControl } from '../core/cli/control.ts'
import { HubError } from '../core/errors.ts'
import { silent } from '../core/log.ts'

async function controlFor(t: TestContext, carryOut: (order: Order) => Promise<string>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'swarmhub-control-'))
  const path = join(folder, 'control.sock')
  // Of a hub that was killed.
  writeFileSync(path, '')
  const close = await serveControl(path, carryOut, silent)
  t.after(async () => {
    await close()
    rmSync(folder, { recursive: true })
  })
  return path
}

const command: Order = { do: 'command', plugin: 'local', verb: 'invite', args: ['bob', 'line\nbreak', 'ü'] }

test('an order arrives as it was given, and its answer comes back', async t => {
  const seen: Order[] = []
  const path = await controlFor(t, async order => {
    seen.push(order)
    return `done\n${'x'.repeat(200_000)}`
  })
  assert.equal(await giveOrder(path, command), `done\n${'x'.repeat(200_000)}`)
  assert.deepEqual(seen, [command])
})

test('an error comes back with its code, and nothing but its message', async t => {
  const path = await controlFor(t, async order => {
    throw order.do === 'restart' ? new HubError('config', 'hub.config.ts:1:1 wrong') : new TypeError('x is not a function')
  })
  await assert.rejects(giveOrder(path, { do: 'restart' }), {
    name: 'HubError',
    code: 'config',
    message: 'hub.config.ts:1:1 wrong',
  })
  await assert.rejects(giveOrder(path, command), { name: 'HubError', code: 'failed', message: 'x is not a function' })
})

test('nobody listens: the error says what to do', async t => {
  const path = await controlFor(t, async () => '')
  await assert.rejects(giveOrder(`${path}2`, command), { code: 'unavailable', message: /No hub is running here/ })
})

test('where somebody listens nobody else does', async t => {
  const path = await controlFor(t, async () => 'the first')
  await assert.rejects(
    serveControl(path, async () => 'the second', silent),
    { code: 'conflict', message: /running here already/ },
  )
  assert.equal(await giveOrder(path, { do: 'restart' }), 'the first')
})

test('what is no order is refused, and the next one is served', async t => {
  const path = await controlFor(t, async () => 'fine')
  for (const text of ['', '{', '{"do":"command","plugin":"x"}\n', '{"do":"else"}\n', `${'x'.repeat(2_000_000)}`]) {
    const socket = connect(path).on('error', () => {})
    socket.end(text)
    socket.resume()
    await once(socket, 'close').catch(() => {})
  }
  assert.equal(await giveOrder(path, { do: 'restart' }), 'fine')
})

test('a hub that ends before its answer is an error', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'swarmhub-control-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'control.sock')
  let arrived = () => {}
  const came = new Promise<void>(resolve => {
    arrived = resolve
  })
  const close = await serveControl(
    path,
    () => {
      arrived()
      return new Promise(() => {})
    },
    silent,
  )
  const order = giveOrder(path, command)
  order.catch(() => {})
  await came
  await close()
  await assert.rejects(order, { code: 'unavailable' })
})
