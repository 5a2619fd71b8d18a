import {
  type Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import { only, type Upstream } from './upstream.ts'

/*
 * http-proxy 1.18.1 moves the bytes. By itself it lets requests be smuggled, crashes on a reset, and leaks connections;
 * what is here keeps it from that. Each guard has its test in test/http-proxy-guards.test.ts.
 */

/** Milliseconds for the answer to an upgrade. A Jupyter server answers when its kernel has, and waits 60 s for that. */
const upgradeTime = 90_000
/** Milliseconds that a connection may take for the rest of what is being written to it, each time something moves. */
const lingerTime = 10_000

/**
 * Bytes, of the headers of an answer; Node's own limit is 16 KiB. `ssl` is how http-proxy takes options of the request that it
 * knows nothing of: it fills the object, so each request has its own.
 */
const maxHeaderSize = 65_536

/** What goes with one request on its way. */
export interface Passage {
  upstream: Upstream
  /** Change the headers of the answer before the client gets them. */
  answer?(headers: IncomingHttpHeaders): void
  /** The client is active: it sends, or it was served. */
  active?(): void
}

export interface Forwarder {
  /**
   * Pass a request on and its answer back. Resolves when the client is served or has left. Resolves with an error when the
   * server did not answer; then nothing has been sent to the client. Never rejects.
   */
  web(req: IncomingMessage, res: ServerResponse, passage: Passage): Promise<Error | undefined>
  /** The same for an upgrade to a WebSocket, but a client whose server did not answer has been told so: a bare 503. */
  ws(req: IncomingMessage, socket: Socket, head: Buffer, passage: Passage): Promise<Error | undefined>
}

interface Sent extends Passage {
  outgoing?: ClientRequest
  answered?: boolean
  /** Ends the present attempt; does nothing once it has ended. */
  fail?(error: Error): void
}

/** On the request itself: a WeakMap of all that is under way keeps the garbage collector busy. */
const sent = Symbol('sent')
interface Travelling extends IncomingMessage {
  [sent]?: Sent
}

export function forwarder(): Forwarder {
  const kernel = httpProxy.createProxyServer({ toProxy: true })
  const passes = kernel as typeof kernel & { webPasses: { name: string }[] }
  // it takes the framing off a chunked DELETE and pipes the body all the same: the body is then the next request
  passes.webPasses = passes.webPasses.filter(pass => pass.name !== 'deleteLength')

  kernel.on('proxyReq', (outgoing, req, res) => {
    const passage = (req as Travelling)[sent]!
    passage.outgoing = outgoing
    if (res.destroyed) outgoing.destroy()
    // as it was routed: http-proxy merges slashes
    outgoing.path = req.url!
    res.once('close', () => {
      if (!res.writableFinished || !req.complete) outgoing.destroy()
    })
    // a 101 that nobody asked for closes without an error
    const { fail } = passage
    outgoing.once('close', () => {
      if (!passage.answered) fail?.(new Error('closed without an answer'))
    })
    if (!hasBody(req)) return
    req.on('data', () => passage.active?.())
    // the server may have its say before the client sends any of it
    setImmediate(() => outgoing.flushHeaders())
  })

  kernel.on('proxyRes', (answer, req, res) => {
    const passage = (req as Travelling)[sent]!
    passage.answered = true
    answer.once('close', () => {
      if (!answer.complete) res.destroy()
    })
    answer.statusMessage = reason(answer)
    if (answer.statusCode! < 200 || answer.statusCode! > 599) answer.statusCode = 502
    dropHopByHop(answer.headers)
    delete answer.headers['transfer-encoding']
    // http-proxy would say keep-alive to those who asked for close
    answer.headers.connection = res.shouldKeepAlive ? 'keep-alive' : 'close'
    passage.answer?.(answer.headers)
    res.once('finish', () => {
      if (res.statusCode < 300) passage.active?.()
    })
    // an event stream is open when its headers are there; what has a body by now is sent with it in one piece
    setImmediate(() => {
      if (!res.headersSent && !res.destroyed) res.flushHeaders()
    })
  })

  kernel.on('proxyReqWs', (outgoing, req, socket) => {
    const passage = (req as Travelling)[sent]!
    outgoing.path = req.url!
    const deadline = setTimeout(() => outgoing.destroy(new Error(`no answer to an upgrade after ${upgradeTime} ms`)), upgradeTime)
    outgoing.once('close', () => clearTimeout(deadline))
    socket.once('close', () => outgoing.destroy())
    // after http-proxy has put its own listener there: it would pass a chunked body on without its framing
    queueMicrotask(() =>
      outgoing.removeAllListeners('response').once('response', answer => {
        passage.answered = true
        dropHopByHop(answer.headers)
        delete answer.headers['transfer-encoding']
        passage.answer?.(answer.headers)
        decline(answer, socket)
      }),
    )
    outgoing.once('upgrade', (answer, server) => {
      passage.answered = true
      clearTimeout(deadline)
      passage.answer?.(answer.headers)
      tie(socket, server)
      tie(server, socket)
      if (passage.active) socket.on('data', passage.active)
    })
  })

  /** Resolves with undefined once the client is served or has left, with an error when there is no answer. */
  const attempt = (passage: Sent, client: ServerResponse | Socket, go: (fail: (error: Error) => void) => void) =>
    new Promise<Error | undefined>(resolve => {
      client.once('close', () => resolve(undefined))
      const fail = (error: Error) => {
        if (!passage.answered) resolve(client.destroyed ? undefined : error)
      }
      passage.fail = fail
      try {
        go(fail)
      } catch (error) {
        fail(error as Error)
      }
    })

  return {
    async web(req, res, given) {
      const { upstream } = given
      const { target } = upstream
      const passage: Sent = { ...given }
      Object.assign(req, { [sent]: passage })
      res.once('finish', () => {
        if (!req.complete) drain(req)
      })
      dropHopByHop(req.headers)
      const send = (agent: Agent) =>
        attempt(passage, res, fail => kernel.web(req, res, { target, agent, ssl: { maxHeaderSize } }, fail))

      // The server may close a kept connection in the moment it is used. What may be sent twice goes again on a new one,
      // everything else never travels on a kept one.
      const repeatable = (req.method === 'GET' || req.method === 'HEAD') && !hasBody(req)
      let failure: Error | undefined
      if (repeatable) {
        failure = await send(upstream.kept)
        if (!failure || !(passage.outgoing?.reusedSocket || upstream.patient)) return failure
      }
      for (let tries = repeatable && upstream.patient ? 2 : 1; tries > 0; tries--) {
        const connection = await dial(upstream, res)
        if (connection instanceof Error) return res.destroyed ? undefined : connection
        failure = await send(only(connection))
        if (!failure) return
      }
      return failure
    },

    async ws(req, socket, head, given) {
      const { upstream } = given
      const passage: Sent = { ...given }
      Object.assign(req, { [sent]: passage })
      socket.once('end', () => {
        if (!passage.answered) socket.destroy()
      })
      dropHopByHop(req.headers)
      Object.assign(req.headers, { connection: 'Upgrade', upgrade: 'websocket' })
      const connection = await dial(upstream, socket)
      if (connection instanceof Error) {
        const failure = socket.destroyed ? undefined : connection
        refuse(socket, 503)
        return failure
      }
      return attempt(passage, socket, fail =>
        kernel.ws(req, socket, head, { target: upstream.target, agent: only(connection), ssl: { maxHeaderSize } }, error => {
          // at once: http-proxy ends the socket as soon as this returns
          if (!passage.answered) refuse(socket, 503)
          fail(error)
        }),
      )
    },
  }
}

/** A connection for this client, given up when the client leaves. */
async function dial(upstream: Upstream, client: ServerResponse | Socket): Promise<Socket | Error> {
  const gone = new AbortController()
  const leave = () => gone.abort()
  if (client.destroyed) leave()
  client.once('close', leave)
  try {
    return await upstream.dial(gone.signal)
  } catch (error) {
    return error as Error
  } finally {
    client.removeListener('close', leave)
  }
}

/** Does this message announce a body? */
export const hasBody = ({ headers }: IncomingMessage) =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] !== undefined && headers['content-length'] !== '0')

