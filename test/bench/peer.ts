import { Agent, createServer } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import httpProxy from 'http-proxy'
import { type Context, silent } from 'swarmhub'
import { httpProxy as frontOf } from 'swarmhub/plugins/http-proxy'
import { WebSocketServer } from 'ws'

/** A process of the proxy's bench: `node peer.js upstream|front|bare PORT [UPSTREAM]`. Ends by a signal. */
const [kind = '', port = '', upstream = ''] = process.argv.slice(2)
const host = '127.0.0.1'
const target = `http://${host}:${upstream}`

/** What the proxies are before: a small answer, a large one, and an echo. */
function serveUpstream() {
  const [small, large] = [Buffer.alloc(1024, 'x'), Buffer.alloc(10 * 2 ** 20, 'x')]
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    const body = req.url?.endsWith('/large') ? large : small
    res.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length }).end(body)
  }).listen(Number(port), host)
  new WebSocketServer({ server, perMessageDeflate: false }).on('connection', socket =>
    socket.on('message', message => socket.send(message)),
  )
}

/** Our front, with one route. */
async function serveFront() {
  const folder = process.cwd()
  const context: Context = { log: silent, signal: new AbortController().signal, progress() {} }
  const api = { at: { socket: join(folder, 'routes.sock') }, token: 'the-secret-of-the-route-api' }
  const { proxy } = frontOf({ host, port: Number(port) })
  proxy.connect(api)
  await proxy.serve(
    { hub: { host, port: 9 }, hubHeaders: {}, peerHeader: 'x-peer', guarded: [], api, base: '/', folder, patience: 200 },
    context,
  )
  await proxy.add({ path: '/user/ann/', target, data: {} }, context)
}

/** http-proxy as it comes, with connections that it keeps. */
function serveBare() {
  const proxy = httpProxy.createProxyServer({ target, agent: new Agent({ keepAlive: true }) })
  const sockets = httpProxy.createProxyServer({ target, ws: true })
  createServer((req, res) => proxy.web(req, res, {}, () => res.destroy()))
    .on('upgrade', (req, socket: Socket, head) => sockets.ws(req, socket, head, {}, () => socket.destroy()))
    .listen(Number(port), host)
}

if (kind === 'upstream') serveUpstream()
else if (kind === 'front') await serveFront()
else serveBare()
