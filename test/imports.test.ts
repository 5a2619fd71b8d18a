import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { test } from 'node:test'
import { build, type Metafile } from 'esbuild'

/** What every plugin may use beside its own package. */
const common = ['swarmhub', 'zod', 'hono']

/** The npm packages of plugins, each with the folders that may import it. No other file may, the core least of all. */
const packages: Record<string, string[]> = {
  dockerode: ['plugins/docker'],
  'http-proxy': ['plugins/http-proxy'],
  ldapts: ['plugins/ldap'],
  '@octokit/oauth-app': ['plugins/github'],
  'openid-client': ['plugins/oidc'],
  jose: ['plugins/oidc'],
  otpauth: ['plugins/local'],
  uqr: ['plugins/local'],
}

/** Every file that these entry points lead to, with what it imports. */
async function graph(entryPoints: string[]): Promise<Metafile['inputs']> {
  const { metafile } = await build({
    entryPoints,
    bundle: true,
    write: false,
    metafile: true,
    outdir: 'unused',
    platform: 'node',
    format: 'esm',
    packages: 'external',
    // Without the paths of tsconfig.json: `swarmhub` stays the package that a plugin writer would import.
    tsconfigRaw: { compilerOptions: { jsx: 'react-jsx', jsxImportSource: 'hono/jsx' } },
    loader: { '.css': 'text', '.svg': 'text' },
    logLevel: 'silent',
  })
  return metafile.inputs
}

/** `plugins/swarm/index.ts` is in `plugins/swarm`, a file of the core in `core`. */
const folderOf = (file: string) => file.split('/', file.startsWith('plugins/') ? 2 : 1).join('/')
const packageOf = (specifier: string) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')

/** Imports that break the rule, as `file: import`. */
function broken(
  inputs: Metafile['inputs'],
  allowed: (folder: string, target: { package: string } | { folder: string }) => boolean,
): string[] {
  return Object.entries(inputs).flatMap(([file, { imports }]) =>
    imports
      .filter(({ path, external }) => !(external && isBuiltin(path)))
      .filter(
        ({ path, external }) => !allowed(folderOf(file), external ? { package: packageOf(path) } : { folder: folderOf(path) }),
      )
      .map(({ path }) => `${file}: ${path}`),
  )
}

const sources = async (folder: string) =>
  (await readdir(folder, { recursive: true }))
    .filter(name => /\.tsx?$/.test(name) && !name.endsWith('.d.ts'))
    .map(name => `${folder}/${name}`)

test('the core knows no plugin, and no package of a plugin', async () => {
  const inputs = await graph(await sources('core'))
  assert.ok('core/hub.ts' in inputs && 'core/config/load.ts' in inputs)
  assert.deepEqual(
    broken(inputs, (_, target) =>
      'package' in target ? !(target.package in packages) && target.package !== 'swarmhub' : !target.folder.startsWith('plugins'),
    ),
    [],
  )
})

test('a plugin imports only swarmhub, node, zod, hono, its own package and its own files', async () => {
  const files = await sources('plugins')
  const plugins = files.filter(file => file.endsWith('/index.ts')).map(folderOf)
  assert.ok(plugins.includes('plugins/swarm') && plugins.includes('plugins/http-proxy'))
  const inputs = await graph(files)
  assert.deepEqual(
    broken(inputs, (folder, target) => {
      if ('package' in target) return common.includes(target.package) || packages[target.package]?.includes(folder) === true
      // A folder without an index.ts is no plugin but what several of them share; plugins/index.ts only gathers them.
      return (
        folder === 'plugins/index.ts' ||
        target.folder === folder ||
        (target.folder.startsWith('plugins/') && !plugins.includes(target.folder))
      )
    }),
    [],
  )
})

test('no plugin and no part of the core reaches into the other for types either', async () => {
  // The bundler does not see what is imported for its types only.
  const reaching = /\bfrom '(\.\.\/)+(core|plugins)\//
  const files = [...(await sources('core')), ...(await sources('plugins'))]
  const texts = await Promise.all(files.map(async file => ({ file, text: await readFile(file, 'utf8') })))
  assert.deepEqual(
    texts.filter(({ text }) => reaching.test(text)).map(({ file }) => file),
    [],
  )
})

test('the rule sees an import that breaks it', () => {
  const inputs = {
    'plugins/a/index.ts': {
      bytes: 1,
      imports: [
        { path: 'left-pad/x', kind: 'import-statement', external: true },
        { path: 'core/hub.ts', kind: 'import-statement' },
        { path: 'node:fs', kind: 'import-statement', external: true },
      ],
    },
  } satisfies Metafile['inputs']
  assert.deepEqual(
    broken(inputs, (folder, target) => folder === 'plugins/a' && 'package' in target && target.package === 'other'),
    ['plugins/a/index.ts: left-pad/x', 'plugins/a/index.ts: core/hub.ts'],
  )
})
