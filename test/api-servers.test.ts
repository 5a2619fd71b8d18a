import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { HubError } from '../core/errors.ts'
import { type ApiHub, apiHub, checkRows } from './api-hub.ts'

const running = async (hub: ApiHub) => {
  const alice = hub.core.users.get('alice')!
  for (const name of ['', 'lab']) await (await hub.core.servers.start(alice, name, {}, undefined)).settled()
}

test('api servers: who may do what with a server that is stopped', t =>
  checkRows(t, [
    ['POST', '/users/alice/server', undefined, 201, 201, 404, 403],
    ['POST', '/users/alice/servers/lab', {}, 201, 201, 404, 403],
    ['POST', '/users/alice/servers/', 'null', 201, 201, 404, 403],
    ['POST', '/users/nobody/server', undefined, 404, 404, 404, 403],
    ['POST', '/users/alice/servers/a%2Fb', undefined, 400, 400, 404, 403],
    ['GET', '/users/alice/server', undefined, 200, 200, 404, 403],
    ['GET', '/users/alice/servers/lab', undefined, 404, 404, 404, 403],
    ['DELETE', '/users/alice/server', undefined, 204, 204, 404, 403],
    ['DELETE', '/users/alice/servers/lab', undefined, 404, 404, 404, 403],
    ['GET', '/users/alice/server/progress', undefined, 400, 400, 404, 403],
    ['GET', '/users/alice/servers/lab/progress', undefined, 404, 404, 404, 403],
    ['PUT', '/users/alice/servers/lab', { display_name: 'My lab' }, 201, 201, 404, 403],
  ]))

test('api servers: who may do what with a server that is running', t =>
  checkRows(
    t,
    [
      ['POST', '/users/alice/server', undefined, 400, 400, 404, 403],
      ['GET', '/users/alice/server', undefined, 200, 200, 404, 403],
      ['GET', '/users/alice/servers/lab', undefined, 200, 200, 404, 403],
      ['DELETE', '/users/alice/server', undefined, 204, 204, 404, 403],
      ['DELETE', '/users/alice/servers/', undefined, 204, 204, 404, 403],
      ['DELETE', '/users/alice/servers/lab', { remove: true }, 204, 204, 404, 403],
      ['DELETE', '/users/alice/server', { remove: true }, 400, 400, 404, 403],
      ['GET', '/users/alice/server/progress', undefined, 200, 200, 404, 403],
      ['PUT', '/users/alice/servers/lab', undefined, 409, 409, 404, 403],
      ['PATCH', '/users/alice/servers/lab', { display_name: 'x' }, 400, 400, 404, 403],
    ],
    running,
  ))

test('api servers: start and stop answer with empty bodies, in the model stands what JupyterHub’s clients read', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('bob@x.org')
  const start = await hub.send('POST', '/users/bob%40x.org/servers/my%20lab', { token })
  assert.deepEqual([start.status, start.text], [201, ''])

  const { json: user } = await hub.send('GET', '/users/bob@x.org', { token })
  assert.equal(user.server, null)
  assert.deepEqual(Object.keys(user.servers), ['my lab'])
  const { started, last_activity, ...rest } = user.servers['my lab']
  assert.match(started, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
  assert.match(last_activity, /Z$/)
  assert.deepEqual(rest, {
    name: 'my lab',
    display_name: '',
    full_name: 'bob@x.org/my lab',
    pending: null,
    ready: true,
    stopped: false,
    url: '/user/bob@x.org/my%20lab/',
    user_options: {},
    progress_url: '/hub/api/users/bob@x.org/servers/my%20lab/progress',
    full_url: null,
    full_progress_url: null,
  })

  const stop = await hub.send('DELETE', '/users/bob%40x.org/servers/my%20lab', { token })
  assert.deepEqual([stop.status, stop.text], [204, ''])
  assert.deepEqual((await hub.send('GET', '/users/bob@x.org', { token })).json.servers, {})
  const { json: all } = await hub.send('GET', '/users/bob@x.org?include_stopped_servers=1', { token })
  assert.equal(all.servers['my lab'].stopped, true)
  assert.equal(all.servers['my lab'].started, null)
  const not = await hub.send('GET', '/users/bob@x.org?include_stopped_servers=False', { token })
  assert.deepEqual(not.json.servers, {})
})

