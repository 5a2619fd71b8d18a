import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Close, HubError, type Log, messageOf, type RouteApi } from 'swarmhub'
import { z } from 'zod'
import { readPath } from './path.ts'
import { type LiveRoute, type RouteTable, readTarget } from './routes.ts'
import type { BrowserSessions } from './sessions.ts'

/** Bytes of one route's data. */
const bodyLimit = 65_536

interface Told {
  routes: RouteTable
  sessions: BrowserSessions
}

/**
 * The route table for the hub, in the words of configurable-http-proxy's REST API, on an address of its own; beside it `DELETE
 * /api/sessions/ID`, for a browser session that has ended. Resolves when it listens.
 */
export async function serveRouteApi({ at, token }: RouteApi, told: Told, log: Log): Promise<Close> {
  const right = hash(token)
  const isAllowed = (req: IncomingMessage) => {
    const given = /^token\s+(\S+)$/.exec(req.headers.authorization ?? '')?.[1]
    return given !== undefined && timingSafeEqual(hash(given), right)
  }
  const server = createServer({ requestTimeout: 20_000, keepAliveTimeout: 60_000 }, async (req, res) => {
    const { status, body } = isAllowed(req)
      ? await answer(req, told).catch(error => {
          log.error('the route API failed', { error: messageOf(error) })
          return { status: 500, body: undefined }
        })
      : { status: 403, body: undefined }
    if (body !== undefined) res.setHeader('Content-Type', 'application/json')
    res.writeHead(status).end(body === undefined ? undefined : JSON.stringify(body))
    req.resume()
  })
  if ('socket' in at) await listenOnSocket(server, at.socket)
  else await once(server.listen(at.port, at.host), 'listening')
  return async () => {
    const closed = once(server.close(), 'close')
    server.closeAllConnections()
    await closed
  }
}

interface Answer {
  status: number
  body?: unknown
}

async function answer(req: IncomingMessage, { routes, sessions }: Told): Promise<Answer> {
  const segments = readPath(req.url!)
  if (segments?.at(-1) === '') segments.pop()
  if (!segments || segments.some(segment => segment === '' || segment.includes('/'))) return { status: 400 }
  const [api, resource, ...path] = segments
  const [id] = path
  if (api === 'api' && resource === 'sessions' && id !== undefined && path.length === 1) {
    if (req.method !== 'DELETE') return { status: 405 }
    sessions.end(id)
    return { status: 204 }
  }
  if (api !== 'api' || resource !== 'routes') return { status: 404 }

  if (req.method === 'GET' && path.length === 0) return list(new URL(req.url!, 'http://localhost').searchParams, routes)
  if (req.method === 'GET') {
    const route = routes.get(path)
    return route ? { status: 200, body: shown(route) } : { status: 404 }
  }
  if (req.method === 'POST') return add(req, path, routes)
  if (req.method === 'DELETE') return { status: (await routes.delete(path)) ? 204 : 404 }
  return { status: 405 }
}

function list(query: URLSearchParams, routes: RouteTable): Answer {
  const since = query.get('inactiveSince') ?? query.get('inactive_since')
  const before = since === null ? Number.POSITIVE_INFINITY : Date.parse(since)
  if (Number.isNaN(before)) return { status: 400 }
  const wanted = [...routes.all()].filter(route => route.active < before)
  return { status: 200, body: Object.fromEntries(wanted.map(route => [`/${route.segments.join('/')}`, shown(route)])) }
}

const posted = z.looseObject({ target: z.string().refine(target => readTarget(target) !== undefined) })

async function add(req: IncomingMessage, path: string[], routes: RouteTable): Promise<Answer> {
  const length = req.headers['content-length']
  if (length === undefined) return { status: 411 }
  if (Number(length) > bodyLimit) return { status: 413 }
  const parsed = posted.safeParse(readJson(await text(req)))
  if (!parsed.success) return { status: 400 }
  // the rest is the hub's own note to itself, of which nothing here is ever used
  const { target, last_activity, ...data } = parsed.data
  await routes.put(path, target, data)
  return { status: 201 }
}

const shown = ({ data, target, active }: LiveRoute) => ({ ...data, target, last_activity: new Date(active).toISOString() })

function readJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    // SyntaxError: no JSON, so nothing that the schema takes
    return undefined
  }
}

/** Tokens are compared by their hashes: of one length, and without a hint of how much was right. */
const hash = (value: string) => createHash('sha256').update(value).digest()

/** Listen where only this user may connect. What a front that was killed left behind is removed. */
async function listenOnSocket(server: Server, path: string) {
  const listen = async () => {
    const mask = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
    await once(server, 'listening')
  }
  try {
    await listen()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (await answers(path)) throw new HubError('conflict', `Another front listens on ${path}. Stop it first.`)
    await rm(path)
    await listen()
  }
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(5000) })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}
