import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { HubEnv, Plugin, VisitorEnv } from '../core/plugin.ts'
import { createAuthorize } from '../core/web/authorize.tsx'
import { createWeb } from '../core/web/web.ts'
import { browse, fakeCore, token } from './fake-core.ts'

const hubOf = (options: Parameters<typeof fakeCore>[0] = {}) => {
  const core = fakeCore(options)
  core.addUser('alice')
  core.addUser('root', { admin: true })
  return { core, alice: browse(core, 'alice'), root: browse(core, 'root'), visitor: browse(core) }
}

test('every answer carries the security headers and the version; pages have a nonce of their own', async () => {
  const { alice, visitor } = hubOf()
  const answers = [
    await alice.get('/hub/home'),
    await visitor.get('/hub/home'),
    await visitor.get('/hub/login'),
    await visitor.get('/hub/nothing'),
    await visitor.get('/user/alice/'),
    await alice.get('/hub/user/alice/api'),
    await visitor.get('/hub/health'),
  ]
  const nonces = answers.map(answer => {
    for (const [name, value] of [
      ['x-jupyterhub-version', '5.4.6'],
      ['cache-control', 'no-store'],
      ['x-content-type-options', 'nosniff'],
      ['referrer-policy', 'same-origin'],
      ['cross-origin-opener-policy', 'same-origin'],
      ['cross-origin-resource-policy', 'same-origin'],
    ] as const)
      assert.equal(answer.headers.get(name), value)
    const policy = answer.headers.get('content-security-policy') ?? ''
    for (const rule of [
      `default-src 'none'`,
      `frame-ancestors 'none'`,
      `base-uri 'none'`,
      `form-action 'self'`,
      `'strict-dynamic'`,
    ])
      assert.ok(policy.includes(rule), rule)
    assert.doesNotMatch(policy, /unsafe/)
    return /nonce-([^']+)/.exec(policy)?.[1]
  })
  assert.equal(new Set(nonces).size, nonces.length)
  const page = await (await alice.get('/hub/home')).text()
  assert.doesNotMatch(page, / style=| on[a-z]+=|<script(?![^>]* nonce=)/)
})

test('a page is only for a browser that goes to it', async () => {
  const { alice, visitor, core } = hubOf()
  for (const mode of ['cors', 'no-cors', 'same-origin', 'websocket', 'junk'])
    for (const path of ['/hub/home', '/hub/token', '/hub/login', '/hub/spawn', '/hub/logout', '/hub/'])
      assert.equal((await alice.get(path, { 'sec-fetch-mode': mode })).status, 403, `${path} ${mode}`)
  assert.equal((await alice.get('/hub/home', { 'sec-fetch-mode': 'navigate' })).status, 200)
  assert.equal((await alice.get('/hub/home')).status, 200)
  for (const path of [
    '/hub/logo',
    `/hub/static/${/static\/(style[^"]+)/.exec(await (await visitor.get('/hub/login')).text())?.[1]}`,
  ])
    assert.equal((await visitor.get(path, { 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'same-origin' })).status, 200)
  assert.deepEqual(core.calls, [])
})

test('a form needs its _xsrf, whatever the request says about itself', async () => {
  const { alice, core } = hubOf()
  const modes = ['no-cors', 'cors', 'navigate', 'websocket', 'same-origin', 'junk', undefined]
  for (const mode of modes)
    for (const path of ['/hub/spawn', '/hub/spawn/alice', '/hub/stop/alice', '/hub/token', '/hub/home']) {
      const headers = { origin: 'http://evil', ...(mode && { 'sec-fetch-mode': mode }) }
      assert.equal((await alice.request(path, { method: 'POST', headers, body: new URLSearchParams() })).status, 403)
      assert.equal(
        (await alice.request(path, { method: 'POST', headers, body: new URLSearchParams({ _xsrf: 'good' }) })).status,
        403,
      )
    }
  for (const type of ['text/plain', 'application/json', 'Application/JSON', ''])
    assert.equal(
      (await alice.request('/hub/spawn', { method: 'POST', headers: { 'content-type': type }, body: '_xsrf=good-alice' })).status,
      403,
      type,
    )
  assert.deepEqual(core.calls, [])
})

test('HEAD and prefetches reach nothing; health, logo and static take HEAD', async () => {
  const { alice, core } = hubOf()
  for (const path of [
    '/hub/spawn',
    '/hub/logout',
    '/hub/home',
    '/hub/login',
    '/hub/user/alice/',
    '/hub/healthy',
    '/hub/staticx',
    '/',
  ])
    assert.equal((await alice.request(path, { method: 'HEAD' })).status, 405, path)
  for (const path of ['/hub/health', '/hub/logo']) assert.equal((await alice.request(path, { method: 'HEAD' })).status, 200, path)
  for (const [name, value] of [
    ['sec-purpose', 'prefetch;prerender'],
    ['purpose', 'prefetch'],
  ] as const)
    assert.equal((await alice.get('/hub/spawn', { [name]: value })).status, 503)
  const authorize = new Hono().route('/hub/api/oauth2/authorize', createAuthorize(core))
  assert.equal((await browse(core, 'alice', authorize).request('/hub/api/oauth2/authorize', { method: 'HEAD' })).status, 405)
  assert.deepEqual(core.calls, [])
})

test('compressed and oversized bodies are refused', async () => {
  const { alice, core } = hubOf()
  assert.equal((await alice.post('/hub/spawn', {}, { 'content-encoding': 'gzip' })).status, 415)
  assert.equal((await alice.post('/hub/spawn', { x: 'x'.repeat(65_536) })).status, 413)
  assert.deepEqual(core.calls, [])
})

test('multipart forms work, their files are left out', async () => {
  const { alice, core } = hubOf()
  const body = new FormData()
  body.set('_xsrf', 'good-alice')
  body.set('profile', 'notebook')
  body.set('file', new File(['x'], 'x.txt'))
  assert.equal((await alice.request('/hub/spawn', { method: 'POST', body })).status, 303)
  assert.deepEqual(core.calls, [
    ['start', 'alice', '', { profile: 'notebook', choices: {}, userOptions: { profile: 'notebook' } }],
  ])
  const broken = { method: 'POST', body: 'x', headers: { 'content-type': 'multipart/form-data; boundary=y' } }
  assert.equal((await alice.request('/hub/spawn', broken)).status, 400)
})

test('what users and engines say is never markup', async () => {
  const evil = '"><img src=x onerror=alert(1)>'
  const core = fakeCore({
    profiles: [
      { name: 'p', label: evil, description: evil, image: evil },
      { name: 'q', label: 'Q' },
    ],
    branding: { name: evil },
  })
  const name = `bob${evil}`.replaceAll('/', '')
  const bob = core.addUser(name, { admin: true, groups: [evil] })
  bob.tokens.push(token({ note: evil, scopes: [evil] }), token({ kind: 'oauth', client: evil }))
  const server = core.addServer(name, 'lab')
  server.record.displayName = evil
  server.record.profile = 'p'
  server.node = evil
  server.failure = {
    at: new Date().toISOString(),
    cause: { code: 'engine', message: evil, hint: evil, engine: evil, log: [evil] },
  }
  const starting = Object.assign(core.addServer(name, evil), { state: 'starting', pending: 'spawn' as const })
  starting.say('starting', evil, 50)
  core.authorization = {
    kind: 'confirm',
    client: { id: evil, redirectUri: '/x', description: evil, allowedScopes: [], accessScope: '', owner: bob },
    scopes: [evil],
  }
  const app = new Hono().route('/hub/api/oauth2/authorize', createAuthorize(core)).route('/', createWeb(core))
  const visit = browse(core, name, app)
  const user = encodeURIComponent(name)
  const paths = [
    '/hub/home',
    `/hub/spawn/${user}/lab?next=${encodeURIComponent(`/hub/${evil}`)}`,
    `/hub/spawn-pending/${user}/lab?next=${encodeURIComponent(`/hub/${evil}`)}`,
    `/hub/spawn-pending/${user}/${encodeURIComponent(evil)}`,
    `/hub/user/${user}/lab/${encodeURIComponent(evil)}`,
    '/hub/token',
    `/hub/admin?q=${encodeURIComponent(evil)}`,
    '/hub/admin',
    `/hub/api/oauth2/authorize?client_id=${encodeURIComponent(evil)}`,
    `/hub/${encodeURIComponent(evil)}`,
    `/hub/error/404?url=${encodeURIComponent(evil)}`,
  ]
  for (const path of paths) {
    const page = await (await visit.get(path)).text()
    assert.doesNotMatch(page, /<img src=x|href="javascript:/, path)
  }
  const login = await (await browse(core).get(`/hub/login?next=${encodeURIComponent(`/hub/${evil}`)}`)).text()
  assert.doesNotMatch(login, /<img src=x/)
})

test('an error that is not for people tells only its number; the log has the rest', async () => {
  const { core, alice } = hubOf()
  const logged: unknown[] = []
  core.log = { ...core.log, error: (_message, data) => void logged.push(data) }
  core.servers.of = () => {
    throw new Error('password=hunter2 at /etc/secret')
  }
  const answer = await browse(core, 'alice').get('/hub/home')
  const page = await answer.text()
  assert.equal(answer.status, 500)
  assert.doesNotMatch(page, /hunter2|secret/)
  const id = answer.headers.get('x-request-id') ?? '-'
  assert.ok(page.includes(id))
  assert.equal((logged[0] as { request: string }).request, id)
  const json = await alice.get('/hub/nothing', { accept: 'application/json' })
  assert.deepEqual([json.status, await json.json()], [404, { status: 404, message: 'There is no page at this address.' }])
})

test('hub/error/NNN is 200 for the proxy, takes no sign-in and sets no cookie', async () => {
  const { visitor } = hubOf()
  for (const code of [404, 503, 599]) {
    const answer = await visitor.get(`/hub/error/${code}?url=/user/alice/`, { 'sec-fetch-mode': 'cors' })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('set-cookie'), null)
    assert.match(await answer.text(), new RegExp(`>${code}<`))
  }
  assert.equal((await visitor.get('/hub/error/abc')).status, 404)
})

test('health is empty and open; what the parts say is for who may read it', async () => {
  const hanging: Plugin = { name: 'hanging', health: () => Promise.reject(new Error('the directory does not answer')) }
  const { core, visitor, alice, root } = hubOf({ plugins: [{ name: 'well', health() {} }, hanging] })
  const answer = await visitor.get('/hub/health')
  assert.deepEqual([answer.status, await answer.text()], [200, ''])
  assert.equal((await visitor.get('/hub/health?full')).status, 403)
  assert.equal((await alice.get('/hub/health?full')).status, 403)
  const full = await root.get('/hub/health?full')
  assert.equal(full.status, 503)
  assert.deepEqual(await full.json(), { engine: 'ok', plugins: { well: 'ok', hanging: 'the directory does not answer' } })
  assert.deepEqual(core.calls, [])
})

test('metrics take a token or a session with read:metrics', async () => {
  const { core, visitor, alice, root } = hubOf()
  core.bearers.set('m', { user: 'alice', scopes: ['read:metrics'] })
  assert.equal((await visitor.get('/hub/metrics')).status, 403)
  assert.equal((await alice.get('/hub/metrics')).status, 403)
  assert.equal((await root.get('/hub/metrics')).status, 200)
  const answer = await visitor.get('/hub/metrics', { authorization: 'bearer m' })
  assert.match(await answer.text(), /jupyterhub_request_duration_seconds_count\{[^}]*handler="\/hub\/metrics"/)
})

test('own files are served under their hash, for good; the logo is closed in', async () => {
  const { visitor } = hubOf()
  const page = await (await visitor.get('/hub/login')).text()
  const [style, script] = [...page.matchAll(/\/hub\/static\/[a-z]+-[0-9a-f]{12}\.(?:css|js)/g)].map(([path]) => path)
  const css = await visitor.get(style ?? '')
  assert.equal(css.headers.get('cache-control'), 'public, max-age=31536000, immutable')
  assert.match(css.headers.get('content-type') ?? '', /^text\/css/)
  assert.match((await visitor.get(script ?? '')).headers.get('content-type') ?? '', /^text\/javascript/)
  for (const path of ['/hub/static/x.css', '/hub/static/..%2f..%2fpackage.json', '/hub/static/'])
    assert.equal((await visitor.get(path)).status, 404)
  const logo = await visitor.get('/hub/logo')
  assert.equal(logo.headers.get('content-type'), 'image/svg+xml')
  assert.match(logo.headers.get('content-security-policy') ?? '', /sandbox/)
})

test('odd spellings of a path do not go round a guard', async () => {
  const { visitor } = hubOf()
  for (const path of ['/hub/%61dmin', '/hub//admin', '//hub/admin', '/hub/admin%2f', '/hub/admin/', '/hub/./admin']) {
    const answer = await visitor.request(`http://hub.test${path}`)
    assert.doesNotMatch(await answer.text(), /Users and servers/, path)
    assert.notEqual(answer.status, 200, path)
  }
})

test('many renders at once never mix their users', async () => {
  const core = fakeCore()
  const app = createWeb(core)
  const names = Array.from({ length: 40 }, (_, index) => `user-${index}-x`)
  for (const name of names) core.addUser(name)
  await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const name = names[index % names.length] ?? ''
      const page = await (await browse(core, name, app).get(index % 2 ? '/hub/home' : '/hub/token')).text()
      const seen = new Set([...page.matchAll(/user-\d+-x/g)].map(([other]) => other))
      assert.deepEqual([...seen], [name])
    }),
  )
})

