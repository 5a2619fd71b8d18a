import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { plan } from '../core/config/plan.ts'
import { config } from '../core/config/schema.ts'
import { createLog, silent } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { createOAuthProvider } from '../core/oauth/provider.ts'
import type { Plugin, Route } from '../core/plugin.ts'
import { createRoutes } from '../core/servers/routes.ts'
import { keepRunning } from '../core/services/child.ts'
import { serviceEnvironment } from '../core/services/environment.ts'
import { createProbe } from '../core/services/probe.ts'
import { runServices } from '../core/services/run.ts'
import { createServices } from '../core/services/services.ts'
import { apiHub } from './api-hub.ts'
import { browse, fakeCore, noRecords, usualRoles } from './fake-core.ts'
import { identityHub } from './identity-hub.ts'
import { load, refusal } from './written-config.ts'

const secret = 'a-token-of-some-length'

test('a service runs as the system user that the config says, and knows it', { skip: process.getuid?.() !== 0 }, async t => {
  const services = servicesOf([
    { name: 'own', user: 'nobody', command: ['sh', '-c', 'echo "I am $(id -un) $USER $JUPYTERHUB_USER"; sleep 60'] },
  ])
  const lines: string[] = []
  const log = createLog({ format: 'json', write: line => void lines.push(line) })
  const close = runServices(services, { base: '/', address: 'http://127.0.0.1:1', url: undefined }, log)
  t.after(close)
  for (let i = 0; i < 500 && !lines.some(line => line.includes('I am')); i++) await sleep(10)
  assert.match(lines.join(''), /I am nobody nobody nobody/)
  const unknown = servicesOf([{ name: 'own', user: 'no-such-user', command: ['true'] }])
  assert.throws(
    () => runServices(unknown, { base: '/', address: 'http://127.0.0.1:1', url: undefined }, silent),
    /There is no user no-such-user/,
  )
})

/** Services as the config's check leaves them. */
function settingsOf(services: object[]) {
  const part = { name: 'part', authenticator: {}, spawner: {}, proxy: {} }
  return config.parse({ authenticators: [part], spawner: part, proxy: part, services }).services
}

const servicesOf = (services: object[], base = '/') =>
  createServices({ settings: settingsOf(services), base, groupsOf: () => [], roles: usualRoles, records: noRecords })

// Config

test('services in a config: what is wrong is told with its place, and a token is in no message', async t => {
  const wrong = (services: string) => refusal(t, `export default defineConfig({ ...rest, services: [\n${services}\n] })`)
  const rows: [string, string][] = [
    ["{ name: 'a', api_token: 'x' }", '4:14 services[0].api_token: unknown key, the keys here are'],
    ["{ name: 'a', comand: ['x'] }", '4:14 services[0].comand: unknown key, did you mean "command"?'],
    ["{ name: 'a', token: 'secret' }", '4:14 services[0].token: expected at least 16 characters'],
    ["{ name: 'a/b', command: ['x'] }", '4:3 services[0].name: expected at most 64 characters of A-Z'],
    ["{ name: 'a' }", '4:1 services[0]: does nothing: it needs a url, a command or a token'],
    ["{ name: 'a', url: 'http://a:1/b' }", '4:14 services[0].url: expected only host and port'],
    ["{ name: 'a', url: 'file:///a' }", '4:14 services[0].url: '],
    ["{ name: 'a', command: ['x'], scopes: ['list:user'] }", '4:39 services[0].scopes[0]: expected a scope of the API'],
    ["{ name: 'a', command: ['x'], scopes: ['inherit'] }", '4:39 services[0].scopes[0]: expected a scope of the API'],
    ["{ name: 'a', command: ['x'], scopes: ['servers!user'] }", '4:39 services[0].scopes[0]: expected a scope of the API'],
    ["{ name: 'a', url: 'http://a:1', cwd: 'x' }", '4:33 services[0].cwd: is only for a service with a command'],
    [
      "{ name: 'a', command: ['x'], access: { everyone: true, users: ['b'] } }",
      'services[0].access.users: contradicts access.everyone',
    ],
    ["{ name: 'a', command: ['x'], oauth: {} }", 'services[0].oauth.redirectUri: is missing: a service without a url'],
    ["{ name: 'a', url: 'http://a:1', oauth: {} }", '4:33 services[0].oauth: needs a token beside it'],
    [
      "{ name: 'a', command: ['x'], oauth: { redirectUri: '//evil' } }",
      'services[0].oauth.redirectUri: expected a whole address',
    ],
    [
      "{ name: 'a', command: ['x'], oauth: { redirectUri: 'javascript:x' } }",
      'services[0].oauth.redirectUri: expected a whole address',
    ],
    [
      "{ name: 'a', url: 'http://a:1', command: ['x'], oauth: { clientId: 'jupyterhub-user-a' } }",
      'services[0].oauth.clientId: expected "service-"',
    ],
    [
      "{ name: 'a', command: ['x'] }, { name: 'a', command: ['y'] }",
      '4:34 services[1].name: there is another service named "a" at services[0]',
    ],
    [
      `{ name: 'a', token: '${secret}' }, { name: 'b', token: '${secret}' }`,
      'services[1].token: is the token of services[0] too',
    ],
    [
      "{ name: 'a', command: ['x'] }, { name: 'b', url: 'http://b:1', command: ['y'], oauth: { clientId: 'service-a' } }",
      'services[1].oauth.clientId: has the OAuth client id "service-a", and so has services[0]',
    ],
  ]
  for (const [services, expected] of rows) {
    const message = await wrong(services)
    assert.ok(message.includes(expected), `${services}\n${message}`)
    assert.ok(!message.includes(secret))
  }
})

