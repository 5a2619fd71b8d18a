import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, refusal } from './written-config.ts'

const named = 'limits: { namedServers: 0 }'

test('each setting refuses what it cannot be, with its name', async t => {
  const rows: [text: string, message: string][] = [
    ["base: 'jupyter'", 'base: expected a path such as "/jupyter/"'],
    ["base: '//x'", 'base: expected a path such as "/jupyter/"'],
    ["url: 'https://a.example/x/', base: '/x/'", 'base: is said by the path of url already: leave out one of them'],
    ["access: { existing: 'yes' }", 'access.existing: expected'],
    ['signIn: { auto: 1 }', 'signIn.auto: expected'],
    ["signIn: { pattern: '[a-z]+' }", 'signIn.pattern: expected a regular expression'],
    ['signIn: { map: 1 }', 'signIn.map: expected'],
    ["signIn: { refreshBeforeStart: 'x' }", 'signIn.refreshBeforeStart: expected'],
    ['signIn: { refreshBeforeStop: 1 }', 'signIn.refreshBeforeStop: expected'],
    ["signIn: { pattern: /x/ }, access: { users: ['ann'] }", 'access.users[0]: does not fit signIn.pattern'],
    ["groups: { a: { users: ['x/y'] } }", "groups.a.users[0]: can be nobody's name"],
    ["groups: { '': {} }", 'groups'],
    ['groups: { a: { properties: { f() {} } } }', 'groups.a.properties'],
    ['servers: { port: 0 }', 'servers.port: expected'],
    ['servers: { debug: 1 }', 'servers.debug: expected'],
    ['servers: { userConfig: 1 }', 'servers.userConfig: expected'],
    ["servers: { oauthScopes: ['read:server'] }", 'servers.oauthScopes[0]: expected a scope of the API'],
    ["servers: { defaultName: 'a/b' }", 'servers.defaultName: cannot be the name of a server'],
    [`servers: { defaultName: 'lab' }, ${named}`, 'servers.defaultName: is a named server, but limits.namedServers is 0'],
    ['servers: { startAfter: 5 }', 'servers.startAfter: expected a duration'],
    ['servers: { stopOnSignOut: 1 }', 'servers.stopOnSignOut: expected'],
    ['servers: { stopOnExit: 1 }', 'servers.stopOnExit: expected'],
    ["optionsForm: { html: '<p>' }", 'optionsForm.apply: '],
    ['optionsForm: { html: 1, apply() {} }', 'optionsForm.html: expected'],
    ["optionsForm: { html: '', apply() {}, read: 1 }", 'optionsForm.read: expected a function of the fields and the user'],
    ["landing: 'lab'", 'landing: expected'],
    ["userRedirect: '/x'", 'userRedirect: expected a function of path, query and user'],
    ["branding: { announcements: { hom: 'x' } }", 'branding.announcements.hom: unknown key, did you mean "home"?'],
    ["branding: { announcements: { all: '' } }", 'branding.announcements.all: must not be empty'],
    ["branding: { terms: 'javascript:alert(1)' }", 'branding.terms: '],
    ["branding: { terms: '//evil' }", 'branding.terms: '],
    ["headers: { 'Set-Cookie': 'a=b' }", "headers.Set-Cookie: is the hub's alone to set"],
    ["headers: { 'X': 'a\\nb' }", 'headers.X: expected one line'],
    ["limits: { namedServers: 'x' }", 'limits.namedServers: expected'],
    ["limits: { retry: ['60s', '30s'] }", 'limits.retry: ends before it begins'],
    ["limits: { retry: '30s' }", 'limits.retry: expected'],
    ['limits: { redirects: 0 }', 'limits.redirects: expected'],
    ...['slowStop', 'routes', 'services'].map((key): [string, string] => [
      `timeouts: { ${key}: 5 }`,
      `timeouts.${key}: expected a duration`,
    ]),
    ...['lifetime', 'longest', 'oauth'].map((key): [string, string] => [
      `tokens: { ${key}: 60 }`,
      `tokens.${key}: expected a duration`,
    ]),
    ['tokens: { requirePkce: 1 }', 'tokens.requirePkce: expected'],
    ["cookies: { secret: 'short' }", 'cookies.secret: expected at least 32 characters'],
    ['cookies: { hostPrefix: true }', 'cookies.hostPrefix: needs https'],
    ["cookies: { hostPrefix: true }, url: 'https://a.example'", `cookies.hostPrefix: would show the hub's cookies to servers`],
    ['api: { pageSize: 0 }', 'api.pageSize: expected'],
    ['api: { maxPageSize: 1.5 }', 'api.maxPageSize: expected a whole number'],
    ['api: { pageSize: 300 }', 'api.pageSize: is more than api.maxPageSize'],
    ['api: { openMetrics: 1 }', 'api.openMetrics: expected'],
    ...['interval', 'resolution', 'window'].map((key): [string, string] => [
      `activity: { ${key}: 60 }`,
      `activity.${key}: expected a duration`,
    ]),
    ["extraRoutes: { 'x': 'http://a:1' }", 'extraRoutes.x: expected a path with both slashes'],
    ["extraRoutes: { '/x/': 'https://a:1' }", 'extraRoutes["/x/"]: '],
    ["extraRoutes: { '/hub/x/': 'http://a:1' }", 'extraRoutes["/hub/x/"]: is in the way of /hub/'],
    ["extraRoutes: { '/user/': 'http://a:1' }", 'extraRoutes["/user/"]: is in the way of /user/'],
    ["extraRoutes: { '/x/': 'http://a:1' }, base: '/jupyter/'", `extraRoutes["/x/"]: is outside of the hub's prefix /jupyter/`],
    ["services: [{ name: 'a', url: 'http://a:1', user: 'nobody' }]", 'services[0].user: is only for a service with a command'],
    ["services: [{ name: 'a', command: ['x'], user: -1 }]", 'services[0].user: expected'],
  ]
  for (const [text, message] of rows) {
    const told = await refusal(t, `export default defineConfig({ ...rest, access: { everyone: true }, ${text} })`)
    assert.ok(told.includes(message), `${text}: ${told}`)
    // The secret itself is in no message.
    assert.ok(!told.includes('short'), told)
  }
})

test('the defaults are what JupyterHub has, or what the table argues', async t => {
  const { settings } = await load(t, 'export default defineConfig({ ...rest })')
  const { servers, tokens, cookies, api, activity, limits, timeouts, signIn, landing } = settings
  assert.deepEqual(servers, {
    port: 8888,
    debug: false,
    userConfig: true,
    oauthScopes: [],
    defaultName: '',
    stopOnSignOut: false,
    stopOnExit: false,
  })
  assert.deepEqual([tokens, cookies], [{ requirePkce: false }, { hostPrefix: false }])
  assert.deepEqual(api, { pageSize: 50, maxPageSize: 200, openMetrics: false })
  assert.deepEqual(activity, { interval: 60_000, resolution: 30_000, window: 1_800_000 })
  assert.deepEqual(limits, { namedServers: 5, starts: 100, servers: 0, binds: [], retry: [30_000, 60_000], redirects: 4 })
  assert.deepEqual([timeouts.slow, timeouts.slowStop, timeouts.routes, timeouts.services], [10_000, undefined, 60_000, 60_000])
  assert.deepEqual(
    [signIn, landing],
    [{ auto: false, refreshBeforeStart: false, refreshBeforeStop: false, sameNames: false }, 'home'],
  )
})
