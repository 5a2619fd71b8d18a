import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog } from '../core/log.ts'
import { apiHub } from './api-hub.ts'
import { type Attacked, attackedHub, config, password } from './hostile.ts'
import { ask, sendRaw, until } from './roles/loopback.ts'
import { visitor } from './visitor.ts'

/*
 * What strangers may send: addresses, names, bodies, bytes. On a hub as it runs, through the front and past it, as a notebook
 * could.
 */

/** The hub's own port, which notebooks reach. */
const hubPort = async (hub: Attacked) => Number(/"address":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(hub.output())![1])

/** Both ways in. */
const doors = async (hub: Attacked) => [hub.port, await hubPort(hub)]

test('next never leads away from the host, at whatever page it is given', async t => {
  const hub = await attackedHub(t)
  const host = `127.0.0.1:${hub.port}`
  const evil = [
    ...['//evil', '///evil', '/\\evil', '\\\\evil', '\\/evil', 'http:evil', 'https:///evil', 'https://evil', 'ftp://evil'],
    ...[`http://${host}//evil/`, `//${host}////evil/`, `http://${host}@evil/`, `http://${host}.evil/`, `http://evil/${host}/`],
    ...[`http://evil@${host}\\@evil/`, '/%09/evil', '/%0d%0aX:1', '/\t/evil', '\t//evil', '/\r\nX: 1', 'javascript:alert(1)'],
    ...[
      'JaVaScRiPt:alert(1)',
      'data:text/html,x',
      'relative/x',
      '?x',
      '/'.repeat(1000),
      `http://${host}:80/x`,
      '/.//evil',
      '/..//evil',
    ],
    ...['//evil%2f..', '/％2f/evil', '//evil\u3002com', 'https://[::1', '\u0000//evil', ' //evil', '\u00a0//evil'],
  ]
  const alice = await hub.enter('alice')
  const cookie = alice.cookieFor('/hub/home')
  const xsrf = await alice.xsrf()
  const login = async (next: string) => {
    const fresh = visitor(hub.origin)
    await fresh.open('/hub/login')
    const body = new URLSearchParams({ username: 'bob', password, _xsrf: fresh.cookie('_xsrf')! })
    const headers = { cookie: fresh.cookieFor('/hub/login'), 'content-type': 'application/x-www-form-urlencoded' }
    return ask(hub.port, `/hub/login?next=${encodeURIComponent(next)}`, { method: 'POST', headers, body: String(body) })
  }
  const pages = (next: string) => {
    const query = `next=${encodeURIComponent(next)}`
    const form = { 'content-type': 'application/x-www-form-urlencoded', cookie }
    return [
      login(next),
      ...['login?', '?', 'spawn?', 'logout?', 'user-redirect/x?', `user-redirect/${encodeURIComponent(next)}?`].map(page =>
        ask(hub.port, `/hub/${page}${query}`, { headers: { cookie } }),
      ),
      ask(hub.port, '/hub/stop/alice', { method: 'POST', headers: form, body: `_xsrf=${xsrf}&${query}` }),
      ask(hub.port, `/hub/api/oauth2/authorize?${query}&redirect_uri=${encodeURIComponent(next)}`, { headers: { cookie } }),
      ask(hub.port, `/user/alice/?${query}`),
    ]
  }
  for (const next of evil) {
    for (const { status, headers, body } of await Promise.all(pages(next))) {
      assert.ok(status < 500, `${next}: ${status}`)
      assert.doesNotMatch(body, /href="(javascript|data):|href="[^"]*\/\/evil/i, next)
      const { location } = headers
      if (location === undefined) continue
      const resolved = new URL(location, hub.origin)
      assert.equal(resolved.origin, hub.origin, `${next} → ${location}`)
      assert.match(location, /^\/(?![/\\])[\x21-\x7e]*$/, next)
      const onward = resolved.searchParams.get('next')
      if (onward !== null && resolved.pathname.startsWith('/hub/spawn')) assert.match(onward, /^\/(?![/\\])/, next)
    }
  }
  for (const good of ['/has?repo=https://host.git&a=1%2b2', '/a#b', '/user/bob/lab/tree/x%20y?z=//q', `http://${host}/x?y=1#z`]) {
    const { headers } = await login(good)
    assert.equal(headers.location, good.replace(`http://${host}`, ''))
  }
})

test('whatever users are called, each comes to their own notebook and to nobody else’s', async t => {
  const hub = await attackedHub(t)
  const names = [
    'bob@x.org',
    'a b',
    'é',
    '100%',
    "o'neil",
    'x;y=z',
    'q?z#f',
    '%2e%2e',
    '__proto__',
    'constructor',
    'a+b&c',
    '<b>"',
  ]
  const people = await Promise.all(
    names.map(async name => {
      const someone = await hub.enter(name)
      await someone.open('/hub/spawn')
      const base = `/user/${encodeURIComponent(name).replaceAll('%40', '@')}/`
      await until(async () => (await someone.open(base)).text.startsWith('notebook of'))
      return { name, someone, base }
    }),
  )
  for (const { name, someone, base } of people) {
    for (const path of [base, `${base}deeper/x?y`, base.replaceAll('@', '%40')])
      assert.match((await someone.open(path)).text, new RegExp(`^notebook of ${name.replace(/[^a-z0-9]/gi, '\\$&')} \\d+$`), path)
    // The route is live a moment before the hub says so.
    await until(async () => (await someone.open('/hub/home')).text.includes('Running'))
    assert.doesNotMatch((await someone.open('/hub/home')).text, /<b>/)
    const token = await hub.token(name)
    const { json } = await hub.api(token, 'GET', `/users/${encodeURIComponent(name)}`)
    assert.deepEqual([json.name, json.admin, Object.keys(json.servers)], [name, false, ['']])
    await someone.submit('/hub/home', 'stop', {})
  }
  const { json } = await hub.api(await hub.token('root'), 'GET', '/users')
  assert.deepEqual(json.map((user: { name: string }) => user.name).sort(), [...names, 'root'].sort())
})

test('a name that somebody types is bounded and harmless in the page and in the log', async t => {
  const hub = await attackedHub(t)
  const tries = [
    'x'.repeat(1_000_000),
    'x'.repeat(15_000),
    'a\nb"level":"error"',
    '\u001b[2J\u009b31m',
    '\u202etxt.exe',
    '"><img src=x onerror=1>',
    '\ud800',
  ]
  for (const username of tries) {
    const before = hub.output().length
    const stranger = visitor(hub.origin)
    await stranger.open('/hub/login?next=/hub/"><img src=x onerror=1>')
    const body = new URLSearchParams({ username, password: 'a wrong one', _xsrf: stranger.cookie('_xsrf')! })
    const { reply, text } = await stranger.open('/hub/login?next=/hub/"><img src=x onerror=1>', { method: 'POST', body })
    assert.ok([403, 413].includes(reply.status), `${reply.status}`)
    assert.doesNotMatch(text, /<img src=x/)
    assert.doesNotMatch(text, /x{300}/)
    const { status } = await hub.api('', 'POST', '/users/x/tokens', { auth: { username, password: 'a wrong one' } })
    assert.ok([400, 403, 413, 429].includes(status), `${status}`)
    await hub.healthy()
    const lines = hub.output().slice(before)
    assert.ok(lines.length < 1000, `${lines.length}`)
    assert.doesNotMatch(lines, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
    for (const line of lines.trim().split('\n').filter(Boolean)) assert.equal(JSON.parse(line).level, 'info')
  }
  const root = await hub.enter('root')
  const evil = '"><img src=x onerror=1>'
  const token = await hub.token('root')
  await hub.api(token, 'POST', '/users/root/tokens', { note: evil })
  await hub.api(token, 'POST', '/users', { usernames: [evil] })
  assert.equal((await hub.api(token, 'PUT', '/users/root/servers/x', { display_name: evil })).status, 201)
  const query = encodeURIComponent(evil)
  for (const path of [
    'home',
    'token',
    'admin',
    `admin?q=${query}`,
    `spawn?next=/${query}`,
    `spawn/root/x?profile=${query}`,
    `error/503?url=${query}`,
    query,
    `user/${query}/`,
  ])
    assert.doesNotMatch((await root.open(`/hub/${path}`)).text, /<img src=x/, path)
  for (const name of ['x'.repeat(256), 'a\nb', '\u202e', ''])
    assert.equal(
      (await root.open(`/hub/spawn/root/y?profile=notebook&display_name=${encodeURIComponent(name)}`)).reply.status,
      400,
    )
})

test('however a path is spelled, it is the same page with the same guard, or none', async t => {
  const hub = await attackedHub(t)
  const mallory = await hub.enter('mallory')
  const { env } = await hub.notebook('mallory')
  const spellings = [
    ...['/hub/admin', '/hub/%61dmin', '/hub/%7%30', '//hub/admin', '/hub//admin', '/hub/admin%2f', '/hub/admin/', '/hub/./admin'],
    ...['/hub/x/../admin', '/hub/%2e/admin', '/hub/..%2fhub/admin', '/hub\\admin', '/hub/admin;x', '/hub/admin%00', '/HUB/admin'],
    ...['/hub/admin%3f', '/hub/admin#x', '/%68ub/admin', '/user/mallory/../../hub/admin', '/user/mallory/..%2f..%2fhub/admin'],
    ...['/hub/api/users', '/hub/api//users', '//hub/api/users', '/hub/ap%69/users', '/hub/api/users/', '/hub/api/../api/users'],
    ...[
      '/hub/api/users/root',
      '/hub/api/users/%72oot',
      '/hub/api/users/root/tokens',
      '/hub/api/users/root%2ftokens',
      '/api/routes',
    ],
    ...['http://evil.example/hub/admin', 'http://127.0.0.1/hub/admin', '/hub/metrics', '/hub/metrics/', '/hub//metrics', '*'],
    ...[
      '/hub/x/dummy/',
      '/hub/x/process/',
      '/hub/x/%2e%2e/admin',
      '/hub/static/../admin',
      '/hub/static/%2e%2e/admin',
      '/hub/static/main.js',
    ],
    ...['/hub/static/..%2f..%2f..%2fpackage.json', '/hub/logo/../admin', '/hub/health/../admin', '/hub/health%2f..%2fadmin'],
  ]
  const credentials = [
    '',
    `Cookie: ${mallory.cookieFor('/hub/home')}\r\n`,
    `Authorization: token ${env.JUPYTERHUB_API_TOKEN}\r\n`,
  ]
  for (const port of await doors(hub))
    for (const path of spellings)
      for (const credential of credentials) {
        const answer = await sendRaw(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${credential}Connection: close\r\n\r\n`)
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
        assert.ok([301, 302, 400, 403, 404, 405].includes(status), `${path} on ${port}: ${answer.slice(0, 80)}`)
        assert.doesNotMatch(answer, /Users and servers|"kind": ?"user"|# HELP|"dependencies"/, path)
        assert.doesNotMatch(answer, /location: (?!\/[^/])/i, path)
      }
})

test('bodies that are too large, broken, or hold a prototype change nothing and harm nobody', async t => {
  const hub = await attackedHub(t)
  const token = await hub.token('root')
  const mallory = await hub.token('mallory')
  const before = await hub.pids()
  const chunks = (kib: number) => `400\r\n${'x'.repeat(1024)}\r\n`.repeat(kib)
  const head = (method: string, path: string, more: string) =>
    `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token ${token}\r\nConnection: close\r\n${more}\r\n`
  const status = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
  for (const port of await doors(hub)) {
    const login = head('POST', '/hub/login', 'Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n')
    assert.equal(status(await sendRaw(port, `${login}${chunks(160)}0\r\n\r\n`)), 413)
    const api = head('POST', '/hub/api/users/new', 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n')
    assert.equal(status(await sendRaw(port, `${api}${chunks(2048)}0\r\n\r\n`)), 413)
    const both = head('POST', '/hub/api/users/new', 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n')
    assert.equal(status(await sendRaw(port, `${both}2\r\n{}\r\n0\r\n\r\n`)), 400)
    const packed = head('POST', '/hub/api/users/new', 'Content-Encoding: gzip\r\nContent-Length: 2\r\n')
    assert.equal(status(await sendRaw(port, `${packed}{}`)), 415)
    const wrong = head('POST', '/hub/api/users/new', 'Content-Length: 2\r\n')
    assert.equal(status(await sendRaw(port, `${wrong}\xff\xfe`)), 400)
  }
  const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
  const bodies = [
    '{"__proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    deep,
    '['.repeat(100_000),
    '"x"',
    '1',
    '[]',
  ]
  for (const body of bodies) {
    for (const [method, path] of [
      ['POST', '/users/new'],
      ['PATCH', '/users/root'],
      ['POST', '/users'],
      ['POST', '/users/root/tokens'],
      ['POST', '/users/root/activity'],
    ] as const) {
      const { status } = await hub.api(token, method, path, body)
      assert.equal(status, 400, `${method} ${path} ${body.slice(0, 50)}`)
    }
  }
  for (const body of bodies) assert.equal((await hub.api(token, 'PUT', '/users/root/servers/x', body)).status, 400)
  for (const body of bodies.slice(1)) assert.equal((await hub.api(token, 'POST', '/users/root/servers/x', body)).status, 400)
  assert.equal((await hub.api(mallory, 'GET', '/users')).status, 403)
  const { json } = await hub.api(token, 'GET', '/users?include_stopped_servers')
  assert.deepEqual(
    json.map((user: { name: string; admin: boolean; servers: object }) => [user.name, user.admin, Object.keys(user.servers)]),
    [
      ['root', true, []],
      ['mallory', false, []],
    ],
  )
  assert.deepEqual(await hub.pids(), before)
  assert.doesNotMatch(hub.output(), /"level":"error"/)
})

test('users choose from closed lists only, by form, query and API alike', async t => {
  const profiles = `profiles: [{ name: 'small', label: 'S' }, { name: 'big', label: 'B', groups: ['teachers'] }],`
  const hub = await attackedHub(t, config(profiles))
  const mallory = await hub.enter('mallory')
  const token = await hub.token('mallory')
  const wishes: object[] = [
    { profile: 'big' },
    { profile: 'nothing' },
    { profile: 'SMALL' },
    { profile: 'small ' },
    { profile: '__proto__' },
    { profile: ['small'] },
    { profile: { name: 'small' } },
    ...['image', 'mounts', 'env', 'command', 'cpus', 'placement', 'networks', 'labels', 'user', 'spec'].map(key => ({
      profile: 'small',
      [key]: 'x',
    })),
    { image: 'evil/x' },
    { image: { $ne: 1 } },
  ]
  for (const wish of wishes)
    for (const body of [wish, { user_options: wish }])
      for (const [method, path] of [
        ['POST', 'server'],
        ['POST', 'servers/x'],
        ['PUT', 'servers/x'],
      ] as const) {
        const { status } = await hub.api(token, method, `/users/mallory/${path}`, body)
        assert.ok(status === 400 || status === 403, `${method} ${path} ${JSON.stringify(body)}: ${status}`)
      }
  for (const profile of ['big', 'nothing', '__proto__']) {
    assert.ok((await mallory.open(`/hub/spawn/mallory?profile=${profile}`)).reply.status >= 400)
    const { path } = await mallory.submit('/hub/home', 'spawn', { profile })
    assert.doesNotMatch(path, /pending/)
  }
  const { json } = await hub.api(token, 'GET', '/users/mallory?include_stopped_servers')
  assert.deepEqual(json.servers, {})
  assert.doesNotMatch(hub.output(), /server start requested/)
})

test('limits hold for many at once', async t => {
  const hub = await attackedHub(t, config('limits: { namedServers: 3 },'))
  const tokens = new Map([
    ['mallory', await hub.token('mallory')],
    ['eve', await hub.token('eve')],
  ])
  const many = (name: string, method: string, prefix: string) =>
    Array.from({ length: 20 }, (_, i) => hub.api(tokens.get(name)!, method, `/users/${name}/servers/${prefix}${i}`, {}))
  const count = async (name: string) =>
    Object.keys((await hub.api(await hub.token(name), 'GET', `/users/${name}?include_stopped_servers`)).json.servers).length
  await Promise.all([...many('mallory', 'PUT', 'put'), ...many('mallory', 'POST', 'post'), ...many('mallory', 'PUT', 'more')])
  await Promise.all([...many('eve', 'POST', 'post'), ...many('eve', 'PUT', 'put')])
  assert.deepEqual([await count('mallory'), await count('eve')], [3, 3])
})

test('what one user may keep in the hub is bounded', async t => {
  const { core, person, send } = await apiHub(t, { limits: { namedServers: 2 } })
  const token = await person('mallory')
  const { id } = core.users.get('mallory')!
  await Promise.all(Array.from({ length: 999 }, () => core.tokens.create(id, { kind: 'api' })))
  const { status, json } = await send('POST', '/users/mallory/tokens', { token })
  assert.equal(status, 400)
  assert.match(json.message, /1000 tokens/)
  await Promise.all(Array.from({ length: 150 }, () => core.tokens.create(id, { kind: 'oauth', client: 'one' })))
  await core.tokens.create(id, { kind: 'oauth', client: 'another' })
  const count = (client: string) => core.users.get('mallory')!.tokens.filter(token => token.client === client).length
  assert.deepEqual([count('one'), count('another')], [100, 1])
  const scopes = Array.from({ length: 1000 }, () => 'read:users!user')
  await core.tokens.revoke(id, ({ kind, note }) => kind === 'api' && note === '')
  const wide = await send('POST', '/users/mallory/tokens', { token: await person('mallory'), body: { scopes } })
  assert.deepEqual(core.users.get('mallory')!.tokens.find(({ id }) => `a${id}` === wide.json.id)?.scopes, ['read:users!user'])
})

test('the log masks what looks like a secret, and shows what would not be seen', () => {
  let lines = ''
  const log = createLog({ format: 'text', write: line => void (lines += line) })
  const path = '/hub/api/authorizations/token/the-secret'
  log.with({ plugin: 'x' }).info('something', {
    path,
    url: '/x?token=the-secret&code=the-secret&y=1',
    header: 'Authorization: Bearer the-secret',
    error: new Error(`failed for ${path}`, { cause: new Error('{"password":"the-secret"}') }),
    nested: { deeper: { apiToken: 'the-secret', env: { A: 'the-secret' } } },
    name: '\u202e\u001b[2J\u009b\u0085\r\n\ud800',
    long: 'x'.repeat(100_000),
  })
  assert.doesNotMatch(lines, /the-secret/)
  assert.match(lines, /\/hub\/api\/authorizations\/token\/\*\*\*/)
  assert.equal(lines.split('\n').length, 2)
  assert.doesNotMatch(lines, /[\p{Bidi_Control}\x00-\x09\x0b-\x1f\x7f-\x9f]/u)
  assert.ok(lines.length < 5000)
})

test('bytes that are no requests, and clients that leave at any time, end neither the front nor the hub', async t => {
  const hub = await attackedHub(t)
  const { env, base } = await hub.notebook('mallory')
  const before = await hub.pids()
  const token = env.JUPYTERHUB_API_TOKEN
  const heads = [
    'GET /hub/home',
    'POST /hub/login',
    'POST /hub/api/users/mallory/activity',
    `GET ${base}`,
    `POST ${base}`,
    'GET /hub/api/users/mallory/server/progress',
    'GET /hub/events',
    'POST /hub/api/oauth2/token',
    'OPTIONS /hub/api/users',
    'TRACE /hub/home',
    'PROPFIND /hub/home',
  ]
  const bodies = [
    'Content-Length: 100\r\n\r\n{"a"',
    'Transfer-Encoding: chunked\r\n\r\nffffff\r\nabc',
    'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
    'Content-Length: 5\r\nExpect: 100-continue\r\n\r\n',
    'Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 30\r\n\r\n--x\r\nContent-Disposition: form-da',
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
    'Accept: text/event-stream\r\n\r\n',
    '\r\n\r\n\r\nGET',
  ]
  const junk = [
    randomBytes(300).toString('latin1'),
    'GET',
    '\x16\x03\x01\x02\x00\x01\x00',
    'GET / HTTP/1.1\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ]
  const hosts = ['127.0.0.1', '/', 'a b', 'x:99999', '[', '', '[::1', '\xe9']
  const texts = [
    ...junk,
    ...heads.flatMap(head =>
      bodies.map(body => `${head} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token ${token}\r\n${body}`),
    ),
    ...hosts.map(host => `GET /hub/login HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    ...[
      'GET /hub/%zz',
      'GET /hub/user/%ff/',
      'GET /hub/api/users/%ff',
      'GET /hub/spawn/%c0%80',
      'GET /%',
      'GET ?',
      'GET http://[',
      'CONNECT x:1',
    ].map(head => `${head} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`),
  ]
  for (const port of await doors(hub))
    await Promise.all(
      texts.flatMap(text =>
        (['end', 'reset', 'wait'] as const).map(
          how =>
            new Promise<void>(resolve => {
              const socket = connect(port, '127.0.0.1')
              socket.on('error', () => {}).on('close', () => resolve())
              socket.resume()
              socket.write(text, 'latin1', () => {
                if (how === 'end') socket.end()
                if (how === 'reset') setImmediate(() => socket.resetAndDestroy())
                setTimeout(() => socket.destroy(), 300)
              })
            }),
        ),
      ),
    )
  assert.deepEqual(await hub.pids(), before)
  await hub.healthy()
  assert.match((await ask(hub.port, base)).body, /^notebook of mallory/)
  assert.doesNotMatch(hub.output(), /nobody caught this|nobody waited for this|"level":"error"/)
})

test('no secret is in the log, and none but its owner can read a file; what need not be known is not written down', async t => {
  const canary = { SWARMHUB_CANARY: 'canary-of-the-environment' }
  const hub = await attackedHub(t, config(), canary)
  const { env, owner: alice, base } = await hub.notebook('alice')
  const api = await hub.token('alice')
  const xsrf = await alice.xsrf()
  const made = await alice.submit('/hub/token', 'token', { note: 'n', scopes: 'read', expires: '1h' })
  const shown = /id="secret"[^>]*value="([^"]+)"/.exec(made.text)?.[1]
  const authorize = `/hub/api/oauth2/authorize?client_id=${env.JUPYTERHUB_CLIENT_ID}&redirect_uri=${encodeURIComponent(env.JUPYTERHUB_OAUTH_CALLBACK_URL!)}&response_type=code&state=canary-of-the-state`
  const code = new URL((await alice.ask(authorize)).headers.get('location')!, hub.origin).searchParams.get('code')
  const typed = 'canary-of-a-mistyped-password'
  await visitor(hub.origin).signIn('alice', typed)
  assert.ok(shown && code)

  // In places where they should not be, and where something goes wrong.
  const stranger = { authorization: `token ${api}x`, cookie: `jupyterhub-hub-login=${alice.cookie('jupyterhub-hub-login')}` }
  for (const path of [
    `/hub/login?token=${api}&password=${typed}`,
    `/hub/api/authorizations/token/${api}`,
    `${base}?token=${api}`,
    `/hub/error/500?url=${api}`,
  ])
    for (const headers of [stranger, {}]) await ask(hub.port, path, { headers: headers as Record<string, string> })
  await hub.api(api, 'POST', '/users/alice/server', `{"token":"${api}`)
  await hub.killHub()
  await alice.open('/hub/home')
  process.kill(Number(/notebook of alice (\d+)/.exec((await alice.open(base)).text)![1]), 'SIGKILL')
  await until(async () => (await alice.open(base)).reply.status !== 200)

  const data = join(hub.folder, 'data')
  const record = JSON.parse(await readFile(join(data, 'hub.json'), 'utf8'))
  const route = await readFile(join(data, 'run/route-token'), 'utf8')
  const told = {
    password,
    typed,
    api,
    shown,
    code,
    xsrf,
    login: alice.cookie('jupyterhub-hub-login')!,
    session: alice.cookie('jupyterhub-session-id')!,
    server: env.JUPYTERHUB_API_TOKEN!,
    hub: record.secret as string,
    route,
    environment: canary.SWARMHUB_CANARY,
    state: 'canary-of-the-state',
  }
  for (const [name, secret] of Object.entries(told)) {
    assert.ok(secret.length > 10, name)
    assert.ok(!hub.output().includes(secret), `${name} is in the log`)
  }
  assert.equal(env.SWARMHUB_CANARY, undefined, 'a notebook does not get the hub’s environment')

  // Known by others by their nature: the session id to notebooks, the two secrets of the hub to itself.
  const { session: _, hub: __, route: ___, ...unwritten } = told
  for (const file of (await readdir(data, { recursive: true, withFileTypes: true })).sort()) {
    const path = join(file.parentPath, file.name)
    if (path.includes('/homes/')) continue
    const { mode } = await lstat(path)
    // A shell writes those of the process spawner; in a folder that is closed like all others.
    const open = file.isSocket() || /\/runs\/.*\.(pid|exit)$/.test(path)
    assert.ok(open || (mode & 0o077) === 0, `${path} ${(mode & 0o777).toString(8)}`)
    if (!file.isFile()) continue
    const content = await readFile(path, 'utf8')
    for (const [name, secret] of Object.entries(unwritten)) assert.ok(!content.includes(secret), `${name} is in ${path}`)
  }
  const processes = await hub.pids()
  for (const pid of Object.values(processes)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    for (const [name, secret] of Object.entries(told)) assert.ok(!line.includes(secret), `${name} on the command line`)
  }
})
