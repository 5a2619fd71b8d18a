import { readdir, readFile } from 'node:fs/promises'

/** When a process was started, in ticks since boot: with the pid it names one process for good. Undefined once it has ended. */
export async function startOf(pid: number): Promise<string | undefined> {
  return readStat(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.started
}

/** The pid and the start in a line of `/proc/PID/stat`. Undefined when there is none, and for a process that waits to be reaped. */
export function readStat(line: string): { pid: number; started: string } | undefined {
  // The second field is the command in parentheses, and may hold anything.
  const [state, ...fields] = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const started = fields[18]
  return state === 'Z' || started === undefined ? undefined : { pid: Number.parseInt(line, 10), started }
}

/** Every living process that inherited this environment variable, wherever it moved: kernels, terminals, what they started. */
export async function carrying(name: string, value: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter(entry => /^\d+$/.test(entry)).map(Number)
  const wanted = `\0${name}=${value}\0`
  const found = await Promise.all(
    pids.map(async pid => {
      // Another user's processes cannot be read; they are not ours.
      const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
      return `\0${environ}`.includes(wanted) && (await startOf(pid)) !== undefined ? [pid] : []
    }),
  )
  return found.flat()
}

/** Send a signal to a process, or with a negative number to its group. Fine when there is none any more. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
