import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
} from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'

/** A server on the loopback address, on a port that is free; stopped at the end of the test. */
export interface Loopback {
  /** `http://127.0.0.1:port` */
  target: string
  port: number
  /** Connections that are open now. */
  open(): number
  /** Cut all connections and stop listening. May be called twice. */
  stop(): Promise<void>
}

/** An HTTP server; without an `upgraded` it answers upgrades as if they were requests. */
export function serveHttp(
  t: TestContext,
  answer: RequestListener,
  upgraded?: (req: IncomingMessage, socket: Socket) => void,
  port = 0,
) {
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 600_000 }, answer)
  if (upgraded) server.on('upgrade', (_, socket: Socket) => socket.resume().once('end', () => socket.end()))
  if (upgraded) server.on('upgrade', upgraded)
  return listen(t, server, port)
}

/** A server that writes and reads bytes. */
export function serveTcp(t: TestContext, answer: (socket: Socket) => void) {
  return listen(t, createTcpServer(answer), 0)
}

/** A server that answers with its name and the path that was asked for. */
export const serveName = (t: TestContext, name: string) => serveHttp(t, (req, res) => res.end(`${name} ${req.url}`))

async function listen(t: TestContext, server: Server | TcpServer, wanted: number): Promise<Loopback> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {})
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await once(server.listen(wanted, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const stop = async () => {
    if (!server.listening) return
    const closed = once(server.close(), 'close')
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.after(stop)
  return { target: `http://127.0.0.1:${port}`, port, open: () => sockets.size, stop }
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

export interface Ask {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string
}

/** One request on a connection of its own; the path goes out as it is. */
export async function ask(port: number, path: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
  const outgoing = request({ hostname: '127.0.0.1', port, path, method, headers: { ...length, ...headers }, agent: false }).end(
    body,
  )
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: answer.statusCode!, headers: answer.headers, body: await text(answer) }
}

/** Send bytes; resolves with all that comes back until the other side closes. */
export async function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes, 'latin1')
  return text(socket).finally(() => socket.destroy())
}

const handshake = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** Ask for a WebSocket; resolves with the bare connection after the 101. */
export async function upgrade(t: TestContext, port: number, path: string, headers: Record<string, string> = {}) {
  const outgoing = request({ hostname: '127.0.0.1', port, path, headers: { ...handshake, ...headers }, agent: false }).end()
  const [answer, socket] = (await once(outgoing, 'upgrade')) as [IncomingMessage, Socket]
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  return { headers: answer.headers, socket }
}

/** The bytes of such a request. */
export const upgradeRequest = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: hub\r\n${Object.entries(handshake)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}${more}\r\n`

/** A server's half of a WebSocket: takes the protocol, tells what it saw in `x-seen`, and gives back each byte. */
export function echo(req: IncomingMessage, socket: Socket) {
  const { host, origin, 'sec-websocket-protocol': protocol } = req.headers
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n')
  socket.write(`Sec-WebSocket-Protocol: ${protocol}\r\nX-Seen: ${req.url} ${host} ${origin}\r\n\r\n`)
  socket.pipe(socket)
}

/** Wait until it is true; rejects after a minute. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`never came true within a minute: ${isTrue}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
