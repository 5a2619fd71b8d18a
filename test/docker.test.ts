import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { z } from 'zod'
import { docker, dockerAddress } from '../plugins/docker/client.ts'
import { jsonLines, logLines } from '../plugins/docker/lines.ts'
import { engineAt } from './swarm-engine.ts'

const version = { ApiVersion: '1.41', MinAPIVersion: '1.12' }
const shape = z.object({ ID: z.string() })
const signal = () => AbortSignal.timeout(30_000)

/** A client of an engine that knows its version, and answers everything else so. */
async function clientOf(t: TestContext, answer: (reply: ServerResponse, url: string) => void, of = version) {
  const asked: string[] = []
  const socket = await engineAt(t, (request, reply) => {
    if (request.url?.startsWith('/version')) return reply.end(JSON.stringify(of))
    asked.push(`${request.method} ${request.url?.replace(/\?$/, '')}`)
    answer(reply, request.url ?? '')
  })
  return { client: docker(socket), asked }
}

for (const [what, status, code] of [
  ['a 404 is missing', 404, 'missing'],
  ['a 409 is a conflict', 409, 'conflict'],
  ['a 400 is invalid', 400, 'invalid'],
  ['a 403 is a refusal', 403, 'denied'],
  ['a 500 is an outage', 500, 'unavailable'],
  ['a 503 is an outage', 503, 'unavailable'],
  ['a redirect to nowhere is an outage', 302, 'unavailable'],
] as const) {
  test(`Docker: ${what}, in the engine’s own words`, async t => {
    const { client } = await clientOf(t, reply => reply.writeHead(status).end('{"message":"the words"}'))
    await assert.rejects(client.ask({ path: '/x' }, shape, signal()), { name: 'HubError', code, message: /the words/ })
    await assert.rejects(client.open({ path: '/x' }, signal()), { code, message: /the words/ })
  })
}

for (const [what, answer] of Object.entries({
  'JSON of another shape': reply => reply.end('{"Id":1}'),
  'no JSON': reply => reply.end('<html>'),
  'JSON null': reply => reply.end('null'),
  nothing: reply => reply.end(),
  'half of it': reply => reply.writeHead(200, { 'content-length': 100 }).write('{"ID":', () => reply.destroy()),
  'half of a chunked one': reply => reply.write('{"ID":', () => reply.destroy()),
  'a closed connection': reply => reply.destroy(),
} satisfies Record<string, (reply: ServerResponse) => void>)) {
  test(`Docker: an answer that is ${what} is an outage, at once`, async t => {
    const { client } = await clientOf(t, answer)
    await assert.rejects(client.ask({ path: '/x' }, shape, signal()), { name: 'HubError', code: 'unavailable' })
  })
}

for (const [what, answer] of Object.entries({
  'never answers': () => {},
  'stalls after its head': reply => reply.writeHead(200).flushHeaders(),
  'stalls in the middle': reply => reply.write('{"ID":'),
  'stalls in an error': reply => reply.writeHead(500).write('{'),
} satisfies Record<string, (reply: ServerResponse) => void>)) {
  test(`Docker: an engine that ${what} is given up at the deadline, and at once when nobody waits any more`, async t => {
    const { client } = await clientOf(t, answer)
    await assert.rejects(client.ask({ path: '/x', deadline: 50 }, shape, signal()), {
      code: 'unavailable',
      message: /no answer in time/,
    })
    const cancel = new AbortController()
    const asked = client.ask({ path: '/x' }, shape, cancel.signal)
    setTimeout(() => cancel.abort(new Error('nobody waits')), 50)
    await assert.rejects(asked, /nobody waits/)
  })
}

test('Docker: nobody at the socket is an outage', async () => {
  await assert.rejects(docker('/no/such.sock').ask({ path: '/x' }, shape, signal()), { code: 'unavailable', message: /ENOENT/ })
})

