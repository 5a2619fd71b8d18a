import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Log, messageOf } from 'swarmhub'
import { z } from 'zod'
import { routeKey } from './path.ts'
import { type Upstream, upstream } from './upstream.ts'

/** One path and the server that answers below it. */
export interface LiveRoute {
  /** Decoded: `['user', 'a@b']`. */
  readonly segments: readonly string[]
  /** `http://host:port` */
  readonly target: string
  readonly data: Readonly<Record<string, unknown>>
  readonly upstream: Upstream
  /** Milliseconds since 1970. */
  active: number
}

/** The front's routes: in memory, with a copy on disk for its next start. */
export interface RouteTable {
  /** The route with the longest path, by whole segments, that this path begins with. */
  find(segments: readonly string[]): LiveRoute | undefined
  get(segments: readonly string[]): LiveRoute | undefined
  all(): Iterable<LiveRoute>
  /**
   * Add or replace. What is the same already stays as it is; else every connection to the replaced server is cut, because
   * its address may be somebody else's by now. Resolves when the copy on disk has been written or could not be.
   */
  put(segments: readonly string[], target: string, data: Record<string, unknown>): Promise<void>
  /** Remove, and cut every connection to the server. false: there was none. */
  delete(segments: readonly string[]): Promise<boolean>
  /** Write the copy and cut all connections. */
  close(): Promise<void>
}

const saved = z.strictObject({
  version: z.literal(1),
  routes: z.array(
    z.strictObject({
      path: z.array(z.string()),
      target: z.string().refine(text => readTarget(text) !== undefined),
      data: z.record(z.string(), z.unknown()),
      active: z.number(),
    }),
  ),
})

/** Take up the routes of the last run. A file that cannot be used is put aside: the hub posts its routes again. */
export async function openRoutes(folder: string, log: Log): Promise<RouteTable> {
  const file = join(folder, 'routes.json')
  const routes = new Map<string, LiveRoute>()
  let deepest = 0

  function put(segments: readonly string[], target: string, data: Record<string, unknown>, active: number) {
    deepest = Math.max(deepest, segments.length)
    routes.set(routeKey(segments), { segments, target, data, active, upstream: upstream(readTarget(target)!) })
  }

  try {
    for (const { path, target, data, active } of saved.parse(JSON.parse(await readFile(file, 'utf8'))).routes)
      put(path, target, data, active)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.error('the saved routes cannot be read: starting without, until the hub posts them again', {
        file,
        error: messageOf(error),
      })
      await rename(file, `${file}.damaged`).catch(() => log.error('the damaged file could not be put aside', { file }))
    }
  }

  async function write() {
    const list = [...routes.values()].map(({ segments, target, data, active }) => ({ path: segments, target, data, active }))
    try {
      const handle = await open(`${file}.new`, 'w', 0o600)
      try {
        await handle.writeFile(JSON.stringify({ version: 1, routes: list }))
        // a rename without it may leave an empty file after a power cut
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(`${file}.new`, file)
    } catch (error) {
      // The routes themselves work. They would be missing only after a restart of the front, until the hub posts them again.
      log.error('the routes could not be saved', { file, error: messageOf(error) })
    }
  }

  let writing = Promise.resolve()
  let waiting: Promise<void> | undefined
  /** Changes that come while the file is being written share the next write. */
  function save(): Promise<void> {
    waiting ??= writing.then(() => {
      waiting = undefined
      writing = write()
      return writing
    })
    return waiting
  }

  return {
    find(segments) {
      // a decoded slash is part of a name, not the border of two
      const slash = segments.findIndex(segment => segment.includes('/'))
      for (let length = Math.min(slash < 0 ? segments.length : slash, deepest); length >= 0; length--) {
        const route = routes.get(routeKey(segments.slice(0, length)))
        if (route) return route
      }
    },
    get: segments => routes.get(routeKey(segments)),
    all: () => routes.values(),
    async put(segments, target, data) {
      const old = routes.get(routeKey(segments))
      if (old?.target === target && isDeepStrictEqual(old.data, data)) return
      put(segments, target, data, Date.now())
      old?.upstream.cut()
      await save()
    },
    async delete(segments) {
      const old = routes.get(routeKey(segments))
      if (!old) return false
      routes.delete(routeKey(segments))
      old.upstream.cut()
      await save()
      return true
    },
    async close() {
      for (const route of routes.values()) route.upstream.cut()
      await save()
    },
  }
}

/** Where a target leads; undefined for what is none: anything but `http://host:port`, a trailing `/` allowed. */
export function readTarget(text: string): { host: string; port: number } | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' || url.href !== `http://${url.host}/`) return undefined
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80) }
}
