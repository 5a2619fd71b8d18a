import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Awaitable, Mount, MountSpec } from 'swarmhub'
import { fakeContext, fakeSpawn, somebody, stopOf } from './spawn.ts'

/** A mount. */
export interface MountCase {
  mount: Mount
  /** The id of the hub that it was set up for. */
  hub: string
  /** The same for all users: an exchange. */
  common?: boolean
}

/**
 * What every mount has to keep: registers one test for each promise. `make` is called once for each test; clean up with `t.after`.
 *
 *     testMount('nfs', () => ({ mount: nfs({ server, path, target }).mount, hub: 'test-hub' }))
 */
export function testMount(
  name: string,
  make: (t: TestContext) => Awaitable<MountCase>,
  options: { skip?: string | false } = {},
): void {
  const promise = (what: string, check: (given: MountCase, t: TestContext) => Promise<void>) =>
    void test(`${name}: ${what}`, { skip: options.skip ?? false }, async t => check(await make(t), t))

  promise('what is mounted has a place of its own, and a source that can be one', async ({ mount, hub }) => {
    const mounts = await mount.attach(fakeSpawn(hub), fakeContext())
    assert.ok(mounts.length > 0)
    assert.equal(new Set(mounts.map(({ target }) => target)).size, mounts.length)
    for (const one of mounts) assertWellFormed(one)
  })

  promise('a user finds the same there each time, and by each of the servers', async ({ mount, hub }) => {
    const user = somebody()
    const first = await mount.attach(fakeSpawn(hub, user), fakeContext())
    assert.deepEqual(await mount.attach(fakeSpawn(hub, user), fakeContext()), first)
    assert.deepEqual(sources(await mount.attach(fakeSpawn(hub, user, 'second'), fakeContext())), sources(first))
  })

  promise('two users never share a source, however alike their names are', async ({ mount, hub, common }, t) => {
    if (common) return t.skip('it is for all to share')
    const owners = new Map<string, string>()
    for (const name of alike) {
      for (const source of sources(await mount.attach(fakeSpawn(hub, somebody(name)), fakeContext()))) {
        assert.equal(
          owners.get(source),
          undefined,
          `${source} is ${JSON.stringify(name)}’s and ${JSON.stringify(owners.get(source))}’s`,
        )
        owners.set(source, name)
      }
    }
  })

  promise('no name of a user can lead elsewhere', async ({ mount, hub }) => {
    for (const name of alike) {
      const spawn = fakeSpawn(hub, somebody(name))
      for (const one of await mount.attach(spawn, fakeContext())) assertWellFormed(one)
    }
  })

  promise('attaching at once for many users mixes nothing', async ({ mount, hub }) => {
    const users = Array.from({ length: 10 }, () => somebody())
    const together = await Promise.all(users.map(async user => mount.attach(fakeSpawn(hub, user), fakeContext())))
    for (const [i, user] of users.entries())
      assert.deepEqual(together[i], await mount.attach(fakeSpawn(hub, user), fakeContext()))
  })

  promise('detaching twice, and what was never attached, is fine, and keeps what is there', async ({ mount, hub }) => {
    const spawn = fakeSpawn(hub)
    await mount.detach?.(stopOf(spawn), fakeContext())
    const before = await mount.attach(spawn, fakeContext())
    await mount.detach?.(stopOf(spawn), fakeContext())
    await mount.detach?.(stopOf(spawn), fakeContext())
    assert.deepEqual(await mount.attach(fakeSpawn(hub, spawn.user), fakeContext()), before)
  })
}

/** Names that a careless escaping makes one of, or that lead out of a folder. */
const alike = [
  ...['a-b', 'a_b', 'a.b', 'a@b', 'a b', 'a+b', 'A-B', 'a--b', 'a-b-', '-a-b', 'ab', 'a', 'b'],
  ...['anna.smith@student.example-university.org', 'joanna.smith@student.example-university.org'],
  ...['x'.repeat(200), `${'x'.repeat(199)}y`, `y${'x'.repeat(199)}`],
  ...['..', '../root', '../../etc', 'a/../b', '.', '/etc', 'a,b', 'a:b', 'a=b', '$(id)', '`id`', '{user.__proto__}', '%2e%2e'],
  ...['__proto__', 'constructor', 'toString', 'é', 'e\u0301', 'ß', 'ss', '用户', '😀', '\u212a', 'k'],
]

const sources = (mounts: readonly MountSpec[]) => mounts.flatMap(({ source, driver }) => source ?? driver?.options?.device ?? [])

function assertWellFormed({ type, target, source }: MountSpec): void {
  assert.match(target, /^\/[^\0]+$/)
  assert.ok(!target.split('/').includes('..'), target)
  if (type === 'volume' && source !== undefined) assert.match(source, /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/)
  if (type === 'bind') assert.ok(source?.startsWith('/') && !source.split('/').includes('..'), source)
  if (type === 'tmpfs') assert.equal(source, undefined)
}
