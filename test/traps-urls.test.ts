import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attackedHub, config, password } from './hostile.ts'
import { authorizeAddress, codeFor, exchange } from './notebook-login.ts'
import { ask, until } from './roles/loopback.ts'
import { trapHub } from './trap-hub.ts'
import { visitor } from './visitor.ts'

/*
 * JupyterHub's clients fail silently when a hub gets one of these wrong: addresses, escaping, slashes. One test for each.
 */

const its = trapHub()

test('trap 13: a name in a path has its @ bare and all else escaped; %40 is taken too, by hub, API and proxy', async () => {
  const hub = its()
  const name = "bob!*'(~)@x.org"
  const base = '/user/bob%21%2A%27%28~%29@x.org/'
  const { env, token } = await hub.run(name)
  assert.equal(env.JUPYTERHUB_SERVICE_PREFIX, base)
  assert.equal(env.JUPYTERHUB_OAUTH_CALLBACK_URL, `${base}oauth_callback`)
  assert.ok(env.JUPYTERHUB_ACTIVITY_URL!.endsWith(`${base.slice(0, -1).replace('/user/', '/users/')}/activity`))
  const model = await hub.model(name)
  assert.deepEqual([model.server, model.servers[''].url], [base, base])
  assert.equal(model.servers[''].progress_url, `/hub/api${base.replace('/user/', '/users/')}server/progress`)
  for (const path of [base, base.replace('@', '%40'), `/user/${encodeURIComponent(name)}/`, `/user/${name}/`])
    assert.match((await ask(hub.port, `${path}x`)).body, /^notebook of bob/, path)
  for (const path of [base, base.replace('@', '%40')].map(path => path.replace('/user/', '/users/').slice(0, -1)))
    assert.equal((await hub.api(token, 'GET', path)).json.name, name)
  const bob = await hub.enter(name)
  const { trail } = await bob.open(`/hub${base.replace('@', '%40')}x`)
  assert.equal(trail[1]?.replace(/\?.*/, ''), `${base.replace('@', '%40')}x`)
  assert.equal((await bob.open('/hub/user-redirect/x')).path.replace(/\?.*/, ''), `${base}x`)
})

test('trap 14: a client id with %40 comes as %2540 in an address and is decoded once', async () => {
  const hub = its()
  const { env } = await hub.run('bob@x14')
  assert.equal(env.JUPYTERHUB_CLIENT_ID, 'jupyterhub-user-bob%40x14')
  const bob = await hub.enter('bob@x14')
  const address = authorizeAddress(env)
  assert.match(address, /client_id=jupyterhub-user-bob%2540x14&/)
  assert.equal((await bob.ask(address)).status, 302)
  assert.equal((await bob.ask(address.replace('%2540', '%40'))).status, 400, 'this names another client')
  assert.equal((await exchange(env, (await codeFor(bob, env)).get('code')!)).status, 200)
})

test('trap 15: a redirect_uri is compared as the text that it is, and the redirect is a path where it is one', async () => {
  const hub = its()
  const { env } = await hub.run('a15')
  const alice = await hub.enter('a15')
  const path = env.JUPYTERHUB_OAUTH_CALLBACK_URL!
  assert.equal(path, '/user/a15/oauth_callback')
  const { headers } = await alice.ask(authorizeAddress(env))
  assert.match(headers.get('location')!, /^\/user\/a15\/oauth_callback\?code=/)
  for (const redirect_uri of [hub.origin + path, `${path}/`, path.toUpperCase(), path.replace('/user', '/%75ser')]) {
    const reply = await alice.ask(authorizeAddress(env, { redirect_uri }))
    assert.deepEqual([reply.status, reply.headers.get('location')], [400, null], redirect_uri)
  }
  const code = (await codeFor(alice, env)).get('code')!
  assert.equal((await exchange(env, code, { redirect_uri: hub.origin + path })).status, 400)
})

test('trap 16: base and prefix have both slashes, the addresses of API and activity none at the end', async () => {
  const hub = its()
  const { env } = await hub.run('a16', 'more')
  assert.equal(env.JUPYTERHUB_BASE_URL, '/')
  assert.equal(env.JUPYTERHUB_SERVICE_PREFIX, '/user/a16/more/')
  assert.equal(env.JUPYTERHUB_API_URL, `http://127.0.0.1:${hub.hubPort}/hub/api`)
  assert.equal(env.JUPYTERHUB_ACTIVITY_URL, `${env.JUPYTERHUB_API_URL}/users/a16/activity`)
  assert.equal(new URL(env.JUPYTERHUB_SERVICE_URL!).pathname, '/user/a16/more/')
})

