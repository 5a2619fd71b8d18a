import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { presentable } from '../core/servers/logs.ts'
import { attackedHub, config } from './hostile.ts'

const shown = (line: string, secrets: string[] = []) => presentable(line, secrets, word => word === 'T'.repeat(43))

test('a line of a log is shown without what a terminal would do with it', () => {
  for (const [line, expected] of [
    ['plain\ttext', 'plain\ttext'],
    ['\u001b[1;31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007after', 'after'],
    ['\tnot [INFO]', '\tnot [INFO]'],
    ['10%\r20%\r30%', '30%'],
    ['a\u0000b\u202ec\u2028d', 'abcd'],
    ['<script>alert(1)</script>', '<script>alert(1)</script>'],
    ['x'.repeat(5000), `${'x'.repeat(2000)}…`],
  ] as const)
    assert.equal(shown(line), expected)
})

test('secrets in a line of a log are masked: tokens of the hub, what is named so, and what the profile says', () => {
  const token = 'T'.repeat(43)
  assert.equal(shown(`my own ${token}!`), 'my own ***!')
  assert.equal(shown(`a digest ${'a'.repeat(64)}`), `a digest ${'a'.repeat(64)}`)
  assert.equal(shown('http://127.0.0.1:8888/?token=abc&x=1'), 'http://127.0.0.1:8888/?token=***&x=1')
  assert.equal(shown('Authorization: Bearer abc'), 'Authorization: Bearer ***')
  assert.equal(shown('exit code: 1, state: running'), 'exit code: 1, state: running')
  assert.equal(shown('the licence is abcdef', ['abcdef']), 'the licence is ***')
  // Not at the cut either.
  assert.ok(!shown(`${'x '.repeat(990)}${token}`).includes('TT'))
})

const notebook = `
const { createServer } = require('node:http')
const { JUPYTERHUB_SERVICE_URL, JUPYTERHUB_API_TOKEN, LICENCE_KEY } = process.env
const { hostname, port } = new URL(JUPYTERHUB_SERVICE_URL)
console.log('\\x1b[32m<script>alert("mine")</script> ' + JUPYTERHUB_API_TOKEN + ' ' + LICENCE_KEY)
createServer((req, res) => { console.log('asked for ' + decodeURIComponent(req.url)); res.end('notebook') }).listen(Number(port), hostname)
`
const text = config(`profiles: [{ name: 'only', label: 'Only', env: { LICENCE_KEY: 'secret-licence' } }],`).replace(
  /command: \[.*?\], grace/,
  `command: ${JSON.stringify([process.execPath, '-e', notebook])}, grace`,
)

test('a server’s log: a page and an endpoint for who may use the server, masked and escaped, followed until it is gone', async t => {
  const hub = await attackedHub(t, text)
  const alice = await hub.enter('alice')
  const token = await hub.token('alice')
  const stopped = await alice.open('/hub/logs/alice')
  assert.match(stopped.text, /not running, so there is no log/)

  await alice.open('/hub/spawn')
  for (let tries = 0; (await hub.api(token, 'GET', '/users/alice/server')).json.ready !== true; tries++) {
    assert.ok(tries < 400, 'it never became ready')
    await sleep(25)
  }
  const page = await alice.open('/hub/logs/alice')
  assert.equal(page.reply.status, 200)
  assert.match(page.text, /&lt;script&gt;alert\(&quot;mine&quot;\)&lt;\/script&gt; \*\*\* \*\*\*/)
  assert.doesNotMatch(page.text, /secret-licence|\[32m/)
  assert.match((await alice.open('/hub/home')).text, /href="\/hub\/logs\/alice"/)

  // Nobody else's.
  const bob = await hub.enter('bob')
  assert.equal((await bob.open('/hub/logs/alice')).reply.status, 404)
  assert.equal((await bob.open('/hub/log-events/alice')).reply.status, 403, 'not by its address alone either')
  assert.equal((await hub.api(await hub.token('bob'), 'GET', '/users/alice/server/logs')).status, 404)
  assert.equal((await hub.api(await hub.token('root', ['read:servers']), 'GET', '/users/alice/server/logs')).status, 403)
  const asked = await hub.api(token, 'GET', '/users/alice/server/logs')
  assert.equal(asked.status, 200)
  assert.match(asked.json, /^<script>.*\*\*\* \*\*\*\n/)
  assert.equal((await hub.api(token, 'GET', '/users/alice/server/logs?follow=maybe')).status, 400)

  // As it goes on, by both ways.
  const limit = AbortSignal.timeout(30_000)
  const followed = await fetch(`${hub.origin}/hub/api/users/alice/server/logs?follow`, {
    headers: { authorization: `token ${token}` },
    signal: limit,
  })
  assert.match(followed.headers.get('content-type') ?? '', /^text\/plain/)
  const feed = /data-events="([^"]+)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const cookie = alice.cookieFor('/hub/log-events/alice')
  const events = await fetch(hub.origin + feed, { headers: { accept: 'text/event-stream', cookie }, signal: limit })
  const reader = followed.body!.pipeThrough(new TextDecoderStream()).getReader()
  const told = events.body!.pipeThrough(new TextDecoderStream()).getReader()
  await alice.open('/user/alice/marker-of-this-test')
  for (const source of [reader, told]) {
    let sum = ''
    while (!sum.includes('marker-of-this-test')) {
      const { value, done } = await source.read()
      assert.ok(!done, sum)
      sum += value
    }
    if (source === told) assert.match(sum, /^event: begin/)
  }
  // It ends with the server.
  await hub.api(token, 'DELETE', '/users/alice/server')
  while (!(await reader.read()).done);
  await told.cancel()
})

test('a server’s log: no more than ten follow one at once', async t => {
  const hub = await attackedHub(t, text)
  const alice = await hub.enter('alice')
  const token = await hub.token('alice')
  await alice.open('/hub/spawn')
  while ((await hub.api(token, 'GET', '/users/alice/server')).json.ready !== true) await sleep(25)
  const ends = new AbortController()
  t.after(() => ends.abort())
  const follow = async () => {
    const headers = { authorization: `token ${token}` }
    const reply = await fetch(`${hub.origin}/hub/api/users/alice/server/logs?follow`, { headers, signal: ends.signal })
    return reply.status
  }
  const statuses = await Promise.all(Array.from({ length: 11 }, follow))
  assert.deepEqual(statuses.sort(), [...Array<number>(10).fill(200), 429])
})
