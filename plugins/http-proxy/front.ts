import { once } from 'node:events'
import { unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Close, type Context, type FrontOptions, guardHeaders, HubError, type Log, messageOf, plainAddress } from 'swarmhub'
import { limitConnections } from './connections.ts'
import { forwarder, hasBody, type Passage, refuse } from './forward.ts'
import { rewriteForwarded, type Trust } from './forwarded.ts'
import { cleanAnswer, cleanRequest } from './hygiene.ts'
import { readPath, routeKey } from './path.ts'
import { serveRouteApi } from './route-api.ts'
import { openRoutes } from './routes.ts'
import { browserSessions } from './sessions.ts'
import { upstream } from './upstream.ts'

/** Paths of PEM files. */
interface TlsFiles {
  key: string
  cert: string
}

export interface Listen {
  host: string
  port: number
  tls?: TlsFiles
  trust: Trust
  /** From one address at a time; 0: no limit. */
  connections: number
  /** Milliseconds for requests under way when the front is told to end. */
  grace: number
}

/** Milliseconds between two looks at the certificate. */
const renewTime = 60_000
/** Milliseconds for the hub to draw an error page. */
const pageTime = 5000

/** What Node is told about connections: nothing that would end an upload or a stream, all that ends a client that never asks. */
const limits = {
  insecureHTTPParser: false,
  maxHeaderSize: 65_536,
  headersTimeout: 20_000,
  requestTimeout: 0,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5000,
  noDelay: true,
}

/** Listen, serve the routes, give the rest to the hub. Resolves with the port when it listens. */
export async function serve(listen: Listen, front: FrontOptions, ctx: Context): Promise<{ port: number; close: Close }> {
  const { log } = ctx
  const routes = await openRoutes(front.folder, log)
  const hub = upstream(front.hub, front.patience)
  const forward = forwarder()
  const upgraded = new Set<Socket>()
  const sessions = browserSessions()
  const guard = guardHeaders(front.guarded)

  /** Where this request goes. undefined for what must not go anywhere. */
  function direct(req: IncomingMessage): (Passage & { route?: string }) | undefined {
    const path = readPath(req.url!)
    if (!path || !isWellFramed(req)) return undefined
    rewriteForwarded(req, listen.trust, guard.guards)
    const peer = plainAddress(req.socket.remoteAddress ?? 'unknown')
    const names = req.rawHeaders.filter((_, place) => place % 2 === 0)
    const ours = [...Object.keys(front.hubHeaders), front.peerHeader]
    for (const name of [...ours, ...guard.unbelieved(names, peer)]) delete req.headers[name.toLowerCase()]
    const route = routes.find(path)
    if (!route) {
      Object.assign(req.headers, front.hubHeaders, { [front.peerHeader]: peer })
      return { upstream: hub }
    }
    cleanRequest(req.headers)
    sessions.clean(req.headers)
    return {
      route: routeKey(route.segments),
      upstream: route.upstream,
      answer: headers => cleanAnswer(headers, route.segments, path),
      active: () => {
        route.active = Date.now()
      },
    }
  }

  async function web(req: IncomingMessage, res: ServerResponse) {
    if (req.url === '/_chp_healthz') return reply(res, 200, '{"status":"OK"}', 'application/json')
    const passage = direct(req)
    if (!passage) return reply(res.setHeader('Connection', 'close'), 400, 'This is not a request that can be passed on.\n')
    const failure = await forward.web(req, res, passage)
    if (!failure) return
    const { route } = passage
    log.warn('no answer', { from: route ?? 'the hub', method: req.method, error: messageOf(failure) })
    if (!(route !== undefined && (await hubPage(req, res)))) awayPage(req, res)
  }

  async function ws(req: IncomingMessage, socket: Socket, head: Buffer) {
    // before anything else: a reset without a listener ends the process
    socket.on('error', () => {})
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    const passage = direct(req)
    const isHandshake = req.method === 'GET' && req.headers.upgrade?.toLowerCase() === 'websocket' && !hasBody(req)
    if (!passage || !isHandshake) return refuse(socket, 400)
    sessions.hold(req.headers, socket)
    const failure = await forward.ws(req, socket, head, passage)
    if (failure) log.warn('no answer', { from: passage.route ?? 'the hub', method: 'websocket', error: messageOf(failure) })
  }

  /** Let the hub say in its own words that a server does not answer. false: it could not. */
  async function hubPage(req: IncomingMessage, res: ServerResponse): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(pageTime)
      const { accept, 'accept-language': language, host } = req.headers
      const headers = Object.fromEntries(
        Object.entries({ accept, 'accept-language': language, host }).filter(([, value]) => value !== undefined),
      )
      const path = `${front.base}hub/error/503?url=${encodeURIComponent(req.url!)}`
      const [answer] = (await once(get({ path, headers, agent: hub.kept, signal }), 'response', { signal })) as [IncomingMessage]
      const body = await buffer(answer)
      if (answer.statusCode !== 200 || !res.writable) return false
      for (const name of [
        'content-type',
        'content-encoding',
        'content-language',
        'content-security-policy',
        'cache-control',
        'vary',
      ]) {
        const value = answer.headers[name]
        if (value !== undefined) res.setHeader(name, value)
      }
      res.writeHead(503).end(body)
      return true
    } catch (error) {
      log.debug('the hub drew no error page', { error: messageOf(error) })
      return false
    }
  }

  const server = listen.tls ? createTlsServer({ ...limits, ...(await readTls(listen.tls)) }) : createServer(limits)
  limitConnections(server, listen, log)
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    web(req, res).catch(error => {
      log.error('a request failed', { error })
      res.destroy()
    })
  })
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    ws(req, socket, head).catch(error => {
      log.error('an upgrade failed', { error })
      socket.destroy()
    })
  })

  const closeApi = await serveRouteApi(front.api, { routes, sessions }, log)
  try {
    await once(server.listen(listen.port, listen.host), 'listening', { signal: ctx.signal })
  } catch (cause) {
    await closeApi()
    throw new HubError('unavailable', `The proxy cannot listen on ${listen.host} port ${listen.port}: ${messageOf(cause)}.`, {
      cause,
    })
  }

  const unwatch = listen.tls ? watchTls(server as TlsServer, listen.tls, log) : () => {}
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server.close(), 'close')
      // a connection is idle only when its answer is out
      const sweep = setInterval(() => server.closeIdleConnections(), 50)
      // they would never end by themselves, and their clients come back
      for (const socket of upgraded) socket.destroy()
      const cut = setTimeout(() => server.closeAllConnections(), listen.grace)
      await closed
      clearInterval(sweep)
      clearTimeout(cut)
      unwatch()
      await closeApi()
      hub.cut()
      await routes.close()
    },
  }
}

