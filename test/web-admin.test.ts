import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hono } from 'hono'
import type { HubEnv } from '../core/plugin.ts'
import { createAuthorize } from '../core/web/authorize.tsx'
import { browse, fakeCore, token } from './fake-core.ts'

const hubOf = () => {
  const core = fakeCore()
  const root = core.addUser('root', { admin: true })
  const alice = core.addUser('alice')
  const helper = core.addUser('helper', { scopes: ['admin-ui', 'list:users', 'admin:users', 'delete:users', 'read:users'] })
  return {
    core,
    records: { root, alice, helper },
    root: browse(core, 'root'),
    alice: browse(core, 'alice'),
    helper: browse(core, 'helper'),
  }
}

// Tokens

test('a token is made from the presets, shown once, and its secret is on no later page', async () => {
  const { core, alice } = hubOf()
  const made = await (await alice.post('/hub/token', { note: 'CI', scopes: 'servers', expires: '30d' })).text()
  assert.match(made, /value="the-secret-of-this-token"/)
  assert.deepEqual(core.calls, [['token', { kind: 'api', note: 'CI', scopes: ['servers!user'], expires: 30 * 86_400_000 }]])
  const later = await (await alice.get('/hub/token')).text()
  assert.doesNotMatch(later, /the-secret/)
  assert.match(later, /CI/)
  assert.match(later, /In 30 days/)
})

test('what the lists do not have makes no token', async () => {
  const { core, alice } = hubOf()
  const wrongs: Record<string, string>[] = [{ scopes: 'admin:users' }, { expires: '100000d' }, { note: 'x'.repeat(201) }]
  for (const wrong of wrongs) assert.equal((await alice.post('/hub/token', { scopes: 'all', expires: '', ...wrong })).status, 400)
  assert.deepEqual(core.calls, [])
})

test('revoking takes one token, or all that an application has; never another user’s, never a server’s own', async () => {
  const { records, alice } = hubOf()
  records.alice.tokens = [
    token({ id: 1 }),
    token({ id: 2 }),
    token({ id: 3, kind: 'oauth', client: 'c1' }),
    token({ id: 4, kind: 'oauth', client: 'c1' }),
    token({ id: 5, kind: 'oauth', client: 'c2' }),
    token({ id: 6, kind: 'server', client: null }),
  ]
  records.root.tokens = [token({ id: 1 })]
  const left = () => records.alice.tokens.map(({ id }) => id)
  await alice.post('/hub/token/revoke', { id: '1' })
  assert.deepEqual(left(), [2, 3, 4, 5, 6])
  await alice.post('/hub/token/revoke', { client: 'c1' })
  assert.deepEqual(left(), [2, 5, 6])
  const others: Record<string, string>[] = [{ id: '6' }, { id: '5' }, { id: '' }, {}]
  for (const fields of others) await alice.post('/hub/token/revoke', fields)
  assert.deepEqual(left(), [2, 5, 6])
  assert.equal(records.root.tokens.length, 1)
})

// Admin

test('the admin page is for who holds admin-ui, and its link too', async () => {
  const { alice, root } = hubOf()
  assert.equal((await alice.get('/hub/admin')).status, 403)
  assert.doesNotMatch(await (await alice.get('/hub/home')).text(), /hub\/admin/)
  const page = await (await root.get('/hub/admin')).text()
  for (const name of ['root', 'alice', 'helper']) assert.ok(page.includes(name))
  const pageOf = async (name: string) => (await root.get(`/hub/admin/users/${name}`)).text()
  assert.match(await pageOf('alice'), /action="\/hub\/admin\/users\/alice\/delete"/)
  assert.doesNotMatch(await pageOf('root'), /action="\/hub\/admin\/users\/root\/delete"/)
})

