import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Awaitable, Network } from 'swarmhub'
import { fakeContext, fakeSpawn, stopOf } from './spawn.ts'

/** A network, and what tells whether it did what it said. */
export interface NetworkCase {
  network: Network
  /** The id of the hub that it was set up for. */
  hub: string
  /** Is there a network of this name or id? */
  exists(network: string): Awaitable<boolean>
  /** The same kind of network when its engine cannot be asked. */
  unreachable?: Network
}

/**
 * What every network has to keep: registers one test for each promise. `make` is called once for each test; clean up with `t.after`.
 *
 *     testNetwork('overlay', t => ({ network: overlay({ name }).network, hub: 'test-hub', exists: name => … }))
 */
export function testNetwork(
  name: string,
  make: (t: TestContext) => Awaitable<NetworkCase>,
  options: { skip?: string | false } = {},
): void {
  const promise = (what: string, check: (given: NetworkCase, t: TestContext) => Promise<void>) =>
    void test(`${name}: ${what}`, { skip: options.skip ?? false }, async t => check(await make(t), t))

  promise('a server joins networks that are there', async ({ network, hub, exists }) => {
    const joined = await network.join(fakeSpawn(hub), fakeContext())
    assert.ok(joined.length > 0)
    assert.equal(new Set(joined).size, joined.length)
    for (const one of joined) assert.ok(await exists(one), one)
  })

  promise('joining again gives the same', async ({ network, hub }) => {
    const spawn = fakeSpawn(hub)
    assert.deepEqual(await network.join(spawn, fakeContext()), await network.join(spawn, fakeContext()))
  })

  promise('many that join at once are not in each other’s way', async ({ network, hub, exists }) => {
    const spawn = fakeSpawn(hub)
    const joined = await Promise.all(Array.from({ length: 8 }, async () => network.join(spawn, fakeContext())))
    for (const one of joined) assert.deepEqual(one, joined[0])
    for (const one of joined[0]!) assert.ok(await exists(one), one)
  })

  promise('only networks are contributed: the rest of the draft stays', async ({ network, hub }) => {
    const spawn = fakeSpawn(hub)
    const before = structuredClone(spawn.draft)
    await network.join(spawn, fakeContext())
    assert.deepEqual(spawn.draft, before)
  })

  promise('leaving twice, and leaving what was never joined, is fine', async ({ network, hub }) => {
    const spawn = fakeSpawn(hub)
    await network.leave?.(stopOf(spawn), fakeContext())
    await network.join(spawn, fakeContext())
    await network.leave?.(stopOf(spawn), fakeContext())
    await network.leave?.(stopOf(spawn), fakeContext())
  })

  promise('after one server has left, another can join', async ({ network, hub, exists }) => {
    const first = fakeSpawn(hub)
    await network.join(first, fakeContext())
    await network.leave?.(stopOf(first), fakeContext())
    for (const one of await network.join(fakeSpawn(hub), fakeContext())) assert.ok(await exists(one), one)
  })

  promise('a start that is cancelled does not wait', async ({ network, hub }) => {
    await assert.rejects(async () => network.join(fakeSpawn(hub), fakeContext(AbortSignal.abort(new Error('cancelled')))))
  })

  promise('while the engine cannot be asked the start is refused', async ({ unreachable, hub }, t) => {
    if (!unreachable) return t.skip('the case names none')
    await assert.rejects(async () => unreachable.join(fakeSpawn(hub), fakeContext()))
  })
}
