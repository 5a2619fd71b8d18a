import { chmod, mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { HubError } from '../errors.ts'

/**
 * Make a folder that is ours alone: mode 0700, durable when it resolves. One that is there already and open to others is
 * closed to them; throws `config` when that is not ours to do. May be called again.
 */
export async function makeFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 })
  if (made !== undefined) return syncFolder(dirname(resolve(made)))
  const { mode } = await stat(path)
  if ((mode & 0o077) === 0) return
  try {
    await chmod(path, 0o700)
  } catch (cause) {
    throw new HubError(
      'config',
      `${path} is open to other users of this machine, and its mode could not be changed. Run: chmod 700 ${path}`,
      { cause },
    )
  }
}

/** By folder: the fsync that is under way, and the one that will follow it for all who came meanwhile. */
const syncs = new Map<string, { now: Promise<void>; next?: Promise<void> }>()

/** Make durable which files a folder holds. One that has begun before may have missed the caller's file: it is not waited for. */
export function syncFolder(path: string): Promise<void> {
  const under = syncs.get(path)
  if (!under) return begin(path)
  const follow = () => begin(path)
  under.next ??= under.now.then(follow, follow)
  return under.next
}

function begin(path: string): Promise<void> {
  const turn = { now: sync(path) }
  syncs.set(path, turn)
  const over = () => {
    if (syncs.get(path) === turn) syncs.delete(path)
  }
  turn.now.then(over, over)
  return turn.now
}

async function sync(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
