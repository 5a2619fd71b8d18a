import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { environment } from '../core/servers/environment.ts'
import { password } from './hostile.ts'
import { startFront } from './http-proxy-front.ts'
import { authorizeAddress, codeFor, exchange, tokenFor } from './notebook-login.ts'
import { ask, serveHttp } from './roles/loopback.ts'
import { trapHub } from './trap-hub.ts'
import { visitor } from './visitor.ts'

/*
 * JupyterHub's clients fail silently when a hub gets one of these wrong: cookies, XSRF, sessions. One test for each.
 */

const its = trapHub()

const form = { 'content-type': 'application/x-www-form-urlencoded' }

test('trap 21: _xsrf and login are on the hub’s path, never on /; of several _xsrf cookies the one that is good counts', async () => {
  const hub = its()
  const alice = visitor(hub.origin)
  const page = await alice.ask('/hub/login')
  const _xsrf = alice.cookie('_xsrf')!
  const body = String(new URLSearchParams({ username: 'a21', password, _xsrf }))
  const own = alice.cookieFor('/hub/login')
  const login = await ask(hub.port, '/hub/login', { method: 'POST', headers: { cookie: own, ...form }, body })
  const set = [...page.headers.getSetCookie(), ...(login.headers['set-cookie'] ?? [])]
  assert.ok(set.some(line => line.startsWith('jupyterhub-hub-login=')))
  for (const line of set) {
    const path = /;\s*path=([^;]*)/i.exec(line)?.[1]
    if (line.startsWith('jupyterhub-session-id=')) assert.equal(path, '/')
    else assert.ok(path?.startsWith('/hub/'), line)
  }
  // As old notebooks set it on /.
  const old = '_xsrf=2|3f8e|0d1c|1700000000'
  for (const cookie of [`${old}; ${own}`, `${own}; ${old}`, `${old}; ${own}; ${old}x`])
    assert.equal((await ask(hub.port, '/hub/login', { method: 'POST', headers: { cookie, ...form }, body })).status, 302)
  const none = own.replace(/_xsrf=[^;]*/, old)
  assert.equal((await ask(hub.port, '/hub/login', { method: 'POST', headers: { cookie: none, ...form }, body })).status, 403)
})

test('trap 22: a request for a server that is not there goes below hub/ first, where the login is, and then to sign in', async () => {
  const hub = its()
  const alice = await hub.enter('a22')
  assert.doesNotMatch(alice.cookieFor('/user/a22/lab'), /jupyterhub-hub-login/)
  const { trail, reply } = await alice.open('/user/a22/lab?x=1')
  assert.deepEqual(trail, ['/user/a22/lab?x=1', '/hub/user/a22/lab?x=1'])
  assert.equal(reply.status, 424)
  const stranger = await visitor(hub.origin).open('/user/a22/lab?x=1')
  assert.deepEqual(stranger.trail.slice(0, 2), ['/user/a22/lab?x=1', '/hub/user/a22/lab?x=1'])
  assert.equal(stranger.path, '/hub/login?next=%2Fhub%2Fuser%2Fa22%2Flab%3Fx%3D1')
})

test('trap 23: the session id is a plain word on the base path, there before authorize, on every token, and gone with them at sign-out', async () => {
  const hub = its()
  const { env } = await hub.run('a23')
  const alice = visitor(hub.origin)
  await alice.open(authorizeAddress(env))
  assert.match(alice.cookie('jupyterhub-session-id') ?? '', /^[\w-]{16,}$/)
  await alice.signIn('a23', password, '/hub/home')
  const id = alice.cookie('jupyterhub-session-id')!
  assert.match(id, /^[\w-]{16,}$/)
  assert.match(alice.cookieFor('/user/a23/'), new RegExp(`jupyterhub-session-id=${id}`))
  const token = await tokenFor(alice, env)
  assert.equal((await hub.api(token, 'GET', '/user')).json.session_id, id)
  const out = await alice.ask('/hub/logout')
  const cleared = out.headers.getSetCookie().find(line => line.startsWith('jupyterhub-session-id=;'))
  assert.match(cleared ?? '', /path=\/(;|$)/i)
  assert.doesNotMatch(cleared ?? '', /domain/i)
  assert.equal((await hub.api(token, 'GET', '/user')).status, 403)
  await alice.signIn('a23other', password, '/hub/home')
  assert.notEqual(alice.cookie('jupyterhub-session-id'), id)
})

