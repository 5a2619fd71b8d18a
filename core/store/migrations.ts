import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HubError } from '../errors.ts'
import { unusable } from './adapter.ts'
import { syncFolder } from './folder.ts'
import { version } from './records.ts'

/** Takes the records of one version to the next. `raw` is what the older version wrote. */
export interface Migration {
  /** The version that it makes. */
  to: number
  hub?: (raw: Record<string, unknown>) => Record<string, unknown>
  user?: (raw: Record<string, unknown>) => Record<string, unknown>
}

/** All there are, oldest first. There is only version 1 so far. */
export const migrations: readonly Migration[] = []

/**
 * Bring a record up to this version, after a copy of its file was put beside it as `<file>.v<version>.bak`. Throws `config`
 * for a record of a newer version, or of none.
 */
export async function migrate(
  kind: 'hub' | 'user',
  raw: unknown,
  path: string,
  steps: readonly Migration[] = migrations,
  current: number = version,
): Promise<unknown> {
  const found = typeof raw === 'object' && raw !== null && 'version' in raw ? raw.version : undefined
  if (typeof found !== 'number' || !Number.isInteger(found) || found < 1) throw unusable(path, 'it has no "version"')
  if (found > current)
    throw new HubError(
      'config',
      `${path} was written by a newer swarmhub (its version is ${found}, this one knows ${current}). It was left as it is. ` +
        'Start that newer swarmhub, or put back the backup from before it.',
    )
  if (found === current) return raw
  await backUp(path, `${path}.v${found}.bak`)
  return steps
    .filter(step => step.to > found)
    .reduce<Record<string, unknown>>(
      (record, step) => ({ ...(step[kind]?.(record) ?? record), version: step.to }),
      raw as Record<string, unknown>,
    )
}

async function backUp(path: string, copy: string): Promise<void> {
  const [from, to] = await Promise.all([open(path, 'r'), open(copy, 'w', 0o600)])
  try {
    await to.writeFile(await from.readFile())
    await to.sync()
  } finally {
    await from.close()
    await to.close()
  }
  await syncFolder(dirname(path))
}