test('services in a config: the plan names them, and no secret of theirs', async t => {
  const loaded = await load(
    t,
    `export default defineConfig({ ...rest, url: 'https://hub.example.org/lab', services: [
  { name: 'grades', url: 'http://127.0.0.1:9000', command: ['grades', '--key=hidden'], environment: { KEY: 'hidden' }, access: { groups: ['staff'] } },
  { name: 'culler', token: '${secret}', scopes: ['list:users'] },
] })`,
  )
  const text = plan(loaded)
  assert.match(
    text,
    /\nservices\n {2}grades: \/lab\/services\/grades\/ at http:\/\/127.0.0.1:9000; runs grades; for administrators, members of staff\n/,
  )
  assert.match(text, /\n {2}culler: runs elsewhere; for administrators; may list:users\n/)
  assert.doesNotMatch(text, new RegExp(`hidden|${secret}`))
})

// The API (contract 4.4, the rows of services; 2.4 for their tokens)

const three = [
  {
    name: 'grades',
    url: 'http://127.0.0.1:9000',
    token: `${secret}-grades`,
    access: { users: ['alice'], groups: ['staff'] },
    info: { room: 'B 12' },
    oauth: { allowedScopes: ['read:servers!user', 'inherit'] },
  },
  { name: 'culler', token: `${secret}-culler`, scopes: ['list:users', 'read:users:activity', 'read:servers', 'delete:servers'] },
  { name: 'root', token: `${secret}-root`, admin: true, display: false },
]

async function serviceHub(t: TestContext) {
  const hub = await apiHub(t, { services: three })
  const tokens: Record<string, string | undefined> = {
    admin: await hub.person('admin', { admin: true }),
    alice: await hub.person('alice'),
    narrow: await hub.person('admin', { scopes: ['read:services:name!service=culler'] }),
    roles: await hub.person('admin', { scopes: ['read:roles:services'] }),
    lister: await hub.person('admin', { scopes: ['list:services!service=grades'] }),
    grades: `${secret}-grades`,
    culler: `${secret}-culler`,
    root: `${secret}-root`,
    wrong: `${secret}-wrong`,
    nobody: undefined,
  }
  return {
    ...hub,
    as: (who: string, method: string, path: string, body?: unknown) => hub.send(method, path, { token: tokens[who], body }),
  }
}

