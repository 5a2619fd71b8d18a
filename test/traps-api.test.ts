import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { tokenFor } from './notebook-login.ts'
import { ask, sendRaw, until } from './roles/loopback.ts'
import { trapHub } from './trap-hub.ts'

/*
 * JupyterHub's clients fail silently when a hub gets one of these wrong: status codes and bodies. One test for each.
 */

const its = trapHub(`
  roles: [{ name: 'teacher', scopes: ['access:servers!group=physics'], users: ['teacher'] }],
  services: [{ name: 'script', token: 'the-token-of-the-script', scopes: ['list:users'] }],
`)

const pep440 = /^\d+\.\d+\.\d+$/

test('trap 01: a token that is none is 403 at /user and 404 at /authorizations/token, never 401', async () => {
  const hub = its()
  const own = await hub.token('a01')
  const { json: made } = await hub.api(own, 'POST', '/users/a01/tokens', {})
  assert.equal((await hub.api(own, 'DELETE', `/users/a01/tokens/${made.id}`)).status, 204)
  for (const token of ['', 'never-was', made.token]) {
    const { status, json } = await hub.api(token, 'GET', '/user')
    assert.deepEqual([status, json.status], [403, 403])
    assert.equal((await hub.api(own, 'GET', `/authorizations/token/${token || 'x'}`)).status, 404)
    assert.equal((await hub.api(token, 'GET', `/authorizations/token/${own}`)).status, 403)
  }
})

test('trap 02: the version is one that Python reads, at least 1.3.0, in the body and on every answer', async () => {
  const hub = its()
  for (const path of ['/hub/api', '/hub/api/', '/hub/api/nothing', '/hub/api/user', '/hub/login', '/hub/nothing', '/hub/logo']) {
    const version = (await ask(hub.port, path)).headers['x-jupyterhub-version']
    assert.match(String(version), pep440, path)
    assert.ok(Number(String(version).split('.')[0]) >= 2, 'cullers filter by state from 1.3.0 on')
    assert.equal((await hub.api('', 'GET', '')).json.version, version)
  }
})

test('trap 03: a server that boots, and does not listen yet, gets the version at its JUPYTERHUB_API_URL, with no token and no redirect', async () => {
  const hub = its()
  assert.equal((await hub.api(await hub.token('a03'), 'POST', '/users/a03/server', { profile: 'gated' })).status, 202)
  await hub.release('a03')
  await until(async () => (await hub.model('a03')).servers[''].ready)
  const { BOOT } = JSON.parse((await ask(hub.port, '/user/a03/env')).body)
  const [status, header, body] = JSON.parse(BOOT)
  assert.equal(status, 200)
  assert.match(header, pep440)
  assert.deepEqual(body, { version: header })
})

test('trap 04: /user has kind, name and scopes for whoever asks', async () => {
  const hub = its()
  const { env } = await hub.run('a04')
  const visit = await tokenFor(await hub.enter('a04'), env)
  for (const [token, kind, name] of [
    [visit, 'user', 'a04'],
    [env.JUPYTERHUB_API_TOKEN!, 'user', 'a04'],
    [await hub.token('a04', ['servers!user=a04']), 'user', 'a04'],
    [await hub.token('root'), 'user', 'root'],
    ['the-token-of-the-script', 'service', 'script'],
  ] as const) {
    const { json } = await hub.api(token, 'GET', '/user')
    assert.deepEqual([json.kind, json.name], [kind, name])
    assert.ok(json.scopes.every((scope: unknown) => typeof scope === 'string'))
  }
  // Those of before 2.0 read these too.
  const { json } = await hub.api(visit, 'GET', '/user')
  assert.deepEqual([json.admin, json.groups], [false, []])
})

test('trap 05: the default server is `alice/`, in environment, scopes and model; without the slash nothing is it', async () => {
  const hub = its()
  const { env, token } = await hub.run('a05')
  const scope = 'access:servers!server=a05/'
  for (const name of ['JUPYTERHUB_OAUTH_SCOPES', 'JUPYTERHUB_OAUTH_ACCESS_SCOPES'])
    assert.deepEqual(JSON.parse(env[name]!), [scope, 'access:servers!user=a05'])
  const { json } = await hub.api(await tokenFor(await hub.enter('a05'), env), 'GET', '/user')
  assert.ok(json.scopes.includes(scope))
  assert.equal((await hub.model('a05')).servers[''].full_name, 'a05/')
  const narrow = await hub.token('a05', [scope, 'read:servers!server=a05/'])
  assert.deepEqual(Object.keys((await hub.api(narrow, 'GET', '/users/a05')).json.servers), [''])
  const { status } = await hub.api(token, 'POST', '/users/a05/tokens', { scopes: ['access:servers!server=a05'] })
  assert.equal(status, 400)
  const root = await hub.token('root')
  const friend = await hub.token('friend05')
  assert.equal((await hub.api(root, 'POST', '/shares/a05', { user: 'friend05' })).status, 405)
  const { json: share } = await hub.api(root, 'POST', '/shares/a05/', { user: 'friend05' })
  assert.deepEqual([share.scopes, share.server.name, share.server.url], [[scope], '', '/user/a05/'])
  assert.ok((await hub.api(friend, 'GET', '/user')).json.scopes.includes(scope))
  assert.equal((await hub.api(friend, 'GET', '/users/friend05/shared/a05')).status, 404)
  assert.equal((await hub.api(friend, 'GET', '/users/friend05/shared/a05/')).status, 200)
  const { accept_url: link } = (await hub.api(root, 'POST', '/share-codes/a05/', {})).json
  assert.match((await (await hub.enter('guest05')).open(link)).text, /Invitation from a05/)
})

