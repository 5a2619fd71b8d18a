import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../core/errors.ts'
import type { Authenticator } from '../core/plugin.ts'
import { settingsHub } from './settings-hub.ts'

test('what the config says of all servers is in each', async t => {
  const hub = await settingsHub(t, {
    servers: { port: 9999, debug: true, userConfig: false, oauthScopes: ['read:servers!user'] },
    overrides: [{ env: { GREETING: user => `Hello ${user.name}` }, rootDir: '/srv' }],
  })
  const alice = await hub.api('alice')
  assert.equal((await alice('POST', '/users/alice/server')).status, 201)
  const { port, env } = [...hub.made.values()][0]!.spec
  assert.deepEqual([port, env.GREETING, env.JUPYTERHUB_ROOT_DIR], [9999, 'Hello alice', '/srv'])
  assert.deepEqual([env.JUPYTERHUB_DEBUG, env.JUPYTERHUB_DISABLE_USER_CONFIG], ['1', '1'])
  assert.equal(env.JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES, '["read:servers!user"]')
  assert.match(env.JUPYTERHUB_SERVICE_URL!, /:9999\//)
})

test('nothing is said of servers unless the config does', async t => {
  const hub = await settingsHub(t)
  const alice = await hub.api('alice')
  await alice('POST', '/users/alice/server')
  const { port, env } = [...hub.made.values()][0]!.spec
  assert.equal(port, 8888)
  assert.equal(env.JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES, '[]')
  for (const name of ['DEBUG', 'DISABLE_USER_CONFIG']) assert.ok(!(`JUPYTERHUB_${name}` in env))
})

test('a form’s function that throws or hangs is a failed start, and the user is not told its words', async t => {
  const hub = await settingsHub(t, {
    timeouts: { hook: '200ms' },
    optionsForm: {
      html: '',
      apply({ how }) {
        if (how === 'broken') throw new Error('the password is 1234')
        if (how === 'hanging') return new Promise(() => {})
      },
    },
  })
  const alice = await hub.api('alice')
  const failure = async (how: string) => {
    const { status, json } = await alice('POST', '/users/alice/server', { how })
    return `${status} ${json.message}`
  }
  assert.match(await failure('broken'), /^500 Something went wrong/)
  assert.match(await failure('hanging'), /^\d+ config \(optionsForm\.apply\) did not finish within 0\.2 seconds/)
  assert.equal(hub.made.size, 0)
  assert.equal((await alice('POST', '/users/alice/server', { how: 'well' })).status, 201)
})

test('limits: named servers by user, when to come again, and how many at once', async t => {
  const hub = await settingsHub(t, {
    limits: { namedServers: user => (user.name === 'alice' ? 1 : 0), servers: 2, retry: ['7s', '7s'] },
  })
  const [alice, bob] = [await hub.api('alice'), await hub.api('bob')]
  assert.equal((await alice('POST', '/users/alice/servers/one')).status, 201)
  assert.equal((await alice('POST', '/users/alice/servers/two')).status, 400)
  assert.equal((await bob('POST', '/users/bob/servers/one')).status, 400)
  assert.equal((await bob('POST', '/users/bob/server')).status, 201)
  const full = await alice('POST', '/users/alice/server')
  assert.deepEqual([full.status, full.headers.get('retry-after')], [429, '7'])
  const browser = await hub.signedIn('bob')
  assert.doesNotMatch((await browser.open('/hub/home')).text, /Name of another server/)
})

test('limits: starts at once, with the time to come again', async t => {
  const hub = await settingsHub(t, { limits: { starts: 1, retry: ['7s', '9s'] }, timeouts: { slow: '50ms', slowStop: '20ms' } })
  const [alice, bob] = [await hub.api('alice'), await hub.api('bob')]
  const open = hub.shut('start')
  assert.equal((await alice('POST', '/users/alice/server')).status, 202)
  const { status, headers } = await bob('POST', '/users/bob/server')
  assert.equal(status, 429)
  assert.ok(['7', '8', '9'].includes(headers.get('retry-after')!), headers.get('retry-after')!)
  open()
})

test('a stop that takes longer than slowStop is answered before its end, whatever slow says', async t => {
  const hub = await settingsHub(t, { timeouts: { slow: '30s', slowStop: '20ms' } })
  const alice = await hub.api('alice')
  assert.equal((await alice('POST', '/users/alice/server')).status, 201)
  const open = hub.shut('stop')
  assert.equal((await alice('DELETE', '/users/alice/server')).status, 202)
  open()
})

test('stopOnExit: the hub that leaves stops its servers; one that is only replaced, and without it, does not', async t => {
  for (const [stopOnExit, leaves, left] of [
    [true, true, 0],
    [true, false, 1],
    [false, true, 1],
  ] as const) {
    const hub = await settingsHub(t, { servers: { stopOnExit } })
    const alice = await hub.api('alice')
    assert.equal((await alice('POST', '/users/alice/server')).status, 201)
    if (leaves) await hub.leave()
    await hub.close()
    assert.equal(hub.made.size, left, `${stopOnExit} ${leaves}`)
  }
})

test('extra routes are in the proxy’s table from the start', async t => {
  const { table } = await settingsHub(t, { extraRoutes: { '/grafana/': 'http://10.0.0.7:3000' } })
  for (let i = 0; i < 100 && table.size === 0; i++) await new Promise(setImmediate)
  assert.equal(table.get('/grafana/')?.target, 'http://10.0.0.7:3000')
})

test('before a start the authenticator is asked again where the config says so, before a stop too; only the start is refused', async t => {
  let known = true
  let asked = 0
  const authenticator: Authenticator = {
    kind: 'password',
    label: 'Sign in',
    check: async ({ username }) => ({ name: username }),
    async refresh({ name }) {
      asked++
      return known ? { name } : null
    },
  }
  const authenticators = [{ name: 'asks', authenticator }]
  const hub = await settingsHub(t, { authenticators, signIn: { refreshBeforeStart: true, refreshBeforeStop: true } })
  const admin = await hub.api('alice')
  assert.equal((await admin('POST', '/users/alice/server')).status, 201)
  assert.equal(asked, 1)
  known = false
  assert.equal((await admin('DELETE', '/users/alice/server')).status, 204)
  assert.equal(asked, 2)
  const refused = await admin('POST', '/users/alice/server')
  assert.equal(refused.status, 403)
  assert.equal(asked, 3)
  assert.equal(hub.made.size, 0)

  known = true
  const lazy = await settingsHub(t, { authenticators })
  const bob = await lazy.api('bob')
  assert.equal((await bob('POST', '/users/bob/server')).status, 201)
  assert.equal((await bob('DELETE', '/users/bob/server')).status, 204)
  assert.equal(asked, 3)
})

test('a redirect loop between hub and server is told after as many rounds as the config says', async t => {
  const hub = await settingsHub(t, { limits: { redirects: 1 } })
  const alice = await hub.api('alice')
  await alice('POST', '/users/alice/server')
  const browser = await hub.signedIn('alice')
  const { reply, text } = await browser.open('/hub/user/alice/lab')
  assert.equal(reply.status, 500)
  assert.match(text, /Redirect loop detected/)
  assert.equal(new HubError('failed', '').status, 500)
})
