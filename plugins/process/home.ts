import { lstat, mkdir, readlink, rm, symlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HubError, type Log, type ServerSpec } from 'swarmhub'

/**
 * Make a user's home ready for a server: the folder itself, and in it, for every mount, a link to where that lives. A volume
 * is a folder in `volumes`. Nothing that stands in the home already is touched: its owner put it there.
 */
export async function furnish(home: string, spec: ServerSpec, volumes: string, log: Log): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  for (const { type, source, target, readOnly } of spec.mounts) {
    const place = placeIn(home, target)
    if (place === home) continue
    if (readOnly) log.warn('a mount is writable: the process spawner cannot make it read-only', { target })
    if (source === undefined) {
      await mkdir(place, { recursive: true, mode: 0o700 })
      continue
    }
    const stored = type === 'volume' ? join(volumes, source) : source
    if (type === 'volume') await mkdir(stored, { recursive: true, mode: 0o700 })
    await mkdir(dirname(place), { recursive: true, mode: 0o700 })
    const there = await lstat(place).catch(() => undefined)
    if (there?.isSymbolicLink() && (await readlink(place)) === stored) continue
    if (there && !there.isSymbolicLink()) {
      log.warn('something else is where a mount belongs', { place })
      continue
    }
    await rm(place, { force: true })
    await symlink(stored, place)
  }
}

/** Where a path of a notebook image lives in a home: `/home/jovyan/work` is `work`, `/srv/data` is `srv/data`. */
export function placeIn(home: string, target: string): string {
  const place = resolve(home, target.replace(/^\/home\/jovyan(?=\/|$)/, '').replace(/^\/+/, ''))
  if (place !== home && !place.startsWith(`${home}/`))
    throw new HubError('failed', `The mount target ${target} leads out of the home.`)
  return place
}