test('trap 06: scopes are told expanded and for this user, never as self, inherit, !user, !server or a group alone', async () => {
  const hub = its()
  const root = await hub.token('root')
  const { env } = await hub.run('a06')
  assert.equal((await hub.api(root, 'POST', '/groups/physics', { users: ['a06'] })).status, 201)
  const teacher = await hub.enter('teacher')
  const visit = await tokenFor(teacher, env)
  for (const token of [
    visit,
    env.JUPYTERHUB_API_TOKEN!,
    await hub.token('a06'),
    await hub.token('a06', ['self']),
    await hub.token('a06', ['access:servers!user']),
    root,
  ]) {
    const scopes: string[] = (await hub.api(token, 'GET', '/user')).json.scopes
    assert.deepEqual(
      scopes.filter(scope => /^(self|inherit)\b|!(user|server|group|service)$/.test(scope)),
      [],
    )
    const needed = ['access:servers', 'access:servers!server=a06/', 'access:servers!user=a06']
    assert.ok(
      scopes.some(scope => needed.includes(scope)),
      scopes.join(),
    )
  }
})

test('trap 07: ready is said, by stream and model, only when the route leads to the server', async () => {
  const hub = its()
  const token = await hub.token('a07')
  assert.equal(await hub.start('a07', '', { profile: 'gated' }), 202)
  const stream = await fetch(`${hub.origin}/hub/api/users/a07/server/progress`, { headers: { authorization: `token ${token}` } })
  const early = await hub.model('a07')
  assert.deepEqual([early.server, early.servers[''].ready, early.pending], [null, false, 'spawn'])
  const waiting = await ask(hub.port, '/user/a07/')
  assert.equal(waiting.status, 302, 'there is no route yet')
  await hub.release('a07')
  let text = ''
  for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (!text.includes('"ready":true')) continue
    const { status, body } = await ask(hub.port, '/user/a07/')
    assert.deepEqual([status, body.slice(0, 15)], [200, 'notebook of a07'])
    break
  }
  assert.match(text, /"ready":true/)
  const late = await hub.model('a07')
  assert.deepEqual([late.server, late.servers[''].ready, late.pending], ['/user/a07/', true, null])
})

test('trap 08: members are added and removed with the group as the answer; start and stop answer with nothing', async () => {
  const hub = its()
  const root = await hub.token('root')
  const token = await hub.token('a08')
  assert.equal((await hub.api(root, 'POST', '/groups/nbgrader-x')).status, 201)
  for (const [method, users] of [
    ['POST', ['a08']],
    ['POST', ['a08']],
    ['DELETE', []],
    ['DELETE', []],
  ] as const) {
    const { status, json } = await hub.api(root, method, '/groups/nbgrader-x/users', { users: ['a08'] })
    assert.deepEqual([status, json.kind, json.name, json.users], [200, 'group', 'nbgrader-x', users])
  }
  const answer = async (method: string, body?: object) => {
    const { status, json } = await hub.api(token, method, '/users/a08/server', body)
    return [status, json]
  }
  assert.deepEqual(await answer('POST', { profile: 'gated' }), [202, ''])
  await hub.release('a08')
  await until(async () => (await hub.model('a08')).servers[''].ready)
  const [stopped, nothing] = await answer('DELETE')
  assert.ok(stopped === 204 || stopped === 202)
  assert.equal(nothing, '')
  await until(async () => (await hub.model('a08')).servers['']?.stopped !== false)
  const [status, body] = await answer('POST', { profile: 'plain' })
  assert.ok(status === 201 || status === 202)
  assert.equal(body, '')
})

test('trap 09: what a filter does not cover is not there (404); what no scope opens is refused (403)', async () => {
  const hub = its()
  const root = await hub.token('root')
  await hub.token('a09')
  await hub.token('other09')
  const own = async (scopes: string[]) => (await hub.api(root, 'POST', '/users/root/tokens', { scopes })).json.token as string
  const one = await own(['read:users!user=a09', 'delete:servers!user=a09'])
  const none = await own(['read:groups'])
  const all = await own(['read:users', 'delete:servers'])
  const status = async (token: string, method: string, path: string) => (await hub.api(token, method, path)).status
  for (const [token, wanted] of [
    [one, [200, 404, 404, 204, 404]],
    // Any token may read its owner's own name: that is a filter, too.
    [none, [404, 404, 404, 403, 403]],
    [all, [200, 200, 404, 204, 204]],
  ] as const)
    assert.deepEqual(
      [
        await status(token, 'GET', '/users/a09'),
        await status(token, 'GET', '/users/other09'),
        await status(token, 'GET', '/users/nobody09'),
        await status(token, 'DELETE', '/users/a09/server'),
        await status(token, 'DELETE', '/users/other09/server'),
      ],
      wanted,
    )
})

