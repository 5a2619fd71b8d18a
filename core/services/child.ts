import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Close, Log } from '../plugin.ts'

/** Milliseconds: the first wait before it is started again, the longest, and how long it has to run to count as well again. */
const [shortest, longest, well] = [1000, 60_000, 60_000]

/**
 * Waits until its standard input ends: when the hub says so, and when the hub is no more, however it ended. Then it ends the
 * process group of the service, which nobody could find again otherwise.
 */
const keeper = `
cat > /dev/null
kill -TERM -"$1" 2> /dev/null
sleep 5
kill -KILL -"$1" 2> /dev/null
`

export interface Child {
  command: readonly string[]
  cwd: string | undefined
  env: Record<string, string>
  /** Whom it runs as, if not as the hub. */
  as?: { uid: number; gid: number } | undefined
  log: Log
  /** Told its process id at each start, and 0 when it has ended. */
  running(pid: number): void
}

/**
 * Run a program, and run it again whenever it ends: after a second, then after twice as long each time, up to a minute. What it
 * prints goes into the log. The result ends it and all that it has started: SIGTERM, five seconds later SIGKILL.
 */
export function keepRunning({ command: [program = '', ...args], cwd, env, as, log, running }: Child): Close {
  const closing = new AbortController()
  let wait = shortest

  const run = async () => {
    const began = performance.now()
    const child = spawn(program, args, { cwd, env, ...as, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = new Promise<object>(resolve => {
      child.once('error', error => resolve({ error }))
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
    for (const stream of [child.stdout, child.stderr]) eachLine(stream, line => log.info('a service says', { line }))
    const guard = child.pid === undefined ? undefined : guardOf(child.pid)
    if (child.pid !== undefined) {
      running(child.pid)
      log.info('a service was started', { pid: child.pid })
    }
    const end = () => guard?.stdin?.end()
    closing.signal.addEventListener('abort', end)
    if (closing.signal.aborted) end()
    const how = await ended
    closing.signal.removeEventListener('abort', end)
    running(0)
    if (child.pid !== undefined) killGroup(child.pid)
    if (guard?.pid !== undefined) killGroup(guard.pid)
    if (closing.signal.aborted) return
    wait = performance.now() - began > well ? shortest : wait
    const again = wait * (0.75 + Math.random() / 2)
    wait = Math.min(wait * 2, longest)
    log.error('a service has ended: it is started again', { ...how, seconds: Math.round(again / 100) / 10 })
    await sleep(again, undefined, { signal: closing.signal }).catch(() => {})
  }

  const done = (async () => {
    while (!closing.signal.aborted) await run()
  })()

  return async () => {
    closing.abort()
    await Promise.race([done, sleep(8000, undefined, { ref: false })])
  }
}

function guardOf(group: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', keeper, 'swarmhub-keeper', String(group)], {
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin' },
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // It may be gone when it is told to go.
  guard.stdin?.on('error', () => {})
  guard.once('error', () => {})
  return guard
}

/** What a process has started and left behind: it would be in the way of the next one. */
function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // There is nothing left of it.
  }
}

/** Lines as they come; one that does not end is cut. */
async function eachLine(stream: NodeJS.ReadableStream | null, tell: (line: string) => void): Promise<void> {
  let rest = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') tell(line)
    if (rest.length > 8192) {
      tell(rest)
      rest = ''
    }
  })
  if (!stream) return
  await once(stream, 'end').catch(() => {})
  if (rest !== '') tell(rest)
}
