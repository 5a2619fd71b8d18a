import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { HubError } from '../errors.ts'
import type { Plugin } from '../plugin.ts'
import { type Bundle, bundle, sourceOf } from './bundle.ts'
import { check } from './check.ts'
import { type EnvWatch, watchEnv } from './env.ts'
import { explain, isBuildFailure, type Problem, problemsOfBuild } from './explain.ts'
import { line, report } from './report.ts'
import { run } from './run.ts'
import type { Settings } from './schema.ts'

/** A config that can be used. Nothing of it has been started. */
export interface LoadedConfig {
  /** With all defaults; the path of the logo is absolute. */
  settings: Settings
  /** The config file, absolute. */
  file: string
  /** In config order, each once. */
  plugins: readonly Plugin[]
  /** Absolute. It need not exist yet. */
  dataFolder: string
  /** What is allowed but looks like a slip, a sentence each. */
  warnings: readonly string[]
  /** What was carried out: with it the same config can be loaded again, whatever has become of its files. */
  bundle: Bundle
}

export interface LoadOptions {
  /** Where the search for `hub.config.ts` starts, and what paths in messages are relative to. Default: the working folder. */
  cwd?: string
  /** The config file itself; nothing is searched for. */
  file?: string
  /** A config as it was loaded before; no file is read for it. */
  bundle?: Bundle
  /** A secret that is not set is no error but a text that nobody can guess: for the front, which needs none of them. */
  lenientSecrets?: boolean
  /** Milliseconds that the config's own code may take; default 7000. */
  limit?: number
  signal?: AbortSignal
}

/**
 * Find, bundle, carry out and check `hub.config.ts`. Writes nothing and starts nothing. Rejects with a HubError `config` whose
 * message has a line for each thing that is wrong, with its place. May be called again; calls wait for each other.
 */
export function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const result = last.then(() => load(options))
  last = result.catch(() => {})
  return result
}

let last: Promise<unknown> = Promise.resolve()

async function load({
  cwd = process.cwd(),
  lenientSecrets = false,
  limit = 7000,
  signal,
  ...options
}: LoadOptions): Promise<LoadedConfig> {
  signal?.throwIfAborted()
  const from = resolve(cwd)
  const file = options.bundle?.file ?? (options.file === undefined ? await find(from) : resolve(from, options.file))
  if (!options.bundle && !statSync(file, { throwIfNoEntry: false })?.isFile())
    throw new HubError('config', `There is no config file ${file}.`)
  const asked: EnvWatch = { missing: [], values: new Set() }
  const refuse = (problems: readonly Problem[]) => report(problems, file, from, asked.values)

  const made =
    options.bundle ??
    (await bundle(file).catch(error => {
      throw isBuildFailure(error) ? refuse(problemsOfBuild(error.errors, file)) : error
    }))
  const source = sourceOf(made)
  const outcome = await watchEnv(asked, () => run(source, limit, signal)).then(
    value => ({ value }),
    (error: unknown) => ({ error }),
  )
  signal?.throwIfAborted()
  const missing = (await Promise.all(asked.missing.map(error => explain(error, source)))).flat()
  // What else is wrong may only come of what is missing.
  if (missing.length > 0 && !lenientSecrets) throw refuse(missing)
  if ('error' in outcome) throw refuse([...missing, ...(await explain(outcome.error, source))])

  const checked = check(outcome.value, dirname(file))
  if ('issues' in checked) {
    const locator = await source.locate()
    const problems = checked.issues.map(issue => ({
      ...issue,
      position: locator.key(issue.path) ?? { file, line: 1, column: 1 },
    }))
    throw refuse([...missing, ...problems])
  }
  const slips = problemsOfBuild(source.warnings, file).map(problem => line(problem, from))
  return {
    ...checked,
    file,
    dataFolder: resolve(dirname(file), checked.settings.data),
    warnings: [...slips, ...checked.warnings],
    bundle: made,
  }
}

const names = ['hub.config.ts', 'hub.config.mts', 'hub.config.js', 'hub.config.mjs']

/** In this folder; in a project also above, up to the folder with its package.json. */
async function find(cwd: string): Promise<string> {
  const folders = [cwd]
  while (!existsSync(join(folders.at(-1)!, 'package.json')) && dirname(folders.at(-1)!) !== folders.at(-1))
    folders.push(dirname(folders.at(-1)!))
  const inProject = existsSync(join(folders.at(-1)!, 'package.json'))
  // A config that anybody could lay into a folder such as /tmp is not taken for that of the folders below it.
  const searched = inProject ? folders : [cwd]

  const { cosmiconfig } = await import('cosmiconfig')
  const explorer = cosmiconfig('hub', {
    searchPlaces: names,
    // Only found here: its own loaders would write files beside the config, and need the compiler.
    loaders: { '.ts': () => ({}), '.mts': () => ({}), '.js': () => ({}), '.mjs': () => ({}) },
    searchStrategy: inProject ? 'project' : 'none',
    ignoreEmptySearchPlaces: false,
    cache: false,
  })
  const found = await explorer.search(cwd)
  if (found) return found.filepath
  throw new HubError('config', `There is no config file: looked for ${names.join(', ')} in ${searched.join(', ')}.`)
}