test('Docker: both sides speak the newest version that both know, and one that is too old is refused', async t => {
  for (const [of, spoken] of [
    [{ ApiVersion: '1.41', MinAPIVersion: '1.12' }, '/v1.41/x'],
    [{ ApiVersion: '1.99', MinAPIVersion: '1.24' }, '/v1.47/x'],
    [{ ApiVersion: '1.99', MinAPIVersion: '1.50' }, '/v1.50/x'],
  ] as const) {
    const { client, asked } = await clientOf(t, reply => reply.end('{"ID":"a"}'), of)
    await client.ask({ path: '/x' }, shape, signal())
    assert.deepEqual(asked, [`GET ${spoken}`])
  }
  const { client, asked } = await clientOf(t, reply => reply.end('{"ID":"a"}'), { ApiVersion: '1.39', MinAPIVersion: '1.12' })
  await assert.rejects(client.ask({ path: '/x' }, shape, signal()), { code: 'unavailable', message: /1\.39.*1\.41 or newer/ })
  assert.deepEqual(asked, [])
})

test('Docker: a body never goes into the address, a query does', async t => {
  const { client, asked } = await clientOf(t, reply => reply.end('{"ID":"a"}'))
  await client.ask({ method: 'POST', path: '/secrets/create', body: { Data: 'canary' } }, shape, signal())
  await client.ask({ path: '/tasks', query: { filters: { label: ['a=b c'] } } }, shape, signal())
  assert.deepEqual(asked, ['POST /v1.41/secrets/create', `GET /v1.41/tasks?filters=${encodeURIComponent('{"label":["a=b c"]}')}`])
})

test('Docker: a stream outlives the deadline of its beginning, and ends with its signal', async t => {
  const { client } = await clientOf(t, async reply => {
    reply.write('{"n":1}\n')
    setTimeout(() => reply.write('{"n":2}\n{"n":'), 150)
  })
  const end = new AbortController()
  const seen: unknown[] = []
  const reading = (async () => {
    for await (const line of jsonLines(await client.open({ path: '/events', deadline: 100 }, end.signal))) {
      if (seen.push(line) === 2) end.abort()
    }
  })()
  await assert.rejects(reading, { name: 'AbortError' })
  assert.deepEqual(seen, [{ n: 1 }, { n: 2 }])
})

test('Docker: the lines of a log are put together from frames that come in any pieces', async () => {
  const frame = (channel: number, text: string | Buffer) => {
    const body = Buffer.from(text as string)
    const head = Buffer.from([channel, 0, 0, 0, 0, 0, 0, 0])
    head.writeUInt32BE(body.length, 4)
    return Buffer.concat([head, body])
  }
  const split = Buffer.from('é')
  const whole = Buffer.concat([
    frame(1, 'one\ntwo '),
    frame(1, split.subarray(0, 1)),
    frame(1, split.subarray(1)),
    frame(2, 'x\r\n'),
    frame(1, ''),
    frame(1, '\nlast'),
  ])
  for (const size of [1, 2, 3, 7, 8, 9, 1000]) {
    const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size))
    const lines: string[] = []
    for await (const line of logLines(Readable.from(pieces))) lines.push(line)
    assert.deepEqual(lines, ['one', 'two éx', '', 'last'], `in pieces of ${size}`)
  }
})

test('Docker: an endless line of a log is cut, not kept', async () => {
  const chunk = Buffer.alloc(8 + 9000, 'x')
  chunk.set([1, 0, 0, 0, 0, 0, 9000 >> 8, 9000 & 255])
  let most = 0
  for await (const line of logLines(Readable.from(Array.from({ length: 20 }, () => chunk)))) most = Math.max(most, line.length)
  assert.ok(most > 0 && most < 20_000)
})

test('Docker: the address is a socket, or host and port; the config goes before DOCKER_HOST', async t => {
  for (const wrong of ['relative.sock', 'tcp://x:1', [], { host: 'x', prot: 1 }, { host: '' }, 4])
    assert.ok(!dockerAddress.safeParse(wrong).success)
  assert.deepEqual(dockerAddress.parse({ host: 'manager.example.org' }), { host: 'manager.example.org', port: 2376 })
  const before = process.env.DOCKER_HOST
  t.after(() => {
    if (before === undefined) delete process.env.DOCKER_HOST
    else process.env.DOCKER_HOST = before
  })
  process.env.DOCKER_HOST = 'tcp://127.0.0.1:1'
  const { client } = await clientOf(t, reply => reply.end('{"ID":"a"}'))
  assert.deepEqual(await client.ask({ path: '/x' }, shape, signal()), { ID: 'a' })
})

