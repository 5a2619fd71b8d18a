import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

/** Servers without an engine: HTTP servers in the hub's own process, half a second after they were asked for. */
const config = `
import { createServer } from 'node:http'
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy } from 'swarmhub/plugins'

const servers = new Map()
const memory = {
  name: 'memory',
  spawner: {
    async start({ generation, labels }) {
      const http = createServer((_, reply) => reply.end('{"version":"1"}'))
      servers.set(generation, { http, labels, target: undefined })
      setTimeout(() => http.listen(0, '127.0.0.1', () => (servers.get(generation).target = 'http://127.0.0.1:' + http.address().port)), 500)
      return { generation }
    },
    async poll({ generation }) {
      return status(servers.get(generation))
    },
    async stop({ generation }) {
      servers.get(generation)?.http.close()
      servers.delete(generation)
    },
    async list() {
      return [...servers].map(([generation, server]) => ({ handle: { generation }, labels: server.labels, status: status(server) }))
    },
  },
}
const status = server =>
  !server ? { state: 'gone', cause: { code: 'missing', message: 'It is not there.' } }
  : server.target ? { state: 'running', target: server.target }
  : { state: 'starting', step: 'starting', message: 'Starting' }

export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true },
  spawner: memory,
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  limits: { starts: 50 },
})
`

test('three hundred people sign in and start at once: nobody sees an error, everybody gets a server', async t => {
  const hub = await startHub(t, config)
  await hub.healthy()
  const people = 300
  const statuses = new Map<number, number>()
  const count = (status: number) => statuses.set(status, (statuses.get(status) ?? 0) + 1)

  const one = async (name: string) => {
    const someone = visitor(hub.origin)
    const home = await someone.signIn(name, 'a good password', '/hub/home')
    count(home.reply.status)
    assert.equal(home.path, '/hub/home')
    for (let tries = 0; tries < 200; tries++) {
      const { reply, path } = await someone.open('/hub/spawn')
      count(reply.status)
      assert.ok(reply.status < 500, `${path}: ${reply.status}`)
      // Too many start just now: the page says when to come back; the test is less patient.
      if (reply.status === 429) {
        assert.ok(Number(reply.headers.get('retry-after')) > 0)
        await sleep(300 + Math.random() * 700)
      } else if (path.startsWith(`/user/${name}/`)) return
      else await sleep(500)
    }
    assert.fail(`${name} got no server`)
  }
  await Promise.all(Array.from({ length: people }, (_, i) => one(`student${i}`)))
  assert.ok(
    [...statuses.keys()].every(status => status === 200 || status === 429),
    JSON.stringify([...statuses]),
  )
  t.diagnostic(JSON.stringify(Object.fromEntries(statuses)))
  assert.equal(await hub.end(), 0)
  assert.doesNotMatch(hub.output(), /"level":"error"/)
})