const about = { base: '/', hub: 'http://10.0.0.2:8081', user: { name: 'alice' }, server: '', port: 8888, token: 'x' }
const profile = { name: 'x', label: 'X' }

test('trap 24: the public address is told only when it is known, and the scheme that the outermost proxy saw reaches the server', async t => {
  const unknown = environment({ ...about, profile, url: undefined }).env
  assert.deepEqual([unknown.JUPYTERHUB_PUBLIC_URL, unknown.JUPYTERHUB_PUBLIC_HUB_URL], ['', ''])
  const { env } = environment({ ...about, profile, url: new URL('https://hub.example.org/') })
  assert.equal(env.JUPYTERHUB_PUBLIC_URL, 'https://hub.example.org/user/alice/')

  const notebook = await serveHttp(t, (req, res) => res.end(JSON.stringify(req.headers)))
  const headers = {
    'x-forwarded-proto': 'https, http',
    'x-forwarded-for': '192.0.2.1, 10.0.0.1',
    'x-scheme': 'http',
    forwarded: 'proto=http',
  }
  for (const [trustedProxies, proto] of [
    [0, 'http'],
    [2, 'https'],
  ] as const) {
    const front = await startFront(t, { options: { trustedProxies } })
    await front.route('/user/alice/', notebook.target)
    const seen = JSON.parse((await front.get('/user/alice/', { headers })).body)
    // In this order the server looks for it.
    assert.deepEqual([seen.forwarded, seen['x-scheme'], seen['x-forwarded-proto']], [undefined, undefined, proto])
  }
})

test('trap 25: JUPYTERHUB_HOST stays empty, and no redirect names a host, by whatever name people come', async () => {
  const hub = its()
  for (const url of [undefined, new URL('https://hub.example.org/')])
    assert.equal(environment({ ...about, profile, url }).env.JUPYTERHUB_HOST, '')
  const { env } = await hub.run('a25')
  assert.equal(env.JUPYTERHUB_HOST, '')
  for (const host of [`localhost:${hub.port}`, '127.0.0.1', `[::1]:${hub.port}`, 'localhost:1'])
    for (const path of ['/', '/hub/', '/hub/home', '/user/nobody/lab', '/hub/user/a25/', authorizeAddress(env)]) {
      const { status, headers } = await ask(hub.port, path, { headers: { host } })
      assert.equal(status, 302, path)
      assert.match(headers.location!, /^\/[^/]/, `${host}${path}`)
    }
})

test('trap 26: several tabs sign in at once: one anonymous _xsrf for all, codes side by side, and a late form is shown again', async () => {
  const hub = its()
  const { env } = await hub.run('a26')
  const alice = visitor(hub.origin)
  const tokens = []
  for (const path of ['/hub/login', '/hub/login?next=/hub/token', '/user/a26x/'])
    tokens.push(/name="_xsrf" value="([^"]+)"/.exec((await alice.open(path)).text)?.[1])
  assert.equal(new Set(tokens).size, 1)
  assert.ok(tokens[0])
  const late = new URLSearchParams({ username: 'a26', password, _xsrf: tokens[0] })
  await alice.signIn('a26', password, '/hub/home')
  const again = await alice.open('/hub/login', { method: 'POST', body: late, headers: form })
  assert.ok([200, 403].includes(again.reply.status), `${again.reply.status}`)
  assert.equal((await alice.open('/hub/home')).path, '/hub/home', 'the first tab is signed in as before')
  const codes = []
  for (const state of ['1', '2', '3']) codes.push((await codeFor(alice, env, { state })).get('code')!)
  for (const code of codes.reverse()) assert.equal((await exchange(env, code)).status, 200)
})

