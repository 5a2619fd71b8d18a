import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createAuthorize } from '../core/web/authorize.tsx'
import { createWeb } from '../core/web/web.ts'
import { apiHub, type Given } from './api-hub.ts'

const sharing = [{ name: 'user', scopes: ['self', 'shares!user', 'read:users:name', 'read:groups:name'] }]

/** The pages of a hub with root, alice and her servers, bob in the group `a class`, and carol; each in a browser. */
async function sharingHub(t: TestContext, given: Given = { roles: sharing }) {
  const hub = await apiHub(t, given)
  for (const name of ['root', 'alice', 'bob', 'carol']) await hub.person(name, { admin: name === 'root' })
  const user = (name: string) => hub.core.users.get(name)!
  await hub.core.servers.describe(user('alice'), 'lab', () => {})
  await hub.core.users.groups.create(['a class'], [user('bob').id])
  const app = createWeb(hub.core)
  const authorize = createAuthorize(hub.core)
  const browse = async (name: string) => {
    const { Cookie, xsrf } = await hub.browser(name)
    const headers = { Cookie, Host: 'hub.test' }
    const read = async (reply: Response) => ({
      status: reply.status,
      location: reply.headers.get('location'),
      text: await reply.text(),
    })
    return {
      get: async (path: string) => read(await app.request(`/hub/${path}`, { headers })),
      post: async (path: string, fields: Record<string, string> = {}, _xsrf = xsrf) =>
        read(await app.request(`/hub/${path}`, { method: 'POST', headers, body: new URLSearchParams({ ...fields, _xsrf }) })),
      authorize: async (query: string) => read(await authorize.request(`/?${query}`, { headers })),
    }
  }
  const [root, alice, bob, carol] = [await browse('root'), await browse('alice'), await browse('bob'), await browse('carol')]
  const link = async (fields: Record<string, string> = {}) => {
    const { text } = await alice.post('share-link/alice/lab', { level: 'use', expires: '1h', ...fields })
    return /accept-share\?code=([\w-]{43})/.exec(text)![1]!
  }
  const shared = (owner = 'alice') =>
    hub.core.shares
      .of(user(owner))
      .map(({ server, record }) => [server, hub.core.shares.nameOf(record.grantee), ...record.scopes])
  return { ...hub, user, root, alice, bob, carol, link, shared }
}

test('web shares: a server is shared with a user and with a group, seen, and taken back', async t => {
  const { alice, bob, carol, shared } = await sharingHub(t)
  assert.match((await alice.get('home')).text, /href="\/hub\/share\/alice\/lab"/)
  const made = await alice.post('share/alice/lab', { kind: 'user', name: ' Bob ', level: 'use' })
  assert.deepEqual([made.status, made.location], [303, '/hub/share/alice/lab'])
  assert.equal((await alice.post('share/alice/lab', { kind: 'group', name: 'a class', level: 'manage' })).status, 303)
  assert.equal((await alice.post('share/alice', { kind: 'user', name: 'carol', level: 'start' })).location, '/hub/share/alice')
  assert.deepEqual(shared(), [
    ['lab', 'bob', 'access:servers'],
    ['lab', 'a class', 'access:servers', 'servers'],
    ['', 'carol', 'access:servers', 'read:servers', 'start:servers'],
  ])
  const page = (await alice.get('share/alice/lab')).text
  assert.match(page, /aria-label="Stop sharing with bob"/)
  assert.match(page, /a class <span class="muted">\(group\)/)
  assert.match(page, /Use, start, stop and delete it/)
  assert.doesNotMatch(page, /carol/)
  assert.equal((await carol.get('share/alice/lab')).status, 404, 'with whom it is shared is for its owner to know')

  const seen = (await bob.get('home')).text
  assert.match(seen, /Shared with you/)
  assert.match(seen, /alice’s server “lab”/)
  assert.match(seen, /as a member of a class/)
  assert.equal(seen.match(/action="\/hub\/leave\/alice\/lab"/g)?.length, 1, 'what comes by the group cannot be left')
  assert.equal((await bob.post('leave/alice/lab')).location, '/hub/home')
  assert.deepEqual(
    shared().map(([, name]) => name),
    ['a class', 'carol'],
  )
  assert.match((await carol.get('home')).text, /aria-label="Start alice’s server"/)

  assert.equal((await alice.post('unshare/alice/lab', { kind: 'group', name: 'a class' })).location, '/hub/share/alice/lab')
  assert.deepEqual(
    shared().map(([, name]) => name),
    ['carol'],
  )
  assert.doesNotMatch((await bob.get('home')).text, /Shared with you/)
})