test('api: GET services and GET services/S, as everybody who may and may not', async t => {
  const { as } = await serviceHub(t)
  const rows: [string, string, number][] = [
    ['admin', '/services', 200],
    ['root', '/services', 200],
    ['alice', '/services', 403],
    ['grades', '/services', 403],
    ['narrow', '/services', 403],
    ['wrong', '/services', 403],
    ['nobody', '/services', 403],
    ['admin', '/services/grades', 200],
    ['admin', '/services/none', 404],
    ['admin', '/services/', 404],
    ['alice', '/services/grades', 403],
    ['grades', '/services/grades', 200],
    ['grades', '/services/culler', 404],
    ['grades', '/services/none', 404],
    ['narrow', '/services/culler', 200],
    ['narrow', '/services/grades', 404],
    ['nobody', '/services/grades', 403],
  ]
  for (const [who, path, status] of rows) assert.equal((await as(who, 'GET', path)).status, status, `${who} ${path}`)
  // Those of the config are nobody's to change.
  for (const method of ['DELETE', 'PUT']) assert.equal((await as('admin', method, '/services/grades')).status, 405, method)
})

test('api: the model of a service has what the scopes say, and the list is by name', async t => {
  const { as } = await serviceHub(t)
  const { json } = await as('admin', 'GET', '/services')
  assert.deepEqual(Object.keys(json), ['grades', 'culler', 'root'])
  assert.deepEqual(json.grades, {
    kind: 'service',
    name: 'grades',
    admin: false,
    roles: [],
    url: 'http://127.0.0.1:9000',
    prefix: '/services/grades/',
    command: [],
    pid: 0,
    info: { room: 'B 12' },
    display: true,
  })
  assert.deepEqual((await as('lister', 'GET', '/services')).json, { grades: { kind: 'service', name: 'grades', admin: false } })
  assert.deepEqual((await as('narrow', 'GET', '/services/culler')).json, { kind: 'service', name: 'culler', admin: false })
  assert.deepEqual((await as('roles', 'GET', '/services/root')).json, {
    kind: 'service',
    name: 'root',
    admin: true,
    roles: ['admin'],
  })
})

test('api: a service asks by its token, and may what its scopes say', async t => {
  const { as } = await serviceHub(t)
  assert.deepEqual((await as('grades', 'GET', '/user')).json, {
    kind: 'service',
    name: 'grades',
    admin: false,
    token_id: null,
    session_id: null,
    scopes: ['read:services:name!service=grades'],
  })
  const { json: culler } = await as('culler', 'GET', '/user')
  assert.deepEqual(culler.scopes, [
    'delete:servers',
    'list:users',
    'read:servers',
    'read:services:name!service=culler',
    'read:users:activity',
    'read:users:name',
  ])
  const { json: users } = await as('culler', 'GET', '/users')
  assert.deepEqual(
    users.map(({ name }: { name: string }) => name),
    ['admin', 'alice'],
  )
  assert.ok('last_activity' in users[0] && !('groups' in users[0]))
  const rows: [string, string, string, unknown, number][] = [
    ['culler', 'DELETE', '/users/alice/server', undefined, 204],
    ['culler', 'POST', '/users/alice/server', undefined, 403],
    ['culler', 'POST', '/users/carol', undefined, 403],
    ['culler', 'POST', '/users/alice/tokens', undefined, 403],
    ['culler', 'DELETE', '/users/alice', undefined, 403],
    ['grades', 'GET', '/users/alice', undefined, 403],
    ['root', 'POST', '/users/carol', { admin: true }, 201],
    ['root', 'DELETE', '/users/carol', undefined, 204],
    ['root', 'POST', '/users/alice/tokens', undefined, 201],
    // 2.4: whoever has a token may ask whose another one is.
    ['grades', 'GET', `/authorizations/token/${secret}-culler`, undefined, 200],
    ['grades', 'GET', `/authorizations/token/${secret}-wrong`, undefined, 404],
    ['wrong', 'GET', `/authorizations/token/${secret}-culler`, undefined, 403],
  ]
  for (const [who, method, path, body, status] of rows)
    assert.equal((await as(who, method, path, body)).status, status, `${who} ${method} ${path}`)
  const { json: introspected } = await as('grades', 'GET', `/authorizations/token/${secret}-culler`)
  assert.deepEqual(introspected, { kind: 'service', name: 'culler', admin: false })
})

// OAuth (contract 2.2 and 10)

