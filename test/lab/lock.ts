import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Does the work while no other process of this machine holds the same lock file. */
export async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  // The kernel holds the lock for a child that waits on our pipe: however this process ends, the pipe closes and the lock is free.
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  })
  const failed = once(holder, 'exit').then(() => {
    throw new Error(`cannot lock ${file}`)
  })
  failed.catch(() => {})
  holder.stdin.on('error', () => {})
  await Promise.race([once(holder.stdout, 'data'), failed])
  try {
    return await work()
  } finally {
    holder.stdin.end()
    await failed.catch(() => {})
  }
}
