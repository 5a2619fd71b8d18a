import { spawn } from 'node:child_process'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cause, type Handle, HubError, type Status } from 'swarmhub'
import { z } from 'zod'
import { follow, lastLines } from './log-file.ts'
import { carrying, readStat, signal, startOf } from './proc.ts'

/** In the environment of a server and of everything that it starts. */
export const marker = 'SWARMHUB_RUN'

/** Milliseconds: between two looks at what is to end; that a wrapper may take to write down who it is. */
const lookEvery = 50
const wrapperIn = 10_000
/** How what a server left behind is ended: the signal, and the milliseconds until the next. */
const leaving = [
  ['SIGTERM', 2000],
  ['SIGKILL', 10_000],
] as const

/**
 * Stands between the hub and the server, so that a hub that was not there can read how the server ended: writes down which
 * process it is, runs the server, writes down its exit code. It outlives a SIGTERM to the group, for the exit code.
 */
const wrapper = `
trap : HUP INT TERM
run=$1
shift
read -r stat < /proc/$$/stat
echo "$stat" > "$run.pid"
"$@"
echo $? > "$run.exit"
`

const run = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]*$/),
  generation: z.string().regex(/^[A-Za-z0-9_-]+$/),
  port: z.int(),
  labels: z.record(z.string(), z.string()),
})

/** One start of one server, durable before there is a process. */
export type Run = z.infer<typeof run>

/** A run and its wrapper; pid 0 when that never came to write down who it is. */
const place = run.omit({ labels: true }).extend({ pid: z.int(), started: z.string() })
type Place = z.infer<typeof place>

/** What runs, as files: each start has `<name>.<generation>.json`, and beside it what its wrapper writes. */
export interface Runs {
  /** The process is there when this resolves. */
  begin(run: Run, command: string[], options: { cwd: string; env: Record<string, string> }): Promise<Handle>
  /** All that were begun and not cleared, living or not. */
  list(): Promise<{ run: Run; handle: Handle; status: Status }[]>
  status(handle: Handle): Promise<Status>
  /** SIGTERM, after `grace` milliseconds SIGKILL, to the server and to all that it started; then its files go. */
  end(handle: Handle, grace: number, signal: AbortSignal): Promise<void>
  /** Its last lines, then new ones until the signal aborts. Only those of the last start. */
  logs(handle: Handle, follow: boolean, signal: AbortSignal): AsyncIterable<string>
  /** Calls back when a server was begun, when one was ended, and when one has ended by itself. Returns how to stop watching. */
  watch(changed: (handle: Handle) => void): () => void
}

