import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { authorizeAddress, codeFor, exchange, tokenFor } from './notebook-login.ts'
import { ask, until } from './roles/loopback.ts'
import { trapHub } from './trap-hub.ts'

/*
 * JupyterHub's clients fail silently when a hub gets one of these wrong: tokens, and the life of a server. One test for each.
 */

const its = trapHub(`
  roles: [
    { name: 'user', scopes: ['self', 'shares!user', 'read:users:name', 'read:groups:name'] },
    { name: 'teacher', scopes: ['list:users!group=physics', 'servers!group=physics', 'access:servers!group=physics'], groups: ['teachers'] },
  ],
`)

test('trap 39: what a server does with its own token does not make its user active, and its note says what it is', async () => {
  const hub = its()
  const { env } = await hub.run('a39')
  const root = await hub.token('root')
  const model = async () => (await hub.api(root, 'GET', '/users/a39')).json
  const before = (await model()).last_activity
  for (let i = 0; i < 3; i++) {
    await sleep(5)
    assert.equal((await hub.api(env.JUPYTERHUB_API_TOKEN!, 'GET', '/user')).status, 200)
  }
  assert.equal((await model()).last_activity, before)
  const { json } = await hub.api(root, 'GET', '/users/a39/tokens')
  const notes = json.api_tokens.map(({ note }: { note: string }) => note)
  assert.equal(notes.filter((note: string) => note === 'Server at /user/a39/').length, 1)
})

test('trap 40: a stop takes the server’s token and all that were issued to it; the next start has a new secret', async () => {
  const hub = its()
  const { env, token } = await hub.run('a40')
  const alice = await hub.enter('a40')
  const visit = await tokenFor(alice, env)
  await hub.stop('a40', token)
  for (const gone of [env.JUPYTERHUB_API_TOKEN!, visit]) assert.equal((await hub.api(gone, 'GET', '/user')).status, 403)
  const { env: next } = await hub.run('a40')
  assert.notEqual(next.JUPYTERHUB_API_TOKEN, env.JUPYTERHUB_API_TOKEN)
  const code = (await codeFor(alice, next)).get('code')!
  const old = await exchange({ ...next, JUPYTERHUB_API_TOKEN: env.JUPYTERHUB_API_TOKEN! }, code)
  assert.deepEqual([old.status, old.json.error], [401, 'invalid_client'])
  assert.equal((await exchange(next, (await codeFor(alice, next)).get('code')!)).status, 200)
  assert.equal((await hub.api(visit, 'GET', '/user')).status, 403)
})

test('trap 41: an OAuth token is worth what its owner may do now; an administrator’s is for the one server', async () => {
  const hub = its()
  const root = await hub.token('root')
  const { env } = await hub.run('a41')
  await hub.api(root, 'POST', '/groups/physics')
  assert.equal((await hub.api(root, 'POST', '/groups/physics/users', { users: ['a41'] })).status, 200)
  const admin = await tokenFor(await hub.enter('root'), env)
  const scopesOf = async (token: string) =>
    ((await hub.api(token, 'GET', '/user')).json.scopes as string[]).filter(scope => scope.startsWith('access:'))
  assert.deepEqual(await scopesOf(admin), ['access:servers!server=a41/'])
  const teacher = await hub.enter('t41')
  assert.equal((await hub.api(root, 'POST', '/groups/teachers/users', { users: ['t41'] })).status, 200)
  const visit = await tokenFor(teacher, env)
  assert.deepEqual(await scopesOf(visit), ['access:servers!server=a41/'])
  assert.equal((await hub.api(root, 'DELETE', '/groups/teachers/users', { users: ['t41'] })).status, 200)
  assert.deepEqual(await scopesOf(visit), [])
})

test('trap 42: one’s own server never asks for a yes, default or named, in a frame or not', async () => {
  const hub = its()
  const alice = await hub.enter('a42')
  for (const server of ['', 'named']) {
    const { env } = await hub.run('a42', server)
    for (const dest of ['document', 'iframe']) {
      const reply = await alice.ask(authorizeAddress(env), { headers: { 'sec-fetch-dest': dest } })
      assert.equal(reply.status, 302)
      assert.ok(reply.headers.get('location')!.startsWith(`${env.JUPYTERHUB_OAUTH_CALLBACK_URL}?code=`))
    }
  }
})