async function oauthHub(t: TestContext, given: object[] = three, folder?: string) {
  const hub = await identityHub(t, { services: given as never, ...(folder !== undefined && { folder }) })
  const { users, tokens, roles, services } = hub
  const oauth = createOAuthProvider({ users, tokens, roles, services, base: '/' })
  const person = async (name: string, { admin = false, groups = [] as string[] } = {}) => {
    const { id } = await users.create(name, { admin })
    await users.groups.set(id, groups)
    await users.update(id, draft => {
      const [created, expires] = [new Date().toISOString(), new Date(Date.now() + 1e7).toISOString()]
      draft.sessions = [
        { hash: randomUUID().replaceAll('-', '').repeat(2), sessionId: name, authenticator: 'passwords', created, expires },
      ]
    })
  }
  const authorize = (name: string, extra: Record<string, string> = {}, agreed?: string[]) =>
    oauth.authorize(
      users.get(name)!,
      new URLSearchParams({ client_id: 'service-grades', response_type: 'code', state: 's', ...extra }),
      name,
      agreed,
    )
  const exchange = async (location: string, by = secret) => {
    const code = new URL(location, 'http://x').searchParams.get('code') ?? ''
    const form = { grant_type: 'authorization_code', code, client_id: 'service-grades', client_secret: `${by}-grades` }
    return (await oauth.token(new URLSearchParams(form))) as { status: number; body: Record<string, string> }
  }
  return { ...hub, oauth, person, authorize, exchange }
}

test('oauth: who may use a service is who its rule names, and administrators', async t => {
  const { person, authorize, tokens, users } = await oauthHub(t)
  await person('alice')
  await person('bob', { groups: ['staff'] })
  await person('eve', { groups: ['students'] })
  await person('root', { admin: true })
  const kinds = await Promise.all(['alice', 'bob', 'eve', 'root'].map(async name => [name, (await authorize(name)).kind]))
  assert.deepEqual(kinds, [
    ['alice', 'confirm'],
    ['bob', 'confirm'],
    ['eve', 'refuse'],
    ['root', 'confirm'],
  ])
  const refused = await authorize('eve')
  assert.deepEqual(refused, { kind: 'refuse', status: 403, message: 'You do not have permission to access Service grades.' })
  assert.ok(tokens.userScopes(users.get('alice')!).has('access:services!service=grades'))
  assert.ok(![...tokens.userScopes(users.get('eve')!)].some(scope => scope.startsWith('access:services')))
})

test('oauth: asked once, then the token of a service carries its access and no more than was agreed', async t => {
  const { person, authorize, exchange, tokens, services } = await oauthHub(t)
  await person('alice')
  const asked = await authorize('alice', { scope: 'read:servers!user' })
  assert.ok(asked.kind === 'confirm')
  assert.deepEqual(asked.scopes, [
    'read:users:name!user',
    'read:users:groups!user',
    'access:services!service=grades',
    'read:servers!user',
  ])
  const answer = await authorize('alice', { scope: 'read:servers!user' }, ['read:servers!user'])
  assert.ok(answer.kind === 'redirect')
  assert.match(answer.location, /^\/services\/grades\/oauth_callback\?code=[\w-]+&state=s$/)
  assert.equal((await exchange(answer.location, 'another')).status, 401)
  const { body } = await exchange(answer.location)
  const { owner, record } = tokens.find(body.access_token!)!
  assert.deepEqual([owner.name, record.client], ['alice', 'service-grades'])
  const scopes = tokens.scopes(owner, record)
  assert.ok(scopes.has('access:services!service=grades') && scopes.has('read:servers!user=alice'))
  assert.ok(![...scopes].some(scope => scope.startsWith('access:servers') || scope.startsWith('servers')))

  assert.equal((await authorize('alice', { scope: 'read:servers!user' })).kind, 'redirect', 'agreed before')
  assert.equal((await authorize('alice', { scope: 'inherit' })).kind, 'confirm', 'never agreed to everything')
  const beyond = await authorize('alice', { scope: 'servers!user' })
  assert.match(beyond.kind === 'redirect' ? beyond.location : '', /error=invalid_scope/)
  assert.equal((await authorize('alice', { redirect_uri: 'https://evil.example/' })).kind, 'refuse')
  assert.ok(services.find(`${secret}-grades`))
})

