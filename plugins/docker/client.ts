import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { addAbortSignal, type Readable } from 'node:stream'
import Dockerode from 'dockerode'
import { type ErrorCode, HubError, isHubError, messageOf } from 'swarmhub'
import { z } from 'zod'

/** Of version 1 of the API: the newest whose replies are known here, and the oldest that can do what is needed (Docker 20.10). */
const newest = 47
const oldest = 41

/** Milliseconds that an engine may take for one answer. */
const patience = 10_000

/** Where Docker is: the path of its socket, or host and port, with TLS files by their paths. Left out: DOCKER_HOST, else /var/run/docker.sock. */
const oneAddress = z.union([
  z.string().startsWith('/'),
  z.strictObject({
    host: z.string().min(1),
    port: z.int().min(1).max(65535).default(2376),
    /** Paths of PEM files. Left out: no TLS. */
    tls: z.strictObject({ ca: z.string(), cert: z.string(), key: z.string() }).optional(),
  }),
])

/** One engine, or several managers of one Swarm: the first that answers is asked, until it does not any more. */
export const dockerAddress = z.union([oneAddress, z.array(oneAddress).min(1)])

type OneAddress = z.output<typeof oneAddress> | undefined
export type DockerAddress = z.output<typeof dockerAddress> | undefined

export interface DockerRequest {
  method?: 'GET' | 'POST' | 'DELETE'
  /** Without the version: `/tasks`. */
  path: string
  /** Objects in it are sent as JSON, as Docker's `filters` are. */
  query?: Record<string, unknown>
  body?: object
  /** Never in a message or a log: it may be a password. */
  headers?: Record<string, string>
  /** Milliseconds until the whole answer is there; default 10 s. For a stream: until it begins. */
  deadline?: number
}

/**
 * A Docker engine. Both calls reject with a HubError, or with the signal's reason: `missing` is said only when the engine itself
 * answered 404; `invalid`, `denied` and `conflict` are its refusals; everything else, also an answer that makes no sense, is `unavailable`.
 */
export interface Docker {
  /** Ask for something small. The reply is checked by the schema. */
  ask<S extends z.ZodType>(request: DockerRequest, reply: S, signal: AbortSignal): Promise<z.output<S>>
  /** Ask for a stream, which lasts until the signal aborts it. */
  open(request: DockerRequest, signal: AbortSignal): Promise<Readable>
  /** For what only one of several knows, such as its own containers. */
  readonly engines: readonly Pick<Docker, 'ask'>[]
}

/**
 * A client for the engine at this address, or for the managers of a Swarm at these. Nothing is sent before the first call; every call has a
 * deadline. A manager that does not answer, or says that it cannot, is asked last from then on. What may be repeated (a read, a removal by id) is
 * asked of the next at once, and so is what has not been sent; everything else is told to the caller, who settles it by reading.
 */
export function docker(address: DockerAddress): Docker {
  const addresses = Array.isArray(address) ? address : [address]
  const engines = addresses.map(engine)
  const [only] = engines
  if (engines.length === 1) return only!
  let current = 0

  async function anyOf<T>(request: DockerRequest, signal: AbortSignal, run: (engine: Docker) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const asked = current
      try {
        return await run(engines[asked]!)
      } catch (error) {
        signal.throwIfAborted()
        if (!isHubError(error) || error.code !== 'unavailable') throw error
        // Somebody else's call may have moved on already.
        if (current === asked) current = (asked + 1) % engines.length
        if (tries === engines.length || !(isRepeatable(request) || isUnsent(error))) throw error
      }
    }
  }

  return {
    ask: (request, reply, signal) => anyOf(request, signal, engine => engine.ask(request, reply, signal)),
    open: (request, signal) => anyOf(request, signal, engine => engine.open(request, signal)),
    engines,
  }
}

const isRepeatable = ({ method = 'GET' }: DockerRequest) => method !== 'POST'

/** Was there nobody who could have received it? */
const isUnsent = ({ cause }: HubError) =>
  ['ECONNREFUSED', 'ENOENT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND'].includes(String((cause as { code?: unknown })?.code))

