import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, labels, type Plugin, type ServerSpec, silent } from 'swarmhub'
import { process as processPlugin } from '../plugins/process/index.ts'
import { carrying } from '../plugins/process/proc.ts'
import { marker } from '../plugins/process/runs.ts'
import { noLab } from './lab/lab.ts'
import { fakeHub } from './roles/hub.ts'

const context = (): Context => ({ log: silent, signal: AbortSignal.timeout(120_000), progress() {} })

test('Debian’s jupyterhub-singleuser is found, runs, starts a kernel, and leaves nothing behind when it is stopped', {
  skip: noLab,
}, async t => {
  // As much of a hub as a notebook needs to come up and to know its user.
  const api = createServer((req, res) => {
    res.setHeader('X-JupyterHub-Version', '5.4.6').setHeader('Content-Type', 'application/json')
    const alice = { kind: 'user', name: 'alice', admin: false, groups: [], scopes: ['access:servers!server=alice/'] }
    res.end(JSON.stringify(req.url === '/hub/api/user' ? alice : { version: '5.4.6' }))
  })
  await new Promise<void>(resolve => api.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/hub/api`
  t.after(() => api.close().closeAllConnections())

  const { spawner, setup }: Required<Pick<Plugin, 'spawner' | 'setup'>> = processPlugin({ install: false })
  const user = { id: 'a', name: 'alice', slug: 'alice', admin: false, groups: [], attributes: {} }
  const spec: ServerSpec = {
    hub: 'test-hub',
    user,
    server: { user: 'alice', name: '' },
    generation: 'real',
    name: 'alice',
    labels: labels('test-hub', user, '', 'real'),
    env: {
      JUPYTERHUB_CLIENT_ID: 'jupyterhub-user-alice',
      JUPYTERHUB_USER: 'alice',
      JUPYTERHUB_SERVER_NAME: '',
      JUPYTERHUB_API_URL: url,
      JUPYTERHUB_ACTIVITY_URL: `${url}/users/alice/activity`,
      JUPYTERHUB_BASE_URL: '/',
      JUPYTERHUB_SERVICE_PREFIX: '/user/alice/',
      JUPYTERHUB_SERVICE_URL: 'http://0.0.0.0:8888/user/alice/',
      JUPYTERHUB_OAUTH_CALLBACK_URL: '/user/alice/oauth_callback',
      JUPYTERHUB_OAUTH_SCOPES: '["access:servers!server=alice/"]',
      JUPYTERHUB_OAUTH_ACCESS_SCOPES: '["access:servers!server=alice/"]',
    },
    secrets: { JUPYTERHUB_API_TOKEN: 'secret-token', JPY_API_TOKEN: 'secret-token' },
    port: 8888,
    path: '/user/alice/',
    mounts: [],
    networks: [],
    configs: [],
    secretFiles: [],
  }
  t.after(async () => {
    for (const { handle } of await spawner.list(context())) await spawner.stop(handle, context())
  })
  const hub = fakeHub(t)
  const close = await setup(hub)
  t.after(() => close?.())
  const handle = await spawner.start(spec, context())

  const ask = async (method: string, path: string): Promise<Response> => {
    for (;;) {
      const status = await spawner.poll(handle, context())
      assert.equal(status.state, 'running', JSON.stringify(status))
      try {
        const target = status.state === 'running' ? status.target : ''
        return await fetch(`${target}/user/alice/${path}`, { method, headers: { authorization: 'token x' } })
      } catch {
        await sleep(200)
      }
    }
  }
  const files = await ask('GET', 'api/contents')
  assert.equal(files.status, 200, await files.text())
  const kernel = await ask('POST', 'api/kernels')
  assert.equal(kernel.status, 201, await kernel.text())
  const mark = `test-hub/${handle.name}.${handle.generation}`
  while ((await carrying(marker, mark)).length < 3) await sleep(100)

  await spawner.stop(handle, context())
  assert.deepEqual(await carrying(marker, mark), [])
  assert.deepEqual(await spawner.list(context()), [])
})
