import { Agent, request } from 'node:http'
import { cpuOf } from './program.ts'

/** What some load has cost. */
export interface Figures {
  operations: number
  seconds: number
  /** Milliseconds of processor time of the process under test. */
  cpu: number
  /** Milliseconds, of each operation. */
  times: number[]
}

/**
 * Do something again and again for so many seconds, `width` at a time: `once` is one operation and gets its number. Rejects
 * with the first that fails: what is measured has to work.
 */
export async function load(
  pid: number,
  { seconds, width }: { seconds: number; width: number },
  once: (n: number) => Promise<unknown>,
): Promise<Figures> {
  const times: number[] = []
  const [cpu, began] = [cpuOf(pid), performance.now()]
  const until = began + seconds * 1000
  let n = 0
  const worker = async () => {
    while (performance.now() < until) {
      const start = performance.now()
      await once(n++)
      times.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return { operations: times.length, seconds: (performance.now() - began) / 1000, cpu: cpuOf(pid) - cpu, times }
}

/** Of several rounds. */
export const together = (rounds: readonly Figures[]): Figures => ({
  operations: sum(rounds.map(({ operations }) => operations)),
  seconds: sum(rounds.map(({ seconds }) => seconds)),
  cpu: sum(rounds.map(({ cpu }) => cpu)),
  times: rounds.flatMap(({ times }) => times),
})

const sum = (values: number[]) => values.reduce((all, value) => all + value, 0)

export const rateOf = ({ operations, seconds }: Figures) => operations / seconds
/** Milliseconds of processor time for one operation. */
export const costOf = ({ cpu, operations }: Figures) => Math.max(cpu, 1) / operations
/** Milliseconds. */
export const p99Of = ({ times }: Figures) => [...times].sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN

export interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: string
}

export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/** A client with connections that it keeps. */
export function client(origin: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const { hostname, port } = new URL(origin)

  const ask = (path: string, { method = 'GET', headers = {}, body }: Asked = {}) =>
    new Promise<Reply>((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      request({ agent, hostname, port, path, method, headers: { ...headers, ...length } }, reply => {
        const chunks: Buffer[] = []
        reply.on('data', (chunk: Buffer) => chunks.push(chunk))
        reply.on('error', reject)
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }))
      })
        .on('error', reject)
        .end(body)
    })

  return {
    ask,
    /** Throws for another status than this. */
    async expect(status: number, path: string, asked: Asked = {}): Promise<Reply> {
      const reply = await ask(path, asked)
      if (reply.status === status) return reply
      throw new Error(
        `${asked.method ?? 'GET'} ${origin}${path}: ${reply.status} in place of ${status}: ${reply.body.subarray(0, 500)}`,
      )
    },
    close: () => agent.destroy(),
  }
}