function engine(address: OneAddress): Docker {
  const { modem } = new Dockerode(connection(address))
  let spoken: string | undefined

  /** The version of the API that both sides know. */
  async function version(signal: AbortSignal): Promise<string> {
    if (spoken) return spoken
    const body = await bodyOf(await dial('', { path: '/version' }, signal), signal)
    const { ApiVersion, MinAPIVersion } = parse({ path: '/version' }, versions, body)
    if (ApiVersion < oldest) throw new Error(`it speaks version 1.${ApiVersion} of its API; 1.${oldest} or newer is needed`)
    spoken = `/v1.${Math.max(Math.min(ApiVersion, newest), MinAPIVersion)}`
    return spoken
  }

  /** Sends a request; gives the reply of a success, its body still to be read. */
  function dial(prefix: string, { method = 'GET', path, query = {}, body, headers }: DockerRequest, signal: AbortSignal) {
    return until(
      signal,
      new Promise<IncomingMessage>((resolve, reject) => {
        modem.dial(
          {
            method,
            // The modem would put a body without `_query` into the URL, a secret's too, and cut a path without options.
            path: `${prefix}${path}?`,
            options: { _query: query, _body: body ?? {} },
            headers: { ...headers },
            // It cannot tell a truncated body from a slow one, nor JSON from anything else: the body is read here.
            isStream: true,
            abortSignal: signal,
            statusCodes: { 200: true, 201: true, 202: true, 204: true },
          },
          (error, reply) => (error ? reject(error) : resolve(reply as IncomingMessage)),
        )
      }),
    )
  }

  /** Runs it under a deadline of its own, and says in plain words what went wrong. */
  async function within<T>(request: DockerRequest, signal: AbortSignal, run: (limited: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(new Error('no answer in time')), request.deadline ?? patience)
    try {
      signal.throwIfAborted()
      return await run(AbortSignal.any([signal, limit.signal]))
    } catch (error) {
      signal.throwIfAborted()
      throw explained(request, limit.signal.aborted ? limit.signal.reason : error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** In the version that both know. An engine that was changed for another one refuses it, and is asked anew. */
  async function send(request: DockerRequest, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await dial(await version(signal), request, signal)
    } catch (error) {
      if (statusOf(error) !== 400 || !/client version .* is too/.test(messageOf(error))) throw error
      spoken = undefined
      return dial(await version(signal), request, signal)
    }
  }

  const one: Docker = {
    ask: (request, reply, signal) =>
      within(request, signal, async limited => parse(request, reply, await bodyOf(await send(request, limited), limited))),

    open: (request, signal) => within(request, signal, async limited => addAbortSignal(signal, await send(request, limited))),
    engines: [],
  }
  return { ...one, engines: [one] }
}

const minor = z
  .string()
  .regex(/^1\.\d+$/)
  .transform(version => Number(version.slice(2)))
const versions = z.object({ ApiVersion: minor, MinAPIVersion: minor.default(oldest) })

function connection(address: OneAddress): Dockerode.DockerOptions {
  if (address === undefined) return {}
  // What is said in the config goes first, whatever DOCKER_HOST says: the modem mixes the two.
  const none = { host: '', port: undefined, ca: undefined, cert: undefined, key: undefined }
  if (typeof address === 'string') return { ...none, socketPath: address, protocol: 'http' }
  const { host, port, tls } = address
  const files = tls && {
    ca: readFileSync(tls.ca, 'utf8'),
    cert: readFileSync(tls.cert, 'utf8'),
    key: readFileSync(tls.key, 'utf8'),
  }
  return { ...none, host, port, ...files, protocol: tls ? 'https' : 'http' }
}

async function bodyOf(reply: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  // Throws when the connection ends before the body does.
  for await (const chunk of addAbortSignal(signal, reply)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function parse<S extends z.ZodType>(request: DockerRequest, schema: S, body: string): z.output<S> {
  let json: unknown
  try {
    json = body === '' ? undefined : JSON.parse(body)
  } catch (error) {
    throw new Error('its answer is not JSON', { cause: error })
  }
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new Error(`its answer to ${request.path} has another shape: ${issue?.path.join('.')} ${issue?.message}`)
}

/** The promise, or the signal's reason if that comes first. */
function until<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Has the engine itself said so, be it with a 500? Else nobody knows what became of the request. */
export function isAnswer(error: HubError): boolean {
  return statusOf(error.cause) !== undefined
}

const codes: Record<number, ErrorCode> = { 400: 'invalid', 401: 'denied', 403: 'denied', 404: 'missing', 409: 'conflict' }

function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode
  return typeof status === 'number' ? status : undefined
}

/** The engine's own words, without what the modem puts around them. */
function explained({ method = 'GET', path }: DockerRequest, error: unknown): HubError {
  const words = messageOf(error)
    .replace(/^\(HTTP code \d+\) unexpected - /, '')
    .trim()
    .slice(0, 500)
  const code = codes[statusOf(error) ?? 0] ?? 'unavailable'
  const what = code === 'unavailable' ? 'The Docker engine cannot be asked' : 'The Docker engine refuses'
  return new HubError(code, `${what} (${method} ${path}): ${words || 'no reason given'}`, { cause: error })
}
