import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createServices } from '../core/services/services.ts'
import { openStore } from '../core/store/store.ts'
import { apiHub } from './api-hub.ts'
import { usualRoles } from './fake-core.ts'

const secret = 'a-token-of-some-length'
const listed = { name: 'grades', token: 'the-token-of-the-config' }

test('api services: who may make and delete one', async t => {
  const rows: [string, string, object | undefined, number, number, number, number][] = [
    ['POST', '/services/wiki', { api_token: secret }, 201, 403, 201, 403],
    ['DELETE', '/services/made', undefined, 200, 403, 200, 403],
    ['DELETE', '/services/none', undefined, 404, 403, 404, 403],
    ['DELETE', '/services/grades', undefined, 405, 403, 405, 403],
    ['POST', '/services/grades', { api_token: secret }, 409, 403, 409, 403],
    // Only who may do everything makes one that may, and one that asks nobody.
    ['POST', '/services/wiki', { api_token: secret, admin: true }, 201, 403, 403, 403],
    ['POST', '/services/wiki', { api_token: secret, url: 'http://127.0.0.1:9', oauth_no_confirm: true }, 201, 403, 403, 403],
    ['DELETE', '/services/mighty', undefined, 200, 403, 403, 403],
  ]
  for (const [method, path, body, ...wanted] of rows) {
    const got = []
    for (const who of ['admin', 'alice', 'keeper', undefined]) {
      const hub = await apiHub(t, {
        services: [listed],
        roles: [{ name: 'keeper', scopes: ['admin:services'], users: ['keeper'] }],
      })
      const root = await hub.person('admin', { admin: true })
      await hub.send('POST', '/services/made', { token: root, body: { api_token: 'another-token-of-some-length' } })
      await hub.send('POST', '/services/mighty', {
        token: root,
        body: { api_token: 'a-third-token-of-some-length', admin: true },
      })
      const token = who === undefined ? undefined : await hub.person(who)
      got.push((await hub.send(method, path, { token, body })).status)
    }
    assert.deepEqual(got, wanted, `${method} ${path} ${JSON.stringify(body)} as admin, alice, keeper, nobody`)
  }
})

test('api services: one that is made has its route, its token and its page at once; deleted, it has nothing', async t => {
  const hub = await apiHub(t, { url: 'https://hub.example.org/lab/' })
  const token = await hub.person('ada', { admin: true })
  const body = { url: 'http://127.0.0.1:9000', api_token: secret, info: { room: 'B 12' }, display: false }
  const made = await hub.send('POST', '/services/wiki', { token, body })
  const model = {
    kind: 'service',
    name: 'wiki',
    admin: false,
    roles: [],
    url: 'http://127.0.0.1:9000',
    prefix: '/lab/services/wiki/',
    command: [],
    pid: 0,
    info: { room: 'B 12' },
    display: false,
  }
  assert.deepEqual([made.status, made.json], [201, model])
  assert.deepEqual((await hub.send('GET', '/services/wiki', { token })).json, model)
  assert.deepEqual((await hub.send('GET', '/services', { token })).json, { wiki: model })
  assert.deepEqual((await hub.send('GET', '/user', { token: secret })).json, {
    kind: 'service',
    name: 'wiki',
    admin: false,
    token_id: null,
    session_id: null,
    scopes: ['read:services:name!service=wiki'],
  })
  assert.equal(hub.table.get('/lab/services/wiki/')?.target, 'http://127.0.0.1:9000')
  assert.equal(hub.core.oauth.client('service-wiki')?.redirectUri, '/lab/services/wiki/oauth_callback')
  const { id } = hub.core.users.get('ada')!
  const issued = await hub.core.tokens.create(id, {
    kind: 'oauth',
    client: 'service-wiki',
    scopes: ['access:services!service=wiki'],
  })

  const gone = await hub.send('DELETE', '/services/wiki', { token })
  assert.deepEqual([gone.status, gone.text], [200, ''])
  assert.equal((await hub.send('GET', '/services/wiki', { token })).status, 404)
  assert.equal((await hub.send('GET', '/user', { token: secret })).status, 403)
  assert.equal((await hub.send('GET', '/user', { token: issued.secret })).status, 403)
  assert.equal(hub.table.has('/lab/services/wiki/'), false)
  assert.equal(hub.core.oauth.client('service-wiki'), undefined)
})

test('api services: what cannot be a service is refused, and says why without the token', async t => {
  const hub = await apiHub(t, { services: [listed] })
  const token = await hub.person('ada', { admin: true })
  const personal = await hub.person('bob')
  const refused: [string, unknown, number][] = [
    ['wiki', undefined, 400],
    ['wiki', {}, 400],
    ['wiki', { api_token: 'short' }, 400],
    ['wiki', { api_token: secret, command: ['sh'] }, 400],
    ['wiki', { api_token: secret, environment: {} }, 400],
    ['wiki', { api_token: secret, colour: 1 }, 400],
    ['wiki', { api_token: secret, name: 'other' }, 400],
    ['wiki', { api_token: secret, url: 'http://127.0.0.1:9000/path' }, 400],
    ['wiki', { api_token: secret, url: 'file:///etc/passwd' }, 400],
    ['wiki', { api_token: secret, oauth_client_id: 'wiki' }, 400],
    ['wiki', { api_token: secret, oauth_no_confirm: true }, 400],
    ['wiki', { url: 'http://127.0.0.1:9000', oauth_client_id: 'service-x' }, 400],
    ['wiki', { api_token: secret, oauth_redirect_uri: '//evil.example/x' }, 400],
    ['a%2Fb', { api_token: secret }, 400],
    ['wiki', { api_token: listed.token }, 409],
    ['wiki', { api_token: personal }, 409],
    ['wiki', { api_token: secret, oauth_client_id: 'service-grades', oauth_redirect_uri: 'https://wiki.example/cb' }, 409],
  ]
  for (const [name, body, wanted] of refused) {
    const { status, text } = await hub.send('POST', `/services/${name}`, { token, body })
    assert.equal(status, wanted, `${JSON.stringify(body)}: ${text}`)
    assert.ok(!text.includes(secret) && !text.includes(listed.token) && !text.includes(personal))
  }
  assert.deepEqual(Object.keys((await hub.send('GET', '/services', { token })).json), ['grades'])
})

test('api services: they are there after a restart, their token is written down nowhere, and the config wins over them', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  await hub.send('POST', '/services/wiki', { token, body: { url: 'http://127.0.0.1:9000', api_token: secret } })
  const { hub: records } = await openStore(hub.folder)
  assert.ok(!JSON.stringify(records.data).includes(secret))
  const { settings: parsed } = hub.core
  const restarted = (services: typeof parsed.services) =>
    createServices({ settings: services, base: '/', groupsOf: () => [], roles: usualRoles, records })
  assert.equal(restarted([]).find(secret)?.name, 'wiki')
  assert.deepEqual([...restarted([]).routes.keys()], ['/services/wiki/'])
  const [configured] = (await apiHub(t, { services: [{ name: 'wiki', token: listed.token }] })).core.settings.services
  const both = restarted([configured!])
  assert.equal(both.find(secret), undefined)
  assert.deepEqual(
    [...both.all()].map(({ name, fromConfig }) => [name, fromConfig]),
    [['wiki', true]],
  )
})
