import { resolve } from 'node:path'
import type { BuildFailure, Message } from 'esbuild'
import { isHubError, messageOf } from '../errors.ts'
import { given, type Source } from './bundle.ts'
import type { Call, Position } from './locate.ts'
import { nearest } from './nearest.ts'
import type { ConfigError } from './options.ts'
import { Unsettled } from './run.ts'

/** One thing that is wrong, and where. */
export interface Problem {
  position: Position
  /** Inside the whole config; empty when it is not a matter of one key. */
  path: readonly PropertyKey[]
  message: string
}

/** What a config threw, as problems with places in the user's files. */
export async function explain(error: unknown, source: Source): Promise<Problem[]> {
  const locator = await source.locate()
  const somewhere = locator.key([]) ?? { file: source.file, line: 1, column: 1 }
  if (error instanceof Unsettled) {
    return [{ position: locator.firstAwait(error.stage) ?? somewhere, path: [], message: error.message }]
  }

  const frames = framesOf(error, source.script)
  const calls = frames.map(frame => locator.call(frame.line, frame.column))
  if (isConfigError(error)) {
    // A plugin that stands beside the config calls it itself; the options are one call further out.
    const call = (calls[0]?.name === 'parseOptions' ? calls[1] : undefined) ?? calls[0]
    return error.issues.map(({ path, message }) => ({
      position: call?.key(path) ?? somewhere,
      path: pathOf(call, error.factory, path),
      message,
    }))
  }

  const [frame] = frames
  const message = sentence(error)
  if (frame) {
    return [
      {
        position: locator.original(frame.line, frame.column) ?? somewhere,
        path: frame.deepest ? [] : (calls[0]?.path ?? []),
        message,
      },
    ]
  }
  const imports = (await Promise.all(locator.imports().map(wanted => checkImport(wanted, source)))).flat()
  return imports.length > 0 ? imports : [{ position: somewhere, path: [], message }]
}

/** What esbuild cannot bundle, or thinks is a slip. */
export function problemsOfBuild(messages: readonly Message[], file: string): Problem[] {
  return messages.map(({ text, location }) => ({
    position: {
      file: location ? given(resolve(file, '..', location.file), file) : file,
      line: location?.line ?? 1,
      // esbuild counts bytes.
      column: location ? Buffer.from(location.lineText).subarray(0, location.column).toString().length + 1 : 1,
    },
    path: [],
    message: text,
  }))
}

export function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as BuildFailure).errors)
}

/** By shape, because a plugin's package may bring its own copy of the class. */
function isConfigError(error: unknown): error is ConfigError {
  return isHubError(error) && error.code === 'config' && Array.isArray((error as ConfigError).issues)
}

function pathOf(call: Call | undefined, factory: string, path: readonly PropertyKey[]): readonly PropertyKey[] {
  if (factory === 'env') return call?.path ?? []
  if (call?.path) return [...call.path, ...path]
  return factory === '' ? path : [factory, ...path]
}

/** The places of the stack that are in the config, innermost first. */
function framesOf(error: unknown, script: string): { line: number; column: number; deepest: boolean }[] {
  const lines = (error instanceof Error && error.stack ? error.stack.split('\n') : []).filter(line => /^\s+at /.test(line))
  return lines.flatMap((text, depth) => {
    const [, line, column] = text.slice(text.indexOf(`${script}:`)).match(/:(\d+):(\d+)\)?$/) ?? []
    return text.includes(`${script}:`) ? [{ line: Number(line), column: Number(column), deepest: depth === 0 }] : []
  })
}

/** Why a module cannot be linked: V8 does not say where the import stands, and names a data: URL. */
async function checkImport(
  wanted: { url: string; name: string; position: Position | undefined },
  source: Source,
): Promise<Problem[]> {
  const position = wanted.position
  // Not the user's: what the bundler put there.
  if (!position) return []
  const specifier = source.specifiers.get(wanted.url) ?? wanted.url
  try {
    const names = Object.keys(await import(wanted.url))
    if (wanted.name === '*' || names.includes(wanted.name)) return []
    const meant = nearest(wanted.name, names)
    return [
      {
        position,
        path: [],
        message: `"${specifier}" has no export "${wanted.name}"${meant ? `, did you mean "${meant}"?` : ''}`,
      },
    ]
  } catch (error) {
    return [{ position, path: [], message: `"${specifier}" cannot be imported: ${sentence(error)}` }]
  }
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return `throws ${typeof error === 'string' ? error : 'something that is no error'}`
  return error.name === 'Error' || error.name === 'HubError' ? messageOf(error) : `${error.name}: ${messageOf(error)}`
}