test('api servers: under a prefix and a public address the full addresses are told', async t => {
  const hub = await apiHub(t, { url: 'https://hub.example.org/lab' })
  const token = await hub.person('alice')
  await hub.send('POST', '/users/alice/server', { token })
  const { json } = await hub.send('GET', '/users/alice/server', { token })
  assert.equal(json.url, '/lab/user/alice/')
  assert.equal(json.full_url, 'https://hub.example.org/lab/user/alice/')
  assert.equal(json.progress_url, '/lab/hub/api/users/alice/server/progress')
  assert.equal(json.full_progress_url, 'https://hub.example.org/lab/hub/api/users/alice/server/progress')
  const { json: user } = await hub.send('GET', '/users/alice', { token })
  assert.equal(user.server, '/lab/user/alice/')
})

test('api servers: the engine’s handle is shown to administrators only', async t => {
  const hub = await apiHub(t)
  const admin = await hub.person('ada', { admin: true })
  const token = await hub.person('alice')
  await hub.send('POST', '/users/alice/server', { token })
  assert.ok(!('state' in (await hub.send('GET', '/users/alice/server', { token })).json))
  assert.ok('generation' in (await hub.send('GET', '/users/alice/server', { token: admin })).json.state)
})

test('api servers: a start that takes long is 202, again and again, and can be cancelled', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const open = hub.hold('start')
  for (const _ of [1, 2]) assert.equal((await hub.send('POST', '/users/alice/server', { token })).status, 202)
  const { json } = await hub.send('GET', '/users/alice', { token })
  assert.equal(json.pending, 'spawn')
  assert.equal(json.server, null)
  assert.equal(json.servers[''].pending, 'spawn')
  assert.equal(json.servers[''].ready, false)
  const stopping = hub.send('DELETE', '/users/alice/server', { token })
  open()
  assert.ok([202, 204].includes((await stopping).status))
  await hub.core.servers.get(hub.core.users.get('alice')!, '')!.settled()
  assert.equal((await hub.send('GET', '/users/alice', { token })).json.pending, null)
  assert.equal(hub.made.size, 0)
})

test('api servers: a stop that takes long is 202; meanwhile nothing starts', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  await hub.send('POST', '/users/alice/server', { token })
  const open = hub.hold('stop')
  assert.equal((await hub.send('DELETE', '/users/alice/server', { token })).status, 202)
  assert.equal((await hub.send('GET', '/users/alice', { token })).json.pending, 'stop')
  assert.equal((await hub.send('POST', '/users/alice/server', { token })).status, 400)
  open()
  await hub.core.servers.get(hub.core.users.get('alice')!, '')!.settled()
  assert.equal((await hub.send('DELETE', '/users/alice/server', { token })).status, 204)
  assert.equal((await hub.send('POST', '/users/alice/server', { token })).status, 201)
})

test('api servers: why a start failed is in its answer, with the status that goes with it', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const failing = async (error: Error) => {
    hub.refuse(error)
    const { status, json } = await hub.send('POST', '/users/alice/server', { token })
    return [status, json.message] as const
  }
  const cause = { code: 'no-image', message: 'There is no image "x".', hint: 'Check its name.' }
  assert.deepEqual(await failing(new HubError('failed', 'x', { details: cause })), [
    500,
    'There is no image "x". Check its name.',
  ])
  assert.equal((await failing(new HubError('denied', 'Not on Sundays.')))[0], 403)
  assert.equal((await failing(new HubError('timeout', 'It took too long.')))[0], 504)
  const [status, message] = await failing(new Error('secret path'))
  assert.equal(status, 500)
  assert.ok(!message.includes('secret'))
  assert.equal((await hub.send('GET', '/users/alice', { token })).json.pending, null)
})

