import { open, stat } from 'node:fs/promises'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as sleep } from 'node:timers/promises'

/** Bytes that are read at once, and the most that is looked back. */
const chunk = 64 * 1024
/** Milliseconds between two looks at a log that is followed. */
const every = 250

/** The last lines of a file, first to last; none when it does not exist. */
export async function lastLines(file: string, count: number): Promise<string[]> {
  const { lines, rest } = await readFrom(file, Math.max(0, (await sizeOf(file)) - chunk), new StringDecoder(), '')
  return [...lines, ...(rest === '' ? [] : [rest])].slice(-count)
}

/** The last lines of a file, then new ones as they come, until the signal aborts. */
export async function* follow(file: string, count: number, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new StringDecoder()
  let { lines, position, rest } = await readFrom(file, Math.max(0, (await sizeOf(file)) - chunk), decoder, '')
  yield* lines.slice(-count)
  while (!signal.aborted) {
    const size = await sizeOf(file)
    if (size < position) position = 0
    if (size === position) {
      await sleep(every, undefined, { signal }).catch(() => {})
      continue
    }
    ;({ lines, position, rest } = await readFrom(file, position, decoder, rest))
    yield* lines
  }
}

const sizeOf = (file: string) =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** At most one chunk from a position on: its whole lines, where the next one starts, and the line that is not finished. */
async function readFrom(file: string, position: number, decoder: StringDecoder, rest: string) {
  const handle = await open(file).catch(() => undefined)
  if (!handle) return { lines: [], position, rest }
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunk), 0, chunk, position)
    const lines = (rest + decoder.write(buffer.subarray(0, bytesRead))).split(/\r?\n/)
    return { rest: lines.pop() ?? '', lines, position: position + bytesRead }
  } finally {
    await handle.close()
  }
}