test('trap 43: expires_in 0 is never, negative is refused', async () => {
  const hub = its()
  const token = await hub.token('a43')
  const make = (expires_in: unknown) => hub.api(token, 'POST', '/users/a43/tokens', { expires_in })
  for (const never of [0, null]) {
    const { status, json } = await make(never)
    assert.deepEqual([status, json.expires_at], [201, null])
    assert.equal((await hub.api(json.token, 'GET', '/user')).status, 200)
  }
  for (const wrong of [-1, -0.5, 1e12, '60', 'never']) assert.equal((await make(wrong)).status, 400, String(wrong))
  const { json } = await make(3600)
  assert.equal(Math.round((Date.parse(json.expires_at) - Date.parse(json.created)) / 1000), 3600)
})

test('trap 44: user options come as the whole body, or as a field of it; they are kept, and used again without a body', async () => {
  const hub = its()
  const token = await hub.token('a44')
  const options = async () => (await hub.model('a44')).servers[''].user_options
  const start = async (body?: object) => {
    await hub.start('a44', '', body)
    await until(async () => (await hub.model('a44')).servers[''].ready)
    const used = await options()
    await hub.stop('a44', token)
    return used
  }
  assert.deepEqual(await start({ profile: 'status-403' }), { profile: 'status-403' })
  assert.deepEqual(await start(), { profile: 'status-403' })
  assert.deepEqual(await start({ user_options: null }), { profile: 'status-403' })
  assert.deepEqual(await start({ user_options: { profile: 'status-404' } }), { profile: 'status-404' })
  assert.deepEqual(await start(), { profile: 'status-404' })
  assert.deepEqual(await start({}), {})
  assert.deepEqual(await start(), {})
})

test('trap 45: a hub that was killed knows tokens, clients, codes’ owners, options and routes, and adopts what runs', async () => {
  const hub = its()
  const { env, token } = await hub.run('a45', '', { profile: 'plain' })
  const alice = await hub.enter('a45')
  const visit = await tokenFor(alice, env)
  const notebook = (await alice.open('/user/a45/')).text
  await hub.killHub()
  for (const one of [token, visit, env.JUPYTERHUB_API_TOKEN!]) assert.equal((await hub.api(one, 'GET', '/user')).status, 200)
  const activity = { servers: { '': { last_activity: new Date().toISOString() } } }
  assert.equal((await hub.api(env.JUPYTERHUB_API_TOKEN!, 'POST', '/users/a45/activity', activity)).status, 200)
  await until(async () => (await hub.model('a45')).servers[''].ready)
  assert.deepEqual((await hub.model('a45')).servers[''].user_options, { profile: 'plain' })
  assert.equal((await alice.open('/user/a45/')).text, notebook, 'the same process')
  assert.equal((await exchange(env, (await codeFor(alice, env)).get('code')!)).status, 200, 'its client is known')
})

test('trap 46: no notebook gets a token to remember as refused: who may not enter gets no code, and each grant makes a new token', async () => {
  const hub = its()
  const root = await hub.token('root')
  const { env } = await hub.run('a46')
  const teacher = await hub.enter('t46')
  await hub.api(root, 'POST', '/groups/teachers/users', { users: ['t46'] })
  const refused = await teacher.ask(authorizeAddress(env))
  assert.deepEqual([refused.status, refused.headers.get('location')], [403, null])
  await hub.api(root, 'POST', '/groups/physics')
  assert.equal((await hub.api(root, 'POST', '/groups/physics/users', { users: ['a46'] })).status, 200)
  const tokens = [await tokenFor(teacher, env), await tokenFor(teacher, env)]
  assert.notEqual(tokens[0], tokens[1])
  for (const token of tokens)
    assert.ok((await hub.api(token, 'GET', '/user')).json.scopes.includes('access:servers!server=a46/'), 'at the first look')
})

test('trap 47: a server of old asks with its own token whose another one is, and learns that and no more', async () => {
  const hub = its()
  const { env } = await hub.run('a47')
  const visit = await tokenFor(await hub.enter('root'), env)
  for (const [token, name, admin] of [
    [visit, 'root', true],
    [await tokenFor(await hub.enter('a47'), env), 'a47', false],
  ] as const) {
    const { status, json } = await hub.api(env.JUPYTERHUB_API_TOKEN!, 'GET', `/authorizations/token/${token}`)
    assert.equal(status, 200)
    assert.deepEqual(json, { kind: 'user', name, admin, groups: [], user_info: null })
  }
})