test('oauth: what was agreed to for a group or a user who are gone meanwhile is for nobody who is called so next', async t => {
  const scopes = ['read:users!group=class', 'read:users!user=bob', 'read:users!user=carol', 'read:servers!server=carol/lab']
  const given = [{ ...three[0], oauth: { noConfirm: true, allowedScopes: scopes } }]
  const { person, authorize, exchange, tokens, users } = await oauthHub(t, given)
  await person('root', { admin: true })
  for (const name of ['bob', 'carol']) await person(name, { groups: ['class'] })
  const answer = await authorize('root')
  await users.groups.delete('class')
  await users.rename(users.get('bob')!.id, 'robert')
  for (const name of ['bob', 'dave']) await person(name, { groups: ['class'] })
  const { body } = await exchange(answer.kind === 'redirect' ? answer.location : '')
  const { owner, record } = tokens.find(body.access_token!)!
  assert.deepEqual(
    record.scopes.filter(scope => /class|bob|carol/.test(scope)),
    ['read:users!user=carol', 'read:servers!server=carol/lab'],
  )
  assert.ok(![...tokens.scopes(owner, record)].some(scope => /class|bob/.test(scope)))
  assert.doesNotMatch(body.scope!, /class|bob/)
})

test('oauth: a role stands for its scopes; what the visitor does not hold is left out in silence, at use too; no tick is identity alone', async t => {
  const given = [
    { ...three[0], access: { everyone: true }, oauth: { allowedScopes: ['self', 'read:hub', 'access:servers!server'] } },
  ]
  const { person, authorize, exchange, tokens, users } = await oauthHub(t, given)
  await person('alice')
  await person('root', { admin: true })
  const identity = ['read:users:name!user', 'read:users:groups!user', 'access:services!service=grades']
  const asked = async (name: string, scope?: string) => {
    const answer = await authorize(name, { ...(scope !== undefined && { scope }) })
    return answer.kind === 'confirm' ? answer.scopes : answer
  }
  assert.deepEqual(await asked('alice', 'user'), [...identity, 'self'])
  assert.deepEqual(await asked('alice', 'read:hub'), identity)
  assert.deepEqual(await asked('root', 'read:hub'), [...identity, 'read:hub'])
  assert.deepEqual(await asked('alice'), [...identity, 'self'], 'without the parameter all that it may ask for')
  assert.deepEqual(await asked('alice', 'identify'), identity)

  const none = await authorize('root', {}, [])
  const { body: bare } = await exchange(none.kind === 'redirect' ? none.location : '')
  assert.equal(bare.scope, identity.join(' '))
  const all = await authorize('root', {}, ['read:hub', 'self', 'admin:users'])
  const { body } = await exchange(all.kind === 'redirect' ? all.location : '')
  assert.equal(body.scope, [...identity, 'self', 'read:hub'].join(' '), 'nothing that was not asked for')
  const may = () => {
    const { owner, record } = tokens.find(body.access_token!)!
    return tokens.scopes(owner, record).has('read:hub')
  }
  assert.equal(may(), true)
  await users.update(users.get('root')!.id, draft => void (draft.admin = false))
  assert.equal(may(), false)
})

test('oauth: noConfirm asks nobody; an application elsewhere has its whole address; without a token there is no client', async t => {
  const elsewhere = {
    name: 'grades',
    token: `${secret}-grades`,
    access: { everyone: true },
    oauth: { redirectUri: 'https://app.example.org/back?a=1', noConfirm: true },
  }
  const { person, authorize, oauth } = await oauthHub(t, [elsewhere, { name: 'plain', url: 'http://127.0.0.1:1' }])
  await person('eve')
  const answer = await authorize('eve')
  assert.match(answer.kind === 'redirect' ? answer.location : '', /^https:\/\/app\.example\.org\/back\?a=1&code=[\w-]+&state=s$/)
  assert.equal(oauth.client('service-plain'), undefined)
})

test('oauth: a service that has left the config loses the tokens it was given, and whoever lost access loses theirs', async t => {
  const first = await oauthHub(t)
  await first.person('alice')
  const answer = await first.authorize('alice', {}, ['inherit'])
  const { body } = await first.exchange(answer.kind === 'redirect' ? answer.location : '')
  const found = first.tokens.find(body.access_token!)!
  assert.ok(first.tokens.scopes(found.owner, found.record).size > 0)

  const closed = await oauthHub(t, [{ ...three[0], access: {} }], first.folder)
  await closed.settle()
  const there = closed.tokens.find(body.access_token!)!
  assert.ok(
    !closed.tokens
      .scopes(there.owner, { ...there.record, scopes: ['access:services!service=grades'] })
      .has('access:services!service=grades'),
  )

  const gone = await oauthHub(t, [three[1]!], first.folder)
  assert.ok(gone.tokens.find(body.access_token!))
  await gone.settle()
  assert.equal(gone.tokens.find(body.access_token!), undefined)
})