test('trap 17: under a prefix every redirect, cookie, route, callback and address has it', async t => {
  // With a public address the notebook's own name is asked for, so this is the machine's own.
  const text = config().replace(
    'export default defineConfig({',
    `export default defineConfig({ url: 'http://127.0.0.1:$PORT/jup/',`,
  )
  const hub = await attackedHub(t, text)
  const prefixed = (path: string | null | undefined) => assert.match(String(path), /^\/jup\//)
  for (const path of ['/jup/', '/jup/hub', '/jup/hub/', '/jup/hub/home', '/jup/user/a/x', '/jup/hub/login']) {
    const { status, headers } = await ask(hub.port, path)
    if (status !== 200) prefixed(headers.location)
    for (const cookie of headers['set-cookie'] ?? []) assert.match(cookie, /Path=\/jup\//i)
  }
  const alice = visitor(hub.origin)
  const next = '/jup/hub/token'
  const signedIn = await alice.submit(`/jup/hub/login?next=${encodeURIComponent(next)}`, 'login', { username: 'alice', password })
  assert.equal(signedIn.path, next)
  for (const [name, path] of [
    ['jupyterhub-hub-login', '/jup/hub/x'],
    ['_xsrf', '/jup/hub/x'],
    ['jupyterhub-session-id', '/jup/x'],
  ] as const) {
    assert.match(alice.cookieFor(path), new RegExp(`\\b${name}=`))
    assert.doesNotMatch(alice.cookieFor('/other/'), new RegExp(name))
  }
  await alice.open('/jup/hub/spawn')
  await until(async () => (await alice.open('/jup/user/alice/')).text.startsWith('notebook of alice'))
  const env = JSON.parse((await alice.open('/jup/user/alice/env')).text)
  assert.deepEqual(
    [env.JUPYTERHUB_BASE_URL, env.JUPYTERHUB_SERVICE_PREFIX, env.JUPYTERHUB_OAUTH_CALLBACK_URL],
    ['/jup/', '/jup/user/alice/', '/jup/user/alice/oauth_callback'],
  )
  assert.match(env.JUPYTERHUB_API_URL, /\/jup\/hub\/api$/)
  assert.match(env.JUPYTERHUB_ACTIVITY_URL, /\/jup\/hub\/api\/users\/alice\/activity$/)
  const asked = await alice.ask(`/jup${authorizeAddress(env)}`)
  assert.match(asked.headers.get('location')!, /^\/jup\/user\/alice\/oauth_callback\?code=/)
  const code = new URL(asked.headers.get('location')!, hub.origin).searchParams.get('code')!
  const { status, json } = await exchange(env, code)
  assert.equal(status, 200)
  const reply = await fetch(`${hub.origin}/jup/hub/api/user`, { headers: { authorization: `token ${json.access_token}` } })
  assert.equal(reply.status, 200)
  const page = await (await alice.ask(`/jup/hub/api/users/alice?_xsrf=${alice.cookie('_xsrf')}`)).json()
  const model = page as { server: string; servers: Record<string, { url: string; progress_url: string }> }
  for (const path of [model.server, model.servers['']?.url, model.servers['']?.progress_url]) prefixed(path)
  // Outside of the prefix there is nothing but the way to it.
  for (const path of ['/', '/user/alice/', '/hub/home', '/jupiter/hub/home']) {
    const { status, headers } = await ask(hub.port, path)
    if (status !== 404) prefixed(headers.location)
  }
})

test('trap 18: /user/NAME and /services/NAME without the slash lead to the address with it', async () => {
  const hub = its()
  for (const [path, to] of [
    ['/user/a18', '/user/a18/'],
    ['/user/a18?x=1', '/user/a18/?x=1'],
    ['/services/x', '/services/x/'],
  ] as const) {
    const { status, headers } = await ask(hub.port, path)
    assert.ok([301, 302].includes(status), `${path} ${status}`)
    assert.equal(headers.location, to)
  }
})

test('trap 19: the pages of a named server that is not running are below hub/, for its own path leads to the default server', async () => {
  const hub = its()
  await hub.run('a19')
  const alice = await hub.enter('a19')
  assert.match((await alice.open('/user/a19/srv/lab')).text, /^notebook of a19/)
  assert.equal(await hub.start('a19', 'srv', { profile: 'gated' }), 202)
  const pending = await alice.open('/hub/spawn/a19/srv')
  assert.match(pending.path, /^\/hub\/spawn-pending\/a19\/srv(\?|$)/)
  assert.equal(pending.reply.status, 200)
  assert.match((await alice.open('/hub/user/a19/srv/lab')).path, /^\/hub\/spawn-pending\/a19\/srv\?next=/)
  assert.match((await alice.open('/user/a19/srv/lab')).text, /^notebook of a19/)
  await hub.release('a19', 'srv')
  await until(async () => (await hub.model('a19')).servers.srv.ready)
  assert.match((await alice.open('/hub/spawn-pending/a19/srv')).path, /^\/user\/a19\/srv\//)
  const { JUPYTERHUB_SERVER_NAME } = JSON.parse((await alice.open('/user/a19/srv/env')).text)
  assert.equal(JUPYTERHUB_SERVER_NAME, 'srv')
})

test('trap 20: next carries its own query, encoded once, through sign-in and start; it never leaves the host', async () => {
  const hub = its()
  const asked = '/user/a20/lab/tree/x%20y?repo=https%3A%2F%2Fhost%2Fr.git&branch=a%2Bb&c=1'
  const alice = visitor(hub.origin)
  const form = await alice.open(asked)
  assert.equal(new URL(form.path, hub.origin).pathname, '/hub/login')
  assert.equal(new URL(form.path, hub.origin).searchParams.get('next'), `/hub${asked}`)
  const signedIn = await alice.submit(form.path, 'login', { username: 'a20', password })
  assert.equal(signedIn.path, `/hub${asked}`)
  assert.equal(signedIn.reply.status, 424)
  const start = /href="(\/hub\/spawn\/a20[^"]*)"/.exec(signedIn.text)?.[1]?.replaceAll('&amp;', '&')
  assert.equal(new URL(start ?? '', hub.origin).searchParams.get('next'), `/hub${asked}`)
  await hub.run('a20')
  const there = await alice.open(start!)
  assert.equal(there.path.replace(/&redirects=1$/, ''), asked)
  for (const next of ['//host', '///host', '\\\\host', '/\\host', 'https:host', 'https://host/', `${hub.origin}@host/`]) {
    const someone = visitor(hub.origin)
    const { trail } = await someone.signIn('a20', password, next)
    // `open` refuses to leave the host.
    for (const path of trail.slice(1)) assert.match(path, /^\/(?![/\\])/, next)
  }
})