test('api servers: limits are 429 with the time to come back, or 400', async t => {
  const hub = await apiHub(t, { limits: { starts: 1, namedServers: 1 } })
  const token = await hub.person('alice')
  const open = hub.hold('start')
  await hub.send('POST', '/users/alice/server', { token })
  const { status, headers } = await hub.send('POST', '/users/alice/servers/one', { token })
  assert.equal(status, 429)
  assert.ok(Number(headers.get('retry-after')) >= 30)
  open()
  await hub.core.servers.get(hub.core.users.get('alice')!, '')!.settled()
  assert.equal((await hub.send('POST', '/users/alice/servers/one', { token })).status, 201)
  assert.equal((await hub.send('POST', '/users/alice/servers/two', { token })).status, 400)
  assert.equal((await hub.send('PUT', '/users/alice/servers/two', { token })).status, 400)
})

const profiles = [
  { name: 'small', label: 'Small' },
  { name: 'large', label: 'Large' },
  { name: 'teacher', label: 'Teacher', groups: ['teachers'] },
]

test('api servers: the options choose a profile, in both forms; what is on no list is refused', async t => {
  const hub = await apiHub(t, { profiles })
  const token = await hub.person('alice')
  const start = async (body: unknown) => {
    const { status } = await hub.send('POST', '/users/alice/server', { token, body })
    const { json } = await hub.send('GET', '/users/alice/server', { token })
    const { record } = hub.core.servers.get(hub.core.users.get('alice')!, '')!
    if (status === 201) await hub.send('DELETE', '/users/alice/server', { token })
    return status === 201 ? [record.profile, json.user_options, json.display_name] : status
  }
  assert.deepEqual(await start({ profile: 'large' }), ['large', { profile: 'large' }, ''])
  assert.deepEqual(await start(undefined), ['large', { profile: 'large' }, ''])
  assert.deepEqual(await start({ user_options: null }), ['large', { profile: 'large' }, ''])
  assert.deepEqual(await start({}), ['small', {}, ''])
  assert.deepEqual(await start({ user_options: { profile: 'large' }, display_name: 'Big one' }), [
    'large',
    { profile: 'large' },
    'Big one',
  ])
  assert.deepEqual(await start({ user_options: {} }), ['small', {}, 'Big one'])
  for (const body of [
    { image: 'evil/x', token: 'y' },
    { user_options: { image: 'evil/x' } },
    { profile: 'large', image: 'evil/x' },
    { profile: 'huge' },
    { profile: 7 },
    { profile: ['large'] },
    { mounts: [{ source: '/' }] },
    { user_options: {}, display_name: 'x', more: 1 },
    { display_name: '' },
    { display_name: 'a\nb' },
    '[]',
    '"large"',
  ]) {
    assert.equal(await start(body), 400, JSON.stringify(body))
  }
  assert.equal(await start({ profile: 'teacher' }), 403)
  assert.deepEqual(await start('{"__proto__":{"profile":"large"}}'), ['small', {}, 'Big one'])
})

test('api servers: choices come from closed lists by form and API alike; nothing else reaches the engine', async t => {
  const hub = await apiHub(t, {
    profiles: [
      {
        name: 'lab',
        label: 'Lab',
        image: 'lab:1',
        choices: [
          {
            name: 'size',
            label: 'Size',
            options: [
              { name: 's', label: 'S', cpus: 1 },
              { name: 'l', label: 'L', cpus: 4, env: { SIZE: 'l' } },
            ],
          },
          { name: 'dataset', label: 'Data set', pattern: /[a-z]{1,8}/, env: 'DATASET' },
        ],
      },
    ],
  })
  const token = await hub.person('alice')
  const start = async (body: unknown) => {
    const { status } = await hub.send('POST', '/users/alice/server', { token, body })
    const [made] = [...hub.made.values()].map(({ spec }) => [spec.image, spec.cpus, spec.env.SIZE, spec.env.DATASET])
    if (status === 201) await hub.send('DELETE', '/users/alice/server', { token })
    return status === 201 ? made : status
  }
  assert.deepEqual(await start({ size: 'l', dataset: 'abc' }), ['lab:1', 4, 'l', 'abc'])
  assert.deepEqual(await start(undefined), ['lab:1', 4, 'l', 'abc'], 'as the last time')
  assert.deepEqual(await start({ profile: 'lab', size: 's' }), ['lab:1', 1, undefined, undefined])
  const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
  for (const body of [
    { size: 'xl' },
    { size: ['l'] },
    { dataset: 'ABC' },
    { dataset: 'a\nb' },
    { image: 'evil/x' },
    { size: 'l', mounts: [{ type: 'bind', source: '/', target: '/host' }] },
    { networks: ['host'] },
    { privileged: true },
    { runAs: 'root' },
    { user: 'root' },
    { command: ['sh'] },
    { labels: { 'org.swarmhub.user': 'bob' } },
    { placement: { constraints: [] } },
    { container_spec: { user: 'root' } },
    '{"__proto__": {"size": "l"}, "constructor": "x"}',
    deep,
    `{"user_options": ${deep}}`,
  ])
    assert.equal(await start(body), 400, JSON.stringify(body).slice(0, 100))
  assert.equal(await start({ dataset: 'x'.repeat(10 * 2 ** 20) }), 413)
  assert.equal(hub.made.size, 0)
})