// Pages and routes

test('home shows the services that the visitor may open, those with a page that are to be shown', async () => {
  const core = fakeCore({
    base: '/lab/',
    services: [
      { name: 'grades', url: 'http://127.0.0.1:9000' },
      { name: 'hidden', url: 'http://127.0.0.1:9001', display: false },
      { name: 'script', command: ['x'] },
      { name: 'other', url: 'http://127.0.0.1:9002' },
    ],
  })
  const access = ['grades', 'hidden', 'script'].map(name => `access:services!service=${name}`)
  core.addUser('alice', { scopes: access })
  core.addUser('root', { scopes: ['access:services'] })
  core.addUser('bob')
  const links = async (name: string) =>
    [...(await (await browse(core, name).get('/lab/hub/home')).text()).matchAll(/href="(\/lab\/services\/[^"]*)"/g)].map(
      ([, path]) => path,
    )
  assert.deepEqual(await links('alice'), ['/lab/services/grades/'])
  assert.deepEqual(await links('root'), ['/lab/services/grades/', '/lab/services/other/'])
  assert.deepEqual(await links('bob'), [])
  const bare = await browse(core, 'bob').get('/lab/services/grades?a=1')
  assert.deepEqual([bare.status, bare.headers.get('location')], [301, '/lab/services/grades/?a=1'])
})

test('routes of services are set and kept by the repair; those of a service that is no more go', async () => {
  const table = new Map<string, Route>()
  const put = (path: string, data: object) => table.set(path, { path, target: 'http://old:1', data: { ...data } })
  put('/services/gone/', { jupyterhub: true, service: 'gone' })
  put('/user/gone/', { jupyterhub: true, user: 'gone' })
  put('/other/', { owner: 'somebody' })
  put('/hub-like/', { jupyterhub: true })
  const proxy: Plugin = {
    name: 'table',
    proxy: {
      add: async route => void table.set(route.path, route),
      remove: async path => void table.delete(path),
      list: async () => [...table.values()].map(route => ({ ...route, active: new Date() })),
    },
  }
  const wanted = servicesOf(
    [
      { name: 'grades', url: 'http://127.0.0.1:9000' },
      { name: 'script', command: ['x'] },
    ],
    '/lab/',
  )
  const routes = createRoutes(proxy, silent, createMetrics(), new AbortController().signal, wanted)
  await routes.repair(new Map(), () => false)
  await routes.repair(new Map(), () => false)
  assert.deepEqual([...table.keys()].sort(), ['/hub-like/', '/lab/services/grades/', '/other/'])
  assert.deepEqual(table.get('/lab/services/grades/'), {
    path: '/lab/services/grades/',
    target: 'http://127.0.0.1:9000',
    data: { jupyterhub: true, service: 'grades' },
  })
})

// Processes

test('the environment of a service is the whole of the protocol, and nothing of the hub’s own', () => {
  const [service] = [
    ...servicesOf(
      [
        {
          name: 'grades',
          url: 'http://127.0.0.1:9000',
          command: ['x'],
          environment: { MY: 'own', JUPYTERHUB_USER: 'ann', JUPYTERHUB_API_TOKEN: 'no' },
        },
      ],
      '/lab/',
    ).all(),
  ]
  const places = { base: '/lab/', hub: 'http://127.0.0.1:8081', url: new URL('https://hub.example.org/lab/') }
  const access = '["access:services","access:services!service=grades"]'
  assert.match(service!.secret!, /^[\w-]{43}$/)
  assert.deepEqual(
    serviceEnvironment(service!, places, { PATH: '/bin', LDAP_PASSWORD: 'hidden', SWARMHUB_ROUTE_TOKEN: 'hidden' }),
    {
      PATH: '/bin',
      JUPYTERHUB_SERVICE_NAME: 'grades',
      JUPYTERHUB_API_TOKEN: service!.secret,
      JUPYTERHUB_API_URL: 'http://127.0.0.1:8081/lab/hub/api',
      JUPYTERHUB_BASE_URL: '/lab/',
      JUPYTERHUB_HOST: '',
      JUPYTERHUB_CLIENT_ID: 'service-grades',
      JUPYTERHUB_OAUTH_CALLBACK_URL: '/lab/services/grades/oauth_callback',
      JUPYTERHUB_OAUTH_SCOPES: access,
      JUPYTERHUB_OAUTH_ACCESS_SCOPES: access,
      JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES: '[]',
      JUPYTERHUB_USER: 'ann',
      JUPYTERHUB_SERVER_NAME: '',
      JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED: '0',
      JUPYTERHUB_PUBLIC_URL: 'https://hub.example.org/lab/services/grades/',
      JUPYTERHUB_PUBLIC_HUB_URL: 'https://hub.example.org/lab/hub/',
      JUPYTERHUB_SERVICE_URL: 'http://127.0.0.1:9000',
      JUPYTERHUB_SERVICE_PREFIX: '/lab/services/grades/',
      MY: 'own',
    },
  )
})

