import type { Users } from '../identity/users.ts'
import { clientId, serverPath } from '../names.ts'
import type { ScopeTarget } from '../plugin.ts'
import type { Services } from '../services/services.ts'
import type { UserRecord } from '../store/records.ts'

/** An OAuth client: every running server is one, and every service with a token. Its secret is that token. */
export interface OAuthClient {
  id: string
  /** Compared as a string; path-only for servers and for services behind the proxy. */
  redirectUri: string
  description: string
  /** What it may ask for beyond identity. */
  allowedScopes: readonly string[]
  /** The access scope that every one of its tokens carries: `access:servers!server=alice/`. */
  accessScope: string
  /** Set for servers. */
  owner?: UserRecord
  server?: string
  /** Set for services: the name. */
  service?: string
}

/** A client, and what only the provider needs to know of it. */
export interface KnownClient extends OAuthClient {
  /** What `accessScope` opens: the scope that users must hold, and for what. */
  access: { scope: string; target: ScopeTarget }
  /** Nobody is asked whether it may know who they are. */
  noConfirm: boolean
  /** The hash of its secret: another one for each start of a server. */
  secretHash: string
}

const prefix = 'jupyterhub-user-'

/**
 * The servers whose client id this is, of those that should run. Mostly one; but `-` may be part of names and is what parts
 * them in an id, so that two servers can share one: `a` has `b-c`, `a-b` has `c`. Redirect URI and secret tell them apart.
 * `scopes` is what each of them may ask for beyond access.
 */
export function serverClients(id: string, users: Users, base: string, scopes: readonly string[] = []): KnownClient[] {
  if (!id.startsWith(prefix)) return []
  const rest = id.slice(prefix.length)
  const borders = [...rest.matchAll(/-/g)].map(({ index }) => index)
  // Two names of at most 255 bytes each have no more.
  if (borders.length > 511 || rest.length > 1531) return []
  return [rest.length, ...borders].flatMap(border => {
    const owner = users.get(decoded(rest.slice(0, border)))
    const name = decoded(rest.slice(border + 1))
    const record = owner?.servers.find(server => server.name === name)
    if (!owner || record?.intent !== 'running' || record.generation === null || clientId(owner.name, name) !== id) return []
    const { generation } = record
    const token = owner.tokens.find(one => one.kind === 'server' && one.server === name && one.generation === generation)
    if (!token) return []
    const path = serverPath(base, owner.name, name)
    const accessScope = `access:servers!server=${owner.name}/${name}`
    return [
      {
        id,
        redirectUri: `${path}oauth_callback`,
        description: `Server at ${path}`,
        allowedScopes: [...new Set([...scopes, accessScope])],
        accessScope,
        owner,
        server: name,
        access: { scope: 'access:servers', target: { user: owner.name, server: name } },
        noConfirm: false,
        secretHash: token.hash,
      },
    ]
  })
}

/** A service as a client; none without a secret, or without an address to return to. */
export function serviceClients(services: Services, called: string): KnownClient[] {
  const service = services.byClient(called)
  if (!service?.secretHash || !service.redirectUri) return []
  const { name, clientId: id, redirectUri, secretHash, settings } = service
  const accessScope = `access:services!service=${name}`
  return [
    {
      id,
      redirectUri,
      description: `Service ${name}`,
      allowedScopes: [...new Set([...services.allowedTo(service), accessScope])],
      accessScope,
      service: name,
      access: { scope: 'access:services', target: { service: name } },
      noConfirm: settings.oauth?.noConfirm ?? false,
      secretHash,
    },
  ]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // What is no percent-encoding is nobody's id.
    return ''
  }
}
