import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, readdir, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { HubError } from 'swarmhub'
import { loadConfig } from '../core/config/load.ts'
import { child, folder, head, load, setEnv } from './written-config.ts'

test('a config is an object, a function of { env }, or an async one', async t => {
  setEnv(t, { HUB_NAME: 'Lab' })
  for (const text of [
    `export default defineConfig({ ...rest, branding: { name: env('HUB_NAME') } })`,
    `export default defineConfig(({ env }) => ({ ...rest, branding: { name: env('HUB_NAME') } }))`,
    `export default defineConfig(async ({ env }) => ({ ...rest, branding: { name: await env('HUB_NAME') } }))`,
    `const config: object = await Promise.resolve({ ...rest, branding: { name: 'Lab' } })\nexport default config`,
  ]) {
    const { settings } = await load(t, text)
    assert.equal(settings.branding.name, 'Lab')
    assert.equal(settings.timeouts.start, 300_000)
    assert.deepEqual(settings.profiles, [{ name: 'notebook', label: 'Notebook' }])
  }
})

test('plugins come in the order of the file, each once', async t => {
  const { plugins } = await load(
    t,
    `const both = { name: 'both', hooks: {}, mount: { attach: () => [] } }
export default defineConfig({
  plugins: [{ name: 'first' }, both],
  proxy: proxy(),
  mounts: [both, nfs({ target: '/a', path: '/a' })],
  spawner: swarm(),
  authenticators: [ask()],
})`,
  )
  assert.deepEqual(
    plugins.map(plugin => plugin.name),
    ['first', 'both', 'proxy', 'nfs', 'swarm', 'ask'],
  )
})

test('the data folder is relative to the config file', async t => {
  const cwd = await folder(t, {
    'conf/hub.config.mjs': `import { rest } from '../parts.ts'\nexport default { ...rest, data: '../state' }`,
  })
  const { dataFolder, file } = await loadConfig({ cwd, file: 'conf/hub.config.mjs' })
  assert.equal(dataFolder, join(cwd, 'state'))
  assert.equal(file, join(cwd, 'conf/hub.config.mjs'))
})

test('a config shares the modules of the hub that runs it', async t => {
  const { plugins } = await load(
    t,
    `import { HubError } from 'swarmhub'
export default defineConfig({ ...rest, plugins: [{ name: 'x', health: () => { throw new HubError('busy', 'x') } }] })`,
  )
  assert.throws(() => plugins.at(-1)?.health?.(AbortSignal.timeout(1000)), HubError)
})

test('a config may import files beside it, JSON, packages from its own folder first, and node builtins', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `${head}
import { readFileSync } from 'node:fs'
import { createRequire } from 'module'
import lists from './lists.json'
import zod from 'zod'
import own from 'own-package/sub'
import old from './old.cjs'
import { place } from './deep/place.ts'
const require = createRequire(import.meta.url)
const label = [readFileSync(new URL('./label.txt', import.meta.url), 'utf8'), zod.mine, own, old.four, place, require('./old.cjs').four, import.meta.dirname].join()
export default defineConfig({ ...rest, profiles: lists.map(name => ({ name, label })) })`,
    'lists.json': '["one"]',
    'label.txt': 'read',
    'old.cjs': `exports.four = require('path').basename('/2/4')`,
    'deep/place.ts': `export const place: string = new URL('.', import.meta.url).pathname.split('/').at(-2)!`,
    'node_modules/zod/package.json': '{ "name": "zod", "main": "index.js" }',
    'node_modules/zod/index.js': 'exports.mine = "mine"; exports.z = require(process.cwd() + "/node_modules/zod")',
    'node_modules/own-package/package.json':
      '{ "name": "own-package", "type": "module", "exports": { "./sub": { "import": "./sub.js" } } }',
    'node_modules/own-package/sub.js': 'export default "own"',
  })
  const { settings } = await loadConfig({ cwd })
  assert.deepEqual(settings.profiles, [{ name: 'one', label: ['read', 'mine', 'own', '4', 'deep', '4', cwd].join() }])
})

test('a config loads from a folder that nobody can write to, and nothing is written beside it', async t => {
  const cwd = await folder(t, { 'hub.config.ts': `${head}export default defineConfig(rest)` })
  const before = await readdir(cwd)
  await chmod(cwd, 0o555)
  // Root may write anywhere, as long as it has its capabilities.
  const under = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : []
  const write = promisify(execFile)([...under, 'touch'][0]!, [...under, 'touch', 'x'].slice(1), { cwd })
  await assert.rejects(write, /Permission denied/)
  assert.deepEqual(await child(cwd, { under }), { code: 0, stdout: 'ask swarm proxy\n', stderr: '' })
  assert.deepEqual(await readdir(cwd), before)
})