// Plugins' pages

const plugin = (): Plugin => {
  const welcome = new Hono<VisitorEnv>()
  welcome.get('/hello', c => c.get('page')('Hello', html`<p>for ${c.get('caller')?.name ?? 'everybody'}</p>`))
  welcome.post('/hello', async c => c.text(String((await c.req.parseBody()).name)))
  const web = new Hono<HubEnv>()
  web.get('/mine', c => c.get('page')('Mine', html`<p>${c.get('caller').name} ${c.get('xsrf')}</p>`))
  web.post('/mine', async c => c.json(await c.req.json()))
  return { name: 'greet', welcome, web }
}

test('a plugin’s pages are under x/, in the hub’s frame, with the visitor signed in', async () => {
  const { alice, visitor } = hubOf({ plugins: [plugin(), { name: 'none' }] })
  const mine = await (await alice.get('/hub/x/greet/mine')).text()
  assert.match(mine, /<h1>Mine<\/h1><p>alice good-alice<\/p>/)
  assert.equal((await visitor.get('/hub/x/greet/mine')).headers.get('location'), '/hub/login?next=%2Fhub%2Fx%2Fgreet%2Fmine')
  assert.match(await (await visitor.get('/hub/x/greet/hello')).text(), /for everybody/)
  assert.match(await (await alice.get('/hub/x/greet/hello')).text(), /for alice/)
  assert.equal((await alice.get('/hub/x/greet/other')).status, 404)
  assert.equal((await alice.get('/hub/x/none/other')).status, 404)
})

test('a plugin’s forms are checked before it sees them, and are still whole', async () => {
  const { alice, visitor } = hubOf({ plugins: [plugin()] })
  assert.equal(await (await visitor.post('/hub/x/greet/hello', { name: 'x&y' })).text(), 'x&y')
  const bare = { method: 'POST', body: new URLSearchParams({ name: 'x' }) }
  assert.equal((await visitor.request('/hub/x/greet/hello', bare)).status, 403)
  const json = { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }
  assert.equal((await alice.request('/hub/x/greet/mine', json)).status, 403)
  const good = { ...json, headers: { ...json.headers, 'x-xsrftoken': 'good-alice' } }
  assert.deepEqual(await (await alice.request('/hub/x/greet/mine', good)).json(), { a: 1 })
  assert.equal((await alice.get('/hub/x/greet/mine', { 'sec-fetch-mode': 'cors' })).status, 403)
})
