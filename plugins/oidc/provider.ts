import { readFileSync } from 'node:fs'
import { importPKCS8 } from 'jose'
import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretJwt,
  ClientSecretPost,
  Configuration,
  type CustomFetch,
  clockTolerance,
  customFetch,
  discovery,
  type ExportedJWKSCache,
  enableNonRepudiationChecks,
  getJwksCache,
  None,
  PrivateKeyJwt,
  ResponseBodyError,
  type ServerMetadata,
  setJwksCache,
} from 'openid-client'
import { HubError, isHubError, messageOf } from 'swarmhub'
import type { OidcSettings } from './options.ts'

/** The provider as its discovery document describes it. */
export interface Provider {
  /**
   * Do this with the provider. What the library throws becomes a HubError: `denied` for a code that is not good, or not good any more,
   * `unavailable` for everything else that keeps the provider from answering as it must.
   */
  ask<T>(signal: AbortSignal, work: (config: Configuration, signal: AbortSignal) => Promise<T>): Promise<T>
  /** For requests that the library does not make: each bounded in time and size. */
  fetch: typeof fetch
}

/** Milliseconds for which a discovery document is believed, and for which an old one is when there is no new one. */
const [fresh, stale] = [3_600_000, 60_000]

/** Bytes of one answer. */
const mostBytes = 2 ** 20

export function createProvider(settings: OidcSettings): Provider {
  const { issuer, clientId, timeout } = settings
  const isPlain = issuer.startsWith('http:')
  let found: { metadata: ServerMetadata; until: number } | undefined
  let finding: Promise<ServerMetadata> | undefined
  /** The provider's keys, as they were last. */
  let keys: ExportedJWKSCache | undefined

  const bounded =
    (signal: AbortSignal) =>
    async (address: string | URL | Request, init: RequestInit = {}) => {
      const signals = [signal, ...(init.signal ? [init.signal] : [])]
      const answer = await fetch(address, { ...init, redirect: 'manual', signal: AbortSignal.any(signals) })
      return answer.body ? new Response(await readSome(answer.body), answer) : answer
    }

  /** Its bodies are such as fetch takes; only their types are written otherwise. */
  const asLibrary =
    (signal: AbortSignal): CustomFetch =>
    (address, init) =>
      bounded(signal)(address, init as RequestInit)

  async function discover(): Promise<ServerMetadata> {
    const config = await discovery(new URL(issuer), clientId, undefined, None(), {
      execute: isPlain ? [allowInsecureRequests] : [],
      timeout: timeout / 1000,
      [customFetch]: asLibrary(AbortSignal.timeout(timeout)),
    })
    const metadata = config.serverMetadata()
    // The library forgives some hosts that another one answers in their place.
    if (new URL(metadata.issuer).href !== new URL(issuer).href)
      throw new Error(`the discovery document is of another issuer, ${metadata.issuer.slice(0, 200)}`)
    return metadata
  }

  /** One at a time, whoever waits for it; an old document will do while there is no new one. */
  async function metadata(): Promise<ServerMetadata> {
    if (found && found.until > performance.now()) return found.metadata
    finding ??= discover().finally(() => (finding = undefined))
    try {
      found = { metadata: await finding, until: performance.now() + fresh }
    } catch (error) {
      if (!found) throw error
      found.until = performance.now() + stale
    }
    return found.metadata
  }

  async function configuration(signal: AbortSignal): Promise<Configuration> {
    const server = await metadata()
    const client = { [clockTolerance]: settings.clockTolerance / 1000 }
    const config = new Configuration(server, clientId, client, await authentication(settings, server))
    config.timeout = timeout / 1000
    config[customFetch] = asLibrary(signal)
    // Its TLS says whose an ID token is already; with this it is also not of anybody who speaks for it there.
    enableNonRepudiationChecks(config)
    if (isPlain) allowInsecureRequests(config)
    if (keys) setJwksCache(config, keys)
    return config
  }

  return {
    async ask(outer, work) {
      const signal = AbortSignal.any([outer, AbortSignal.timeout(timeout)])
      try {
        signal.throwIfAborted()
        const config = await configuration(signal)
        try {
          return await work(config, signal)
        } finally {
          keys = getJwksCache(config) ?? keys
        }
      } catch (error) {
        outer.throwIfAborted()
        throw asHubError(error)
      }
    },
    fetch: (address, init) => bounded(AbortSignal.timeout(timeout))(address, init),
  }
}

function asHubError(error: unknown): Error {
  if (isHubError(error)) return error
  // Answers of the provider hang on the library's errors; no token among them may come into a log.
  const { code } = error as { code?: unknown }
  const cause = new Error(`${messageOf(error)}${causeOf(error)}${typeof code === 'string' ? ` (${code})` : ''}`)
  return isRefusal(error)
    ? new HubError('denied', 'This sign-in took too long or was used already. Sign in again.', { cause })
    : new HubError('unavailable', 'The provider does not answer as it should. Try again in a minute, or tell the admin.', {
        cause,
      })
}

/** Did the token endpoint say that a code or a refresh token is not good (RFC 6749 5.2)? */
export const isRefusal = (error: unknown) =>
  error instanceof ResponseBodyError && error.error === 'invalid_grant' && error.status < 500

function causeOf(error: unknown): string {
  if (error instanceof ResponseBodyError) return `: ${error.error} ${(error.error_description ?? '').slice(0, 200)}`
  return error instanceof Error && error.cause instanceof Error ? `: ${messageOf(error.cause)}` : ''
}

async function authentication(settings: OidcSettings, server: ServerMetadata) {
  const { clientSecret, clientKey, clientAuthentication } = settings
  const supported = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  const bySecret = supported.includes('client_secret_basic') ? 'basic' : 'post'
  switch (clientAuthentication ?? (clientKey ? 'private-key-jwt' : clientSecret === undefined ? 'none' : bySecret)) {
    case 'basic':
      return ClientSecretBasic(clientSecret!)
    case 'post':
      return ClientSecretPost(clientSecret!)
    case 'secret-jwt':
      return ClientSecretJwt(clientSecret!)
    case 'private-key-jwt': {
      const { pem, algorithm, id } = clientKey!
      const key = await importPKCS8(pem.includes('-----BEGIN ') ? pem : readFileSync(pem, 'utf8'), algorithm)
      return PrivateKeyJwt(id === undefined ? key : { key, kid: id })
    }
    case 'none':
      return None()
  }
}

async function readSome(body: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = []
  let left = mostBytes
  for await (const piece of body) {
    left -= piece.length
    if (left < 0) throw new Error(`the answer is of more than ${mostBytes} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