test('trap 48: the default server’s name is set and empty, and its activity is told under the empty name', async () => {
  const hub = its()
  const { env } = await hub.run('a48')
  assert.equal(env.JUPYTERHUB_SERVER_NAME, '')
  const at = new Date().toISOString()
  const report = (servers: object) =>
    hub.api(env.JUPYTERHUB_API_TOKEN!, 'POST', '/users/a48/activity', { servers, last_activity: at })
  assert.equal((await report({ '': { last_activity: at } })).status, 200)
  assert.equal((await report({ default: { last_activity: at } })).status, 400)
})

test('trap 49: user_info is null, so that JupyterLab’s links are made of the user’s name', async () => {
  const hub = its()
  const { env } = await hub.run('a49')
  for (const token of [await hub.token('a49'), await tokenFor(await hub.enter('a49'), env)])
    for (const path of ['/user', '/users/a49']) assert.equal((await hub.api(token, 'GET', path)).json.user_info ?? null, null)
})

test('trap 50: HEAD and prefetches start nothing, sign nobody out and give no code', async () => {
  const hub = its()
  const { env } = await hub.run('a50')
  const alice = await hub.enter('a50')
  const cookie = alice.cookieFor('/hub/home')
  for (const path of ['/hub/spawn/a50/other?profile=plain', '/hub/logout', authorizeAddress(env), '/hub/home', '/hub/api/user'])
    for (const [method, more] of [
      ['HEAD', {}],
      ['GET', { 'sec-purpose': 'prefetch' }],
      ['GET', { purpose: 'prefetch' }],
    ] as const) {
      if (method === 'GET' && path.startsWith('/hub/api/user')) continue
      const { status, headers } = await ask(hub.port, path, { method, headers: { cookie, ...more } })
      assert.ok(status === 405 || (status === 503 && method === 'GET'), `${method} ${path} ${status}`)
      assert.equal(headers.location, undefined)
      assert.equal(headers['set-cookie'], undefined)
    }
  assert.deepEqual(Object.keys((await hub.model('a50')).servers), [''])
  assert.equal((await alice.open('/hub/home')).path, '/hub/home')
  for (const path of ['/hub/health', '/hub/logo']) assert.equal((await ask(hub.port, path, { method: 'HEAD' })).status, 200)
})

test('trap 51: Accept decides between page and JSON as browsers and scripts mean it; a segment `api` is always a script', async () => {
  const hub = its()
  const alice = await hub.enter('a51')
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
  for (const [path, accept, type] of [
    ['lab', browser, /html/],
    ['lab', '*/*', /html/],
    ['lab', 'application/json', /json/],
    ['lab', 'application/json, text/javascript, */*; q=0.01', /json/],
    ['lab', 'text/html, application/json', /html/],
    ['lab', 'application/json;q=0.1, text/html', /html/],
    ['api', browser, /json/],
    ['api/contents/x', '*/*', /json/],
    ['srv/api/kernels', browser, /json/],
    ['capi', browser, /html/],
  ] as const) {
    const reply = await alice.ask(`/hub/user/a51/${path}`, { headers: { accept } })
    assert.equal(reply.status, 424)
    assert.match(reply.headers.get('content-type')!, type, `${path} ${accept}`)
  }
})

test('trap 52: the proxy’s error page is 200 for whoever asks, without sign-in or redirect; a person sees the code', async () => {
  const hub = its()
  for (const path of ['/hub/error/503', '/hub/error/404', '/hub/error/503?url=%2Fuser%2Fx%2F', '/hub/error/500']) {
    const { status, headers } = await ask(hub.port, path)
    assert.deepEqual([status, headers.location, headers['set-cookie']], [200, undefined, undefined], path)
    assert.match(headers['content-type']!, /html/)
  }
  await hub.run('a52')
  const alice = await hub.enter('a52')
  const pid = Number(/ (\d+)$/.exec((await alice.open('/user/a52/')).text)![1])
  process.kill(pid, 'SIGKILL')
  // Where nobody answers the proxy shows that page under its own code; once the hub knows, it leads there.
  const reply = await alice.ask('/user/a52/')
  assert.ok([503, 302].includes(reply.status), `${reply.status}`)
  if (reply.status === 503) assert.match(await reply.text(), /<html/)
})

