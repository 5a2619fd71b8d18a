import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * A port that was free a moment ago, below those that the kernel gives to outgoing connections: a hub that is replaced lets go
 * of its port for a moment, and another test's connection must not get it then.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    const isFree = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    await new Promise(resolve => server.close(resolve))
    if (isFree) return port
  }
}

/** For whom something runs: a test, or all tests of a file together. */
export interface Test {
  name: string
  after(end: () => unknown): void
}

/** The built program, as a user of the package has it. */
export const program = join(process.cwd(), 'dist/core/main.js')

export interface RunningHub {
  /** `http://127.0.0.1:<port>` */
  origin: string
  folder: string
  /** What it has printed so far. */
  output(): string
  child: ChildProcess
  /** Wait until it has printed this. */
  printed(pattern: RegExp, ms?: number): Promise<RegExpExecArray>
  /** Wait until `/hub/health` says 200. */
  healthy(ms?: number): Promise<void>
  /** Another verb in its folder; resolves with what it printed and its exit code. */
  run(...args: string[]): Promise<{ code: number; output: string }>
  /** SIGTERM; resolves with its exit code. */
  end(): Promise<number | null>
}

/**
 * `swarmhub start` in a folder of its own, which is removed with it at the end of the test. `config` is the text of
 * hub.config.ts; `$PORT` and `$HUB_PORT` in it are free ports. `prepare` puts into the folder what is there before. The log is
 * kept among the artefacts.
 */
export async function startHub(
  t: Test,
  config: string,
  env: Record<string, string> = {},
  prepare: (folder: string) => Promise<void> = async () => {},
): Promise<RunningHub> {
  const folder = await mkdtemp(join(tmpdir(), 'hub-'))
  const [port, hubPort] = [await freePort(), await freePort()]
  await writeFile(
    join(folder, 'hub.config.ts'),
    config.replaceAll('$PORT', String(port)).replaceAll('$HUB_PORT', String(hubPort)),
  )
  await prepare(folder)
  await mkdir('artefacts', { recursive: true })
  const kept = createWriteStream(join('artefacts', `${t.name.replace(/\W+/g, '-').slice(0, 60)}.log`))
  const options = { cwd: folder, env: { ...process.env, NODE_ENV: 'production', ...env } }
  const child = spawn(process.execPath, ['--enable-source-maps', program, 'start'], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk
      kept.write(chunk)
    })
  }
  const exited = new Promise<number | null>(resolve => child.once('exit', resolve))
  const origin = `http://127.0.0.1:${port}`

  const waitFor = async <T>(what: string, ms: number, look: () => Promise<T | undefined> | T | undefined): Promise<T> => {
    const end = performance.now() + ms
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      if (performance.now() > end || child.exitCode !== null)
        throw new Error(`${what} did not come (exit code ${child.exitCode}). Output:\n${output}`)
      await sleep(50)
    }
  }

  const hub: RunningHub = {
    origin,
    folder,
    child,
    output: () => output,
    printed: (pattern, ms = 20_000) => waitFor(String(pattern), ms, () => pattern.exec(output) ?? undefined),
    async healthy(ms = 20_000) {
      await waitFor('health', ms, async () => {
        const reply = await fetch(`${origin}/hub/health`, { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
        await reply?.body?.cancel()
        return reply?.status === 200 ? true : undefined
      })
    },
    run: (...args) =>
      new Promise(resolve => {
        const run = spawn(process.execPath, [program, ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
        let printed = ''
        for (const stream of [run.stdout, run.stderr]) stream.on('data', (chunk: Buffer) => (printed += chunk))
        run.once('close', code => resolve({ code: code ?? -1, output: printed }))
      }),
    async end() {
      child.kill('SIGTERM')
      const code = await Promise.race([exited, sleep(30_000, undefined, { ref: false })])
      if (code === undefined) child.kill('SIGKILL')
      return exited
    },
  }
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) await hub.end()
    await endNotebooks(folder)
    kept.end()
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })
  return hub
}

/** Processes of the process spawner outlive their hub, as they should. */
async function endNotebooks(folder: string): Promise<void> {
  const runs = join(folder, 'data/plugins/process/runs')
  for (const name of await readdir(runs).catch(() => [])) {
    if (!name.endsWith('.pid')) continue
    try {
      process.kill(-Number.parseInt(await readFile(join(runs, name), 'utf8'), 10), 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }
}
