import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routes } from '../core/api/api.ts'
import { descriptions } from '../core/api/descriptions.ts'
import { type OpenApi, schemaOf } from '../core/api/openapi.ts'
import { createWeb } from '../core/web/web.ts'
import { apiHub } from './api-hub.ts'

const operationsOf = ({ paths }: OpenApi) =>
  Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )

test('openapi: the document is there for everybody, has the shape of 3.1, and every route is in it once', async t => {
  const { send } = await apiHub(t, { url: 'https://hub.example/prefix/' })
  const { status, json } = await send('GET', '/openapi.json')
  assert.equal(status, 200)
  const document: OpenApi = json
  assert.equal(document.openapi, '3.1.0')
  assert.equal(document.servers[0]?.url, '/prefix/hub/api')
  const operations = operationsOf(document)
  const inTable = Object.entries(routes).flatMap(([path, methods]) => Object.keys(methods).map(method => `${method} ${path}`))
  assert.deepEqual(
    operations.map(({ path, method }) => `${method} ${path === '/' ? '' : path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    inTable,
  )
  assert.deepEqual(Object.keys(descriptions).sort(), [...inTable].sort(), 'each is described, and nothing else is')
  const ids = operations.map(({ operation }) => operation.operationId)
  assert.equal(new Set(ids).size, ids.length, ids.join(' '))
  for (const { path, operation } of operations) {
    assert.match(operation.operationId, /^[a-z][A-Za-z0-9]*$/)
    // What this hub has no use for is described, too.
    const good = operation.operationId === 'patchProxy' ? '400' : operation.deprecated ? '404' : '2'
    assert.ok(
      Object.keys(operation.responses).some(code => code.startsWith(good)),
      path,
    )
    const named = (operation.parameters ?? []).filter(({ in: place }) => place === 'path').map(({ name }) => name)
    assert.deepEqual(
      named,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
    )
    for (const way of operation.security)
      for (const scheme of Object.keys(way)) assert.ok(scheme in document.components.securitySchemes)
  }
  for (const [, pointer = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const found = pointer.split('/').reduce<unknown>((value, key) => (value as Record<string, unknown>)?.[key], document)
    assert.ok(found, pointer)
  }
})

test('openapi: bodies and rights are those that requests are checked with', async t => {
  const { send } = await apiHub(t)
  const document: OpenApi = (await send('GET', '/openapi.json')).json
  for (const { path, method, operation } of operationsOf(document)) {
    const endpoint = routes[path === '/' ? '' : path.replaceAll(/\{(\w+)\}/g, ':$1')]?.[method]
    const { operationId, requestBody, security } = operation
    const place = `#/components/schemas/${operationId}`
    if (endpoint?.body) {
      assert.deepEqual(document.components.schemas[operationId], schemaOf(endpoint.body, place))
      assert.equal(requestBody?.content['application/json']?.schema.$ref, place)
      assert.equal(requestBody?.required, !endpoint.body.safeParse(undefined).success)
    }
    assert.equal(security.length === 0, endpoint?.access === 'everybody')
  }
  const { postUsers } = document.components.schemas
  assert.equal(postUsers?.additionalProperties, false)
  assert.deepEqual(postUsers?.required, ['usernames'])
  assert.deepEqual(document.paths['/audit']?.get?.security[0], { token: ['admin-ui', 'read:users'] })
})

test('openapi: what an operation answers with has a schema, models are there once by their names, and errors have one shape', async t => {
  const document: OpenApi = (await (await apiHub(t)).send('GET', '/openapi.json')).json
  for (const model of ['User', 'Server', 'Group', 'Service', 'Token', 'Route', 'Pagination', 'Error'])
    assert.equal(document.components.schemas[model]?.type, 'object', model)
  const schemaAt = (path: string, method: string, status: number) =>
    document.paths[path]?.[method]?.responses[status]?.content?.['application/json'].schema
  assert.deepEqual(schemaAt('/users/{user}', 'get', 200), { $ref: '#/components/schemas/User' })
  assert.deepEqual(schemaAt('/users/{user}', 'get', 404), { $ref: '#/components/schemas/Error' })
  assert.deepEqual(document.components.schemas.Server?.additionalProperties, false)
  // Each of these has no body, or one that is no JSON of ours.
  const bare = ['health', 'metrics', 'openapi', 'activity', 'admin-access', 'server', 'servers', 'progress', 'proxy']
  for (const { path, method, operation } of operationsOf(document)) {
    const good = Object.entries(operation.responses).filter(([status]) => status === '200' || status === '201')
    const named = path.split(/[/.]/).some(word => bare.includes(word)) && method !== 'GET'
    const silent =
      named || /health|metrics|openapi|progress|logs/.test(path) || (method === 'DELETE' && path.startsWith('/services'))
    for (const [status, { content }] of good) assert.ok(content || silent, `${method} ${path} ${status}`)
  }
})

test('openapi: what is documented is there', async t => {
  const { json } = await (await apiHub(t)).send('GET', '/openapi.json')
  for (const { path, method, operation } of operationsOf(json)) {
    const hub = await apiHub(t)
    const token = await hub.person('ada', { admin: true })
    await hub.send('POST', '/services/grades', { token, body: { api_token: 'a-token-of-some-length' } })
    const secret = await hub.person('bob')
    await hub.core.servers.describe(hub.core.users.get('bob')!, 'lab', () => {})
    const [physics] = await hub.core.users.groups.create(['physics'])
    const carol = await hub.core.users.create('carol')
    await hub.core.servers.describe(carol, 'lab', () => {})
    for (const server of ['', 'lab']) {
      await hub.core.shares.grant(carol, server, { kind: 'user', id: hub.core.users.get('bob')!.id }, ['access:servers'])
      await hub.core.shares.grant(carol, server, { kind: 'group', id: physics!.id }, ['access:servers'])
    }
    const about = path.startsWith('/authorizations') ? secret : 'a2'
    const asked = path
      .replace('{user}', 'bob')
      .replace('{server}', 'lab')
      .replace('{group}', 'physics')
      .replace('{owner}', 'carol')
      .replace('{service}', 'grades')
      .replace('{token}', about)
    const { status } = await hub.send(method, asked, { token })
    assert.ok(operation.deprecated || (status !== 404 && status !== 405), `${method} ${asked}: ${status}`)
  }
})

test('openapi: the page to read has every operation and loads nothing from elsewhere', async t => {
  const hub = await apiHub(t)
  const reply = await createWeb(hub.core).request('http://hub.test/hub/api-docs', { headers: { Host: 'hub.test' } })
  assert.equal(reply.status, 200)
  const text = await reply.text()
  for (const { operation } of operationsOf((await hub.send('GET', '/openapi.json')).json))
    assert.ok(text.includes(`id="${operation.operationId}"`), operation.operationId)
  for (const [, address = ''] of text.matchAll(/(?:src|href)="([^"]*)"/g)) assert.match(address, /^[/#]/)
})