test('the config is found above, up to the folder with the package.json, and nowhere else', async t => {
  const config = `export { rest as default } from 'DIR/parts.ts'`
  const cwd = await folder(t, {
    'hub.config.ts': config.replace('DIR', '.'),
    'project/package.json': '{}',
    'project/a/b/x': '',
    'found/package.json': '{}',
    'found/hub.config.js': config.replace('DIR', '..'),
    'found/a/x': '',
    'alone/x': '',
  })
  assert.equal((await loadConfig({ cwd: join(cwd, 'found/a') })).file, join(cwd, 'found/hub.config.js'))
  assert.equal((await loadConfig({ cwd })).file, join(cwd, 'hub.config.ts'))
  await assert.rejects(loadConfig({ cwd: join(cwd, 'project/a/b') }), {
    code: 'config',
    message: `There is no config file: looked for hub.config.ts, hub.config.mts, hub.config.js, hub.config.mjs in ${['project/a/b', 'project/a', 'project'].map(name => join(cwd, name)).join(', ')}.`,
  })
  await assert.rejects(loadConfig({ cwd: join(cwd, 'alone') }), {
    code: 'config',
    message: `There is no config file: looked for hub.config.ts, hub.config.mts, hub.config.js, hub.config.mjs in ${join(cwd, 'alone')}.`,
  })
  await assert.rejects(loadConfig({ cwd, file: 'other.ts' }), {
    code: 'config',
    message: `There is no config file ${join(cwd, 'other.ts')}.`,
  })
})

test('a config that is a link keeps its name in messages, and finds what is beside the file itself', async t => {
  const cwd = await folder(t, { 'real/hub.config.ts': `import { swarm } from '../parts.ts'\nswarm({ memori: 1 })`, 'etc/x': '' })
  await symlink(join(cwd, 'real/hub.config.ts'), join(cwd, 'etc/hub.config.ts'))
  await assert.rejects(loadConfig({ cwd: join(cwd, 'etc') }), {
    message: 'hub.config.ts:2:9 swarm.memori: unknown key, did you mean "memory"?',
  })
})

test('env reads NAME, or the file that NAME_FILE names; an empty value is none', async t => {
  const cwd = await folder(t, {
    secret: 'from a file\n',
    'hub.config.ts': `${head}export default defineConfig({ ...rest, branding: { name: [env('A'), env('B'), env('C', 'else'), env('D', '')].join() } })`,
  })
  setEnv(t, { A: 'set', A_FILE: '/nowhere', B: '', B_FILE: join(cwd, 'secret'), C: '' })
  const { settings } = await loadConfig({ cwd })
  assert.equal(settings.branding.name, 'set,from a file,else,')
})

test('with lenient secrets one that is missing is a text that nobody can guess, never twice the same', async t => {
  const text = `const secret = env('NO_SUCH')\nexport default defineConfig({ ...rest, branding: { name: secret }, authenticators: [ask({ secret })] })`
  const names = [await load(t, text, { lenientSecrets: true }), await load(t, text, { lenientSecrets: true })].map(
    ({ settings }) => settings.branding.name,
  )
  assert.match(names[0]!, /^unset-[0-9a-f-]{36}$/)
  assert.notEqual(names[0], names[1])
})

test('the path of the logo comes out absolute', async t => {
  const cwd = await folder(t, {
    'logo.svg': '<svg/>',
    'hub.config.ts': `${head}export default defineConfig({ ...rest, branding: { logo: './logo.svg' } })`,
  })
  assert.equal((await loadConfig({ cwd })).settings.branding.logo, join(cwd, 'logo.svg'))
})

test('what is allowed but looks like a slip is a warning', async t => {
  const { warnings } = await load(
    t,
    `export default defineConfig({ ...rest, access: { blocked: ['eve'] }, data: 'a',
  plugins: [nfs({ target: '/a', path: '/a' })], data: 'b' })`,
  )
  assert.deepEqual(warnings, [
    'hub.config.ts:4:49 Duplicate key "data" in object literal',
    'nobody may sign in: access has no rule; say who, such as access: { users: ["ann"] } or access: { everyone: true }',
    '"nfs" is not used as a mount: for that it has to stand in mounts',
  ])
})

test('loading ends when it is told to', async t => {
  const control = new AbortController()
  const loading = load(t, `export default new Promise(() => {})`, { signal: control.signal })
  setTimeout(() => control.abort(new Error('told to')), 100)
  await assert.rejects(loading, { message: 'told to' })
})

test('a config that was loaded can be loaded again by its bundle, when its files are gone', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `${head}export default defineConfig({ ...rest, branding: { name: env('LATER') } })`,
  })
  setEnv(t, { LATER: 'one' })
  const { bundle } = await loadConfig({ cwd })
  await unlink(join(cwd, 'hub.config.ts'))
  await unlink(join(cwd, 'parts.ts'))
  process.env.LATER = 'two'
  const again = await loadConfig({ bundle: JSON.parse(JSON.stringify(bundle)) })
  assert.equal(again.settings.branding.name, 'two')
  assert.equal(again.dataFolder, join(cwd, 'data'))
  delete process.env.LATER
  await assert.rejects(loadConfig({ cwd, bundle }), {
    message: 'hub.config.ts:3:58 branding.name: LATER is not set. Set LATER, or LATER_FILE to the path of a file that holds it.',
  })
})