test('trap 53: every status below 500 is a server that is up, also a redirect or a refusal; 5xx is none', async () => {
  const hub = its()
  const isReady = async (name: string) => (await hub.model(name)).servers['']?.ready === true
  for (const code of [302, 403, 404]) {
    await hub.start(`a53-${code}`, '', { profile: `status-${code}` })
    await until(() => isReady(`a53-${code}`))
  }
  assert.equal(await hub.start('a53-500', '', { profile: 'status-500' }), 202)
  await sleep(1000)
  const { pending, ready } = (await hub.model('a53-500')).servers['']
  assert.deepEqual([pending, ready], ['spawn', false])
  await hub.stop('a53-500', await hub.token('a53-500'))
})

test('trap 54: each server of a user has a client id, thus a cookie, of its own', async () => {
  const hub = its()
  const ids = [(await hub.run('a54')).env, (await hub.run('a54', 'b')).env, (await hub.run('a54', 'c')).env].map(
    ({ JUPYTERHUB_CLIENT_ID: id }) => id,
  )
  assert.deepEqual(ids, ['jupyterhub-user-a54', 'jupyterhub-user-a54-b', 'jupyterhub-user-a54-c'])
})

test('trap 55: a group in a filter is looked up by the hub, for /hub/user, authorize and the API', async () => {
  const hub = its()
  const root = await hub.token('root')
  const { env } = await hub.run('in55')
  const { env: out } = await hub.run('out55')
  await hub.api(root, 'POST', '/groups/physics')
  const teacher = await hub.enter('t55')
  const token = await hub.token('t55')
  await hub.api(root, 'POST', '/groups/teachers/users', { users: ['t55'] })
  assert.equal((await hub.api(root, 'POST', '/groups/physics/users', { users: ['in55'] })).status, 200)
  const listed = (await hub.api(token, 'GET', '/users')).json.map(({ name }: { name: string }) => name)
  assert.ok(listed.includes('in55') && !listed.includes('out55'))
  assert.equal((await teacher.ask(authorizeAddress(env))).status, 200)
  assert.equal((await teacher.ask(authorizeAddress(out))).status, 403)
  await hub.stop('in55', token)
  assert.equal((await hub.api(token, 'DELETE', '/users/out55/server')).status, 404)
  assert.equal((await teacher.open('/hub/user/in55/lab')).reply.status, 424)
  assert.equal((await teacher.ask('/hub/user/out55/lab')).status, 404)
  // Out of the group, at the next request.
  assert.equal((await hub.api(root, 'DELETE', '/groups/physics/users', { users: ['in55'] })).status, 200)
  assert.equal((await teacher.open('/hub/user/in55/lab')).reply.status, 404)
  assert.equal((await hub.api(token, 'POST', '/users/in55/server', { profile: 'plain' })).status, 404)
})

test('trap 55: what is shared with a group is its members’, for /hub/user, authorize and the token that they get, and no longer', async () => {
  const hub = its()
  const root = await hub.token('root')
  const { env, token: owner } = await hub.run('s55')
  const member = await hub.enter('m55')
  const token = await hub.token('m55')
  assert.equal((await hub.api(root, 'POST', '/groups/shared55', { users: ['m55'] })).status, 201)
  assert.equal((await member.ask(authorizeAddress(env))).status, 403)
  assert.equal((await hub.api(owner, 'POST', '/shares/s55/', { group: 'shared55' })).status, 200)
  const visit = await tokenFor(member, env)
  const scope = 'access:servers!server=s55/'
  const has = async () => [visit, token].map(async one => (await hub.api(one, 'GET', '/user')).json.scopes.includes(scope))
  assert.deepEqual(await Promise.all(await has()), [true, true], 'concrete, as notebooks cannot look groups up')
  await hub.stop('s55', owner)
  assert.equal((await member.open('/hub/user/s55/lab')).reply.status, 424)
  assert.equal((await hub.api(root, 'DELETE', '/groups/shared55/users', { users: ['m55'] })).status, 200)
  assert.equal((await member.open('/hub/user/s55/lab')).reply.status, 404)
  assert.equal((await hub.api(token, 'GET', '/user')).json.scopes.includes(scope), false)
})