test('trap 27: an anonymous _xsrf does not hang on the address or the browser’s description', async () => {
  const hub = its()
  const from = async (localAddress: string, agent: string, headers: Record<string, string>, body?: string) => {
    const outgoing = request({
      host: '127.0.0.1',
      port: hub.port,
      localAddress,
      path: '/hub/login',
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'user-agent': agent, ...headers },
      agent: false,
    })
    outgoing.end(body)
    const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: reply.statusCode, cookies: reply.headers['set-cookie'] ?? [], page: await text(reply) }
  }
  const { cookies, page } = await from('127.0.0.1', 'One', {})
  const cookie = cookies.map(line => line.split(';')[0]).join('; ')
  const _xsrf = /name="_xsrf" value="([^"]+)"/.exec(page)![1]!
  const body = String(new URLSearchParams({ username: 'a27', password, _xsrf }))
  assert.equal((await from('127.0.0.2', 'Two', { cookie, ...form }, body)).status, 302)
})

test('trap 28: a script’s GET by cookie needs _xsrf, which may be in the address, as EventSource has it', async () => {
  const hub = its()
  await hub.run('a28')
  const alice = await hub.enter('a28')
  const _xsrf = await alice.xsrf()
  const status = async (path: string, mode: string) => {
    const headers = { cookie: alice.cookieFor('/hub/api'), 'sec-fetch-mode': mode, 'sec-fetch-site': 'same-origin' }
    return (await ask(hub.port, `/hub/api${path}`, { headers })).status
  }
  for (const path of ['/user', '/users/a28', '/users/a28/server/progress']) {
    assert.equal(await status(path, 'cors'), 403, path)
    assert.equal(await status(`${path}?_xsrf=${_xsrf}`, 'cors'), 200, path)
    assert.equal(await status(`${path}?_xsrf=${_xsrf}x`, 'cors'), 403, path)
    assert.equal(await status(path, 'navigate'), 200, path)
  }
})

test('trap 29: a browser that says nothing of its Sec-Fetch mode may read, and still needs _xsrf to change', async () => {
  const hub = its()
  const alice = await hub.enter('a29')
  const headers = { cookie: alice.cookieFor('/hub/home'), accept: 'text/html' }
  for (const path of ['/hub/home', '/hub/token', '/hub/spawn', '/hub/api/user', '/hub/api/users/a29'])
    assert.ok((await ask(hub.port, path, { headers })).status < 400, path)
  await hub.api(await hub.token('a29'), 'DELETE', '/users/a29/server')
  assert.equal(
    (await ask(hub.port, '/hub/token', { method: 'POST', headers: { ...headers, ...form }, body: 'note=x' })).status,
    403,
  )
  assert.equal((await ask(hub.port, '/hub/api/users/a29/server', { method: 'POST', headers })).status, 403)
})

test('trap 30: 40 KB of cookies get through, to the hub and past it', async t => {
  const hub = its()
  const alice = await hub.enter('a30')
  const many = Array.from({ length: 80 }, (_, i) => `jupyterhub-user-a30-oauth-state-${i}=${'x'.repeat(480)}`).join('; ')
  const cookie = `${many}; ${alice.cookieFor('/hub/home')}`
  assert.ok(cookie.length > 40_000)
  assert.equal((await ask(hub.port, '/hub/home', { headers: { cookie } })).status, 200)
  assert.equal((await ask(hub.hubPort, '/hub/home', { headers: { cookie } })).status, 200)
  const notebook = await serveHttp(t, (req, res) => res.end(String(req.headers.cookie?.length)))
  const front = await startFront(t)
  await front.route('/user/alice/', notebook.target)
  // Node's own servers take 16 KiB, as this notebook does.
  const { status } = await front.get('/user/alice/', { headers: { cookie } })
  assert.equal(status, 431, 'it is the notebook that refuses')
  const less = cookie.slice(0, 15_000)
  assert.equal((await front.get('/user/alice/', { headers: { cookie: less } })).body, String(less.length))
})