test('users are searched and paged; with a filtered right only those are listed', async () => {
  const { core, root } = hubOf()
  for (let number = 0; number < 120; number++) core.addUser(`student-${number}`)
  assert.match(await (await root.get('/hub/admin?q=STUDENT')).text(), /1 to 50 of 120/)
  assert.match(await (await root.get('/hub/admin?q=student&page=3')).text(), /101 to 120 of 120/)
  assert.match(await (await root.get('/hub/admin?q=student&page=-7')).text(), /1 to 50 of 120/)
  assert.match(await (await root.get('/hub/admin?q=student&page=999')).text(), /101 to 120/)
  core.server('student-7', '').state = 'running'
  assert.match(await (await root.get('/hub/admin?state=active')).text(), />1 user</)
  core.addUser('tutor', { scopes: ['admin-ui', 'list:users!user=alice'] })
  const page = await (await browse(core, 'tutor').get('/hub/admin')).text()
  assert.match(page, />1 user</)
  assert.doesNotMatch(page, /student-|action="\/hub\/(stop|spawn|admin)\//)
})

test('adding users: one a line, normalised; those that cannot be are named', async () => {
  const { core, root } = hubOf()
  const answer = await root.post('/hub/admin/users', { names: ' Bob \nbob\r\nalice\n\na/b\ncarl' })
  const page = await answer.text()
  assert.equal(answer.status, 400)
  assert.match(page, /already a user “alice”/)
  assert.match(page, /“a\/b” can be nobody’s name/)
  assert.deepEqual(
    core.calls.map(([, name, init]) => [name, init]),
    [
      ['bob', { admin: false }],
      ['carl', { admin: false }],
    ],
  )
  assert.equal((await root.post('/hub/admin/users', { names: 'dora', admin: '1' })).status, 303)
  assert.equal(core.users.get('dora')?.admin, true)
})

test('the right to change users makes nobody an admin, and takes no admin away', async () => {
  const { core, helper, root, alice } = hubOf()
  assert.equal((await helper.post('/hub/admin/users', { names: 'x', admin: '1' })).status, 403)
  assert.equal((await helper.post('/hub/admin/users/helper/admin', { admin: '1' })).status, 403)
  assert.equal((await helper.post('/hub/admin/users/root/admin', { admin: '0' })).status, 403)
  assert.equal((await helper.post('/hub/admin/users/root/delete', { confirm: 'root' })).status, 403)
  assert.equal((await alice.post('/hub/admin/users', { names: 'x' })).status, 403)
  assert.equal((await alice.post('/hub/admin/users/root/delete', { confirm: 'root' })).status, 403)
  assert.equal((await root.post('/hub/admin/users/root/admin', { admin: '0' })).status, 400)
  assert.deepEqual(core.calls, [])
  assert.equal((await root.post('/hub/admin/users/alice/admin', { admin: '1' })).status, 303)
  assert.equal(core.users.get('alice')?.admin, true)
})

test('deleting a user needs the name typed, ends the sessions, and stops the servers first', async () => {
  const { core, root } = hubOf()
  core.addServer('alice', 'lab')
  for (const confirm of ['', 'Alice', 'alice '])
    assert.equal((await root.post('/hub/admin/users/alice/delete', { confirm })).status, 400)
  assert.equal((await root.post('/hub/admin/users/root/delete', { confirm: 'root' })).status, 400)
  assert.equal((await root.post('/hub/admin/users/nobody/delete', { confirm: 'nobody' })).status, 404)
  assert.deepEqual(core.calls, [])
  const answer = await root.post('/hub/admin/users/alice/delete', { confirm: 'alice' })
  assert.equal(answer.headers.get('location'), '/hub/admin')
  assert.deepEqual(core.calls, [
    ['closeAll', 'alice'],
    ['stop', 'alice', '', 'deleted'],
    ['stop', 'alice', 'lab', 'deleted'],
    ['remove', 'alice'],
  ])
})

test('an admin stops another’s server as an admin, and is warned before starting it', async () => {
  const { core, root } = hubOf()
  core.settings.profiles = [...core.settings.profiles, { name: 'b', label: 'B' }]
  core.server('alice', '').state = 'running'
  await root.post('/hub/stop/alice')
  assert.deepEqual(core.calls, [['stop', 'alice', '', 'admin']])
  assert.match(await (await root.get('/hub/spawn/alice')).text(), /belongs to <strong>alice<\/strong>/)
})

// Agreeing to an application

const authorizePath = '/hub/api/oauth2/authorize?client_id=jupyterhub-user-bob%2540x&state=a%26b&client_id=twice'

test('authorize takes the sign-in cookie only, and hands the query on as it came', async () => {
  const { core } = hubOf()
  const app = new Hono().route('/hub/api/oauth2/authorize', createAuthorize(core))
  core.bearers.set('t', { user: 'alice' })
  const visitor = await browse(core, undefined, app).get(authorizePath, { authorization: 'token t' })
  assert.equal(visitor.headers.get('location'), `/hub/login?${new URLSearchParams({ next: authorizePath })}`)
  core.authorization = { kind: 'redirect', location: '/user/alice/oauth_callback?code=c&state=a%26b' }
  const answer = await browse(core, 'alice', app).get(authorizePath)
  assert.equal(answer.status, 302)
  assert.equal(answer.headers.get('location'), '/user/alice/oauth_callback?code=c&state=a%26b')
  const query = 'client_id=jupyterhub-user-bob%2540x&state=a%26b&client_id=twice'
  assert.deepEqual(core.calls, [['authorize', 'alice', query, 'session-of-the-browser', undefined]])
})

test('authorize refuses with a page, never with a redirect', async () => {
  const { core } = hubOf()
  const app = new Hono().route('/hub/api/oauth2/authorize', createAuthorize(core))
  for (const status of [400, 403, 500] as const) {
    core.authorization = { kind: 'refuse', status, message: 'You <may> not.' }
    const answer = await browse(core, 'alice', app).get(authorizePath)
    assert.equal(answer.status, status)
    assert.equal(answer.headers.get('location'), null)
    assert.match(await answer.text(), /You &lt;may&gt; not\./)
  }
})

test('the confirmation says who asks for what; agreeing needs _xsrf and sends the scopes', async () => {
  const { core, records } = hubOf()
  const app = new Hono().route('/hub/api/oauth2/authorize', createAuthorize(core))
  const alice = browse(core, 'alice', app)
  const scopes = ['access:servers!server=root/', 'read:users:name!user=alice']
  const client = {
    id: 'c',
    redirectUri: 'https://app.example/cb',
    description: 'Server at /user/root/',
    allowedScopes: [],
    accessScope: '',
    owner: records.root,
  }
  core.authorization = { kind: 'confirm', client, scopes }
  const answer = await alice.get(authorizePath)
  const page = await answer.text()
  assert.match(page, /Server at \/user\/root\//)
  assert.match(page, /Use root’s server/)
  assert.match(page, /name="scopes" value="access:servers!server=root\/"/)
  assert.match(answer.headers.get('content-security-policy') ?? '', /form-action 'self' https:\/\/app\.example;/)

  assert.equal((await alice.request(authorizePath, { method: 'POST', body: new URLSearchParams({ scopes: 'x' }) })).status, 403)
  core.calls.length = 0
  core.authorization = { kind: 'redirect', location: '/user/root/oauth_callback?code=c' }
  const agreed = await alice.post(
    authorizePath,
    scopes.map(scope => ['scopes', scope] as [string, string]),
  )
  assert.equal(agreed.headers.get('location'), '/user/root/oauth_callback?code=c')
  assert.deepEqual(core.calls[0]?.[4], scopes)
})

test('a plugin’s page of the administration is linked there, for who holds its scope, and for nobody in the bar', async () => {
  const web = new Hono<HubEnv>().get('/nodes', c => c.text('the nodes'))
  const links = [
    { label: 'Nodes', page: 'nodes', scope: 'admin-ui' },
    { label: 'Mine', page: 'mine' },
  ]
  const core = fakeCore({ plugins: [{ name: 'swarm', web, links }] })
  core.addUser('root', { admin: true })
  core.addUser('alice', { scopes: ['list:users', 'list:groups'] })
  const seen = async (who: string, path: string) => {
    const text = await (await browse(core, who).get(path)).text()
    return [...text.matchAll(/href="\/hub\/x\/swarm\/(\w+)"/g)].map(([, page]) => page)
  }
  assert.deepEqual(await seen('root', '/hub/home'), ['mine'])
  assert.deepEqual(await seen('alice', '/hub/home'), ['mine'])
  assert.deepEqual(await seen('root', '/hub/admin/services'), ['mine', 'nodes'])
})
