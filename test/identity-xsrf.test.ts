import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser, identityHub } from './identity-hub.ts'

test('a token is good for the session it was made in, as field, query or header, and for no other', async t => {
  const { users, sessions, xsrf, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const [visitor, alice, other] = [new Browser(), new Browser(), new Browser()]
  for (const browser of [alice, other]) await visit(browser, '/hub/login', c => sessions.open(c, id, 'passwords'))
  const tokens: string[] = []
  for (const browser of [visitor, alice, other]) {
    const { result: token } = await visit(browser, '/hub/home', c => xsrf.token(c))
    assert.equal((await visit(browser, '/hub/home', c => xsrf.token(c))).result, token, 'the same for all tabs')
    tokens.push(token)
    const valid = async (path: string, field?: string, headers = {}) =>
      (await visit(browser, path, c => xsrf.valid(c, field), { headers })).result
    assert.ok(await valid('/hub/x', token))
    assert.ok(await valid(`/hub/x?_xsrf=${token}`))
    assert.ok(await valid('/hub/x', undefined, { 'X-XSRFToken': token }))
    assert.ok(await valid('/hub/x', undefined, { 'X-CSRFToken': token }))
    for (const bad of [undefined, '', 'x', token.slice(1), `${token}x`]) assert.ok(!(await valid('/hub/x', bad)), bad)
  }
  assert.equal(new Set(tokens).size, 3)
  assert.ok(!(await visit(alice, '/hub/x', c => xsrf.valid(c, tokens[2]))).result)
  assert.ok(!(await visit(alice, '/hub/x', c => xsrf.valid(c, tokens[0]))).result)
})

test('the cookie is needed too: among several, in either order, the good one counts', async t => {
  const { xsrf, visit } = await identityHub(t)
  const browser = new Browser()
  const { result: token, set } = await visit(browser, '/hub/login', c => xsrf.token(c))
  assert.ok(set.some(cookie => /^_xsrf=[^;]+; Path=\/hub\/; HttpOnly; SameSite=Lax$/.test(cookie)))
  const session = `jupyterhub-session-id=${browser.value('jupyterhub-session-id')}`
  const valid = async (cookie: string, field = token) =>
    (await visit(new Browser(), '/hub/login', c => xsrf.valid(c, field), { headers: { cookie } })).result
  assert.ok(await valid(`${session}; _xsrf=evil; _xsrf=${token}`))
  assert.ok(await valid(`${session}; _xsrf=${token}; _xsrf=evil`))
  assert.ok(!(await valid(`${session}; _xsrf=evil; _xsrf=${token}`, 'evil')))
  assert.ok(!(await valid(`${session}; _xsrf=evil`, 'evil')))
  assert.ok(!(await valid(session)))
  assert.ok(!(await valid(`_xsrf=${token}`)), 'without its session it is nobody’s')
})

test('who only knows a session id, as every server of that user does, cannot get the session’s token', async t => {
  const { users, sessions, xsrf, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const [alice, thief] = [new Browser(), new Browser()]
  await visit(alice, '/hub/login', c => sessions.open(c, id, 'passwords'))
  thief.keep([`jupyterhub-session-id=${alice.value('jupyterhub-session-id')}; Path=/`])
  const { result: stolen } = await visit(thief, '/hub/login', c => xsrf.token(c))
  assert.notEqual(stolen, (await visit(alice, '/hub/home', c => xsrf.token(c))).result)
  assert.ok(!(await visit(alice, '/hub/x', c => xsrf.valid(c, stolen))).result)
})

test('signing in changes the token, in the answer to the sign-in already', async t => {
  const { users, sessions, xsrf, visit } = await identityHub(t)
  const { id } = await users.create('alice')
  const browser = new Browser()
  const { result: before } = await visit(browser, '/hub/login', c => xsrf.token(c))
  const { result: within } = await visit(browser, '/hub/login', async c => {
    await sessions.open(c, id, 'passwords')
    return xsrf.token(c)
  })
  assert.notEqual(within, before)
  assert.equal(browser.value('_xsrf'), within)
  assert.ok(!(await visit(browser, '/hub/x', c => xsrf.valid(c, before))).result)
  assert.ok((await visit(browser, '/hub/x', c => xsrf.valid(c, within))).result)
})

test('which requests need a token: contract 2.8', async t => {
  const { xsrf, visit } = await identityHub(t)
  const needed = async (kind: 'html' | 'api', method: string, mode?: string, site?: string) => {
    const headers = { ...(mode && { 'Sec-Fetch-Mode': mode }), ...(site && { 'Sec-Fetch-Site': site }) }
    return (await visit(new Browser(), '/hub/x', c => xsrf.needed(c, kind), { method, headers })).result
  }
  for (const mode of [undefined, 'navigate', 'cors', 'no-cors', 'websocket', 'same-origin', 'junk']) {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      assert.equal(await needed('html', method, mode, 'same-origin'), true, `${method} ${mode}`)
      assert.equal(await needed('api', method, mode, 'same-origin'), true, `${method} ${mode}`)
    }
    assert.equal(await needed('html', 'GET', mode), false)
    assert.equal(await needed('api', 'OPTIONS', mode), false)
  }
  const reads: [string | undefined, string | undefined, boolean][] = [
    [undefined, undefined, false],
    ['navigate', 'cross-site', false],
    ['websocket', 'cross-site', false],
    ['no-cors', 'same-origin', false],
    ['no-cors', 'cross-site', true],
    ['no-cors', undefined, true],
    ['cors', 'same-origin', true],
    ['same-origin', 'same-origin', true],
    ['junk', 'same-origin', true],
  ]
  for (const [mode, site, is] of reads) assert.equal(await needed('api', 'GET', mode, site), is, `${mode} ${site}`)
})
