import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { attackedHub, config } from './hostile.ts'

/*
 * The API as clients speak it on the wire (contract 4.1 and 4.2, traps 8 to 11, 20 and 50), through the front and beside it.
 */

async function wiredHub(t: TestContext) {
  const hub = await attackedHub(t)
  const root = await hub.token('root')
  /** Exactly these headers and bytes, at the front unless `port` says otherwise. */
  const send = async (
    method: string,
    path: string,
    { headers = {}, body, port = hub.port }: { headers?: Record<string, string>; body?: string | Uint8Array; port?: number } = {},
  ) => {
    const length = body !== undefined && !headers['Transfer-Encoding'] && { 'Content-Length': String(Buffer.byteLength(body)) }
    const asked = request({
      host: '127.0.0.1',
      port,
      method,
      path: `/hub/api${path}`,
      headers: { Authorization: `token ${root}`, ...length, ...headers },
      signal: AbortSignal.timeout(30_000),
    })
    asked.end(body)
    const [reply] = (await once(asked, 'response')) as [IncomingMessage]
    const said = await text(reply)
    const type = reply.headers['content-type'] ?? ''
    return {
      status: reply.statusCode,
      headers: reply.headers,
      said,
      json: said !== '' && type.startsWith('application/json') ? JSON.parse(said) : undefined,
    }
  }
  return { hub, root, send }
}

