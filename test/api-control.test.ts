import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../core/errors.ts'
import { apiHub, checkRows } from './api-hub.ts'

test('api proxy and shutdown: who may do what', t =>
  checkRows(t, [
    ['GET', '/proxy', undefined, 200, 403, 403, 403],
    ['POST', '/proxy', undefined, 200, 403, 403, 403],
    ['PATCH', '/proxy', { api_url: 'http://127.0.0.1:8001' }, 400, 403, 403, 403],
    ['POST', '/shutdown', undefined, 202, 403, 403, 403],
  ]))

test('api proxy: the routes are told by path, with where they lead, also in pages', async t => {
  const hub = await apiHub(t, { services: [{ name: 'wiki', url: 'http://127.0.0.1:9000', token: 'a-token-of-some-length' }] })
  const token = await hub.person('ada', { admin: true })
  await hub.send('POST', '/users/ada/server', { token })
  hub.table.set('/foreign/', { path: '/foreign/', target: 'http://127.0.0.1:1', data: {}, active: new Date() })
  hub.table.set('/user/gone/', {
    path: '/user/gone/',
    target: 'http://127.0.0.1:1',
    data: { jupyterhub: true, user: 'gone' },
    active: new Date(),
  })
  const paths = async () => Object.keys((await hub.send('GET', '/proxy', { token })).json)
  assert.deepEqual(await paths(), ['/user/ada/', '/user/gone/'])
  const synced = await hub.send('POST', '/proxy', { token })
  assert.deepEqual([synced.status, synced.text], [200, ''])
  assert.deepEqual(await paths(), ['/services/wiki/', '/user/ada/'])
  assert.ok(hub.table.has('/foreign/'), 'what is not the hub’s is left alone')
  const { json } = await hub.send('GET', '/proxy', { token })
  const { last_activity, ...data } = json['/services/wiki/'].data
  assert.match(last_activity, /^\d{4}-/)
  assert.deepEqual(data, { jupyterhub: true, service: 'wiki' })
  assert.equal(json['/services/wiki/'].routespec, '/services/wiki/')
  assert.equal(json['/services/wiki/'].target, 'http://127.0.0.1:9000')
  assert.deepEqual(Object.keys((await hub.send('GET', '/proxy?offset=1&limit=1', { token })).json), ['/user/ada/'])
  const headers = { Accept: 'application/jupyterhub-pagination+json' }
  const page = (await hub.send('GET', '/proxy?limit=1', { token, headers })).json
  assert.deepEqual(Object.keys(page.items), ['/services/wiki/'])
  assert.equal(page._pagination.next.url, 'http://hub.test/hub/api/proxy?limit=1&offset=1')
})

test('api proxy: a proxy that does not answer is 503, and is told at another address of nothing', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  hub.core.routes.list = async () => {
    throw new HubError('unavailable', 'The proxy’s route API does not answer.')
  }
  assert.equal((await hub.send('GET', '/proxy', { token })).status, 503)
  const { status, json } = await hub.send('PATCH', '/proxy', { token, body: { auth_token: 'hunter2' } })
  assert.equal(status, 400)
  assert.match(json.message, /Nothing was changed/)
  assert.equal((await hub.send('PATCH', '/proxy', { token, body: { colour: 1 } })).status, 400)
})

test('api shutdown: answered before the end; by itself as SIGTERM, servers and front as the body says', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  for (const body of [undefined, { servers: true, proxy: false }, { servers: false }]) {
    const { status, json } = await hub.send('POST', '/shutdown', { token, body })
    assert.deepEqual([status, json], [202, { message: 'Shutting down Hub' }])
  }
  for (const body of [{ servers: 'yes' }, { colour: 1 }, []])
    assert.equal((await hub.send('POST', '/shutdown', { token, body })).status, 400, JSON.stringify(body))
  assert.deepEqual(hub.ends, [
    { proxy: true, servers: false },
    { proxy: false, servers: true },
    { proxy: true, servers: false },
  ])
})

test('servers: all are stopped for the end of the hub, those that start are cancelled, and none starts any more', async t => {
  const hub = await apiHub(t)
  const [ada, bob] = [await hub.person('ada'), await hub.person('bob')]
  await hub.send('POST', '/users/ada/server', { token: ada })
  const open = hub.hold('start')
  assert.equal((await hub.send('POST', '/users/bob/server', { token: bob })).status, 202)
  open()
  await hub.servers.stopAll()
  assert.equal(hub.made.size, 0)
  assert.deepEqual([...hub.servers.active()], [])
  assert.equal((await hub.send('POST', '/users/ada/server', { token: ada })).status, 503)
})

test('api: the paths that JupyterHub has given up are not there', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  assert.equal((await hub.send('GET', '/authorizations/cookie/jupyterhub-hub-login/x', { token })).status, 404)
  assert.equal((await hub.send('POST', '/authorizations/token', { token })).status, 404)
})