async function readTls({ key, cert }: TlsFiles) {
  try {
    return { key: await readFile(key), cert: await readFile(cert) }
  } catch (cause) {
    throw new HubError('config', `The proxy cannot read its key or certificate: ${messageOf(cause)}.`, { cause })
  }
}

/** Take up a certificate that was renewed, without a restart. */
function watchTls(server: TlsServer, files: TlsFiles, log: Log): () => void {
  const renew = async () => {
    try {
      server.setSecureContext(await readTls(files))
      log.info('the certificate is renewed', { cert: files.cert })
    } catch (error) {
      log.error('the new certificate cannot be used: the old one stays', { cert: files.cert, error: messageOf(error) })
    }
  }
  watchFile(files.cert, { persistent: false, interval: renewTime }, renew)
  return () => unwatchFile(files.cert, renew)
}

/** Is there one way only to read where this request ends and whom it is for? The parser has refused the rest. */
function isWellFramed({ headers, rawHeaders, httpVersion }: IncomingMessage): boolean {
  const encoding = headers['transfer-encoding']
  if (
    encoding !== undefined &&
    (encoding.toLowerCase() !== 'chunked' || headers['content-length'] !== undefined || httpVersion === '1.0')
  )
    return false
  return rawHeaders.filter((text, i) => i % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host').length < 2
}

/** Nobody is there to draw a page: say so in plain words, and come back by itself. */
function awayPage(req: IncomingMessage, res: ServerResponse) {
  res.setHeader('Retry-After', '5')
  if (!req.headers.accept?.includes('text/html')) return reply(res, 503, 'The server does not answer. Try again in a moment.\n')
  const again = req.method === 'GET' ? '<meta http-equiv="refresh" content="5">' : ''
  const page = `<!doctype html><html lang="en"><meta charset="utf-8">${again}<title>One moment</title><h1>One moment</h1><p>The server does not answer. It may be restarting: try again in a moment.</p></html>`
  reply(res, 503, page, 'text/html; charset=utf-8')
}

function reply(res: ServerResponse, status: number, body = STATUS_CODES[status]!, type = 'text/plain; charset=utf-8') {
  if (res.headersSent || res.destroyed) return
  res
    .writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store' })
    .end(body)
}
