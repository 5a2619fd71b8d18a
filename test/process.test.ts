import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Cause,
  type Close,
  type Context,
  type Handle,
  type Hub,
  labels,
  type Plugin,
  type ServerSpec,
  serverName,
  silent,
} from 'swarmhub'
import { process as processPlugin } from '../plugins/process/index.ts'
import { carrying, startOf } from '../plugins/process/proc.ts'
import { marker } from '../plugins/process/runs.ts'
import { fakeHub } from './roles/hub.ts'
import { testSpawner } from './roles/spawner.ts'

/** Answers HTTP where it is told to, as a notebook does, and starts a child in a session of its own, as a notebook its kernels. */
const notebook = `
const { createServer } = require('node:http')
const { spawn } = require('node:child_process')
spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' })
const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL)
console.log('notebook of ' + process.env.JUPYTERHUB_USER + ' in ' + process.cwd())
if (process.env.STUBBORN) process.on('SIGTERM', () => console.log('no'))
createServer((req, res) => res.end(JSON.stringify(process.env))).listen(Number(port), hostname, () => console.log('listening'))
`
const command = [process.execPath, '-e', notebook]

const context = (signal = new AbortController().signal): Context => ({ log: silent, signal, progress() {} })

/** A spawner with a folder of its own; what it started is gone after the test. */
async function spawnerFor(t: TestContext, plugin: Plugin = processPlugin({ command, grace: '1s' }), given?: Hub) {
  const spawner = plugin.spawner!
  let close: Close | undefined
  // Before the hub's folder goes.
  t.after(async () => {
    for (const { handle } of await spawner.list(context())) await spawner.stop(handle, context())
    await close?.()
  })
  const hub = given ?? fakeHub(t)
  close = (await plugin.setup?.(hub)) as Close
  return { spawner, hub }
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'swarmhub-process-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

let generations = 0
function specFor(name: string, more: Partial<ServerSpec> = {}): ServerSpec {
  const user = { id: `id-${name}`, name, slug: name, admin: false, groups: [], attributes: {} }
  const generation = `g${++generations}`
  return {
    hub: 'test-hub',
    user,
    server: { user: name, name: '' },
    generation,
    name: serverName(name, ''),
    labels: labels('test-hub', user, '', generation),
    env: { JUPYTERHUB_USER: name, JUPYTERHUB_SERVICE_URL: `http://0.0.0.0:8888/user/${name}/` },
    secrets: { JUPYTERHUB_API_TOKEN: 'secret-token' },
    port: 8888,
    path: `/user/${name}/`,
    mounts: [],
    networks: [],
    configs: [],
    secretFiles: [],
    ...more,
  }
}

async function answerOf(target: string): Promise<Record<string, string>> {
  for (let tries = 0; ; tries++) {
    try {
      return (await (await fetch(target)).json()) as Record<string, string>
    } catch (error) {
      if (tries > 200) throw error
      await sleep(25)
    }
  }
}

async function running(spawner: NonNullable<Plugin['spawner']>, handle: Handle): Promise<string> {
  const status = await spawner.poll(handle, context())
  assert.equal(status.state, 'running', JSON.stringify(status))
  return status.state === 'running' ? status.target : ''
}

async function gone(spawner: NonNullable<Plugin['spawner']>, handle: Handle): Promise<Cause> {
  for (;;) {
    const status = await spawner.poll(handle, context())
    if (status.state === 'gone') return status.cause
    await sleep(25)
  }
}

testSpawner('process', async t => {
  const { spawner, hub } = await spawnerFor(t)
  const run = (script: string) => (plain: ServerSpec) => ({ ...plain, command: ['sh', '-c', script] })
  return {
    spawner,
    hub: hub.id,
    spec: plain => plain,
    failing: { exited: run('echo going; exit 3'), killed: run('kill -KILL $$') },
  }
})

test('a server runs as a process in a home of its own, with the environment that the hub made and little of the hub’s', async t => {
  process.env.HUB_SECRET = 'not for notebooks'
  t.after(() => delete process.env.HUB_SECRET)
  const { spawner, hub } = await spawnerFor(t)
  const handle = await spawner.start(specFor('alice'), context())
  const target = await running(spawner, handle)
  const env = await answerOf(target)
  assert.equal(env.JUPYTERHUB_SERVICE_URL, `${target}/user/alice/`)
  assert.equal(env.JUPYTERHUB_API_TOKEN, 'secret-token')
  assert.equal(env.HOME, join(hub.folder, 'homes', 'alice'))
  assert.equal(env.PATH, process.env.PATH)
  assert.equal(env.HUB_SECRET, undefined)
  assert.match(target, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.deepEqual(JSON.parse(JSON.stringify(handle)), handle)
})

test('no file that the spawner keeps holds a secret', async t => {
  const { spawner, hub } = await spawnerFor(t)
  await answerOf(await running(spawner, await spawner.start(specFor('alice'), context())))
  for (const name of readdirSync(hub.folder, { recursive: true, withFileTypes: true })) {
    if (name.isFile()) assert.ok(!readFileSync(join(name.parentPath, name.name), 'utf8').includes('secret-token'), name.name)
  }
})

test('to stop an old generation once more does not touch the new one', async t => {
  const { spawner } = await spawnerFor(t)
  const old = await spawner.start(specFor('alice'), context())
  const handle = await spawner.start(specFor('alice'), context())
  await spawner.stop(old, context())
  await running(spawner, handle)
})

test('another hub process finds what runs, with its labels, and can end it', async t => {
  const { spawner, hub } = await spawnerFor(t)
  const spec = specFor('alice')
  const handle = await spawner.start(spec, context())
  const { spawner: next } = await spawnerFor(t, processPlugin({ command, grace: '1s' }), hub)
  const listed = await next.list(context())
  assert.deepEqual(
    listed.map(({ handle, labels, status }) => ({ handle, labels, state: status.state })),
    [{ handle, labels: spec.labels, state: 'running' }],
  )
  await next.stop(handle, context())
  assert.deepEqual(await next.list(context()), [])
  assert.equal((await gone(spawner, handle)).code, 'missing')
})

test('stop ends the server and all that it started, also in other sessions, and may come twice', async t => {
  const { spawner, hub } = await spawnerFor(t)
  const spec = specFor('alice')
  const handle = await spawner.start(spec, context())
  await answerOf(await running(spawner, handle))
  const mark = `${hub.id}/${handle.name}.${handle.generation}`
  assert.equal((await carrying(marker, mark)).length, 3, 'the wrapper, the notebook and its kernel')
  await spawner.stop(handle, context())
  assert.deepEqual(await carrying(marker, mark), [])
  await spawner.stop(handle, context())
})

test('a server that does not listen to SIGTERM is killed after the grace', async t => {
  const { spawner } = await spawnerFor(t, processPlugin({ command, grace: '200ms' }))
  const handle = await spawner.start(specFor('alice', { env: { ...specFor('alice').env, STUBBORN: '1' } }), context())
  await answerOf(await running(spawner, handle))
  await spawner.stop(handle, context())
  assert.equal(await startOf(Number(handle.pid)), undefined)
})

test('a server that ends by itself is gone, with exit code and last lines, and whoever watches is told', async t => {
  const failing = ['sh', '-c', 'echo one; echo two >&2; exit 7']
  const { spawner } = await spawnerFor(t, processPlugin({ command: failing }))
  const told: Handle[] = []
  const close = await spawner.watch?.(handle => void told.push(handle), context())
  t.after(() => close?.())
  const handle = await spawner.start(specFor('alice'), context())
  const cause = await gone(spawner, handle)
  assert.deepEqual([cause.code, cause.exitCode, cause.log], ['exited', 7, ['one', 'two']])
  assert.match(cause.message, /exit code 7/)
  while (told.length < 2) await sleep(25)
  assert.deepEqual(told, [handle, handle], 'begun, and ended')
})

test('the exit code is known to a hub that was not there when it ended', async t => {
  const { spawner, hub } = await spawnerFor(t, processPlugin({ command: ['sh', '-c', 'exit 3'] }))
  const handle = await spawner.start(specFor('alice'), context())
  await gone(spawner, handle)
  const { spawner: next } = await spawnerFor(t, processPlugin(), hub)
  const [listed] = await next.list(context())
  assert.ok(listed?.status.state === 'gone')
  assert.equal(listed.status.cause.exitCode, 3)
})

test('a server that was killed with its whole group is gone', async t => {
  const { spawner } = await spawnerFor(t)
  const handle = await spawner.start(specFor('alice'), context())
  process.kill(-Number(handle.pid), 'SIGKILL')
  assert.equal((await gone(spawner, handle)).code, 'killed')
})

test('a pid that somebody else has now is not ours, and is left alone', async t => {
  const { spawner } = await spawnerFor(t)
  const handle = { ...(await spawner.start(specFor('alice'), context())) }
  const theirs = { ...handle, generation: 'older', pid: process.pid, started: '1' }
  assert.equal((await spawner.poll(theirs, context())).state, 'gone')
  await spawner.stop(theirs, context())
  await running(spawner, handle)
})

test('a handle that is not one of ours is refused', async t => {
  const { spawner } = await spawnerFor(t)
  for (const handle of [{}, { name: '../../etc', generation: 'g', port: 1, pid: 0, started: '' }, { id: 'x' }])
    await assert.rejects(spawner.stop(handle as Handle, context()), { code: 'invalid' })
})

test('a command that is not on this machine is said at once, with what to do', async t => {
  const { spawner } = await spawnerFor(t)
  const start = spawner.start(specFor('alice', { command: ['no-such-notebook'] }), context())
  await assert.rejects(start, { code: 'failed', message: 'There is no command "no-such-notebook" on this machine.' })
  assert.deepEqual(await spawner.list(context()), [])
})

test('a profile’s command wins over the option', async t => {
  const { spawner } = await spawnerFor(t)
  const handle = await spawner.start(specFor('alice', { command: ['sh', '-c', 'exit 9'] }), context())
  assert.equal((await gone(spawner, handle)).exitCode, 9)
})

test('mounts are links in the home; what stands there already stays', async t => {
  const { spawner, hub } = await spawnerFor(t)
  const home = join(hub.folder, 'homes', 'alice')
  mkdirSync(join(home, 'mine'), { recursive: true })
  writeFileSync(join(home, 'mine', 'file'), 'kept')
  const mounts = [
    { type: 'volume' as const, source: 'vol-1', target: '/home/jovyan/work' },
    { type: 'bind' as const, source: '/usr/share', target: '/srv/share' },
    { type: 'tmpfs' as const, target: '/scratch' },
    { type: 'volume' as const, source: 'vol-2', target: '/home/jovyan/mine' },
  ]
  await spawner.start(specFor('alice', { mounts }), context())
  assert.equal(readlinkSync(join(home, 'work')), join(hub.folder, 'volumes', 'vol-1'))
  assert.equal(readlinkSync(join(home, 'srv', 'share')), '/usr/share')
  assert.ok(existsSync(join(home, 'scratch')))
  assert.equal(readFileSync(join(home, 'mine', 'file'), 'utf8'), 'kept')
})

test('the log is told from its last lines on, and goes on until nobody listens', async t => {
  const { spawner } = await spawnerFor(t)
  const handle = await spawner.start(specFor('alice'), context())
  const stop = new AbortController()
  const lines: string[] = []
  for await (const line of spawner.logs!(handle, context(stop.signal))) {
    lines.push(line)
    if (line === 'listening') stop.abort()
  }
  assert.match(lines[0] ?? '', /^notebook of alice in .*\/homes\/alice$/)
})

test('without a notebook server and told not to get one, the start fails with what to do', async t => {
  const path = process.env.PATH
  process.env.PATH = '/nowhere'
  process.env.SWARMHUB_NO_INSTALL = '1'
  t.after(() => {
    process.env.PATH = path
    delete process.env.SWARMHUB_NO_INSTALL
  })
  const plugin = processPlugin()
  const { spawner, hub } = await spawnerFor(t, plugin)
  const error = await spawner.start(specFor('alice'), context()).catch(error => error)
  assert.match(error.message, /no notebook server .* on this machine/)
  assert.match(error.details.hint, /pip install jupyterhub/)
  assert.ok(!existsSync(join(hub.folder, 'venv')))
  assert.throws(() => plugin.health?.(), /no notebook server/)
})

test('without one on the PATH a virtual environment is made once, and its servers find their own programs first', async t => {
  const path = process.env.PATH
  t.after(() => {
    process.env.PATH = path
  })
  const bin = folderFor(t)
  const server = '#!/bin/sh\\n[ "$1" = --version ] && echo 5.4.6 && exit\\necho "$PATH"\\nexec /bin/sleep 1000\\n'
  const python = `#!/bin/sh
case "$2" in
  venv) /bin/mkdir -p "$3/bin"; /bin/cp "$0" "$3/bin/python3" ;;
  pip) [ -e ${bin}/used ] && exit 1
    echo used > ${bin}/used
    printf '${server}' > "\${0%/*}/jupyterhub-singleuser"; /bin/chmod +x "\${0%/*}/jupyterhub-singleuser" ;;
esac
`
  writeFileSync(join(bin, 'python3'), python, { mode: 0o755 })
  process.env.PATH = bin
  let hub: Hub | undefined
  for (const _ of ['the first hub', 'the next one, which must not ask pip again']) {
    const made = await spawnerFor(t, processPlugin({ grace: '1s' }), hub)
    const { spawner } = made
    hub = made.hub
    const handle = await spawner.start(specFor('alice'), context())
    const stop = new AbortController()
    for await (const line of spawner.logs!(handle, context(stop.signal))) {
      assert.equal(line, `${join(hub.folder, 'venv', 'bin')}:${bin}`)
      stop.abort()
    }
  }
})

test('pip that fails goes on with the next way, and the start page is told', async t => {
  // What a machine without a package index and without apt has.
  const path = process.env.PATH
  t.after(() => {
    process.env.PATH = path
  })
  const bin = folderFor(t)
  writeFileSync(join(bin, 'python3'), '#!/bin/sh\necho "no index"; exit 1\n', { mode: 0o755 })
  writeFileSync(join(bin, 'apt-get'), '#!/bin/sh\necho "no packages"; exit 100\n', { mode: 0o755 })
  process.env.PATH = bin
  const { spawner } = await spawnerFor(t, processPlugin())
  const told: string[] = []
  const start = spawner.start(specFor('alice'), { ...context(), progress: line => void told.push(line) })
  const error = await start.catch(error => error)
  assert.match(error.details.engine, /pip: .*no index/)
  if (process.getuid?.() === 0) assert.match(error.details.engine, /Debian: .*no packages/)
  assert.ok(
    told.some(line => line.includes('pip')),
    told.join('\n'),
  )
})

test('wrong options are refused', () => {
  assert.throws(() => processPlugin({ grace: 'soon' as '1s' }), { code: 'config' })
  assert.throws(() => processPlugin({ homes: '/x' } as object), /homes/)
})