/** A shell script as a service, what it says, and the process ids it had. */
function running(t: TestContext, script: string) {
  const lines: string[] = []
  const pids: number[] = []
  const log = createLog({ format: 'json', write: line => void lines.push(line) })
  const close = keepRunning({
    command: ['/bin/sh', '-c', script],
    cwd: undefined,
    env: { PATH: process.env.PATH ?? '' },
    log,
    running: pid => void pids.push(pid),
  })
  t.after(close)
  const said = (text: string) => lines.filter(line => line.includes(text)).length
  return { close, lines, pids, said }
}

async function until(what: string, is: () => boolean) {
  for (let i = 0; i < 400 && !is(); i++) await sleep(25)
  assert.ok(is(), what)
}

const lives = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a service that ends is started again, what it left behind is ended first, and its words are in the log', async t => {
  const { pids, said, lines, close } = running(t, 'sleep 600 & echo "left $!"; printf half; exit 3')
  await until('a second start', () => said('a service was started') === 2)
  const left = Number(/left (\d+)/.exec(lines.join(''))?.[1])
  assert.ok(left > 0)
  await until('the first one’s child is gone', () => !lives(left))
  assert.ok(said('"code":3') >= 1 && said('"line":"half"') >= 1)
  assert.equal(pids[1], 0)
  await close()
  const starts = said('a service was started')
  await sleep(100)
  assert.equal(said('a service was started'), starts)
})

test('a service is ended at close with all that it has started; a program that is not there harms nobody', async t => {
  const { close, pids, said, lines } = running(t, 'sleep 600 & echo "left $!"; wait')
  await until('it runs', () => said('left ') === 1)
  const left = Number(/left (\d+)/.exec(lines.join(''))?.[1])
  await close()
  assert.equal(lives(pids[0]!), false)
  await until('its child is gone', () => !lives(left))

  const missing: string[] = []
  const log = createLog({ format: 'json', write: line => void missing.push(line) })
  const end = keepRunning({ command: ['/no/such/program'], cwd: undefined, env: {}, log, running() {} })
  await until('it is said', () => missing.some(line => line.includes('ENOENT')))
  await end()
})

test('a service that runs elsewhere is looked at: one line when it does not answer, one when it does again', async t => {
  let status = 403
  const asked: string[] = []
  const http = createServer((req, reply) => {
    asked.push(req.url ?? '')
    reply.writeHead(status).end()
  }).listen(0, '127.0.0.1')
  t.after(() => http.close())
  await once(http, 'listening')
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const lines: string[] = []
  const probe = createProbe(
    servicesOf([
      { name: 'grades', url },
      { name: 'ours', url: 'http://127.0.0.1:1', command: ['x'] },
    ]),
    createLog({ format: 'json', write: line => void lines.push(line) }),
  )
  const look = async (next: number) => {
    status = next
    await probe(new AbortController().signal)
    return lines.length
  }
  assert.deepEqual([await look(403), await look(502), await look(500), await look(200), await look(302)], [0, 1, 1, 2, 2])
  assert.match(lines[0]!, /"level":"warn".*"service":"grades".*status 502/)
  assert.deepEqual(new Set(asked), new Set(['/services/grades/']))
})
