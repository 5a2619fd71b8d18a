import { randomUUID } from 'node:crypto'
import { unrecorded } from '../core/audit.ts'
import { type Config, config } from '../core/config/schema.ts'
import type { Core } from '../core/core.ts'
import { HubError } from '../core/errors.ts'
import type { LoginResult } from '../core/identity/logins.ts'
import { defaultRoles } from '../core/identity/roles.ts'
import { expand, isScope } from '../core/identity/scopes.ts'
import { silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { normalizeUsername, serverPath, slug } from '../core/names.ts'
import type { AuthorizeResult } from '../core/oauth/provider.ts'
import type { Caller, Cause, Plugin, ScopeTarget } from '../core/plugin.ts'
import { compose, profilesFor } from '../core/servers/profiles.ts'
import { createRoutes } from '../core/servers/routes.ts'
import type { Server, StartEvent, StartRequest } from '../core/servers/server.ts'
import { createServices } from '../core/services/services.ts'
import { emptyServer, type ServerRecord, type TokenRecord, type UserRecord } from '../core/store/records.ts'
import { createWeb } from '../core/web/web.ts'

/** What a test may set about a server; the core's `Server` reads it. */
export interface FakeServer extends Server {
  state: Server['state']
  pending: Server['pending']
  ready: boolean
  record: ServerRecord
  node: string | undefined
  notice: string | undefined
  failure: Server['failure']
  startedAt: number | undefined
  /** Say something to who waits; the terminal steps also end the start. */
  say(step: StartEvent['step'], message: string, progress: number, cause?: Cause): void
  /** The start or stop under way has ended, without a line. */
  settle(): void
}

export interface FakeCore extends Core {
  /** Signed in by the cookie `login=NAME`; `_xsrf` is `good-NAME`, for visitors `good`. */
  addUser(name: string, init?: { admin?: boolean; groups?: string[]; scopes?: string[] }): UserRecord
  addServer(user: string, name: string): FakeServer
  server(user: string, name: string): FakeServer
  /** `NAME` of the token's owner by the token; scopes are the owner's unless said. */
  bearers: Map<string, { user: string; scopes?: string[] }>
  /** What the next OAuth request is answered with. */
  authorization: AuthorizeResult
  answers: { password?: LoginResult; finish?: LoginResult & { next: string }; known: boolean }
  /** By profile, the places that are free. */
  room: Map<string, number>
  /** Every call that changes something, in order. */
  calls: unknown[][]
}

/** A core whose parts are Maps, for tests of pages. */
/** Nobody has made a service over the API. */
export const noRecords = { data: { services: [] }, update: async () => ({ services: [] }) }

/** The default roles, which the config gives to no service. */
export const usualRoles = {
  follow: (scopes: readonly string[]) => scopes,
  ofService: () => [],
  scopesOf: (role: string) => [...(defaultRoles.get(role)?.scopes ?? [])],
  expand,
}

export function fakeCore(
  options: {
    base?: string
    url?: string
    profiles?: Config['profiles']
    plugins?: Plugin[]
    methods?: Core['logins']['methods']
    branding?: { name?: string; logo?: string }
    services?: Config['services']
  } = {},
): FakeCore {
  const { base = '/', plugins = [] } = options
  const part = { name: 'fake', authenticator: {}, spawner: {}, proxy: {} }
  const settings = config.parse({
    authenticators: [part],
    spawner: part,
    proxy: part,
    profiles: options.profiles ?? [{ name: 'notebook', label: 'Notebook' }],
    branding: options.branding ?? {},
    services: options.services ?? [],
  })
  const closing = new AbortController()
  const calls: unknown[][] = []
  const users = new Map<string, UserRecord>()
  const groups = new Map<string, string[]>()
  const scopes = new Map<string, string[]>()
  const servers = new Map<string, Map<string, FakeServer>>()
  const bearers: FakeCore['bearers'] = new Map()
  const answers: FakeCore['answers'] = { known: true }
  const user = (name: string) => users.get(name)!

  const signedIn = (cookie = '') => users.get(decodeURIComponent(/(?:^|; )login=([^;]*)/.exec(cookie)?.[1] ?? ''))
  const view = (record: UserRecord) => ({ ...record, groups: groups.get(record.name) ?? [] })

  const own = [
    'read:users',
    'users:activity',
    'servers',
    'read:servers',
    'start:servers',
    'delete:servers',
    'tokens',
    'read:tokens',
    'access:servers',
  ]
  const adminScopes = expand(defaultRoles.get('admin')!.scopes)
  const scopesOf = (record: UserRecord) =>
    new Set([
      ...own.map(scope => `${scope}!user=${record.name}`),
      ...(record.admin ? adminScopes : []),
      ...(scopes.get(record.name) ?? []),
    ])

  function caller(record: UserRecord, held: ReadonlySet<string>): Caller {
    const allows = (scope: string, target?: ScopeTarget) => {
      if (held.has(scope)) return true
      if (target && 'service' in target) return held.has(`${scope}!service=${target.service}`)
      if (!target || !('user' in target)) return false
      return held.has(`${scope}!user=${target.user}`) || held.has(`${scope}!server=${target.user}/${target.server ?? ''}`)
    }
    return {
      kind: 'user',
      name: record.name,
      user: view(record),
      scopes: held,
      allows,
      holds: scope => [...held].some(other => other === scope || other.startsWith(`${scope}!`)),
    }
  }

  const core: FakeCore = {
    settings,
    log: silent,
    base,
    url: options.url ? new URL(options.url) : undefined,
    metrics: createMetrics(),
    audit: unrecorded,
    plugins,
    storage: { look: async () => ({ stored: [], measuring: false, silent: [] }), erase: async () => {} },
    services: createServices({
      settings: settings.services,
      base,
      groupsOf: name => groups.get(name) ?? [],
      roles: usualRoles,
      records: noRecords,
    }),
    closing: closing.signal,
    end: async what => void calls.push(['end', what]),
    routes: createRoutes({ name: 'fake' }, silent, createMetrics(), closing.signal),
    calls,
    room: new Map(),
    bearers,
    answers,
    authorization: { kind: 'refuse', status: 400, message: 'There is no such client.' },

    addUser(name, init = {}) {
      const record: UserRecord = {
        version: 1,
        id: randomUUID(),
        number: users.size + 1,
        name,
        slug: slug(name),
        admin: init.admin ?? false,
        created: new Date().toISOString(),
        lastActivity: null,
        identity: null,
        attributes: {},
        tokens: [],
        sessions: [],
        servers: [],
      }
      users.set(name, record)
      groups.set(name, init.groups ?? [])
      scopes.set(name, init.scopes ?? [])
      servers.set(name, new Map([['', fakeServer(core, record, '')]]))
      return record
    },
    addServer(name, server) {
      const added = fakeServer(core, user(name), server)
      servers.get(name)!.set(server, added)
      return added
    },
    server: (name, server) => servers.get(name)!.get(server)!,

    users: {
      get: name => users.get(name),
      byId: id => [...users.values()].find(record => record.id === id),
      byIdentity: () => undefined,
      bySlug: text => [...users.values()].find(record => record.slug === text),
      all: () => users.values(),
      get count() {
        return users.size
      },
      async create(name, init) {
        if (users.has(name)) throw new HubError('conflict', `There is already a user “${name}”.`)
        if (normalizeUsername(name) !== name) throw new HubError('invalid', `“${name}” can be nobody’s name.`)
        calls.push(['create', name, init])
        return core.addUser(name, init)
      },
      async update(id, change) {
        const record = core.users.byId(id)!
        change(record)
        calls.push(['update', record.name])
        return record
      },
      rename: async id => core.users.byId(id)!,
      async remove(id) {
        const { name } = core.users.byId(id)!
        users.delete(name)
        calls.push(['remove', name])
      },
      updateServer: async id => core.users.byId(id)!,
      removeServer: async id => core.users.byId(id)!,
      renameServer: async id => core.users.byId(id)!,
      active() {},
      used() {},
      lastUse: () => ({ at: null, from: null }),
      onForget: () => {},
      lastActivity: (id, name) =>
        name === undefined
          ? core.users.byId(id)!.lastActivity
          : (core.server(core.users.byId(id)!.name, name)?.record.lastActivity ?? null),
      view,
      groups: {
        get: () => undefined,
        byId: () => undefined,
        all: () => [],
        of: id => groups.get(core.users.byId(id)!.name) ?? [],
        byHand: () => [],
        tell: async () => {},
        set: async () => {},
        create: async () => [],
        add: async name => ({ id: name, name, properties: {}, users: [], told: {} }),
        remove: async name => ({ id: name, name, properties: {}, users: [], told: {} }),
        setProperties: async (name, properties) => ({ id: name, name, properties, users: [], told: {} }),
        delete: async () => {},
      },
      flush: async () => {},
    },

    // Nothing is shared: what is shared has tests with a whole hub.
    shares: {
      grantedTo: () => [],
      of: () => [],
      with: () => [],
      get: () => undefined,
      nameOf: () => undefined,
      grant: async () => Promise.reject(new HubError('missing', 'There is no such server.')),
      revoke: async () => undefined,
      revokeAll: async () => {},
      codes: () => [],
      addCode: async () => Promise.reject(new HubError('missing', 'There is no such server.')),
      findCode: () => undefined,
      accept: async () => Promise.reject(new HubError('missing', 'There is no such invitation.')),
      revokeCodes: async () => 0,
    },

    roles: {
      all: defaultRoles,
      follow: scopes => scopes,
      scopesOf: role => defaultRoles.get(role)?.scopes ?? [],
      of: ({ admin }) => (admin ? ['admin', 'user'] : ['user']),
      ofGroup: () => [],
      ofService: () => [],
      behind: user => core.roles.of(user),
      meantBy: name => name,
      isScope,
      expand,
      bind: async () => {},
    },

    tokens: {
      async create(userId, wanted) {
        calls.push(['token', wanted])
        const owner = core.users.byId(userId)!
        const record = token({ id: owner.tokens.length + 1, ...wanted })
        owner.tokens.push(record)
        return { secret: 'the-secret-of-this-token', record }
      },
      find(secret) {
        const found = bearers.get(secret)
        return found && { owner: user(found.user), record: token({ hash: secret }) }
      },
      isToken: text => bearers.has(text),
      get: () => undefined,
      async revoke(userId, matches) {
        const owner = core.users.byId(userId)!
        const before = owner.tokens.length
        owner.tokens = owner.tokens.filter(record => !matches(record))
        return before - owner.tokens.length
      },
      revokeIssuedTo: async () => 0,
      scopes: owner => scopesOf(owner),
      userScopes: owner => scopesOf(owner),
      caller: (owner, record) =>
        caller(owner, record && bearers.get(record.hash)?.scopes ? new Set(bearers.get(record.hash)!.scopes) : scopesOf(owner)),
    },

    authStates: { kept: false, seal: () => null, open: () => undefined, isOld: () => false },

    sessions: {
      find(c) {
        const owner = signedIn(c.req.header('cookie'))
        if (!owner) return undefined
        const when = new Date().toISOString()
        return { owner, record: { hash: 'h', sessionId: 's', authenticator: 'fake', created: when, expires: when } }
      },
      async open(c, userId, authenticator) {
        calls.push(['open', core.users.byId(userId)!.name, authenticator])
        c.header('Set-Cookie', `login=${encodeURIComponent(core.users.byId(userId)!.name)}`)
      },
      async close(c) {
        const owner = signedIn(c.req.header('cookie'))
        calls.push(['close', owner?.name])
        c.header('Set-Cookie', 'login=; Max-Age=0')
        return owner
      },
      of: () => [],
      async sweep() {},
      async closeAll(userId) {
        calls.push(['closeAll', core.users.byId(userId)!.name])
      },
      sessionId: () => 'session-of-the-browser',
    },

    xsrf: {
      token: c => good(signedIn(c.req.header('cookie'))),
      valid: (c, field) =>
        [field, c.req.query('_xsrf'), c.req.header('x-xsrftoken')].includes(good(signedIn(c.req.header('cookie')))),
      needed: (c, kind) => {
        const mode = c.req.header('sec-fetch-mode')
        const reads = ['GET', 'HEAD', 'OPTIONS'].includes(c.req.method)
        return !reads || (kind === 'api' && mode !== undefined && mode !== 'navigate')
      },
    },

    logins: {
      methods: options.methods ?? [{ plugin: { name: 'fake' }, kind: 'password', label: 'Sign in' }],
      async password(method, credentials, address) {
        calls.push(['password', method, credentials.username, address])
        if (answers.password) return answers.password
        const found = users.get(credentials.username)
        if (found && credentials.password === 'right') return { ok: true, user: found }
        return { ok: false, reason: 'wrong', message: 'The user name or the password is wrong.' }
      },
      signIn: (_c, method, credentials, address) => core.logins.password(method, credentials, address),
      answer: async () => ({ ok: false, reason: 'denied', message: 'Nothing was asked.' }),
      attempt: (_name, _address, check) => check(),
      async begin(_c, method, callback, next) {
        calls.push(['begin', method, callback.href, next])
        return new URL('https://provider.example/authorize?state=abc')
      },
      async finish(_c, method, callback) {
        calls.push(['finish', method, callback.href])
        return answers.finish ?? { ok: false, reason: 'denied', message: 'The provider did not say who you are.', next: '/' }
      },
      async identify(_c, method, address) {
        calls.push(['identify', method, address])
        return answers.finish ?? { ok: false, reason: 'denied', message: 'Nobody says who you are.' }
      },
      contradicts: async () => false,
      refresh: async () => answers.known,
      leave: async () => undefined,
      recheck: async () => answers.known,
    },

    oauth: {
      client: () => undefined,
      async authorize(owner, query, sessionId, agreed) {
        calls.push(['authorize', owner.name, query.toString(), sessionId, agreed])
        return core.authorization
      },
      token: async () => ({ status: 400, body: {} }),
    },

    servers: {
      get: (owner, name) => servers.get(owner.name)?.get(name),
      of: owner => [...(servers.get(owner.name)?.values() ?? [])],
      room: async () => core.room,
      repairRoutes: async () => {},
      async rename() {
        throw new Error('no page renames servers')
      },
      begun: owner => core.servers.of(owner),
      *active() {
        for (const some of servers.values()) for (const server of some.values()) if (server.state !== 'stopped') yield server
      },
      profiles: owner => profilesFor(settings, view(owner)),
      choose: (owner, _, request) => {
        const { profile, choices } = compose(settings, view(owner), request.profile, request.choices ?? {})
        return { profile: profile.name, choices }
      },
      async start(owner, name, request: StartRequest) {
        calls.push(['start', owner.name, name, request])
        if (request.profile !== undefined && !core.servers.profiles(owner).some(profile => profile.name === request.profile))
          throw new HubError('denied', `The profile “${request.profile}” is not for you.`)
        const server = servers.get(owner.name)!.get(name) ?? core.addServer(owner.name, name)
        Object.assign(server, { state: 'starting', pending: 'spawn', failure: null, startedAt: performance.now() })
        server.record.profile = request.profile ?? server.record.profile
        return server
      },
      describe: async (owner, name) => servers.get(owner.name)?.get(name) ?? core.addServer(owner.name, name),
      async stop(owner, name, reason) {
        calls.push(['stop', owner.name, name, reason])
        Object.assign(core.server(owner.name, name), { state: 'stopped', pending: null, ready: false })
      },
      async remove(owner, name) {
        calls.push(['delete', owner.name, name])
        servers.get(owner.name)!.delete(name)
      },
      check: async server => void calls.push(['check', server.owner.name, server.ref.name]),
      async *logs({ failure }) {
        yield* failure?.cause.log ?? []
      },
      heard() {},
      engine: { ok: true },
    },
  }
  return core
}

/** A browser in front of these pages, signed in as this user: navigations, forms with their `_xsrf`, no redirects followed. */
export function browse(
  core: FakeCore,
  user?: string,
  app: { request(path: string, init?: RequestInit): Response | Promise<Response> } = createWeb(core),
) {
  const headers = (more: Record<string, string> = {}) => ({
    host: 'hub.test',
    ...(user !== undefined && { cookie: `login=${encodeURIComponent(user)}` }),
    ...more,
  })
  return {
    get: async (path: string, more?: Record<string, string>) => app.request(path, { headers: headers(more) }),
    post: async (path: string, fields: Record<string, string> | [string, string][] = {}, more?: Record<string, string>) =>
      app.request(path, {
        method: 'POST',
        body: new URLSearchParams([
          ['_xsrf', good(user === undefined ? undefined : core.users.get(user))],
          ...(Array.isArray(fields) ? fields : Object.entries(fields)),
        ]),
        headers: headers(more),
      }),
    request: async (path: string, init: RequestInit & { headers?: Record<string, string> } = {}) =>
      app.request(path, { ...init, headers: headers(init.headers) }),
  }
}

const good = (owner: UserRecord | undefined) => (owner ? `good-${owner.name}` : 'good')

/** A token's record; what is not said is empty. */
export function token(init: Omit<Partial<TokenRecord>, 'expires'> & { expires?: number | string | null } = {}): TokenRecord {
  return {
    id: 1,
    hash: '',
    kind: 'api',
    note: '',
    scopes: [],
    created: new Date().toISOString(),
    lastActivity: null,
    sessionId: null,
    client: null,
    server: null,
    generation: null,
    ...init,
    expires: typeof init.expires === 'number' ? new Date(Date.now() + init.expires).toISOString() : (init.expires ?? null),
  }
}

function fakeServer(core: FakeCore, owner: UserRecord, name: string): FakeServer {
  const events: StartEvent[] = []
  let wake = new AbortController()
  const woken = (signal?: AbortSignal) =>
    new Promise<void>(resolve => {
      const done = () => resolve()
      wake.signal.addEventListener('abort', done, { once: true })
      signal?.addEventListener('abort', done, { once: true })
      if (signal?.aborted) done()
    })
  const tell = () => {
    const before = wake
    wake = new AbortController()
    before.abort()
  }
  const ends = (event: StartEvent | undefined) => event !== undefined && ['ready', 'failed', 'cancelled'].includes(event.step)
  const server: FakeServer = {
    ref: { user: owner.name, name },
    owner,
    record: { ...emptyServer(name), generation: 'g1' },
    state: 'stopped',
    pending: null,
    ready: false,
    path: serverPath(core.base, owner.name, name),
    node: undefined,
    notice: undefined,
    failure: null,
    startedAt: undefined,
    say(step, message, progress, cause) {
      events.push({ id: events.length + 1, at: events.length * 400, step, message, progress, cause })
      if (step === 'ready') Object.assign(server, { state: 'running', pending: null, ready: true })
      if (step === 'failed')
        Object.assign(server, { state: 'stopped', pending: null, failure: { cause, at: new Date().toISOString() } })
      if (step === 'cancelled') Object.assign(server, { state: 'stopped', pending: null })
      tell()
    },
    settle() {
      server.pending = null
      tell()
    },
    async settled() {
      while (server.pending !== null) await woken()
    },
    async *events(after, signal) {
      for (let next = after; !signal.aborted; ) {
        const event = events[next]
        if (event) {
          next++
          yield event
          if (ends(event)) return
        } else if (server.pending !== 'spawn') return
        else await woken(signal)
      }
    },
  }
  return server
}
