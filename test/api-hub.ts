import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Hono } from 'hono'
import { createApi } from '../core/api/api.ts'
import { createAudit } from '../core/audit.ts'
import { type Config, config } from '../core/config/schema.ts'
import { mountsIn } from '../core/config/shapes.ts'
import type { Core } from '../core/core.ts'
import { HubError } from '../core/errors.ts'
import { createStager } from '../core/hooks.ts'
import { createIdentity } from '../core/identity/identity.ts'
import { silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { createOAuthProvider } from '../core/oauth/provider.ts'
import type { Handle, Plugin, Route, ServerSpec, Status } from '../core/plugin.ts'
import { createRoutes } from '../core/servers/routes.ts'
import { createServers } from '../core/servers/servers.ts'
import { createInventory } from '../core/storage.ts'
import { openStore } from '../core/store/store.ts'
import { dummy } from '../plugins/dummy/index.ts'
import { checkAnswer } from './api-answers.ts'

/** Servers that are no more than an HTTP server each. A start or stop waits while its gate is shut. */
export function engine(t: TestContext) {
  const made = new Map<string, { http: HttpServer; spec: ServerSpec; status: Status }>()
  const gates = { start: Promise.resolve(), stop: Promise.resolve() }
  let refusal: Error | undefined
  t.after(() => {
    for (const { http } of made.values()) http.close()
  })
  const plugin: Plugin = {
    name: 'engine',
    spawner: {
      async start(spec) {
        await gates.start
        if (refusal) throw refusal
        const http = createServer((_, reply) => void reply.end('{}')).unref()
        await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
        const target = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
        made.set(spec.generation, { http, spec, status: { state: 'running', target } })
        return { generation: spec.generation }
      },
      async poll({ generation }: Handle): Promise<Status> {
        const gone: Status = { state: 'gone', cause: { code: 'missing', message: 'It is not there.' } }
        return made.get(String(generation))?.status ?? gone
      },
      async stop({ generation }) {
        await gates.stop
        const server = made.get(String(generation))
        server?.http.close()
        server?.http.closeAllConnections()
        made.delete(String(generation))
      },
      list: async () =>
        [...made].map(([generation, { spec, status }]) => ({ handle: { generation }, labels: spec.labels, status })),
    },
  }
  return {
    plugin,
    made,
    shut(gate: keyof typeof gates): () => void {
      let open = () => {}
      gates[gate] = new Promise<void>(resolve => (open = resolve))
      t.after(open)
      return open
    },
    refuse(error: Error) {
      refusal = error
    },
  }
}

export interface Given {
  url?: string
  plugins?: Plugin[]
  mounts?: Config['mounts']
  /** In place of dummy. */
  authenticator?: Plugin & Required<Pick<Plugin, 'authenticator'>>
  limits?: object
  profiles?: object[]
  access?: Config['access']
  roles?: Config['roles']
  scopes?: Config['scopes']
  services?: object[]
  authStateKeys?: Buffer[]
}

/** A whole hub but for its pages, its state in a folder of its own, asked without a socket. */
export async function apiHub(
  t: TestContext,
  {
    url,
    plugins = [],
    mounts = [],
    authenticator = dummy({ password: 'the shared one' }),
    limits = {},
    profiles,
    access = { everyone: true },
    roles = [],
    scopes = {},
    services = [],
    authStateKeys = [],
  }: Given = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'api-'))
  const control = new AbortController()
  const running = engine(t)
  const table = new Map<string, Route & { active: Date }>()
  const proxy: Plugin = {
    name: 'table',
    proxy: {
      add: async route => void table.set(route.path, { ...route, active: new Date() }),
      remove: async path => void table.delete(path),
      list: async () => [...table.values()],
    },
  }
  const settings = config.parse({
    authenticators: [authenticator],
    access,
    roles,
    scopes,
    spawner: running.plugin,
    mounts,
    proxy,
    timeouts: { slow: '10s', start: '5s', answer: '2s', hook: '2s', stop: '2s' },
    limits,
    services,
    authState: { keys: authStateKeys.map(key => key.toString('hex')) },
    ...(url !== undefined && { url }),
    ...(profiles && { profiles }),
  })
  const address = url === undefined ? undefined : new URL(url.replace(/\/*$/, '/'))
  const base = address?.pathname ?? '/'
  const store = await openStore(folder)
  const metrics = createMetrics()
  const audit = createAudit(folder, { ...settings.audit, log: silent })
  const stager = createStager([...settings.authenticators, ...plugins], settings.timeouts.hook, metrics)
  const closing = control.signal
  const identity = createIdentity({ store, settings, base, url: address, stager, audit, log: silent, closing })
  await identity.settle()
  const oauth = createOAuthProvider({
    users: identity.users,
    tokens: identity.tokens,
    roles: identity.roles,
    services: identity.services,
    audit,
    base,
  })
  const routes = createRoutes(proxy, silent, metrics, closing, identity.services)
  const servers = createServers({
    hub: { id: store.hub.data.id, base, url: address, address: 'http://127.0.0.1:8081' },
    settings,
    users: identity.users,
    tokens: identity.tokens,
    spawner: running.plugin,
    routes,
    stager,
    metrics,
    audit,
    log: silent,
    closing,
  })
  const ends: object[] = []
  const storage = createInventory({ mounts: mountsIn(settings), users: identity.users, audit, log: silent, closing })
  const core: Core = {
    settings,
    log: silent,
    base,
    url: address,
    ...identity,
    oauth,
    servers,
    storage,
    routes,
    metrics,
    audit,
    plugins,
    closing,
    end: async what => void ends.push(what),
  }
  t.after(async () => {
    control.abort(new HubError('unavailable', 'The test is over.'))
    await Promise.all([...servers.active()].map(server => server.settled()))
    await audit.flush()
    await rm(folder, { recursive: true, force: true })
  })

  const app = new Hono()
  app.route(`${base}hub/api`, createApi(core))
  // In place of the sign-in page.
  app.get(`${base}hub/enter/:name`, async c => {
    await core.sessions.open(c, core.users.get(c.req.param('name'))!.id, 'dummy')
    return c.text(core.xsrf.token(c))
  })

  /** A user with a token that may do all that they may, or only what `scopes` say. */
  const person = async (name: string, { admin = false, scopes = ['inherit'] }: { admin?: boolean; scopes?: string[] } = {}) => {
    const user = core.users.get(name) ?? (await core.users.create(name, { admin }))
    const { secret } = await core.tokens.create(user.id, { kind: 'api', scopes })
    return secret
  }

  const send = async (method: string, path: string, { token, body, headers = {} }: Sent = {}): Promise<Answer> => {
    const text =
      body === undefined || typeof body === 'string'
        ? body
        : body instanceof Uint8Array
          ? new Blob([new Uint8Array(body)])
          : JSON.stringify(body)
    const reply = await app.request(`http://hub.test${base}hub/api${path}`, {
      method,
      headers: { Host: 'hub.test', ...(token !== undefined && { Authorization: `token ${token}` }), ...headers },
      ...(text !== undefined && { body: text }),
    })
    const read = await reply.text()
    const json = read !== '' && /^application\/json/.test(reply.headers.get('content-type') ?? '') ? JSON.parse(read) : undefined
    // A stream of lines is asked for, and is none of the documented answers.
    if (!/^application\/x-ndjson/.test(reply.headers.get('content-type') ?? '')) checkAnswer(method, path, reply.status, json)
    return { status: reply.status, headers: reply.headers, text: read, json }
  }

  /** A browser that is signed in: its cookies, and the `_xsrf` of its pages. */
  const browser = async (name: string) => {
    const reply = await app.request(`http://hub.test${base}hub/enter/${name}`, { headers: { Host: 'hub.test' } })
    const cookies = reply.headers.getSetCookie().map(line => line.split(';')[0])
    return { Cookie: cookies.join('; '), xsrf: await reply.text() }
  }

  /** Shut a gate of the engine; what comes back opens it. Meanwhile nobody waits long for an answer. */
  const hold = (gate: 'start' | 'stop') => {
    const open = running.shut(gate)
    settings.timeouts.slow = 100
    return () => {
      settings.timeouts.slow = 10_000
      open()
    }
  }

  return { ...running, servers, table, ends, folder, hold, core, app, person, send, browser, store }
}

export interface Sent {
  token?: string
  body?: unknown
  headers?: Record<string, string>
}

export interface Answer {
  status: number
  headers: Headers
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests read it with what they expect in mind, and fail where it is not there
  json: any
}

export type ApiHub = Awaited<ReturnType<typeof apiHub>>

/** Method, path, body, then the status for an administrator, for alice herself, for another user, and without a token. */
export type Row = [method: string, path: string, body: unknown, admin: number, alice: number, bob: number, nobody: number]

/** Ask each row as each of the four, each in a hub where nothing has happened yet. */
export async function checkRows(t: TestContext, rows: Row[], prepare: (hub: ApiHub) => Promise<void> = async () => {}) {
  const ask = async ([method, path, body]: Row, who: 'admin' | 'alice' | 'bob' | 'nobody') => {
    const hub = await apiHub(t)
    const tokens = new Map([
      ['admin', await hub.person('admin', { admin: true })],
      ['alice', await hub.person('alice')],
      ['bob', await hub.person('bob')],
    ])
    await prepare(hub)
    const { status, json } = await hub.send(method, path, { body, token: tokens.get(who) })
    if (status >= 400) {
      assert.equal(json?.status, status, `${method} ${path}`)
      assert.equal(typeof json.message, 'string')
    }
    return status
  }
  const check = async (row: Row) => {
    const [method, path, body, ...wanted] = row
    const got = await Promise.all((['admin', 'alice', 'bob', 'nobody'] as const).map(who => ask(row, who)))
    assert.deepEqual(got, wanted, `${method} ${path} ${JSON.stringify(body)} as admin, alice, bob, nobody`)
  }
  await Promise.all(rows.map(check))
}