test('trap 10: bodies as clients send them: none at all, none with a type, null, on DELETE, without a type', async () => {
  const hub = its()
  const root = await hub.token('root')
  const send = async (method: string, path: string, more: string, body = '') => {
    const head = `${method} /hub/api${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token ${root}\r\nConnection: close\r\n`
    return Number((await sendRaw(hub.port, `${head}${more}\r\n${body}`)).slice(9, 12))
  }
  const sized = (body: string) => `Content-Length: ${body.length}\r\n`
  // As BinderHub makes a user, and as nbgrader makes a group.
  assert.equal(await send('POST', '/users/a10', 'Content-Length: 0\r\n'), 201)
  assert.equal(await send('POST', '/groups/g10', ''), 201)
  const users = '{"users":["a10"]}'
  assert.equal(await send('POST', '/groups/g10/users', sized(users), users), 200)
  assert.equal(await send('DELETE', '/groups/g10/users', `Content-Type: application/json\r\n${sized(users)}`, users), 200)
  assert.equal(await send('DELETE', '/groups/g10/users', sized(users), users), 200)
  for (const [more, body] of [
    ['', ''],
    ['Content-Length: 0\r\n', ''],
    ['Content-Type: application/json\r\nContent-Length: 0\r\n', ''],
    [`Content-Type: application/json\r\n${sized('null')}`, 'null'],
    [sized('{}'), '{}'],
    [`Content-Type: application/x-www-form-urlencoded\r\n${sized('{}')}`, '{}'],
  ] as const) {
    const status = await send('POST', '/users/a10/server', more, body)
    assert.ok(status === 201 || status === 202, `POST ${more}${body}: ${status}`)
    await until(async () => (await hub.model('a10')).servers[''].ready)
    // As the culler stops a server.
    const stopped = await send('DELETE', '/users/a10/server', '')
    assert.ok(stopped === 204 || stopped === 202, `${stopped}`)
    await until(async () => (await hub.model('a10')).servers['']?.pending !== 'stop')
  }
  assert.equal(await send('PUT', '/users/a10/servers/n', ''), 201)
  const remove = '{"remove":true}'
  assert.equal(await send('DELETE', '/users/a10/servers/n', sized(remove), remove), 204)
  assert.equal(await send('DELETE', '/users/a10', ''), 204)
})

test('trap 11: the next page has a whole address, at the host by which the client came, and it is there', async () => {
  const hub = its()
  const root = await hub.token('root')
  for (const name of ['a11x', 'a11y', 'a11z']) assert.equal((await hub.api(root, 'POST', `/users/${name}`)).status, 201)
  const headers = { authorization: `token ${root}`, accept: 'application/jupyterhub-pagination+json' }
  for (const origin of [hub.origin, `http://localhost:${hub.port}`, `http://127.0.0.1:${hub.hubPort}`]) {
    const names: string[] = []
    let at: string | undefined = `${origin}/hub/api/users?limit=1&name_filter=a11&state=inactive`
    while (at !== undefined) {
      assert.equal(new URL(at).origin, origin)
      const page: { items: { name: string }[]; _pagination: { next: { url: string } | null } } = await (
        await fetch(at, { headers })
      ).json()
      names.push(...page.items.map(({ name }) => name))
      at = page._pagination.next?.url
    }
    assert.deepEqual(names, ['a11x', 'a11y', 'a11z'], origin)
  }
})

test('trap 12: last_activity moves forward only, takes all forms of time, and is never told later than it was', async () => {
  const hub = its()
  const { env } = await hub.run('a12')
  const told = async () => (await hub.model('a12')).servers[''].last_activity as string
  const post = async (last_activity: string) => {
    const body = { servers: { '': { last_activity } }, last_activity }
    return (await hub.api(env.JUPYTERHUB_API_TOKEN!, 'POST', '/users/a12/activity', body)).status
  }
  for (const form of [
    (iso: string) => iso,
    (iso: string) => iso.replace('Z', ''),
    (iso: string) => iso.replace('Z', '789Z'),
    (iso: string) => iso.replace('Z', '789'),
    (iso: string) => iso.replace('Z', '+00:00'),
  ]) {
    const now = new Date().toISOString()
    // What is below a millisecond must not lie in the future.
    await sleep(2)
    assert.equal(await post(form(now)), 200)
    assert.equal(Date.parse(await told()), Date.parse(now), form(now))
    assert.match(await told(), /^[^.]*(\.\d{3}(000)?)?Z$/, 'no digit more than there was')
    assert.equal(await post('2026-01-01T00:00:00.000Z'), 200)
    assert.equal(Date.parse(await told()), Date.parse(now), 'never back')
  }
  const ahead = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString()
  assert.equal(await post(ahead(30)), 200)
  assert.ok(Date.parse(await told()) <= Date.now())
  assert.equal(await post(ahead(70)), 400)
})
