import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Log } from '../plugin.ts'

/**
 * A log file of JSON lines, mode 0600, only ever appended to. One that has reached its size becomes `name.1.jsonl`, that one
 * `name.2.jsonl`, and so on; the oldest is removed. Lines survive the death of the hub, but not of the machine: no fsync.
 */
export interface Journal {
  /** Never throws and waits for nothing. A failed write is logged and tried again with the next line. */
  append(line: object): void
  /** The newest first, over all files; what has been appended before is among them. Lines that are damaged are left out. */
  newestFirst(): AsyncGenerator<unknown>
  /** Resolves when all that was appended has been written, or could not be. Never rejects. */
  flush(): Promise<void>
}

/** Lines that wait while the disk takes none; beyond that the oldest are lost, which the log says. */
const mostWaiting = 10_000

/** `size` in bytes, for one file; `files` is how many there may be, the one being written among them. */
export function openJournal(
  folder: string,
  name: string,
  { size, files, log }: { size: number; files: number; log: Log },
): Journal {
  const pathOf = (number: number) => join(folder, number === 0 ? `${name}.jsonl` : `${name}.${number}.jsonl`)
  let waiting: string[] = []
  /** The last write may have ended in the middle of a line, as may that of the hub before. */
  let torn = true
  /** Bytes in the file, by what was written; unknown where that is not sure. */
  let length: number | undefined
  let turn = Promise.resolve()
  let asked = false

  async function write(): Promise<void> {
    asked = false
    const lines = waiting
    if (lines.length === 0) return
    waiting = []
    try {
      if (await append(lines.join(''))) await rotate()
      torn = false
    } catch (error) {
      torn = true
      length = undefined
      const all = [...lines, ...waiting]
      waiting = all.slice(-mostWaiting)
      log.error('a journal could not be written; its lines wait for the next try', {
        journal: name,
        error: messageOf(error),
        waiting: waiting.length,
        lost: all.length - waiting.length,
      })
    }
  }

  /** Is the file full now? */
  async function append(text: string): Promise<boolean> {
    const file = await open(pathOf(0), 'a+', 0o600)
    try {
      const bytes = Buffer.from(torn && !(await endsWell(file)) ? `\n${text}` : text)
      await file.appendFile(bytes)
      length = length === undefined ? (await file.stat()).size : length + bytes.length
      return length >= size
    } finally {
      await file.close()
    }
  }

  /** What fails here costs no line: the next write comes by again. */
  async function rotate(): Promise<void> {
    length = undefined
    try {
      await rm(pathOf(files - 1), { force: true })
      for (let number = files - 1; number > 0; number--) await rename(pathOf(number - 1), pathOf(number)).catch(ignoreMissing)
    } catch (error) {
      log.error('a journal could not be rotated', { journal: name, error: messageOf(error) })
    }
  }

  const flush = () => (turn = turn.then(write))

  return {
    append(line) {
      waiting.push(`${JSON.stringify(line)}\n`)
      if (asked) return
      asked = true
      void flush()
    },
    async *newestFirst() {
      await flush()
      // No file gets another name meanwhile.
      let done = () => {}
      const mine = new Promise<void>(resolve => (done = resolve))
      const before = turn
      turn = before.then(() => mine)
      try {
        await before
        for (let number = 0; number < files; number++)
          yield* backwards(await readFile(pathOf(number), 'utf8').catch(ignoreMissing))
      } finally {
        done()
      }
    },
    flush,
  }
}

/** The lines of a text, the last one first. */
async function* backwards(text = ''): AsyncGenerator<unknown> {
  let count = 0
  for (let end = text.length; end > 0; ) {
    const begin = end < 2 ? 0 : text.lastIndexOf('\n', end - 2) + 1
    const line = parsed(text.slice(begin, end))
    end = begin
    if (line !== undefined) yield line
    // Others want to be served while somebody searches months of lines.
    if (++count % 1000 === 0) await breathe()
  }
}

async function endsWell(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat()
  const { buffer } = await file.read({ buffer: Buffer.alloc(1), position: Math.max(0, size - 1) })
  return size === 0 || buffer.toString() === '\n'
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // A write was cut short here, by a full disk or a crash.
    return undefined
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