/**
 * Take off what is said between two neighbours only. What `Connection` lists is not looked at: a client could list what
 * this proxy adds, and the server would never see it.
 */
function dropHopByHop(headers: IncomingHttpHeaders) {
  for (const name of ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'http2-settings', 'expect']) {
    delete headers[name]
  }
}

/** The words beside the status; Node throws on what may not stand there. */
const reason = ({ statusMessage = '' }: IncomingMessage) => (/[^\t\x20-\x7e\x80-\xff]/.test(statusMessage) ? '' : statusMessage)

/** The client was answered while it still sends: let it see the answer before the connection goes. */
function drain(req: IncomingMessage) {
  req.unpipe()
  req.resume()
  const deadline = setTimeout(() => req.socket.destroy(), lingerTime).unref()
  req.once('end', () => clearTimeout(deadline))
}

/** An answer that is no upgrade: give it to the client, and close. */
function decline(answer: IncomingMessage, socket: Socket) {
  const lines = Object.entries(answer.headers).flatMap(([name, value]) => [value ?? []].flat().map(one => `${name}: ${one}\r\n`))
  socket.write(`HTTP/1.1 ${answer.statusCode} ${reason(answer)}\r\n${lines.join('')}connection: close\r\n\r\n`, 'latin1')
  answer.pipe(socket)
  answer.once('close', () => (answer.complete ? leave(socket) : socket.destroy()))
}

/** Two halves of a WebSocket live and die together. */
function tie(one: Socket, other: Socket) {
  one.on('error', () => other.destroy())
  one.once('end', () => leave(other))
  one.once('close', () => leave(other))
}

/** Answer an upgrade with a bare status, and close. */
export function refuse(socket: Socket, status: number) {
  if (socket.writable)
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
  leave(socket)
}

/** Close once all is written; a peer that does not read gets no more than a while. */
function leave(socket: Socket) {
  socket.setTimeout(lingerTime, () => socket.destroy())
  socket.destroySoon()
}
