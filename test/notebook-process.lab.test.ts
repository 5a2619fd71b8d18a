import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { kernel } from './lab/jupyter.ts'
import { noLab } from './lab/lab.ts'
import { startHub } from './running-hub.ts'
import { type Visitor, visitor } from './visitor.ts'

const config = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { poll: '2s' },
})
`

/** Start the default server (with one profile the start page has nothing to ask), wait on the progress page, give the notebook's address. */
async function start(someone: Visitor, user: string): Promise<string> {
  const page = await someone.open('/hub/spawn')
  assert.match(page.path, /^\/hub\/spawn-pending\//)
  for (let i = 0; i < 600; i++) {
    const { reply, path, trail, text } = await someone.open(`/hub/spawn-pending/${user}`)
    if (path.startsWith(`/user/${user}/`)) {
      assert.equal(reply.status, 200, `${trail.join(' → ')}: ${text.slice(0, 500)}`)
      return `/user/${user}/`
    }
    assert.equal(reply.status, 200, path)
    await sleep(100)
  }
  return assert.fail('the server never became ready')
}

test('a real notebook by the process spawner: sign in, start, files, 42, another user, stop, sign out', {
  skip: noLab,
}, async t => {
  const hub = await startHub(t, config)
  await hub.healthy()
  const alice = visitor(hub.origin)

  const wrong = await alice.signIn('alice', 'not this one')
  assert.equal(wrong.reply.status, 403)
  const signedIn = await alice.signIn('alice', 'a good password', '/hub/home')
  assert.equal(signedIn.path, '/hub/home')

  const base = await start(alice, 'alice')
  const files = await alice.ask(`${base}api/contents`, { headers: { accept: 'application/json' } })
  assert.equal(files.status, 200)
  assert.equal(((await files.json()) as { type: string }).type, 'directory')

  const python = await kernel({ url: hub.origin + base, headers: { cookie: alice.cookieFor(base) } })
  t.after(() => python.socket.terminate())
  assert.equal(await python.run('print(6*7)'), '42\n')

  const bob = visitor(hub.origin)
  await bob.signIn('bob', 'a good password', '/hub/home')
  const refused = await bob.open(`${base}api/contents`)
  assert.equal(refused.reply.status, 403)
  const page = await bob.open(`${base}tree`)
  assert.equal(page.reply.status, 403)
  assert.doesNotMatch(page.text, /Untitled|notebook_list/)

  await alice.submit('/hub/home', 'stop', {})
  for (let i = 0; i < 100; i++) {
    const { reply } = await alice.open(`${base}lab`)
    if (reply.status === 424) break
    await sleep(100)
  }
  const stopped = await alice.open(`${base}lab`)
  assert.equal(stopped.reply.status, 424)
  assert.match(stopped.text, /hub\/spawn\/alice/)
  const polled = await alice.ask(`/hub${base}api/kernels`, { headers: { accept: 'application/json' } })
  assert.equal(polled.status, 424)
  assert.match(((await polled.json()) as { message: string }).message, /no longer running/)

  await start(alice, 'alice')
  const before = alice.cookie('jupyterhub-session-id')
  assert.equal((await alice.open(`${base}api/contents`)).reply.status, 200)

  // Signed out from another browser: the notebook has an answer of the hub's that is good for minutes, and a WebSocket is open.
  const elsewhere = visitor(hub.origin)
  await elsewhere.signIn('alice', 'a good password', '/hub/home')
  await elsewhere.open(`${base}tree`)
  const theirs = { url: hub.origin + base, headers: { cookie: elsewhere.cookieFor(base) } }
  const [stolen, own] = [
    await kernel(theirs),
    await kernel({ url: hub.origin + base, headers: { cookie: alice.cookieFor(base) } }),
  ]
  t.after(() => own.socket.terminate())
  assert.equal(await stolen.run('print(1)'), '1\n')
  const cut = once(stolen.socket, 'close')
  const { text } = await alice.open('/hub/sessions')
  const others = [...text.matchAll(/name="session" value="([^"]+)"/g)].map(([, id]) => id!)
  assert.equal(others.length, 2)
  await alice.submit('/hub/sessions', 'sessions/end', { session: others[0]! })
  await cut
  await assert.rejects(kernel(theirs))
  assert.equal(await own.run('print(2)'), '2\n', 'a browser that was not signed out goes on')

  const ownCut = once(own.socket, 'close')
  await alice.open('/hub/logout')
  await ownCut
  const after = await fetch(`${hub.origin}${base}api/contents`, {
    headers: { cookie: alice.cookieFor(base) },
    redirect: 'manual',
  })
  assert.equal(after.status, 403)
  assert.ok(before)
  assert.notEqual(alice.cookie('jupyterhub-session-id'), before)
  assert.equal(await hub.end(), 0)
})

test('the hub is killed while a kernel works: the WebSocket lives, the hub comes back and knows everything', {
  skip: noLab,
}, async t => {
  const hub = await startHub(t, config)
  await hub.healthy()
  const alice = visitor(hub.origin)
  await alice.signIn('alice', 'a good password', '/hub/home')
  const base = await start(alice, 'alice')
  const python = await kernel({ url: hub.origin + base, headers: { cookie: alice.cookieFor(base) } })
  t.after(() => python.socket.terminate())
  assert.equal(await python.run('x = 41; print(x)'), '41\n')

  const children = async () =>
    (await import('node:fs/promises')).readFile(`/proc/${hub.child.pid}/task/${hub.child.pid}/children`, 'utf8')
  const [pid] = (await children()).trim().split(' ').map(Number)
  assert.ok(pid)
  process.kill(pid, 'SIGKILL')
  assert.equal(await python.run('print(x + 1)'), '42\n')
  await hub.printed(/hub is up[\s\S]*hub is up/)
  await hub.healthy()
  assert.equal(await python.run('print(x + 1)'), '42\n')
  assert.equal((await alice.open('/hub/home')).path, '/hub/home')
  assert.equal((await alice.open(`${base}api/contents`)).reply.status, 200)
  const reply = await alice.ask('/hub/api/users/alice', { headers: { accept: 'application/json', 'sec-fetch-mode': 'navigate' } })
  const user = (await reply.json()) as { servers: Record<string, { ready: boolean }> }
  assert.equal(user.servers['']?.ready, true)
  await alice.submit('/hub/home', 'stop', {})
  assert.equal(await hub.end(), 0)
})