test('api servers: a named server can be made, described and removed without ever running', async t => {
  const hub = await apiHub(t, { profiles })
  const token = await hub.person('alice')
  const put = await hub.send('PUT', '/users/alice/servers/lab', {
    token,
    body: { display_name: 'Lab', user_options: { profile: 'large' } },
  })
  assert.equal(put.status, 201)
  assert.equal(put.json.display_name, 'Lab')
  assert.equal(put.json.stopped, true)
  assert.equal(hub.made.size, 0)
  const patch = await hub.send('PATCH', '/users/alice/servers/lab', { token, body: { display_name: 'Better lab' } })
  assert.equal(patch.status, 200)
  assert.equal(patch.json.display_name, 'Better lab')
  assert.deepEqual(patch.json.user_options, { profile: 'large' })
  assert.equal(
    (await hub.send('PATCH', '/users/alice/servers/lab', { token, body: { user_options: { image: 'x' } } })).status,
    400,
  )
  const change = async (name: string, body: object) =>
    (await hub.send('PATCH', `/users/alice/servers/${name}`, { token, body })).status
  assert.equal(await change('none', { display_name: 'x' }), 404)
  assert.equal(await change('lab', {}), 400)
  assert.equal(await change('lab', { colour: 1 }), 400)
  assert.equal((await hub.send('POST', '/users/alice/servers/lab', { token })).status, 201)
  assert.equal(hub.core.servers.get(hub.core.users.get('alice')!, 'lab')!.record.profile, 'large')
  assert.equal((await hub.send('DELETE', '/users/alice/servers/lab', { token, body: { remove: true } })).status, 204)
  assert.equal((await hub.send('GET', '/users/alice/servers/lab', { token })).status, 404)
})

test('api servers: a named server that is stopped can have another name, and the old name opens nothing any more', async t => {
  const hub = await apiHub(t, { profiles })
  const token = await hub.person('alice')
  const narrow = await hub.person('alice', { scopes: ['read:servers!server=alice/lab'] })
  for (const name of ['lab', 'other'])
    await hub.send('PUT', `/users/alice/servers/${name}`, { token, body: { display_name: 'Mine' } })
  const rename = (from: string, name: unknown) => hub.send('PATCH', `/users/alice/servers/${from}`, { token, body: { name } })
  assert.equal((await hub.send('GET', '/users/alice/servers/lab', { token: narrow })).status, 200)
  for (const [name, status] of [
    ['other', 409],
    ['', 400],
    ['a/b', 400],
    [7, 400],
  ] as const)
    assert.equal((await rename('lab', name)).status, status, String(name))
  const { status, json } = await rename('lab', 'attic')
  assert.deepEqual([status, json.name, json.display_name, json.url], [200, 'attic', 'Mine', '/user/alice/attic/'])
  assert.equal((await hub.send('GET', '/users/alice/servers/lab', { token })).status, 404)
  await hub.send('PUT', '/users/alice/servers/lab', { token })
  assert.equal((await hub.send('GET', '/users/alice/servers/lab', { token: narrow })).status, 403)
  assert.equal((await hub.send('POST', '/users/alice/servers/attic', { token })).status, 201)
  assert.equal((await rename('attic', 'cellar')).status, 400, 'it runs')
  assert.equal((await hub.send('PUT', '/users/alice/servers/', { token })).status, 409)
  assert.equal((await hub.send('PATCH', '/users/alice/servers/', { token, body: { name: 'x' } })).status, 405)
})

