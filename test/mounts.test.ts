import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MountSpec, User } from 'swarmhub'
import { checkBinds, checkSpec } from '../core/servers/spec.ts'
import { bind } from '../plugins/bind/index.ts'
import { driver } from '../plugins/driver/index.ts'
import { tmpfs } from '../plugins/tmpfs/index.ts'
import { testMount } from './roles/mount.ts'
import { fakeSpawn, somebody } from './roles/spawn.ts'

const hub = 'test-hub'
const target = '/home/jovyan/work'

testMount('tmpfs', () => ({ mount: tmpfs({ target }).mount, hub }))
testMount('bind', () => ({ mount: bind({ source: user => `/srv/homes/${user.slug}`, target }).mount, hub }))
testMount('bind for all', () => ({ mount: bind({ source: '/srv/data', target }).mount, hub, common: true }))
testMount('driver', () => ({ mount: driver({ driver: 'x/sshfs:latest', target }).mount, hub }))
testMount('driver with options by user', () => ({
  mount: driver({ driver: 'sshfs', target, options: user => ({ sshcmd: `${user.slug}@files` }), renew: true }).mount,
  hub,
}))

const attach = (plugin: { mount: { attach(spawn: ReturnType<typeof fakeSpawn>): MountSpec[] } }, user?: User) =>
  plugin.mount.attach(fakeSpawn(hub, user))

test('tmpfs, bind and driver give what their options say', () => {
  assert.deepEqual(attach(tmpfs({ target: '/tmp', size: '1G', mode: 0o700 })), [
    { type: 'tmpfs', target: '/tmp', size: 2 ** 30, mode: 0o700 },
  ])
  assert.deepEqual(attach(bind({ source: '/srv/data', target, readOnly: true, propagation: 'rslave' })), [
    { type: 'bind', source: '/srv/data', target, readOnly: true, propagation: 'rslave' },
  ])
  const user = somebody('Anna@example.org')
  const options = { driver: 'x/sshfs:latest', target, labels: { keep: 'yes' }, options: { sshcmd: 'files:/' } }
  assert.deepEqual(attach(driver(options), user), [
    {
      type: 'volume',
      target,
      source: `swarmhub-x-sshfs-latest-${user.slug}`,
      readOnly: false,
      noCopy: false,
      labels: { keep: 'yes', 'org.swarmhub.hub': hub },
      driver: { name: 'x/sshfs:latest', options: { sshcmd: 'files:/' } },
    },
  ])
  assert.equal(attach(driver({ ...options, name: 'share' }), user)[0]?.source, 'share')
})

test('with `renew` other options make another volume, the same ones the same', () => {
  const source = (path: string) => {
    return attach(driver({ driver: 'sshfs', target, name: 'share', options: { path }, renew: true }))[0]?.source
  }
  assert.match(source('/a') ?? '', /^share-[0-9a-f]{12}$/)
  assert.equal(source('/a'), source('/a'))
  assert.notEqual(source('/a'), source('/b'))
})

test('what a function of the user makes of a hostile name is refused when it does not fit', () => {
  const evil = (name: string) => ({ ...somebody(), name })
  const byName = bind({ source: user => `/srv/homes/${user.name}`, target })
  for (const name of ['../../etc', '..', 'a\nb', 'a\0b'])
    assert.throws(() => attach(byName, evil(name)), { code: 'failed' }, name)
  assert.throws(() => attach(bind({ source: user => user.name, target }), evil('relative')), { code: 'failed' })
  const volume = driver({ driver: 'sshfs', target, name: user => user.name })
  for (const name of ['a/b', 'a@b', '', '-a', 'x'.repeat(129)]) {
    const refused = { code: 'failed', details: { code: 'mount' } }
    assert.throws(
      () => attach(volume, evil(name)),
      (error: object) => partly(error, refused),
      name,
    )
  }
  const options = () => ({ a: 1 }) as never
  assert.throws(() => attach(driver({ driver: 'sshfs', target, options })), { code: 'config' })
})

const partly = (error: object, wanted: object) => {
  const { code, details } = error as { code: string; details: { code: string } }
  assert.deepEqual({ code, details: { code: details.code } }, wanted)
  return true
}

test('each has a name of its own, and refuses options that are wrong', () => {
  assert.equal(tmpfs({ target: '/tmp' }).name, 'tmpfs-tmp')
  assert.equal(bind({ source: '/srv', target }).name, 'bind-home-jovyan-work')
  assert.equal(driver({ driver: 'sshfs', target, as: 'homes' }).name, 'homes')
  for (const wrong of [
    () => tmpfs({ target: '/' }),
    () => tmpfs({ target: '/a/../b' }),
    () => tmpfs({ target: '/tmp', sice: '1G' } as never),
    () => bind({ target } as never),
    () => bind({ target, source: '' }),
    () => bind({ target, source: '/srv', propagation: 'shared' } as never),
    () => driver({ target } as never),
    () => driver({ driver: 'sshfs', target, options: { a: 1 } } as never),
  ])
    assert.throws(wrong, { code: 'config' }, String(wrong))
})

test('a volume without a name passes the last check, one with a wrong name does not', () => {
  const check = (mount: MountSpec) => {
    const { draft } = fakeSpawn(hub)
    draft.mounts.push(mount)
    checkSpec(draft, { id: hub }, [])
  }
  check({ type: 'volume', target })
  for (const source of ['', '/etc', '../a', '-a'])
    assert.throws(() => check({ type: 'volume', target, source }), { code: 'failed' }, source)
})

test('a folder that leads out of the allowed ones by a symbolic link is refused, where it can be seen', async t => {
  const root = await mkdtemp(join(tmpdir(), 'swarmhub-bind-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'homes/alice'), { recursive: true })
  await symlink('/etc', join(root, 'homes/alice/out'))
  await symlink('alice', join(root, 'homes/bob'))
  await symlink('homes', join(root, 'linked'))
  const check = (source: string, allowed = 'homes') => {
    return checkBinds({ mounts: [{ type: 'bind', target, source: join(root, source) }] }, [join(root, allowed)])
  }
  await check('homes/alice')
  await check('homes/bob')
  await check('homes/nowhere')
  await check('linked/alice', 'linked')
  await assert.rejects(check('homes/alice/out'), { code: 'failed', message: /leads to \/etc/ })
  await assert.rejects(check('homes/alice/out/ssl', 'homes'), { code: 'failed' })
})