test('web shares: what cannot be is said on the page with what was typed, and nothing is shared', async t => {
  const { alice, shared } = await sharingHub(t)
  const wrong = await alice.post('share/alice/lab', { kind: 'user', name: '<img src=x>', level: 'start' })
  assert.equal(wrong.status, 400)
  assert.match(wrong.text, /There is no user/)
  assert.match(wrong.text, /value="&lt;img src=x&gt;"/)
  assert.match(wrong.text, /value="start" selected/)
  assert.doesNotMatch(wrong.text, /<img src=x/)
  for (const fields of [
    { kind: 'group', name: 'nothing', level: 'use' },
    { kind: 'user', name: 'bob', level: 'everything' },
    { kind: 'user', name: '', level: 'use' },
  ])
    assert.equal((await alice.post('share/alice/lab', fields)).status, 400)
  assert.equal((await alice.post('share-link/alice/lab', { level: 'use', expires: '10y' })).status, 400)
  assert.equal((await alice.post('share/alice/lab', { kind: 'user', name: 'bob', level: 'use' }, 'forged')).status, 403)
  assert.equal((await alice.post('share-link/alice/lab', { level: 'use', expires: '1h' }, 'forged')).status, 403)
  assert.equal((await alice.get('share/alice/none')).status, 404)
  assert.equal((await alice.post('share/alice/none', { kind: 'user', name: 'bob', level: 'use' })).status, 404)
  assert.deepEqual(shared(), [])
})

test('web shares: by default users may not share, and find no link to it', async t => {
  const { core, alice, bob, root, user, shared } = await sharingHub(t, {})
  assert.doesNotMatch((await alice.get('home')).text, /hub\/share/)
  for (const path of ['share/alice', 'share-link/alice/lab', 'unshare/alice/lab'])
    assert.equal((await alice.post(path, { kind: 'user', name: 'bob', level: 'use', expires: '1h' })).status, 403, path)
  assert.equal((await bob.get('share/alice/lab')).status, 404)
  for (const path of ['share/alice', 'share-link/alice/lab', 'unshare/alice/lab'])
    assert.equal((await bob.post(path, { kind: 'user', name: 'bob', level: 'use', expires: '1h' })).status, 403, path)
  // What an administrator shares its owner sees; and others cannot tell it from what is not.
  assert.equal((await root.post('share/alice/lab', { kind: 'user', name: 'bob', level: 'use' })).status, 303)
  assert.deepEqual(shared(), [['lab', 'bob', 'access:servers']])
  assert.match((await alice.get('home')).text, /href="\/hub\/share\/alice\/lab"/)
  const page = (await alice.get('share/alice/lab')).text
  assert.match(page, /bob/)
  assert.doesNotMatch(page, /Revoke|Make a link|name="kind"/)
  assert.equal((await bob.post('unshare/alice/lab', { kind: 'user', name: 'bob' })).status, 403)
  assert.equal(core.shares.of(user('alice')).length, 1)
})

test('web shares: who may not read names shares by link alone', async t => {
  const { alice, shared } = await sharingHub(t, { roles: [{ name: 'user', scopes: ['self', 'shares!user'] }] })
  const { text } = await alice.get('share/alice/lab')
  assert.doesNotMatch(text, /name="kind"/)
  assert.match(text, /Make a link/)
  const known = await alice.post('share/alice/lab', { kind: 'user', name: 'bob', level: 'use' })
  const unknown = await alice.post('share/alice/lab', { kind: 'user', name: 'nobody', level: 'use' })
  assert.deepEqual([known.status, unknown.status, shared()], [403, 403, []])
})

test('web shares: a link is shown once; who opens it is asked first, and goes on to the server', async t => {
  const { core, alice, bob, carol, link, shared, user } = await sharingHub(t)
  const code = await link({ level: 'start' })
  const page = (await alice.get('share/alice/lab')).text
  assert.match(page, /Link 1/)
  assert.equal(page.includes(code), false)
  assert.equal((await alice.get(`accept-share?code=${code}`)).status, 403, 'one’s own')

  const asked = await bob.get(`accept-share?code=${code}`)
  assert.equal(asked.status, 200)
  assert.match(asked.text, /Invitation from alice/)
  assert.match(asked.text, /Use and start it/)
  assert.match(asked.text, /does not run/)
  assert.deepEqual(shared(), [], 'opening it accepts nothing')
  for (const [fields, xsrf] of [
    [{ code }, 'forged'],
    [{ code: 'guessed' }, undefined],
    [{}, undefined],
  ] as const)
    assert.ok([403, 404].includes((await bob.post('accept-share', fields, xsrf)).status))
  assert.deepEqual(shared(), [])
  assert.equal((await alice.post('accept-share', { code })).status, 403)
  const accepted = await bob.post('accept-share', { code })
  assert.deepEqual([accepted.status, accepted.location], [303, '/user/alice/lab/'])
  assert.deepEqual(shared(), [['lab', 'bob', 'access:servers', 'read:servers', 'start:servers']])
  assert.equal((await carol.post('accept-share', { code, next: '/user/alice/lab/tree' })).location, '/user/alice/lab/tree')
  for (const next of ['//evil', 'https://evil.test/', '/\\evil', 'javascript:alert(1)'])
    assert.match((await carol.post('accept-share', { code, next })).location!, /^\/(user\/alice\/lab\/$|%5Cevil$)/, next)
  const quoted = await bob.get(`accept-share?code=${code}&next=${encodeURIComponent('/hub/"><img src=x onerror=1>')}`)
  assert.doesNotMatch(quoted.text, /<img src=x/)

  assert.equal((await alice.post('unshare/alice/lab', { link: 'sc_1' })).status, 303)
  for (const at of ['accept-share', `accept-share?code=${code}`]) assert.equal((await bob.get(at)).status, 404)
  assert.equal((await bob.post('accept-share', { code })).status, 404)
  assert.equal(core.shares.of(user('alice')).length, 2, 'who has accepted keeps it')
})

