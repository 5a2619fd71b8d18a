import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Mount } from 'swarmhub'
import { explained } from '../plugins/nfs/cause.ts'
import { type NfsOptions, nfs } from '../plugins/nfs/index.ts'
import { eraseFolder, makeFolder, measureFolders, under } from '../plugins/nfs/scripts.ts'
import { fakeHub } from './roles/hub.ts'
import { testMount } from './roles/mount.ts'
import { fakeContext, fakeSpawn, somebody } from './roles/spawn.ts'

const target = '/home/jovyan/work'
const homes: NfsOptions = { server: 'nfs.example.org', path: user => `/exports/home/${user.slug}`, target, create: false }
/** Nothing answers there. */
const nowhere = '/nonexistent/docker.sock'

async function mountOf(t: TestContext, options: Partial<NfsOptions> = {}): Promise<Mount> {
  const plugin = nfs({ docker: nowhere, ...homes, ...options })
  await plugin.setup(fakeHub(t))
  return plugin.mount
}

testMount('nfs', async t => ({ mount: await mountOf(t), hub: 'test-hub' }))
testMount('nfs for all', async t => ({ mount: await mountOf(t, { path: '/exports/all' }), hub: 'test-hub', common: true }))

test('Docker’s own driver mounts the folder from the server, in the version that is asked for', async t => {
  const spawn = fakeSpawn('h', somebody('anna'))
  const [volume] = await (await mountOf(t, { version: 4.1, options: ['nconnect=4'] })).attach(spawn, fakeContext())
  assert.deepEqual(volume?.driver, {
    name: 'local',
    options: { type: 'nfs', device: ':/exports/home/anna', o: 'addr=nfs.example.org,vers=4.1,nconnect=4' },
  })
  assert.ok(volume.noCopy)
  const [third] = await (await mountOf(t, { version: 3 })).attach(spawn, fakeContext())
  assert.equal(third?.driver?.options?.o, 'addr=nfs.example.org,vers=3,nolock')
  const [locked] = await (await mountOf(t, { version: 3, options: ['lock'] })).attach(spawn, fakeContext())
  assert.equal(locked?.driver?.options?.o, 'addr=nfs.example.org,vers=3,lock')
})

test('everything that says what is mounted is in the volume’s name', async t => {
  const user = somebody('anna')
  const source = async (options: Partial<NfsOptions>) => {
    const [volume] = await (await mountOf(t, options)).attach(fakeSpawn('h', user), fakeContext())
    return volume?.source ?? ''
  }
  const others = [{}, { server: 'other' }, { version: 3 as const }, { options: ['soft'] }, { path: () => '/other/anna' }]
  const names = await Promise.all(others.map(source))
  assert.equal(new Set(names).size, others.length)
  for (const name of names) assert.match(name, /^nfs-anna-[0-9a-f]{16}$/)
  assert.equal(await source({}), names[0])
})

test('options that are wrong are refused; no path or option can smuggle in another', async t => {
  for (const wrong of [
    { server: 'a,b' },
    { server: '' },
    { version: 2 },
    { options: ['a,b'] },
    { options: ['addr=x y'] },
    { owner: { uid: -1, gid: 0 } },
    { target: '/' },
    { pat: 'x' },
    { prepare: 'rm -rf /' },
  ])
    assert.throws(() => nfs({ ...homes, ...wrong } as never), { code: 'config' }, JSON.stringify(wrong))
  for (const path of ['relative', '/a/../b', '/a\nb', '/a\0b', '', undefined]) {
    const mount = await mountOf(t, { path: () => path as never })
    await assert.rejects(async () => mount.attach(fakeSpawn('h'), fakeContext()), { code: 'failed' }, String(path))
  }
  const outside = await mountOf(t, { create: true, root: '/other' })
  await assert.rejects(async () => outside.attach(fakeSpawn('h'), fakeContext()), {
    code: 'failed',
    message: /not below \/other/,
  })
  const noOwner = await mountOf(t, { create: true, owner: () => ({ uid: Number.NaN, gid: 1 }) })
  await assert.rejects(async () => noOwner.attach(fakeSpawn('h'), fakeContext()), { code: 'config' })
})

// ---------------------------------------------------------------------------------------------------------------------
// What the jobs run

const run = promisify(execFile)
const notRoot = process.getuid?.() === 0 ? false : 'not root: the owner of a folder cannot be changed'

