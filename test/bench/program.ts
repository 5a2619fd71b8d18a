import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A program under test. */
export interface Program {
  pid: number
  /** SIGTERM, and SIGKILL after ten seconds; resolves when it is gone. */
  end(): Promise<void>
}

export interface ProgramOptions {
  cwd: string
  env?: Record<string, string>
  /** Asked again and again until it says true. */
  ready(): Promise<boolean>
}

/** Start a program and wait until it is ready. What it prints goes to `output.log` in its folder; who fails to come up tells it. */
export async function run(command: string, args: string[], { cwd, env, ready }: ProgramOptions): Promise<Program> {
  const output = join(cwd, 'output.log')
  const file = openSync(output, 'a', 0o600)
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', file, file] })
  closeSync(file)
  await once(child, 'spawn')
  const end = () => ended(child)
  for (const until = performance.now() + 60_000; !(await ready().catch(() => false)); await sleep(100)) {
    if (child.exitCode === null && performance.now() < until) continue
    await end()
    throw new Error(`${command} did not come up:\n${readFileSync(output, 'utf8').slice(-4000)}`)
  }
  return { pid: child.pid!, end }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(late)
}

/** Where this program is; undefined where it is not installed. */
export async function find(name: string): Promise<string | undefined> {
  for (const folder of ['/usr/bin', ...(process.env.PATH ?? '').split(delimiter)]) {
    const path = join(folder, name)
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return undefined
}

/** The first child of a process. */
export const childOf = (pid: number) => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0])

/** Milliseconds of processor time that a process has had, all its threads, in the kernel too: proc(5), fields 14 and 15 of `stat`. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // USER_HZ is 100 on every Linux there is for Node.
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Megabytes that a process has in memory. */
export const memoryOf = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
