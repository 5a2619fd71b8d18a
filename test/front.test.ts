import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { program, type RunningHub, startHub } from './running-hub.ts'
import { type Visitor, visitor } from './visitor.ts'

/** Answers HTTP, and echoes on what a browser would take for a WebSocket. */
const notebook = `
const { createServer } = require('node:http')
const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL)
const server = createServer((req, res) => res.end('notebook ' + process.pid))
server.on('upgrade', (req, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
  socket.pipe(socket).on('error', () => {})
})
server.listen(Number(port), hostname)
`

const config = (more = '') => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy()],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ command: [${JSON.stringify(process.execPath)}, '-e', ${JSON.stringify(notebook)}], grace: '1s' }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { grace: '5s', poll: '1s' },
  plugins: [{ name: 'greet', commands: { hello: { summary: 'Greets', run: args => 'hello ' + args.join(' ') } } }],
  ${more}
})
`

/** A whole swarmhub; its notebooks are gone after the test. */
async function hubFor(t: TestContext, text = config()): Promise<RunningHub> {
  let hub: RunningHub | undefined
  t.after(async () => {
    const runs = join(hub?.folder ?? '', 'data/plugins/process/runs')
    for (const name of hub && existsSync(runs) ? readdirSync(runs) : []) {
      if (name.endsWith('.pid')) kill(-Number.parseInt(readFileSync(join(runs, name), 'utf8'), 10))
    }
  })
  hub = await startHub(t, text)
  await hub.printed(/swarmhub is at/)
  return hub
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

async function pidOfHub({ child }: RunningHub): Promise<number> {
  const children = (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).trim().split(' ')
  for (const pid of children) if ((await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes('--supervised')) return Number(pid)
  return assert.fail('there is no hub process')
}

async function notebookOf(someone: Visitor, user: string): Promise<string> {
  await someone.signIn(user, 'x', '/hub/home')
  await someone.open('/hub/spawn')
  return untilServed(someone, user)
}

async function untilServed(someone: Visitor, user: string): Promise<string> {
  for (let tries = 0; tries < 300; tries++) {
    const { text } = await someone.open(`/user/${user}/`)
    if (text.startsWith('notebook ')) return text
    await sleep(50)
  }
  return assert.fail('the notebook never came')
}

/** A connection that echoes, through the front to the notebook. */
async function echoOf(origin: string, path: string) {
  const socket = createConnection(Number(new URL(origin).port), '127.0.0.1')
  const head = ['Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  socket.write(`GET ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(String(answer), /^HTTP\/1.1 101 /)
  return {
    close: () => socket.destroy(),
    async says(text: string) {
      socket.write(text)
      const [echo] = (await once(socket, 'data')) as [Buffer]
      return String(echo)
    },
  }
}

test('a hub that is killed takes nobody along: sockets and notebooks live, and the next hub knows everything', async t => {
  const hub = await hubFor(t)
  const alice = visitor(hub.origin)
  const served = await notebookOf(alice, 'alice')
  const echo = await echoOf(hub.origin, '/user/alice/ws')
  t.after(() => echo.close())
  assert.equal(await echo.says('one'), 'one')

  const killed = await pidOfHub(hub)
  process.kill(killed, 'SIGKILL')
  assert.equal(await echo.says('two'), 'two')
  assert.equal((await alice.open('/user/alice/')).text, served)
  // Asked while there is no hub: it waits instead of failing, and the session is known.
  const home = await alice.open('/hub/home')
  assert.deepEqual([home.reply.status, home.path], [200, '/hub/home'])
  assert.notEqual(await pidOfHub(hub), killed)
  assert.equal(await echo.says('three'), 'three')
  assert.equal((await alice.open('/user/alice/')).text, served, 'the same process')

  await alice.submit('/hub/home', 'stop', {})
  for (let tries = 0; (await alice.open('/user/alice/')).text.startsWith('notebook'); tries++) {
    assert.ok(tries < 100, 'it still runs')
    await sleep(50)
  }
  assert.equal(await hub.end(), 0)
})

test('restart: a bad config leaves the old hub as it is, a good one takes over without cutting a socket', async t => {
  const hub = await hubFor(t)
  const alice = visitor(hub.origin)
  await notebookOf(alice, 'alice')
  const echo = await echoOf(hub.origin, '/user/alice/ws')
  t.after(() => echo.close())
  const file = join(hub.folder, 'hub.config.ts')
  const good = readFileSync(file, 'utf8')
  const first = await pidOfHub(hub)

  writeFileSync(file, good.replace('access:', 'acces:'))
  const refused = await hub.run('restart')
  assert.equal(refused.code, 1)
  assert.match(refused.output, /hub\.config\.ts:\d+:\d+ acces: .*did you mean "access"/)
  assert.doesNotMatch(refused.output, / at .*\.js/, 'no stack')
  assert.equal(await pidOfHub(hub), first)

  // The file is still bad: a hub that dies comes back with the config that it had.
  process.kill(first, 'SIGKILL')
  await hub.printed(/hub is up[\s\S]*hub is up/)
  await hub.healthy()
  const second = await pidOfHub(hub)

  writeFileSync(file, good.replace("'hello '", "'good day '"))
  const taken = await hub.run('restart')
  assert.deepEqual(taken, { code: 0, output: 'The new hub has taken over.\n' })
  assert.notEqual(await pidOfHub(hub), second)
  assert.deepEqual(await hub.run('greet', 'hello', 'you'), { code: 0, output: 'good day you\n' })
  assert.equal(await echo.says('still here'), 'still here')
  assert.equal((await alice.open('/hub/home')).path, '/hub/home')
  assert.equal(await hub.end(), 0)
})

