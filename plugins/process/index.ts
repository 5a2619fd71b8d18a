import { basename, dirname, join } from 'node:path'
import { type Context, duration, type Handle, HubError, type Plugin, parseOptions, type ServerSpec, type User } from 'swarmhub'
import { z } from 'zod'
import { furnish, placeIn } from './home.ts'
import { notebookApp } from './notebook-app.ts'
import { onPath, type Search, searchNotebookServer } from './notebook-server.ts'
import { freePort } from './port.ts'
import { createRuns, type Runs } from './runs.ts'

/** What a server keeps of the hub's environment, beside what `keep` adds. */
const kept = [
  ...['PATH', 'PYTHONPATH', 'LD_LIBRARY_PATH', 'CONDA_ROOT', 'CONDA_DEFAULT_ENV', 'VIRTUAL_ENV'],
  ...['LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'USER', 'LOGNAME', 'SHELL', 'JUPYTERHUB_SINGLEUSER_APP'],
]

const options = z.strictObject({
  /** What to run; a profile's own command wins. Left out: `jupyterhub-singleuser`, found or fetched. */
  command: z.array(z.string().min(1)).min(1).optional(),
  /** May it fetch a notebook server when there is none? Also turned off by SWARMHUB_NO_INSTALL=1. */
  install: z.boolean().default(true),
  /** Where a user's files are. Left out: a folder per user in the data folder. */
  home: z
    .custom<(user: User) => string>(value => typeof value === 'function', { error: 'expected a function of the user' })
    .optional(),
  /** More variables that servers get from the hub's environment. */
  keep: z.array(z.string()).default([]),
  /** Between SIGTERM and SIGKILL. */
  grace: duration().prefault('10s'),
})

export type ProcessOptions = z.input<typeof options>

/**
 * Runs each server as a process of this machine, under the hub's own user: for trying out, for development, and for one
 * machine whose users trust each other. Servers outlive the hub; the next one finds them again.
 */
export function process(given: ProcessOptions = {}) {
  const { command, home, keep, grace, ...rest } = parseOptions('process', options, given)
  const install = rest.install && !/^(1|true|yes)$/i.test(globalThis.process.env.SWARMHUB_NO_INSTALL ?? '')
  const inTurn = turns()
  let folder = ''
  let runs: Runs
  let search: Search

  /** What runs in a server, and the PATH on which it finds its own. */
  async function commandFor(spec: ServerSpec, ctx: Context): Promise<{ command: string[]; path: string | undefined }> {
    const path = globalThis.process.env.PATH
    const wanted = spec.command ?? command
    if (!wanted) {
      const found = await untilAborted(search.find(ctx.progress), ctx.signal)
      return { command: asRoot([found.command]), path: found.from === 'pip' ? `${dirname(found.command)}:${path}` : path }
    }
    const found = await onPath(wanted[0]!, path)
    if (found) return { command: asRoot([found, ...wanted.slice(1)]), path }
    const message = `There is no command "${wanted[0]}" on this machine.`
    throw new HubError('failed', message, {
      details: { code: 'missing', message, hint: 'Your administrator can install it, or name another one in hub.config.ts.' },
    })
  }

  async function start(spec: ServerSpec, ctx: Context): Promise<Handle> {
    ctx.signal.throwIfAborted()
    for (const { run, handle } of await runs.list()) {
      if (run.name !== spec.name) continue
      if (run.generation === spec.generation) return handle
      // One that the hub has given up may still hold the files of the user.
      await runs.end(handle, grace, ctx.signal)
    }
    const { command, path } = await commandFor(spec, ctx)
    const place = home?.(spec.user) ?? join(folder, 'homes', spec.user.slug)
    await furnish(place, spec, join(folder, 'volumes'), ctx.log)
    const port = await freePort(new Set((await runs.list()).map(({ run }) => run.port)))
    const rootDir = spec.env.JUPYTERHUB_ROOT_DIR
    const app = await notebookApp(command[0]!).catch(error =>
      ctx.log.warn('it is unknown which pages the notebook server has', { error }),
    )
    const env = {
      ...(app && { JUPYTERHUB_SINGLEUSER_APP: app }),
      ...ofOurs([...kept, ...keep]),
      ...(path !== undefined && { PATH: path }),
      ...spec.env,
      ...spec.secrets,
      ...(rootDir?.startsWith('/home/jovyan') && { JUPYTERHUB_ROOT_DIR: placeIn(place, rootDir) }),
      HOME: place,
      JUPYTERHUB_SERVICE_URL: `http://127.0.0.1:${port}${spec.path}`,
    }
    ctx.signal.throwIfAborted()
    const { name, generation, labels } = spec
    return runs.begin({ name, generation, port, labels }, command, { cwd: place, env })
  }

  return {
    name: 'process',

    setup(hub) {
      if (globalThis.process.platform !== 'linux')
        throw new HubError('config', 'The process spawner needs Linux (/proc). Use the swarm spawner here.')
      folder = hub.folder
      runs = createRuns(hub.folder, hub.id)
      search = searchNotebookServer({ folder: hub.folder, install, log: hub.log })
      if (hub.isPublic)
        hub.log.warn("this hub is public, and all notebooks run as the same system user: one user can read what is another's")
      // In the background, so that the hub is up at once; the first start waits for it and shows how far it is.
      if (!command) search.find().catch(() => {})
      return () => search.close()
    },

    health() {
      if (search.failure !== undefined) throw search.failure
    },

    spawner: {
      start: (spec, ctx) => inTurn(spec.name, () => start(spec, ctx)),

      poll: handle => runs.status(handle),

      stop: (handle, ctx) => runs.end(handle, grace, ctx.signal),

      list: async () => (await runs.list()).map(({ run, handle, status }) => ({ handle, labels: run.labels, status })),

      watch: changed => runs.watch(changed),

      logs: (handle, { signal }, { follow = true } = {}) => runs.logs(handle, follow, signal),
    },
  } satisfies Plugin
}

/** Of the hub's environment, these. */
function ofOurs(names: string[]): Record<string, string> {
  const found = names.map(name => [name, globalThis.process.env[name]] as const)
  return Object.fromEntries(found.filter((pair): pair is [string, string] => pair[1] !== undefined))
}

/** Jupyter refuses to run as root unless it is told that this is meant. */
function asRoot([command = '', ...args]: string[]): string[] {
  const told =
    globalThis.process.getuid?.() !== 0 || basename(command) !== 'jupyterhub-singleuser' || args.includes('--allow-root')
  return told ? [command, ...args] : [command, '--allow-root', ...args]
}

/** Does one thing of a name after the other. */
function turns() {
  const last = new Map<string, Promise<unknown>>()
  return function inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const mine = (last.get(name) ?? Promise.resolve()).then(work, work)
    last.set(name, mine)
    const done = () => last.get(name) === mine && last.delete(name)
    mine.then(done, done)
    return mine
  }
}

/** A result that is not waited for any longer once the signal aborts; the work itself goes on. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