test('api on the wire: bodies as clients send them, with and without length and type, also on DELETE (trap 10)', async t => {
  const { send } = await wiredHub(t)
  const chunked = { 'Transfer-Encoding': 'chunked' }
  const bytes = (...values: (string | number)[]) =>
    Buffer.concat(values.map(value => (typeof value === 'string' ? Buffer.from(value) : Buffer.from([value]))))
  const rows: [
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | Uint8Array | undefined,
    status: number,
  ][] = [
    ['POST', '/users/ann', {}, undefined, 201],
    ['POST', '/users/ben', { 'Content-Length': '0' }, undefined, 201],
    ['POST', '/users/cat', chunked, undefined, 201],
    ['POST', '/users/dan', {}, 'null', 201],
    ['POST', '/users/eve', { 'Content-Type': 'text/plain' }, '{}', 201],
    ['POST', '/users/fay', chunked, '{"admin":false}', 201],
    ['POST', '/users/gus', { 'Content-Type': 'application/json; charset=utf-8' }, '{"admin":false}', 201],
    ['POST', '/groups/physics', {}, undefined, 201],
    ['POST', '/groups/physics/users', {}, '{"users":["ann","ben"]}', 200],
    ['DELETE', '/groups/physics/users', {}, '{"users":["ann"]}', 200],
    ['DELETE', '/groups/physics/users', chunked, '{"users":["ben"]}', 200],
    ['DELETE', '/groups/physics/users', {}, undefined, 400],
    ['DELETE', '/users/ann/server', {}, undefined, 204],
    ['DELETE', '/users/ann/server', chunked, undefined, 204],
    ['DELETE', '/users/ann/server', {}, '{}', 204],
    ['DELETE', '/users/ann/server', {}, '{"remove":true}', 400],
    ['DELETE', '/users/gus', {}, '{"ignored":true}', 204],
    // Nothing is made of these.
    ['POST', '/users/zoe', {}, '{', 400],
    ['POST', '/users/zoe', {}, '[]', 400],
    ['POST', '/users/zoe', {}, '"x"', 400],
    ['POST', '/users/zoe', {}, '{"admin":"yes"}', 400],
    ['POST', '/users/zoe', {}, '{"colour":1}', 400],
    ['POST', '/users/zoe', {}, bytes('{"admin":false', 0xff, '}'), 400],
    ['POST', '/users', {}, bytes('{"usernames":["', 0xc3, 0x28, '"]}'), 400],
    ['POST', '/groups', {}, '{"groups":["x"],"colour":1}', 400],
    ['PATCH', '/users/ann', {}, '{"colour":1}', 400],
    ['PUT', '/groups/physics/properties', {}, '[1]', 400],
    ['POST', '/users/ann/tokens', {}, '{"colour":1}', 400],
    ['POST', '/users/ann/tokens', {}, '{"expires_in":-1}', 400],
    ['POST', '/users/zoe', { 'Content-Encoding': 'gzip' }, '{}', 415],
    ['GET', '/users/zoe', {}, undefined, 404],
  ]
  for (const [method, path, headers, body, status] of rows) {
    const answer = await send(method, path, { headers, body })
    assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(headers)} ${body}: ${answer.said}`)
    // Trap 8: what says nothing says it with an empty body; what is read is JSON.
    if (status === 204) assert.equal(answer.said, '')
    else assert.equal(typeof answer.json, 'object')
    if (status >= 400) assert.deepEqual([answer.json.status, typeof answer.json.message], [status, 'string'])
  }
})

test('api on the wire: methods, slashes, HEAD and OPTIONS (trap 50), and names that are decoded once', async t => {
  const { send } = await wiredHub(t)
  await send('POST', '/users', { body: '{"usernames":["bob@x.org","a b","100%"]}' })
  const rows: [method: string, path: string, status: number][] = [
    ['GET', '', 200],
    ['GET', '/', 200],
    ['GET', '/users', 200],
    ['GET', '/users/', 404],
    ['GET', '/users/root/', 404],
    ['GET', '/users/root/tokens/', 404],
    ['GET', '/users/root/servers/', 200],
    ['GET', '/groups/', 404],
    ['GET', '/proxy/', 404],
    ['POST', '/shutdown/', 404],
    ['GET', '/nothing', 404],
    ['DELETE', '/nothing', 404],
    ['DELETE', '/users', 405],
    ['PUT', '/users/root', 405],
    ['GET', '/shutdown', 405],
    ['DELETE', '/proxy', 405],
    ['HEAD', '/users', 405],
    ['HEAD', '/users/root/server', 405],
    ['HEAD', '/health', 200],
    ['OPTIONS', '/users', 200],
    ['OPTIONS', '/nothing', 404],
    ['GET', '/users/bob@x.org', 200],
    ['GET', '/users/bob%40x.org', 200],
    ['GET', '/users/bob%2540x.org', 404],
    ['GET', '/users/a%20b', 200],
    ['GET', '/users/100%25', 200],
    ['GET', '/users/ROOT', 404],
  ]
  for (const [method, path, status] of rows) {
    const answer = await send(method, path)
    assert.equal(answer.status, status, `${method} ${path}`)
    if (method === 'OPTIONS' && status === 200) assert.match(answer.headers.allow ?? '', /GET/)
    if (status === 405) assert.match(answer.headers.allow ?? '', /OPTIONS/)
  }
})

test('api on the wire: lists in both forms, by Accept, to the last page by next, filtered and sorted', async t => {
  const { send } = await wiredHub(t)
  const usernames = Array.from({ length: 249 }, (_, n) => `user-${n}`)
  await send('POST', '/users', { body: JSON.stringify({ usernames }) })
  const type = 'application/jupyterhub-pagination+json'
  const list = (query: string, accept?: string) =>
    send('GET', `/users${query}`, { headers: accept === undefined ? {} : { Accept: accept } })

  for (const accept of [undefined, '*/*', 'application/json', `${type};q=1`, `x${type}`, 'text/html'])
    assert.equal((await list('', accept)).json.length, 200, `${accept}: a list, cut at the most there is`)
  for (const accept of [type, `text/html, ${type}`, `${type},*/*`]) {
    const { json, headers } = await list('', accept)
    assert.deepEqual([json.items.length, json._pagination.total], [50, 250], accept)
    assert.match(headers['content-type'] ?? '', /^application\/json/)
  }

  const seen: string[] = []
  for (let next: string | undefined = '?limit=60&sort=-name'; next !== undefined; ) {
    const { json } = await list(next, type)
    seen.push(...json.items.map(({ name }: { name: string }) => name))
    const url: string | undefined = json._pagination.next?.url
    next = url && new URL(url).search
  }
  assert.deepEqual(seen, ['root', ...usernames].sort().reverse())

  const names = async (query: string) => (await list(query)).json.map(({ name }: { name: string }) => name)
  assert.deepEqual(await names('?name_filter=USER-24&sort=name&limit=2'), ['user-24', 'user-240'])
  assert.deepEqual(await names('?offset=-249'), ['user-248'])
  assert.deepEqual(await names('?state=ready'), [])
  assert.equal((await names('?state=inactive&limit=1000')).length, 200)
  assert.deepEqual(await names('?limit=0'), ['root'])
  const stopped = async (query: string) => Object.keys((await send('GET', `/users/root${query}`)).json.servers)
  await send('PUT', '/users/root/servers/lab')
  for (const [query, servers] of [
    ['', []],
    ['?include_stopped_servers', ['lab']],
    ['?include_stopped_servers=1', ['lab']],
    ['?include_stopped_servers=False', []],
    ['?include_stopped_servers=0', []],
  ] as const)
    assert.deepEqual(await stopped(query), servers, query)
  for (const query of ['?limit=x', '?offset=1.5', '?state=odd', '?sort=colour', '?limit=99999999999999999999'])
    assert.equal((await list(query)).status, 400, query)
})

test('api on the wire: next is where the client is; what is said of that is believed from the front alone (trap 11)', async t => {
  const { hub, send } = await wiredHub(t)
  await send('POST', '/users', { body: '{"usernames":["ann","ben"]}' })
  const written = await readFile(`${hub.folder}/hub.config.ts`, 'utf8')
  const hubPort = Number(/hub: \{ port: (\d+)/.exec(written)?.[1])
  const Accept = 'application/jupyterhub-pagination+json'
  const next = async (headers: Record<string, string> = {}, port = hub.port) =>
    (await send('GET', '/users?limit=1&name_filter=n', { headers: { Accept, ...headers }, port })).json._pagination.next.url
  const page = '/hub/api/users?limit=1&name_filter=n&offset=1'
  const lies = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.example', Forwarded: 'host=evil.example;proto=https' }
  assert.equal(await next(), `http://127.0.0.1:${hub.port}${page}`)
  assert.equal(await next(lies), `http://127.0.0.1:${hub.port}${page}`)
  assert.equal(await next({}, hubPort), `http://127.0.0.1:${hubPort}${page}`, 'as a notebook reaches it')
  assert.equal(await next(lies, hubPort), `http://127.0.0.1:${hubPort}${page}`)
  assert.equal(await next({ Host: 'hub.localhost:81' }), `http://hub.localhost:81${page}`)
})

test('api on the wire: behind a proxy that is trusted, next is at the address that the proxy tells', async t => {
  const behind = config()
    .replace("host: '127.0.0.1' }", "host: '127.0.0.1', trustedProxies: 1 }")
    .replace('dummy({', 'dummy({ allowPublic: true,')
  const hub = await attackedHub(t, behind, { SWARMHUB_ALLOW_DUMMY: '1' })
  const headers = {
    authorization: `token ${await hub.token('root')}`,
    accept: 'application/jupyterhub-pagination+json',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'hub.example.org',
  }
  await hub.token('bob')
  const reply = await fetch(`${hub.origin}/hub/api/users?limit=1`, { headers })
  const { _pagination } = (await reply.json()) as { _pagination: { next: { url: string } } }
  assert.equal(_pagination.next.url, 'https://hub.example.org/hub/api/users?limit=1&offset=1')
  const onward = encodeURIComponent('https://hub.example.org/hub/token')
  const signedIn = await (await hub.enter('bob')).ask(`/hub/login?next=${onward}`, { headers })
  assert.equal(signedIn.headers.get('location'), '/hub/token', 'what is at that address is no other host')
})