test('api servers: a scope for one server is for that server only', async t => {
  const hub = await apiHub(t)
  await hub.person('alice')
  const token = await hub.person('alice', { scopes: ['servers!server=alice/lab'] })
  assert.equal((await hub.send('POST', '/users/alice/servers/lab', { token })).status, 201)
  assert.equal((await hub.send('POST', '/users/alice/server', { token })).status, 404)
  const all = await hub.person('alice')
  await hub.send('POST', '/users/alice/server', { token: all })
  assert.deepEqual(Object.keys((await hub.send('GET', '/users/alice', { token })).json.servers), ['lab'])
})

const events = (text: string) => {
  const lines = text.split('\n').filter(line => line !== '')
  for (const line of lines) assert.match(line, /^data: \{/)
  return lines.map(line => JSON.parse(line.slice('data: '.length)))
}

test('api progress: from the first line to ready, then it closes', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const open = hub.hold('start')
  await hub.send('POST', '/users/alice/servers/lab', { token })
  const answer = hub.send('GET', '/users/alice/servers/lab/progress', { token })
  open()
  const { status, headers, text } = await answer
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'text/event-stream')
  assert.equal(headers.get('cache-control'), 'no-cache')
  const told = events(text)
  assert.deepEqual(told[0], { progress: 0, message: 'Server requested' })
  assert.deepEqual(told.at(-1), {
    progress: 100,
    ready: true,
    message: 'Server ready at /user/alice/lab/',
    html_message: 'Server ready at <a href="/user/alice/lab/">/user/alice/lab/</a>',
    url: '/user/alice/lab/',
  })
  assert.equal(told.filter(event => event.ready || event.failed).length, 1)
  const steps = told.map(({ progress }) => progress)
  assert.deepEqual(
    steps,
    steps.toSorted((a, b) => a - b),
  )

  const again = events((await hub.send('GET', '/users/alice/servers/lab/progress', { token })).text)
  assert.deepEqual(again, told.slice(-1))
})

test('api progress: a start that fails or is cancelled says so once, also afterwards; no text can forge an event', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const open = hub.hold('start')
  hub.refuse(new HubError('failed', 'No luck.\n\ndata: {"ready":true}'))
  await hub.send('POST', '/users/alice/server', { token })
  const following = hub.send('GET', '/users/alice/server/progress', { token })
  open()
  for (const { text } of [await following, await hub.send('GET', '/users/alice/server/progress', { token })]) {
    const last = events(text).at(-1)
    assert.equal(last.failed, true)
    assert.equal(last.progress, 100)
    assert.match(last.message, /^Spawn failed: .*No luck/s)
    assert.ok(!events(text).some(event => event.ready))
  }
})

test('api progress: who goes away is not followed any more', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('alice')
  const open = hub.hold('start')
  await hub.send('POST', '/users/alice/server', { token })
  const server = hub.core.servers.get(hub.core.users.get('alice')!, '')!
  let ended = false
  const original = server.events
  server.events = async function* (after, signal) {
    try {
      yield* original(after, signal)
    } finally {
      ended = true
    }
  }
  const http = createServer(getRequestListener(hub.app.fetch))
  t.after(() => {
    http.close()
    http.closeAllConnections()
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  const leave = new AbortController()
  const reply = await fetch(`http://127.0.0.1:${(http.address() as AddressInfo).port}/hub/api/users/alice/server/progress`, {
    headers: { Authorization: `token ${token}` },
    signal: leave.signal,
  })
  const { value } = await reply.body!.getReader().read()
  assert.match(new TextDecoder().decode(value), /^data: \{"progress":0,"message":"Server requested"\}\n\n/)
  leave.abort()
  for (let i = 0; i < 100 && !ended; i++) await sleep(10)
  assert.equal(ended, true)
  open()
})
