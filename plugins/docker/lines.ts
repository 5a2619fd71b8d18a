import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** The lines of a JSON stream, as events and pulls are; what is no JSON is left out. */
export async function* jsonLines(stream: Readable): AsyncGenerator<unknown> {
  for await (const line of textLines(stream)) {
    try {
      yield JSON.parse(line)
    } catch {
      // A line cut by the end of the stream. The next look at the engine shows what it would have told.
    }
  }
}

/** The lines of a container's log: Docker sends frames, each with a head of one byte for the channel and four for the length. */
export async function* logLines(stream: Readable): AsyncGenerator<string> {
  yield* textLines(frames(stream))
}

async function* frames(stream: Readable): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    while (rest.length >= 8) {
      const end = 8 + rest.readUInt32BE(4)
      if (rest.length < end) break
      yield rest.subarray(8, end)
      rest = rest.subarray(end)
    }
  }
}

/** Longest line that is kept whole. */
const longest = 10_000

async function* textLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split(/\r?\n/)
    rest = lines.pop() ?? ''
    // Somebody's endless line must not fill the memory.
    if (rest.length > longest) {
      lines.push(rest)
      rest = ''
    }
    for (const line of lines) yield line.trimEnd()
  }
  if (rest !== '') yield rest.trimEnd()
}