export function createRuns(folder: string, hub: string): Runs {
  const logs = join(folder, 'logs')
  const state = join(folder, 'runs')
  /** Those seen alive, to notice their end. */
  const known = new Map<string, Place>()
  const watchers = new Set<(handle: Handle) => void>()

  const keyOf = ({ name, generation }: Pick<Run, 'name' | 'generation'>) => `${name}.${generation}`
  const markOf = (at: Place) => `${hub}/${keyOf(at)}`
  const fileOf = (of: Pick<Run, 'name' | 'generation'>, kind: 'json' | 'pid' | 'exit') => join(state, `${keyOf(of)}.${kind}`)
  const logOf = (name: string) => join(logs, `${name}.log`)

  const tell = (at: Place) => {
    for (const changed of watchers) changed(at)
  }

  /** Who of the living is no more? */
  async function look(): Promise<void> {
    for (const [key, at] of known) if (!(await lives(at)) && known.delete(key)) tell(at)
  }

  async function locate({ name, generation, port }: Run): Promise<Place> {
    const { pid, started } = readStat(await read(fileOf({ name, generation }, 'pid'))) ?? { pid: 0, started: '' }
    return { name, generation, port, pid, started }
  }

  async function statusOf(at: Place): Promise<Status> {
    if (await lives(at)) {
      known.set(keyOf(at), at)
      return { state: 'running', target: `http://127.0.0.1:${at.port}` }
    }
    const exit = (await read(fileOf(at, 'exit'))).trim()
    if (exit === '' && (await read(fileOf(at, 'json'))) === '')
      return { state: 'gone', cause: { code: 'missing', message: 'The server is not there any more.' } }
    const lines = await lastLines(logOf(at.name), 20)
    return {
      state: 'gone',
      cause: { ...causeOf(exit === '' ? undefined : Number(exit)), ...(lines.length > 0 && { log: lines }) },
    }
  }

  return {
    async begin(given, [command = '', ...args], { cwd, env }) {
      const begun = run.parse(given)
      for (const place of [logs, state]) await mkdir(place, { recursive: true, mode: 0o700 })
      await rename(logOf(begun.name), `${logOf(begun.name)}.1`).catch(() => {})
      const log = await open(logOf(begun.name), 'a', 0o600)
      const json = fileOf(begun, 'json')
      await writeFile(`${json}.new`, JSON.stringify(begun), { mode: 0o600 })
      await rename(`${json}.new`, json)
      const child = spawn('/bin/sh', ['-c', wrapper, 'swarmhub-server', join(state, keyOf(begun)), command, ...args], {
        cwd,
        env: { ...env, [marker]: `${hub}/${keyOf(begun)}` },
        // A session of its own: neither the hub's end nor its terminal's Ctrl-C is the server's.
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      })
      child.unref()
      let failed: Error | undefined
      child.on('error', error => {
        failed = error
      })
      child.on('exit', () => void look())
      await log.close()
      for (const since = performance.now(); ; await sleep(5)) {
        const at = await locate(begun)
        if (at.pid !== 0) {
          known.set(keyOf(at), at)
          tell(at)
          return at
        }
        if (failed || performance.now() - since > wrapperIn)
          throw new HubError('failed', 'The server could not be started on this machine.', { cause: failed })
      }
    },

    async list() {
      const names = (await readdir(state).catch(() => [])).filter(name => name.endsWith('.json'))
      const texts = await Promise.all(names.map(name => read(join(state, name))))
      const found = texts.filter(text => text !== '').map(text => run.parse(JSON.parse(text)))
      return Promise.all(
        found.map(async run => {
          const at = await locate(run)
          return { run, handle: at, status: await statusOf(at) }
        }),
      )
    },

    status: async handle => statusOf(parse(handle)),

    async end(handle, grace, abort) {
      const at = parse(handle)
      known.delete(keyOf(at))
      const within = async (ms: number, gone: () => Promise<boolean>) => {
        for (const since = performance.now(); !(await gone()); await sleep(lookEvery, undefined, { signal: abort }))
          if (performance.now() - since > ms) return false
        return true
      }
      if (await lives(at)) {
        signal(-at.pid, 'SIGTERM')
        if (!(await within(grace, async () => !(await lives(at))))) signal(-at.pid, 'SIGKILL')
      }
      // Kernels and terminals have sessions of their own, and a server that was killed could not end them.
      const left = () => carrying(marker, markOf(at))
      for (const [name, ms] of leaving) {
        for (const pid of await left()) signal(pid, name)
        if (await within(ms, async () => (await left()).length === 0)) break
      }
      const pids = await left()
      if (pids.length > 0) throw new HubError('unavailable', `Processes of a server do not end: ${pids.join(', ')}.`)
      // The record last: whoever comes after a crash in between still finds what there was.
      for (const kind of ['pid', 'exit', 'json'] as const) await rm(fileOf(at, kind), { force: true })
      tell(at)
    },

    async *logs(handle, goesOn, abort) {
      const file = logOf(parse(handle).name)
      if (goesOn) yield* follow(file, 200, abort)
      else yield* await lastLines(file, 200)
    },

    watch(changed) {
      watchers.add(changed)
      // Those of an earlier hub are not our children: nobody tells when they end.
      const timer = setInterval(look, 1000)
      return () => {
        clearInterval(timer)
        watchers.delete(changed)
      }
    },
  }
}

/** A handle comes back from the hub's records; its parts become paths and pids here. */
function parse(handle: Handle): Place {
  const parsed = place.safeParse(handle)
  if (parsed.success) return parsed.data
  throw new HubError('invalid', 'This is no server of the process spawner.')
}

const lives = async ({ pid, started }: Place) => pid !== 0 && (await startOf(pid)) === started

/** What a file holds; nothing when it is not there. */
const read = (file: string) =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })

/** Why a server has ended, by the exit code that a shell saw; undefined when even the shell was killed. */
function causeOf(exitCode: number | undefined): Cause {
  const hint = 'Start it again. If it happens again, the last lines of its log tell more.'
  if (exitCode === undefined)
    return { code: 'killed', message: 'The server was killed.', hint: 'Was the machine restarted, or was its memory used up?' }
  if (exitCode === 0) return { code: 'exited', message: 'The server has ended by itself.', exitCode }
  if (exitCode === 127) return { code: 'exited', message: "The server's command was not found on this machine.", hint, exitCode }
  if (exitCode === 137)
    return { code: 'killed', message: 'The server was killed.', hint: 'This happens when the memory is used up.', exitCode }
  if (exitCode > 128) return { code: 'killed', message: `The server was ended by signal ${exitCode - 128}.`, hint, exitCode }
  return { code: 'exited', message: `The server has ended with exit code ${exitCode}.`, hint, exitCode }
}
