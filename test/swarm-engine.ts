import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from './running-hub.ts'

type Answer = (request: IncomingMessage, reply: ServerResponse) => void

/** Something that listens where a Docker engine would. Gives its address for the option `docker`. */
export async function engineAt(t: Pick<Test, 'after'>, answer: Answer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-engine-'))
  const socket = join(folder, 'docker.sock')
  const server = createServer(answer)
  await new Promise<void>(resolve => server.listen(socket, resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    await rm(folder, { recursive: true })
  })
  return socket
}

/** Stands between a client and a real engine. What `meddle` returns true for is not sent on: it has answered, or never will. */
export async function tap(
  t: Pick<Test, 'after'>,
  engine: string,
  meddle: (request: IncomingMessage, reply: ServerResponse) => boolean = () => false,
) {
  const calls: string[] = []
  const socket = await engineAt(t, (asked, reply) => {
    calls.push(`${asked.method} ${asked.url?.replace(/^\/v[\d.]+|\?.*$/g, '')}`)
    if (meddle(asked, reply)) return
    const { method, url, headers } = asked
    const sent = request({ socketPath: engine, method: method ?? 'GET', path: url ?? '/', headers }, got => {
      reply.writeHead(got.statusCode ?? 500, got.headers)
      got.pipe(reply)
    })
    sent.on('error', () => reply.destroy())
    reply.on('close', () => sent.destroy())
    asked.pipe(sent)
  })
  return { socket, calls }
}
