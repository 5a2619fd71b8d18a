import { readFile } from 'node:fs/promises'

/** The instant a process was started, in ticks since boot: with the pid it names one process for good. A zombie has ended. */
export async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return text && fields[0] !== 'Z' ? fields[19] : undefined
}

/** Sends a signal to one process; says whether there was one. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
