import { Worker } from 'node:worker_threads'

/**
 * Ends this process with a message when its main thread is stuck for so many milliseconds: there is no other way out of an
 * endless loop. Returns how to call it off.
 */
export function watchdog(milliseconds: number, message: string): () => void {
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(bite)}`), {
    execArgv: [],
    workerData: { milliseconds, message },
  })
  worker.unref()
  return () => void worker.terminate()
}

const bite = `
  import { writeSync } from 'node:fs'
  import { workerData } from 'node:worker_threads'
  setTimeout(() => {
    writeSync(2, workerData.message + '\\n')
    process.kill(process.pid, 'SIGKILL')
  }, workerData.milliseconds)
`
