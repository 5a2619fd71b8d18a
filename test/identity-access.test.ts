import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkAccess, createAccess, describeAccess } from '../core/identity/access.ts'
import { networkOf } from '../core/identity/network.ts'
import { createThrottle } from '../core/identity/throttle.ts'

const none = { everyone: false, existing: false, users: [], groups: [], admins: [], adminGroups: [], blocked: [] }
const rules = (some: Partial<Record<keyof typeof none, string[] | boolean>>) => ({ ...none, ...some }) as typeof none

test('nobody enters without a rule that says so', () => {
  const admits = (some: Parameters<typeof rules>[0], name: string, groups: string[] = []) =>
    createAccess(rules(some)).admits(name, groups)
  assert.ok(!admits({}, 'alice', ['class']))
  assert.ok(admits({ everyone: true }, 'alice'))
  assert.ok(admits({ users: ['Alice '] }, 'alice'))
  assert.ok(!admits({ users: ['alice'] }, 'alic'))
  assert.ok(!admits({ users: ['alice'] }, ''))
  assert.ok(admits({ groups: ['class'] }, 'bob', ['x', 'class']))
  assert.ok(!admits({ groups: ['class'] }, 'bob', ['Class', 'classes']))
  assert.ok(!admits({ groups: ['class'] }, 'class'))
  assert.ok(admits({ admins: ['boss'] }, 'boss'))
  assert.ok(admits({ adminGroups: ['staff'] }, 'eve', ['staff']))
  for (const some of [{ everyone: true }, { groups: ['class'] }, { adminGroups: ['class'] }])
    assert.ok(!admits({ ...some, blocked: ['Alice'] }, 'alice', ['class']))
})

test('the config makes admins of whom it names, unless they are blocked', () => {
  const access = createAccess(rules({ everyone: true, admins: ['Boss'], adminGroups: ['staff'], blocked: ['eve'] }))
  assert.ok(access.makesAdmin('boss', []))
  assert.ok(access.makesAdmin('alice', ['staff']))
  assert.ok(!access.makesAdmin('eve', ['staff']))
  assert.ok(!access.makesAdmin('alice', []))
  assert.ok(access.blocks('eve') && !access.blocks('alice'))
})

test('rules that contradict each other, or name nobody, are told and let nobody in', () => {
  const problems: [Parameters<typeof rules>[0], string, RegExp][] = [
    [{ everyone: true, users: ['a'] }, 'access.users', /contradicts access\.everyone/],
    [{ everyone: true, groups: ['a'] }, 'access.groups', /contradicts access\.everyone/],
    [{ admins: ['b', 'a'], blocked: ['A'] }, 'access.admins.1', /in access\.blocked too/],
    [{ users: ['a'], blocked: ['a'] }, 'access.users.0', /in access\.blocked too/],
    [{ users: ['a/b'] }, 'access.users.0', /nobody's name/],
  ]
  for (const [some, path, message] of problems) {
    const found = checkAccess(rules(some))
    assert.deepEqual(
      found.map(({ path }) => path.join('.')),
      [path],
    )
    assert.match(found[0]!.message, message)
    assert.ok(!createAccess(rules(some)).admits('a', ['a']))
    assert.ok(!createAccess(rules(some)).makesAdmin('a', ['a']))
  }
  assert.deepEqual(checkAccess(rules({ everyone: true, admins: ['a'], adminGroups: ['b'], blocked: ['c'] })), [])
  assert.deepEqual(checkAccess(none), [])
})

test('the start says who may sign in', () => {
  assert.match(describeAccess(none), /^nobody: say in hub\.config\.ts/)
  assert.equal(describeAccess(rules({ everyone: true, blocked: ['eve'] })), 'everybody whom an authenticator knows; but not eve')
  assert.equal(describeAccess(rules({ groups: ['a', 'b'], admins: ['boss'] })), 'members of a, b; the admins boss')
})

test('failures cost growing time, up to a bound; time forgives, and so does being right', () => {
  let now = 0
  const throttle = createThrottle({ free: 2, memory: 60, longest: 8 }, () => now)
  const waits: number[] = []
  for (let n = 0; n < 8; n++) {
    waits.push(throttle.wait('k'))
    now += throttle.wait('k') * 1000
    assert.equal(throttle.wait('k'), 0)
    throttle.count('k')
  }
  assert.deepEqual(waits, [0, 0, 0, 1, 2, 4, 8, 8])
  assert.equal(throttle.wait('other'), 0)
  now += 3_600_000
  throttle.count('k')
  assert.equal(throttle.wait('k'), 0)
  for (let n = 0; n < 9; n++) throttle.count('k')
  assert.equal(throttle.wait('k'), 8)
  throttle.forget('k')
  assert.equal(throttle.wait('k'), 0)
})

test('what a throttle remembers is bounded, the last touched stay', () => {
  const throttle = createThrottle({ free: 0, memory: 60, longest: 60 }, () => 0, 100)
  throttle.count('mine')
  for (let n = 0; n < 5000; n++) {
    throttle.count(`junk ${n}`)
    if (n % 50 === 0) throttle.count('mine')
  }
  assert.ok(throttle.wait('mine') > 0)
  assert.equal(throttle.wait('junk 1'), 0)
})

test('an address counts as its network: all of a household’s IPv6 addresses are one', () => {
  assert.equal(networkOf('10.1.2.3'), '10.1.2.3')
  assert.equal(networkOf('::ffff:10.1.2.3'), '10.1.2.3')
  assert.equal(networkOf('2001:db8:1:2:aaaa::1'), '2001:db8:1:2::/64')
  assert.equal(networkOf('2001:db8:1:2:bbbb:1:2:3'), '2001:db8:1:2::/64')
  assert.notEqual(networkOf('2001:db8:1:3::1'), networkOf('2001:db8:1:2::1'))
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64')
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64')
})
