import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { labelKeys, type MountSpec, slug } from 'swarmhub'
import type { Settings } from './settings.ts'

/** Where a job has the folder in which others are made. */
export const rootPlace = '/export'

/** What Docker's own driver mounts. The driver asks the kernel itself, without the programs that usually know better. */
export function createVolume({ server, version, options, root }: Pick<Settings, 'server' | 'version' | 'options' | 'root'>) {
  // Without a daemon on the node for them, locks of version 3 make each mount fail.
  const locks = version === 3 && !options.some(option => /^(no)?lock$/.test(option)) ? ['nolock'] : []

  /**
   * The name holds a hash of all that says what is mounted: an existing volume keeps the options it first had, so that under the same
   * name another server or path would be ignored.
   */
  function of(path: string, more: readonly string[] = []) {
    const o = [`addr=${server}`, `vers=${version}`, ...locks, ...options, ...more].join(',')
    const driver = { name: 'local', options: { type: 'nfs', device: `:${path}`, o } }
    const hash = createHash('sha256').update(JSON.stringify(driver)).digest('hex').slice(0, 16)
    return { source: `nfs-${slug(posix.basename(path) || 'root', 40)}-${hash}`, driver }
  }

  return {
    of,
    labels: (hub: string) => ({ [labelKeys.hub]: hub }),
    /** The folder in which this one is, or is to be made. */
    root: (path: string) => root ?? posix.dirname(path),
    /** For a job, which is to fail rather than to wait for a server that is not there: in its `soft` mount nothing of a user's is written. */
    mountRoot: (path: string): MountSpec => ({
      type: 'volume',
      target: rootPlace,
      noCopy: true,
      ...of(path, options.some(option => option === 'soft') ? [] : ['soft', 'timeo=50', 'retrans=1']),
    }),
  }
}