test('a new hub that fails after it was checked gives way to the former config', async t => {
  const hub = await hubFor(t)
  const file = join(hub.folder, 'hub.config.ts')
  const good = readFileSync(file, 'utf8')
  const broken = good.replace(
    "{ name: 'greet'",
    "{ name: 'broken', setup() { throw new Error('out of order') } }, { name: 'greet'",
  )
  writeFileSync(file, broken)
  const failed = await hub.run('restart')
  assert.equal(failed.code, 1)
  assert.match(failed.output, /out of order/)
  await hub.printed(/the hub is up again/)
  assert.deepEqual(await hub.run('greet', 'hello', 'you'), { code: 0, output: 'hello you\n' })
  assert.match(hub.output(), /going back to the former config/)
})

test('a front that is killed takes its hub along in good order, and the next one finds what runs', async t => {
  const hub = await hubFor(t)
  const alice = visitor(hub.origin)
  const served = await notebookOf(alice, 'alice')
  const old = await pidOfHub(hub)
  hub.child.kill('SIGKILL')
  await once(hub.child, 'exit')
  const next = spawn(process.execPath, [program, 'start'], { cwd: hub.folder, stdio: 'ignore' })
  t.after(async () => {
    next.kill('SIGTERM')
    if (next.exitCode === null) await once(next, 'exit')
  })
  for (let tries = 0; ; tries++) {
    const reply = await fetch(`${hub.origin}/hub/health`).catch(() => undefined)
    if (reply?.ok) break
    assert.ok(tries < 300, 'the next one never came up')
    await sleep(100)
  }
  assert.ok(!existsSync(`/proc/${old}`))
  assert.equal((await alice.open('/hub/home')).path, '/hub/home')
  assert.equal(await untilServed(alice, 'alice'), served)
})

test('a config that is bad at the first start: what is wrong, exit code 1, nothing listens, nothing is written', async t => {
  const hub = await startHub(t, config('profils: [],'))
  const [code] = await once(hub.child, 'close')
  assert.equal(code, 1)
  assert.match(hub.output(), /hub\.config\.ts:\d+:\d+ profils: .*did you mean "profiles"/)
  assert.doesNotMatch(hub.output(), / at .*\.js/, 'no stack')
  assert.ok(!existsSync(join(hub.folder, 'data')))
  await assert.rejects(fetch(hub.origin))
})

test('one data folder is for one: a second start is refused at once, and the first goes on', async t => {
  const hub = await hubFor(t)
  const second = await hub.run('start')
  assert.equal(second.code, 1)
  assert.match(second.output, /running already with the data folder/)
  await hub.healthy()
})

test('a second signal ends at once, with exit code 1, and leaves no hub behind', async t => {
  const stubborn = "plugins: [{ name: 'slow', setup: () => () => new Promise(() => {}) }],"
  const hub = await hubFor(t, config().replace(/plugins: .*/, stubborn))
  const pid = await pidOfHub(hub)
  const exit = once(hub.child, 'exit')
  hub.child.kill('SIGTERM')
  await hub.printed(/told to end/)
  hub.child.kill('SIGINT')
  assert.deepEqual(await exit, [1, null])
  while (existsSync(`/proc/${pid}/exe`)) await sleep(20)
})

test('what is not finished when the grace is over is given up, with exit code 1', async t => {
  const stubborn = "plugins: [{ name: 'slow', setup: () => () => new Promise(() => {}) }],"
  const hub = await hubFor(
    t,
    config()
      .replace(/plugins: .*/, stubborn)
      .replace("grace: '5s'", "grace: '500ms'"),
  )
  assert.equal(await hub.end(), 1)
})

test('verbs from another terminal', async t => {
  const hub = await hubFor(t)
  assert.deepEqual(await hub.run('greet', 'hello', '--you', 'and', 'you'), { code: 0, output: 'hello --you and you\n' })
  assert.deepEqual(await hub.run('greet'), { code: 0, output: '  swarmhub greet hello  Greets\n' })
  const unknown = await hub.run('greet', 'bye')
  assert.deepEqual(unknown, { code: 1, output: 'greet has no verb "bye". It has: hello.\n' })
  const nobody = await hub.run('nobody', 'x')
  assert.equal(nobody.code, 1)
  assert.match(nobody.output, /no verb and no plugin "nobody"/)
  assert.match((await hub.run('check')).output, /greet/)
  assert.match((await hub.run('version')).output, /^\d+\.\d+\.\d+\n$/)
  assert.match((await hub.run('--help')).output, /swarmhub restart/)
  await hub.end()
  const after = await hub.run('greet', 'hello')
  assert.deepEqual(after, { code: 1, output: 'No hub is running here. Start one with "swarmhub start".\n' })
})
