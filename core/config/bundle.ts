import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { basename, dirname, extname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { ImportKind, Loader, Message, Plugin, PluginBuild } from 'esbuild'
import type { Locator } from './locate.ts'
import { nearest } from './nearest.ts'

/** A config as one module, as JSON: it can be sent to another process, and carried out when the files have changed. */
export interface Bundle {
  /** The config file. */
  file: string
  code: string
  map: string
  specifiers: [url: string, specifier: string][]
  warnings: Message[]
}

/** A bundle, ready to be carried out once. */
export interface Source {
  /** The config file. */
  file: string
  /** What the module is called in stacks. */
  script: string
  /** Importing it carries out the config. */
  url: string
  /** How the user wrote what is imported by this URL. */
  specifiers: ReadonlyMap<string, string>
  /** What esbuild thinks is a slip. */
  warnings: readonly Message[]
  locate(): Promise<Locator>
}

/**
 * Make one module of a config and the files beside it. `swarmhub` and its subpaths become the modules of the hub that runs;
 * packages are found from the config's folder first, then from the hub's. Rejects with esbuild's BuildFailure.
 */
export async function bundle(file: string): Promise<Bundle> {
  // Most runs of the command, and the hub once it is up, have no use for it.
  const esbuild = await import('esbuild')
  const folder = dirname(file)
  const specifiers = new Map<string, string>()
  try {
    const { outputFiles, warnings } = await esbuild.build({
      entryPoints: [file],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      platform: 'node',
      format: 'esm',
      target: `node${process.versions.node}`,
      outfile: `${basename(file)}.mjs`,
      sourcemap: 'external',
      sourcesContent: false,
      charset: 'utf8',
      // What the config means does not hang on a tsconfig.json somewhere above it.
      tsconfigRaw: {},
      banner: { js: `import { createRequire as $require } from "node:module"; var require = $require(${JSON.stringify(file)});` },
      define: {
        'import.meta.url': '$here.url',
        'import.meta.filename': '$here.filename',
        'import.meta.dirname': '$here.dirname',
      },
      plugins: [resolution(specifiers), ownPlace],
      logLevel: 'silent',
    })
    const text = (extension: string) => outputFiles.find(output => output.path.endsWith(extension))?.text ?? ''
    return { file, code: text('.mjs'), map: text('.map'), specifiers: [...specifiers], warnings }
  } finally {
    // Its process would stay for the life of the hub.
    await esbuild.stop()
  }
}

/** Give a bundle a name of its own in this process. */
export function sourceOf({ file, map, specifiers, warnings, ...bundle }: Bundle): Source {
  const script = `${basename(file).replace(/\s/g, '_')}.bundle${++count}`
  // It is in the URL too, by which Node keeps modules: each load is a new one.
  const code = `${bundle.code}\n//# sourceURL=${script}\n`
  const locate = async () => {
    const { locator } = await import('./locate.ts')
    return locator(code, JSON.parse(map), path => given(resolve(dirname(file), path), file))
  }
  let located: Promise<Locator> | undefined
  return {
    file,
    script,
    url: `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`,
    specifiers: new Map(specifiers),
    warnings,
    locate: () => (located ??= locate()),
  }
}

let count = 0

/** The config file by the name that was given for it, also where it is a link. */
export const given = (path: string, file: string) => (existsSync(file) && path === realpathSync(file) ? file : path)

/** Packages stay outside of the bundle, so that the config shares the modules of the hub. */
const resolution = (specifiers: Map<string, string>): Plugin => ({
  name: 'resolution',
  setup(build) {
    build.onResolve({ filter: /^[^./#]/ }, async ({ path: specifier, kind, resolveDir, pluginData }) => {
      if (kind === 'entry-point' || pluginData === asked || specifier.startsWith(place)) return undefined
      if (isBuiltin(specifier) || /^(file|data):/.test(specifier)) return { path: specifier, external: true }
      const own = /^swarmhub(\/|$)/.test(specifier)
      const path = own ? hubModule(specifier) : await findPackage(build, specifier, resolveDir, kind)
      if (path === undefined) return { errors: [{ text: own ? unknownModule(specifier) : unknownPackage(specifier) }] }
      // What Node cannot import as it is becomes part of the bundle.
      if (!/\.([cm]?js|node)$/.test(path)) return { path }
      const module = kind.startsWith('require') ? path : pathToFileURL(path).href
      specifiers.set(module, specifier)
      return { path: module, external: true }
    })
  },
})

const asked = Symbol('asked by resolution')

async function findPackage(build: PluginBuild, path: string, from: string, kind: ImportKind): Promise<string | undefined> {
  for (const resolveDir of [from, dirname(fileURLToPath(import.meta.resolve('swarmhub')))]) {
    const found = await build.resolve(path, { resolveDir, kind, pluginData: asked })
    if (found.errors.length === 0) return found.path
  }
  return undefined
}

function unknownPackage(specifier: string): string {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  return `cannot find the package "${name}". Install it beside the config: npm install ${name}`
}

function hubModule(specifier: string): string | undefined {
  try {
    const path = fileURLToPath(import.meta.resolve(specifier))
    return existsSync(path) ? path : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return undefined
    throw error
  }
}

function unknownModule(specifier: string): string {
  const folders = readdirSync(new URL('.', import.meta.resolve('swarmhub/plugins')), { withFileTypes: true })
  const plugins = folders
    .filter(entry => entry.isDirectory() && hubModule(`swarmhub/plugins/${entry.name}`))
    .map(entry => `swarmhub/plugins/${entry.name}`)
  const meant = nearest(specifier, ['swarmhub/plugins', 'swarmhub/testing', ...plugins])
  const right = 'import from "swarmhub", "swarmhub/plugins" or "swarmhub/plugins/<name>"'
  return `there is no "${specifier}", ${meant ? `did you mean "${meant}"?` : right}`
}

const place = '$place:'

/** `import.meta.url` is the file it is written in, not the bundle. */
const ownPlace: Plugin = {
  name: 'own-place',
  setup(build) {
    build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: 'file' }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      if (!text.includes('import.meta')) return undefined
      // At the end, where it moves no position; imports hold for the whole file.
      return { contents: `${text}\nimport * as $here from ${JSON.stringify(place + path)}`, loader: loaderOf(path) }
    })
    build.onResolve({ filter: /^\$place:/ }, ({ path }) => ({ path: path.slice(place.length), namespace: place }))
    build.onLoad({ filter: /.*/, namespace: place }, ({ path }) => ({
      contents: `export const url = ${JSON.stringify(pathToFileURL(path))}, filename = ${JSON.stringify(path)}, dirname = ${JSON.stringify(dirname(path))}`,
    }))
  },
}

const loaderOf = (path: string): Loader => extname(path).replace(/^\.[cm]?/, '') as Loader
