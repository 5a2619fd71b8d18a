import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attacked, attackedHub } from './hostile.ts'

/** A hub with a notebook that runs. */
async function busyHub(t: TestContext) {
  const hub = await attackedHub(t)
  const { env } = await hub.notebook('alice')
  const notebook = async () => {
    const reply = await fetch(env.JUPYTERHUB_SERVICE_URL!, { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
    return reply && (await reply.text()).startsWith('notebook of alice')
  }
  return { hub, root: await hub.token('root'), notebook }
}

async function ended({ child }: Attacked) {
  if (child.exitCode === null) await new Promise(resolve => child.once('exit', resolve))
  return child.exitCode
}

test('shutdown: hub and front end in good order, after the answer; notebooks go on', async t => {
  const { hub, root, notebook } = await busyHub(t)
  const { status, json } = await hub.api(root, 'POST', '/shutdown')
  assert.deepEqual([status, json], [202, { message: 'Shutting down Hub' }])
  assert.equal(await ended(hub), 0)
  assert.equal(await notebook(), true)
})

test('shutdown with servers: they are stopped before the hub ends', async t => {
  const { hub, root, notebook } = await busyHub(t)
  assert.equal((await hub.api(root, 'POST', '/shutdown', { servers: true })).status, 202)
  assert.equal(await ended(hub), 0)
  assert.equal(await notebook(), undefined)
})

test('shutdown without the proxy: the hub ends for good, the front serves the notebooks, and restart brings the next hub', async t => {
  const { hub, root } = await busyHub(t)
  assert.equal((await hub.api(root, 'POST', '/shutdown', { proxy: false })).status, 202)
  await hub.printed(/its front goes on/)
  while ((await hub.pids()).hub !== 0) await sleep(25)
  assert.match(await (await fetch(`${hub.origin}/user/alice/`)).text(), /^notebook of alice/)
  assert.equal((await fetch(`${hub.origin}/_chp_healthz`)).status, 200)
  const { code, output } = await hub.run('restart')
  assert.equal(code, 0, output)
  assert.equal((await hub.api(root, 'GET', '/users/alice')).json.servers[''].ready, true)
})