/** Two managers; each answers as it is told to, and tells what it was asked. */
async function managers(t: TestContext, answers: [(reply: ServerResponse) => void, (reply: ServerResponse) => void]) {
  const asked: string[] = []
  const sockets = await Promise.all(
    answers.map((_, i) =>
      engineAt(t, (request, reply) => {
        if (request.url?.startsWith('/version')) return reply.end(JSON.stringify(version))
        asked.push(`${i + 1} ${request.method}`)
        answers[i]!(reply)
      }),
    ),
  )
  return { client: docker(sockets), asked }
}

const works = (reply: ServerResponse) => reply.end('{"ID":"x"}')
const fails = (reply: ServerResponse) => reply.writeHead(500).end('{"message":"no leader"}')
const read = { path: '/x' }
const create = { method: 'POST', path: '/x', body: {} } as const

for (const [what, fault] of Object.entries({
  'answers 500': fails,
  'answers 503': reply => reply.writeHead(503).end('{"message":"not a manager"}'),
  'breaks off': reply => reply.destroy(),
} satisfies Record<string, (reply: ServerResponse) => void>)) {
  test(`Docker: a manager that ${what} is left for the next one, and a creation is not sent twice`, async t => {
    const { client, asked } = await managers(t, [fault, works])
    assert.deepEqual(await client.ask(read, shape, signal()), { ID: 'x' })
    await client.ask(read, shape, signal())
    assert.deepEqual(asked, ['1 GET', '2 GET', '2 GET'], 'it stays with the one that answers')

    const other = await managers(t, [fault, works])
    await assert.rejects(other.client.ask(create, shape, signal()), { code: 'unavailable' })
    // What settles it asks the other one.
    await other.client.ask(read, shape, signal())
    assert.deepEqual(other.asked, ['1 POST', '2 GET'])
  })
}

test('Docker: a manager that nobody listens at cannot have received anything: the next one gets it', async t => {
  const socket = await engineAt(t, (request, reply) =>
    request.url?.startsWith('/version') ? reply.end(JSON.stringify(version)) : works(reply),
  )
  assert.deepEqual(await docker(['/no/such.sock', socket]).ask(create, shape, signal()), { ID: 'x' })
})

test('Docker: a refusal is the answer, whoever gives it; when all fail it is an outage', async t => {
  const refused = await managers(t, [reply => reply.writeHead(404).end('{"message":"no x"}'), works])
  await assert.rejects(refused.client.ask(read, shape, signal()), { code: 'missing' })
  assert.deepEqual(refused.asked, ['1 GET'])
  const down = await managers(t, [fails, fails])
  await assert.rejects(down.client.ask(read, shape, signal()), { code: 'unavailable', message: /no leader/ })
  assert.deepEqual(down.asked, ['1 GET', '2 GET'])
})

test('Docker: a manager that hangs is left after its deadline', async t => {
  const { client, asked } = await managers(t, [() => {}, works])
  assert.deepEqual(await client.ask({ ...read, deadline: 300 }, shape, signal()), { ID: 'x' })
  assert.deepEqual(asked, ['1 GET', '2 GET'])
})

test('Docker: an engine that was changed for one that knows only newer versions is asked in one of those', async t => {
  let oldest = 24
  const asked: string[] = []
  const socket = await engineAt(t, (request, reply) => {
    if (request.url?.startsWith('/version'))
      return reply.end(JSON.stringify({ ApiVersion: oldest === 24 ? '1.41' : '1.52', MinAPIVersion: `1.${oldest}` }))
    const spoken = Number(/^\/v1\.(\d+)/.exec(request.url ?? '')?.[1])
    asked.push(`1.${spoken}`)
    if (spoken >= oldest) return works(reply)
    reply.writeHead(400).end(`{"message":"client version 1.${spoken} is too old. Minimum supported API version is 1.${oldest}"}`)
  })
  const client = docker(socket)
  await client.ask(read, shape, signal())
  oldest = 44
  await client.ask(read, shape, signal())
  assert.deepEqual(asked, ['1.41', '1.41', '1.47'])
})
