import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, program, type RunningHub, startHub } from './running-hub.ts'
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

async function hubFor(t: TestContext, text = config()): Promise<RunningHub> {
  const hub = await startHub(t, text)
  await hub.printed(/swarmhub is at/)
  return hub
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

  // What only the new hub itself can see: the terminal may not have the secrets.
  writeFileSync(file, good.replace("'Greets'", "env('NO_SUCH_SECRET')").replace('{ defineConfig }', '{ defineConfig, env }'))
  const insecure = await hub.run('restart')
  assert.equal(insecure.code, 1)
  assert.match(insecure.output, /hub\.config\.ts:\d+:\d+ .*NO_SUCH_SECRET is not set/)
  await hub.printed(/there is no restart/)
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
  assert.equal(failed.output, 'broken (setup): out of order\n')
  await hub.printed(/the hub is up again/)
  assert.deepEqual(await hub.run('greet', 'hello', 'you'), { code: 0, output: 'hello you\n' })
  assert.match(hub.output(), /going back to the former config/)
})

test('a front that is killed takes its hub along in good order, and the next one finds what runs', async t => {
  let next: ChildProcess | undefined
  // Before the folder goes.
  t.after(async () => {
    if (next?.exitCode === null && next.kill('SIGTERM')) await once(next, 'exit')
  })
  const hub = await hubFor(t)
  const alice = visitor(hub.origin)
  const served = await notebookOf(alice, 'alice')
  const old = await pidOfHub(hub)
  hub.child.kill('SIGKILL')
  await once(hub.child, 'exit')
  next = spawn(process.execPath, [program, 'start'], { cwd: hub.folder, stdio: 'ignore' })
  for (let tries = 0; ; tries++) {
    const reply = await fetch(`${hub.origin}/hub/health`).catch(() => undefined)
    if (reply?.ok) break
    assert.ok(tries < 300, 'the next one never came up')
    await sleep(100)
  }
  assert.ok(!existsSync(`/proc/${old}/exe`))
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
  assert.match(second.output, /running here already/)
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
  assert.match(hub.output(), /a second signal, SIGINT/)
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

test('front and hub apart: over TCP with the secret from a file, and the front goes on without the hub', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'apart-'))
  const [port, hubPort, apiPort] = [await freePort(), await freePort(), await freePort()]
  writeFileSync(join(folder, 'hub.config.ts'), config().replace('$PORT', String(port)).replace('$HUB_PORT', String(hubPort)))
  writeFileSync(join(folder, 'token'), 'a-secret-of-both\n')
  const running: ChildProcess[] = []
  let output = ''
  t.after(async () => {
    for (const child of running) if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
    await rm(folder, { recursive: true })
  })
  const run = (...args: string[]) => {
    const env = { ...process.env, SWARMHUB_ROUTE_TOKEN_FILE: join(folder, 'token') }
    const child = spawn(process.execPath, [program, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    running.push(child)
    return child
  }
  const front = run('front', '--hub', `http://127.0.0.1:${hubPort}`, '--api', `127.0.0.1:${apiPort}`)
  const hub = run('hub', '--front', `http://127.0.0.1:${apiPort}`)
  const origin = `http://127.0.0.1:${port}`
  const untilUp = async () => {
    for (let tries = 0; !(await fetch(`${origin}/hub/health`).catch(() => undefined))?.ok; tries++) {
      assert.ok(tries < 300, `it never came up: ${output}`)
      await sleep(100)
    }
  }
  await untilUp()
  const restart = spawn(process.execPath, [program, 'restart'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  restart.stderr.on('data', chunk => (said += chunk))
  assert.deepEqual(await once(restart, 'close'), [1, null])
  assert.match(said, /runs apart from its front/)

  hub.kill('SIGKILL')
  await once(hub, 'exit')
  assert.equal((await fetch(`${origin}/_chp_healthz`)).status, 200)
  const next = run('hub', '--front', `http://127.0.0.1:${apiPort}`)
  await untilUp()
  for (const child of [next, front]) {
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    assert.deepEqual(await exit, [0, null])
  }
})
