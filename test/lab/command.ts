import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'

/** How a command is to be run. */
export interface CommandOptions {
  env?: NodeJS.ProcessEnv
  cwd?: string
  input?: string
  /** After so many milliseconds the command and all that it started is killed. Ten minutes when left out. */
  timeout?: number
}

const running = new Set<number>()

/** Runs a command to its end and gives its standard output. A failure carries the last lines that it wrote. */
export function run(command: string, args: string[], options: CommandOptions = {}): Promise<string> {
  const { promise, resolve, reject } = withResolvers<string>()
  // An own process group: killing a shell or a docker client must not leave its children behind.
  const child = spawn(command, args, { cwd: options.cwd, env: options.env ?? process.env, detached: true })
  const output: Buffer[] = []
  const complaint: Buffer[] = []
  child.stdout.on('data', chunk => output.push(chunk))
  child.stderr.on('data', chunk => complaint.push(chunk))
  child.stdin.on('error', () => {}).end(options.input)

  let late = false
  const { timeout = 600_000 } = options
  const timer = setTimeout(() => {
    late = true
    signalGroup(child.pid, 'SIGKILL')
  }, timeout)
  if (child.pid) running.add(child.pid)

  child.on('error', reject)
  child.on('close', (code, signal) => {
    clearTimeout(timer)
    if (child.pid) running.delete(child.pid)
    const text = Buffer.concat(output).toString()
    if (code === 0) return resolve(text)
    const end = late ? `was not done after ${timeout} ms` : code === null ? `was ended by ${signal}` : `ended with ${code}`
    const last = `${text}\n${Buffer.concat(complaint)}`.trim().split('\n').slice(-20).join('\n')
    reject(new Error(`${[command, ...args].join(' ').slice(0, 300)} ${end}:\n${last}`))
  })
  return promise
}

/** Kills every command that `run` has under way. */
export function killCommands(): void {
  for (const pid of running) signalGroup(pid, 'SIGKILL')
}

/** Starts a process that outlives this one, writing to a log file; gives its pid. */
export async function daemon(log: string, command: string, args: string[], env = process.env): Promise<number> {
  const file = await open(log, 'a')
  const child = spawn(command, args, { detached: true, env, stdio: ['ignore', file.fd, file.fd] })
  child.on('error', () => {})
  child.unref()
  await file.close()
  if (!child.pid) throw new Error(`${command} cannot be started`)
  return child.pid
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (!pid) return
  try {
    process.kill(-pid, signal)
  } catch {
    // It has ended by itself.
  }
}

function withResolvers<T>() {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
