import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HubError, messageOf } from '../errors.ts'
import { makeFolder } from './folder.ts'

/*
 * Each hub that wants a folder puts a unix socket of its own into it, `lock.<host>.<pid>.<random>`, and then looks for other
 * sockets: whoever finds one that is answered withdraws. Of two that come at the same time at least one sees the other, so
 * never do both stay. Who holds the lock is thus what the kernel says: a pid that was used again, a pid of another
 * container, a clock, or a file left by a crash can neither keep a lock nor break one.
 */

/**
 * Take a data folder for this hub alone; makes the folder when it is missing. Resolves with what gives it up again, which may
 * come twice. Throws `conflict` naming the holder when it is not free within `wait` milliseconds; the signal ends the waiting.
 */
export async function lock(
  path: string,
  { wait = 0, signal }: { wait?: number; signal?: AbortSignal } = {},
): Promise<() => Promise<void>> {
  await makeFolder(path)
  const until = performance.now() + wait
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted()
    const attempt = await claim(path)
    if (attempt.release) return attempt.release
    // Even who does not wait tries a few times: the other one may have been a newcomer that withdrew as well.
    if (tries >= 4 && performance.now() >= until)
      throw new HubError(
        'conflict',
        `Another hub (${attempt.holder}) is using ${path}. Stop it first, or give this one a data folder of its own.`,
      )
    await sleep(50 + Math.random() * 100, undefined, { signal })
  }
}

type Attempt = { release: () => Promise<void>; holder?: undefined } | { release?: undefined; holder: string }

async function claim(path: string): Promise<Attempt> {
  const before = await findHolder(path)
  if (before) return { holder: before }
  const name = `lock.${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}`
  const release = await show(path, name)
  try {
    const other = await findHolder(path, name)
    if (!other) return { release }
    await release()
    return { holder: other }
  } catch (error) {
    await release()
    throw error
  }
}

/** Put a socket of this name into the folder. It gets the name only once it answers: one that does not is nobody's. */
async function show(path: string, name: string): Promise<() => Promise<void>> {
  const server = createServer(socket => socket.destroy()).unref()
  const folder = await open(path, 'r')
  let released: Promise<void> | undefined
  const release = async () => {
    await rm(join(path, name), { force: true })
    await new Promise(resolve => server.close(resolve))
    await folder.close()
  }
  try {
    server.listen(addressOf(path, folder, `new.${name}`))
    await once(server, 'listening')
    await rename(join(path, `new.${name}`), join(path, name))
  } catch (cause) {
    await release()
    throw new HubError(
      'config',
      `${path} cannot be locked: ${messageOf(cause)}. It has to be a folder that can hold unix sockets.`,
      {
        cause,
      },
    )
  }
  return () => (released ??= release())
}

/** Who holds the lock, in words; undefined for nobody. Removes the sockets of hubs that are no more. */
async function findHolder(path: string, own?: string): Promise<string | undefined> {
  const folder = await open(path, 'r')
  try {
    for (const name of await readdir(path)) {
      const [, host, pid] = /^lock\.(.+)\.(\d+)\.[0-9a-f]{8}$/.exec(name) ?? []
      if (pid === undefined || name === own) continue
      if (await isAnswered(addressOf(path, folder, name))) return `pid ${pid} on ${host}`
      // Names are never used twice, so this cannot hit a lock that somebody has just taken.
      await rm(join(path, name), { force: true })
    }
    return undefined
  } finally {
    await folder.close()
  }
}

/** The path of a socket may have 107 bytes only: on Linux a folder that is open has a short one. */
const addressOf = (path: string, folder: FileHandle, name: string) =>
  process.platform === 'linux' ? `/proc/self/fd/${folder.fd}/${name}` : join(path, name)

/** A socket whose process is gone refuses; one that is too busy to answer has an owner. */
function isAnswered(address: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(address)
    const answer = (is: boolean) => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', (error: NodeJS.ErrnoException) => answer(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}