/** A folder that stands for the export, and the scripts in it by this machine's shell. */
async function exported(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'swarmhub-export-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const sh = (script: string, ...args: string[]) => run('sh', ['-c', script.replaceAll('/export', root), 'sh', ...args])
  const look = async (path: string) => {
    const { uid, gid, mode } = await stat(join(root, path))
    return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`
  }
  return { root, sh, look }
}

test('a folder is made with owner and mode; one that is there stays as it is', { skip: notRoot }, async t => {
  const { root, sh, look } = await exported(t)
  await sh(makeFolder, 'a/b/anna', '1234:100', '2770')
  assert.equal(await look('a/b/anna'), '1234:100 2770')
  await writeFile(join(root, 'a/b/anna/file'), 'x')
  await chmod(join(root, 'a/b/anna'), 0o711)
  await sh(makeFolder, 'a/b/anna', '5:5', '700')
  assert.equal(await look('a/b/anna'), '1234:100 711')
  assert.deepEqual([await readdir(join(root, 'a/b')), await readdir(join(root, 'a/b/anna'))], [['anna'], ['file']])
  assert.equal(await readFile(join(root, 'a/b/anna/file'), 'utf8'), 'x')
})

test('a job that was killed half-way is made good by the next', { skip: notRoot }, async t => {
  const { root, sh, look } = await exported(t)
  await mkdir(join(root, '.swarmhub-new-anna'))
  await sh(makeFolder, 'anna', '7:8', '750')
  assert.equal(await look('anna'), '7:8 750')
  assert.deepEqual(await readdir(root), ['anna'])
})

test('a program prepares the folder, in it; when it fails the job does', { skip: notRoot }, async t => {
  const { root, sh } = await exported(t)
  await sh(makeFolder, 'anna', '7:8', '700', 'sh', '-c', 'echo "$1" > readme', 'sh', '$(id) "x"')
  assert.equal(await readFile(join(root, 'anna/readme'), 'utf8'), '$(id) "x"\n')
  await assert.rejects(sh(makeFolder, 'anna', '7:8', '700', 'sh', '-c', 'exit 9'), { code: 9 })
})

test('hostile names are names: no glob, no option, no command', { skip: notRoot }, async t => {
  const { root, sh } = await exported(t)
  const names = ['*', '-rf', '$(touch x)', '`touch x`', 'a b', "a'b", 'a"b', ';touch x', '用户', '{}', '~']
  for (const name of names) await sh(makeFolder, `in/${name}`, '1:1', '700')
  assert.deepEqual((await readdir(join(root, 'in'))).sort(), [...names].sort())
  for (const name of names.slice(1)) await sh(eraseFolder, `in/${name}`)
  await sh(eraseFolder, 'in/*')
  assert.deepEqual(await readdir(join(root, 'in')), [])
  assert.deepEqual(await readdir(root), ['in'])
  await sh(makeFolder, '*/anna', '1:1', '700')
  assert.deepEqual(await readdir(join(root, '*')), ['anna'], 'nor in a folder above')
})

test('no symbolic link of a user leads the jobs elsewhere', { skip: notRoot }, async t => {
  const { root, sh, look } = await exported(t)
  await mkdir(join(root, 'bob'), { mode: 0o700 })
  await writeFile(join(root, 'bob/file'), 'x')
  await mkdir(join(root, 'anna'))
  await symlink('../bob', join(root, 'anna/link'))
  const before = await look('bob')
  for (const path of ['anna/link', 'anna/link/new']) {
    await assert.rejects(sh(makeFolder, path, '6:6', '777'), /symbolic link/)
    await assert.rejects(sh(eraseFolder, path), /symbolic link/)
  }
  assert.equal(await look('bob'), before)
  assert.deepEqual(await readdir(join(root, 'bob')), ['file'])
})

test('what is erased is gone with all it holds, links are not followed, the root never goes', { skip: notRoot }, async t => {
  const { root, sh } = await exported(t)
  await mkdir(join(root, 'anna/deep/er'), { recursive: true })
  await mkdir(join(root, 'bob'))
  await symlink('../bob', join(root, 'anna/link'))
  await sh(eraseFolder, 'anna')
  await sh(eraseFolder, 'anna')
  await sh(eraseFolder, 'never/there')
  assert.deepEqual(await readdir(root), ['bob'])
  await assert.rejects(sh(eraseFolder, ''))
  assert.deepEqual(await readdir(root), ['bob'])
})

test('sizes come with the place of the path, also when one is missing', { skip: notRoot }, async t => {
  const { root, sh } = await exported(t)
  await mkdir(join(root, 'a b'))
  await writeFile(join(root, 'a b/file'), Buffer.alloc(300_000, 1))
  const { stdout } = await sh(measureFolders, 'missing', 'a b')
  const [missing, there] = stdout.trimEnd().split('\n')
  assert.equal(missing?.trim(), '0')
  assert.match(there ?? '', /^1 (29[0-9]|3\d\d)$/)
})

test('the place of a folder below the root', () => {
  assert.equal(under('/exports', '/exports/a/b'), 'a/b')
  assert.equal(under('/', '/a'), 'a')
  assert.equal(under('/a', '/a'), '')
  assert.equal(under('/a', '/a/..b'), '..b')
  for (const path of ['/', '/b', '/ab']) assert.throws(() => under('/a', path), { code: 'failed' }, path)
})

test('the words of engine and script are explained', () => {
  const words = (text: string) => explained('files', text)
  const mount = (why: string) =>
    `error while mounting volume '/x': failed to mount local volume: mount :/a:/x, data: addr=files: ${why}`
  assert.match(words(mount('no such file or directory')), /files does not have the folder/)
  assert.match(words(mount('connection refused')), /files does not answer/)
  assert.match(words(mount('permission denied')), /does not let the machines/)
  assert.match(words(mount('no such device')), /cannot mount NFS/)
  assert.match(words('not done within 25 seconds: starting'), /does not answer/)
  assert.match(words("mkdir: can't create directory './x': Permission denied"), /does not allow to make/)
  assert.match(words('mkdir: ./x: No space left on device'), /is full/)
  assert.match(words('anything'), /could not be prepared/)
})