test('web shares: who is not signed in signs in first and comes back to the invitation', async t => {
  const { core, link } = await sharingHub(t)
  const code = await link()
  const reply = await createWeb(core).request(`/hub/accept-share?code=${code}`, { headers: { Host: 'hub.test' } })
  assert.equal(reply.status, 302)
  const to = new URL(reply.headers.get('location')!, 'http://hub.test')
  assert.deepEqual([to.pathname, to.searchParams.get('next')], ['/hub/login', `/hub/accept-share?code=${code}`])
})

test('web shares: a shared server opens after a question; not the owner’s others, and not after it is taken back', async t => {
  const { core, alice, bob, carol, user } = await sharingHub(t)
  await (await core.servers.start(user('alice'), 'lab', {}, undefined)).settled()
  const query = new URLSearchParams({
    client_id: 'jupyterhub-user-alice-lab',
    redirect_uri: '/user/alice/lab/oauth_callback',
    response_type: 'code',
    state: 'x',
  }).toString()
  assert.equal((await bob.authorize(query)).status, 403)
  await alice.post('share/alice/lab', { kind: 'group', name: 'a class', level: 'use' })
  const confirm = await bob.authorize(query)
  assert.equal(confirm.status, 200)
  assert.match(confirm.text, /Allow access\?/)
  assert.equal((await carol.authorize(query)).status, 403)
  assert.match((await bob.get('home')).text, /href="\/user\/alice\/lab\/"/)
  assert.equal((await bob.get('user/alice/lab/tree')).status, 302, 'back to the server')
  assert.equal((await bob.get('user/alice/tree')).status, 404, 'the default server is not shared')
  await core.servers.stop(user('alice'), 'lab', 'user')
  const stopped = await bob.get('user/alice/lab/tree')
  assert.equal(stopped.status, 424)
  assert.match(stopped.text, /Ask them to start it/)
  assert.equal((await bob.get('spawn/alice/lab')).status, 404)
  await alice.post('unshare/alice/lab', { kind: 'group', name: 'a class' })
  assert.equal((await bob.authorize(query)).status, 400, 'it does not run')
  assert.equal((await bob.get('user/alice/lab/tree')).status, 404)
})

test('web shares: who has the default server alone learns nothing of a named one', async t => {
  const { alice, bob } = await sharingHub(t)
  await alice.post('share/alice', { kind: 'user', name: 'bob', level: 'use' })
  assert.equal((await bob.get('user/alice/tree')).status, 424)
  assert.equal((await bob.get('user/alice/lab/tree')).status, 404)
})

test('web shares: the administrators’ list has every share and link, found by any name, and takes back', async t => {
  const { root, alice, link, shared } = await sharingHub(t)
  await alice.post('share/alice/lab', { kind: 'user', name: 'bob', level: 'use' })
  await alice.post('share/alice', { kind: 'group', name: 'a class', level: 'start' })
  const code = await link()
  const all = (await root.get('admin/shares')).text
  assert.match(all, /3 shares/)
  assert.equal(all.includes(code), false)
  assert.match((await root.get('admin')).text, /href="\/hub\/admin\/shares"/)
  assert.match((await root.get('admin/shares?q=BOB')).text, /1 share</)
  assert.match((await root.get('admin/shares?q=class')).text, /1 share</)
  assert.match((await root.get('admin/shares?q=nothing')).text, /Nothing is shared/)
  const gone = await root.post('unshare/alice/lab', { kind: 'user', name: 'bob', next: '/hub/admin/shares?q=bob' })
  assert.deepEqual([gone.status, gone.location], [303, '/hub/admin/shares?q=bob'])
  assert.deepEqual(shared(), [['', 'a class', 'access:servers', 'read:servers', 'start:servers']])
  assert.equal((await alice.get('admin/shares')).status, 403)
})

test('web shares: who has admin-ui sees the shares that they may see, and no others', async t => {
  const { core, user, browser } = await sharingHub(t, {
    roles: [{ name: 'tutor', scopes: ['admin-ui', 'read:shares!group=a class'], users: ['tutor'] }],
  })
  for (const name of ['alice', 'bob'])
    await core.shares.grant(user(name), '', { kind: 'user', id: user('carol').id }, ['access:servers'])
  const { Cookie } = await browser('tutor')
  const reply = await createWeb(core).request('/hub/admin/shares', { headers: { Cookie, Host: 'hub.test' } })
  const text = await reply.text()
  assert.match(text, /1 share</)
  assert.match(text, /href="\/hub\/share\/bob"/)
  assert.doesNotMatch(text, /Revoke|alice/)
})
