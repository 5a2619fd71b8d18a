import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createWeb } from '../core/web/web.ts'
import { apiHub, type Given } from './api-hub.ts'

/** The pages of a whole hub, and browsers that are signed in to it: the administrator root, alice and bob. */
async function adminHub(t: TestContext, given: Given = {}) {
  const hub = await apiHub(t, given)
  for (const [name, admin] of [
    ['root', true],
    ['alice', false],
    ['bob', false],
  ] as const)
    await hub.person(name, { admin })
  const app = createWeb(hub.core)
  const browse = async (name: string) => {
    const { Cookie, xsrf } = await hub.browser(name)
    const headers = { Cookie, Host: 'hub.test', 'x-forwarded-for': '192.0.2.7' }
    const read = async (reply: Response) => ({
      status: reply.status,
      location: reply.headers.get('location'),
      text: await reply.text(),
    })
    return {
      get: async (path: string) => read(await app.request(`/hub/${path}`, { headers })),
      post: async (path: string, fields: Record<string, string> | [string, string][] = {}) => {
        const body = new URLSearchParams([...(Array.isArray(fields) ? fields : Object.entries(fields)), ['_xsrf', xsrf]])
        return read(await app.request(`/hub/${path}`, { method: 'POST', headers, body }))
      },
    }
  }
  const user = (name: string) => hub.core.users.get(name)!
  return { ...hub, browse, user, root: await browse('root'), alice: await browse('alice') }
}

/** What is on the page under one heading. */
const under = (text: string, heading: string) => text.split(`<h2>${heading}</h2>`)[1]?.split('<h2>')[0] ?? ''

test('user page: account, groups with their source, roles with theirs, rights, servers, tokens and browsers', async t => {
  const hub = await adminHub(t, {
    roles: [
      { name: 'watcher', scopes: ['read:hub'], users: ['alice'] },
      { name: 'tutor', scopes: ['list:users!group=class'], groups: ['tutors'] },
      { name: 'admin', groups: ['wheel'] },
    ],
    services: [{ name: 'grades', url: 'http://127.0.0.1:9', access: { groups: ['tutors'] } }],
  })
  const { core, root, user } = hub
  await core.users.groups.set(user('alice').id, ['here'])
  await core.users.groups.tell(user('alice').id, ['tutors'], 'dummy')
  await core.users.update(user('alice').id, draft => {
    draft.identity = { authenticator: 'dummy', id: null }
  })
  const { record } = await core.tokens.create(user('alice').id, { kind: 'api', note: 'at night', scopes: ['servers!user'] })
  core.users.used(user('alice').id, { token: record.id }, new Date(), '192.0.2.9')
  const { status, text } = await root.get('admin/users/alice')
  assert.equal(status, 200)
  assert.match(text, /Signs in by<\/dt><dd>dummy/)
  assert.match(text, />tutors<\/a> <span class="muted">told by dummy</)
  assert.match(text, />here<\/a> <span class="muted">put in here</)
  assert.match(text, /href="\/hub\/admin\/audit\?user=alice"/)
  const roles = under(text, 'Roles and rights')
  assert.match(roles, /user<\/th><td data-label="From where">Everybody has it/)
  assert.match(roles, /watcher<\/th><td data-label="From where">The config gives it to them by name/)
  assert.match(roles, /tutor<\/th><td data-label="From where">Member of the group tutors/)
  assert.match(roles, /Services that say in the config who may use them.*access:services/)
  const together = roles.slice(roles.indexOf('All together'))
  for (const scope of ['list:users', 'read:hub', 'servers', 'access:services'])
    assert.match(together, new RegExp(`<code>${scope}<`))
  assert.match(under(text, 'Servers'), /action="\/hub\/spawn\/alice"/)
  assert.match(under(text, 'Tokens'), /at night.*Start and stop my servers.*192\.0\.2\.9/)
  assert.match(under(text, 'Browsers'), /A browser.*192\.0\.2\.7|A browser.*by dummy/)
  assert.doesNotMatch(text, new RegExp(record.hash.slice(0, 12)))
  assert.match((await root.get('admin/users/root')).text, /Admin<\/dt><dd>Made one by an admin/)
  // Whom a group makes an admin has that role once: by what is written down about them.
  await core.users.groups.add('wheel', [user('root').id])
  assert.equal(under((await root.get('admin/users/root')).text, 'Roles and rights').match(/row">admin</g)?.length, 1)
  assert.equal((await root.get('admin/users/nobody')).status, 404)
})

test('user page: each part and each action is there by a right of its own, for those alone whom it covers', async t => {
  const rights: [name: string, scopes: string[], seen: RegExp[], not: RegExp[]][] = [
    ['names', ['read:users:name!user=alice'], [/<h1>alice/], [/<h2>|Made<|Groups<|Last activity/]],
    ['groups', ['read:users:groups!user=alice'], [/Groups</], [/<h2>|Made<|Last activity/]],
    ['servers', ['read:servers!user=alice'], [/<h2>Servers/], [/spawn\/alice|Tokens<\/h2>|Browsers|Roles/]],
    ['starts', ['read:servers!user=alice', 'start:servers!user=alice'], [/action="\/hub\/spawn\/alice"/], [/Tokens<\/h2>/]],
    ['roles', ['read:roles:users!user=alice'], [/<h2>Roles and rights/], [/Tokens<\/h2>|Browsers|Made</]],
    ['reads', ['read:users:name!user=alice', 'read:tokens!user=alice'], [/<h2>Tokens/], [/users\/alice\/revoke|Browsers/]],
    ['revokes', ['read:users:name!user=alice', 'tokens!user=alice'], [/users\/alice\/revoke/], [/Browsers|rename/]],
    ['changes', ['admin:users!user=alice'], [/Browsers/, /alice\/rename/, /alice\/sign-out/], [/Make an admin|Tokens<\/h2>/]],
  ]
  const roles = rights.map(([name, scopes]) => ({ name, scopes: ['admin-ui', ...scopes], users: [name] }))
  const hub = await adminHub(t, { roles })
  const { core, user, alice, browse } = hub
  const { record } = await core.tokens.create(user('alice').id, { kind: 'api', note: 'n', scopes: [] })
  assert.equal((await alice.get('admin/users/alice')).status, 403)
  const actions: [path: string, fields: Record<string, string>, who: string[]][] = [
    ['admin/users/alice/revoke', { id: '999' }, ['revokes']],
    ['admin/users/alice/sign-out', { session: 'none' }, ['changes']],
    ['admin/users/alice/rename', { name: '' }, ['changes']],
    ['admin/users/alice/admin', { admin: '1' }, []],
    ['admin/users/alice/delete', { confirm: '' }, ['changes']],
  ]
  for (const [name, , seen, not] of rights) {
    const visitor = await browse(name)
    const { status, text } = await visitor.get('admin/users/alice')
    assert.equal(status, 200, name)
    for (const pattern of seen) assert.match(text, pattern, name)
    for (const pattern of not) assert.doesNotMatch(text, pattern, name)
    assert.equal((await visitor.get('admin/users/bob')).status, 404, name)
    for (const [path, fields, who] of actions) {
      const { status } = await visitor.post(path, fields)
      assert.equal(status < 403, who.includes(name), `${name} at ${path}: ${status}`)
      const other = await visitor.post(path.replace('alice', 'bob'), fields)
      assert.ok([403, 404].includes(other.status), `${name} at bob's: ${other.status}`)
    }
  }
  assert.ok(core.tokens.get(user('alice').id, record.id))
})

test('user page: who is no admin ends nothing of an admin, though they hold the scopes for everybody', async t => {
  const { core, user, browse, root } = await adminHub(t, {
    roles: [{ name: 'helper', scopes: ['admin-ui', 'admin:users', 'tokens'], users: ['helper'] }],
  })
  const { record } = await core.tokens.create(user('root').id, { kind: 'api', note: 'of root', scopes: [] })
  const helper = await browse('helper')
  const { text } = await helper.get('admin/users/root')
  assert.match(text, /of root/)
  assert.doesNotMatch(text, /root\/revoke|root\/sign-out|root\/rename|root\/delete|root\/admin"/)
  for (const [path, fields] of [
    ['revoke', { id: String(record.id) }],
    ['sign-out', { all: '1' }],
    ['rename', { name: 'x' }],
    ['delete', { confirm: 'root' }],
    ['admin', { admin: '0' }],
  ] as const)
    assert.equal((await helper.post(`admin/users/root/${path}`, fields)).status, 403, path)
  assert.ok(core.tokens.get(user('root').id, record.id))
  assert.equal(core.sessions.of(user('root').id).length, 1)
  // An admin does, also with another one.
  await core.users.create('other', { admin: true })
  assert.equal((await root.post('admin/users/other/sign-out', { all: '1' })).status, 303)
})

test('user page: a token is revoked and a browser signed out at the very next request; the trail says by whom', async t => {
  const { core, user, root, alice, send, person } = await adminHub(t)
  const token = await person('alice')
  const id = user('alice').tokens.at(-1)!.id
  assert.equal((await send('GET', '/user', { token })).status, 200)
  assert.equal((await root.post('admin/users/alice/revoke', { id: String(id) })).location, '/hub/admin/users/alice')
  assert.equal((await send('GET', '/user', { token })).status, 403)
  assert.equal((await alice.get('home')).status, 200)
  const { text } = await root.get('admin/users/alice')
  const [, session = ''] = /sign-out"><input[^>]*><input type="hidden" name="session" value="([^"]+)"/.exec(text) ?? []
  await root.post('admin/users/alice/sign-out', { session: 'x'.repeat(24) })
  await root.post('admin/users/alice/sign-out')
  assert.equal((await alice.get('home')).status, 200)
  await root.post('admin/users/alice/sign-out', { session })
  assert.equal((await alice.get('home')).location, '/hub/login?next=%2Fhub%2Fhome')
  const trail = async (action: 'token.revoke' | 'sign-out') =>
    (await core.audit.read({ user: 'alice', action }, 0, 10)).entries[0]
  assert.deepEqual((await trail('token.revoke'))?.actor, { kind: 'user', name: 'root' })
  assert.deepEqual((await trail('sign-out'))?.actor, { kind: 'user', name: 'root' })
})

test('user page: renaming keeps the account, and says why it cannot be', async t => {
  const { core, user, root } = await adminHub(t)
  const { id } = user('alice')
  const taken = await root.post('admin/users/alice/rename', { name: 'bob' })
  assert.equal(taken.status, 400)
  assert.match(taken.text, /The name was not changed/)
  assert.equal((await root.post('admin/users/alice/rename', { name: 'a/b' })).status, 400)
  const renamed = await root.post('admin/users/alice/rename', { name: ' Anna ' })
  assert.deepEqual([renamed.status, renamed.location], [303, '/hub/admin/users/anna'])
  assert.equal(core.users.get('anna')?.id, id)
  await core.servers.start(user('anna'), '', {}, undefined)
  assert.match((await root.post('admin/users/anna/rename', { name: 'x' })).text, /is running/)
})

test('sessions: one sees one’s own browsers, and signs out one or all of them', async t => {
  const { core, user, alice, browse } = await adminHub(t)
  const phone = await browse('alice')
  const { text } = await phone.get('sessions')
  assert.equal(text.match(/name="session"/g)?.length, 2)
  assert.equal(text.match(/this one/g)?.length, 1)
  for (const { hash, sessionId } of core.sessions.of(user('alice').id))
    for (const secret of [hash, sessionId]) assert.doesNotMatch(text, new RegExp(secret))
  const others = [...text.matchAll(/name="session" value="([^"]+)"/g)].map(([, value]) => value!)
  // The newest comes first: it is the one that looks.
  assert.equal((await phone.post('sessions/end', { session: others[1]! })).status, 303)
  assert.equal((await alice.get('home')).status, 302)
  assert.equal((await phone.get('home')).status, 200)
  await phone.post('sessions/end', {})
  assert.equal((await phone.get('home')).status, 200)
  await phone.post('sessions/end', { all: '1' })
  assert.equal((await phone.get('home')).status, 302)
  assert.equal(core.sessions.of(user('root').id).length, 1)
})

test('sessions: nobody ends those of others by their own form', async t => {
  const { root, alice, core, user } = await adminHub(t)
  const [session] = core.sessions.of(user('root').id)
  await alice.post('sessions/end', { session: session!.hash.slice(0, 24) })
  assert.equal((await root.get('home')).status, 200)
})

test('services page: only those that the visitor may list, each with its state, rights and how many are signed in', async t => {
  const { core, user, root, alice, browse } = await adminHub(t, {
    services: [
      { name: 'grades', url: 'http://127.0.0.1:9', token: 'x'.repeat(20), scopes: ['list:users'] },
      { name: 'culler', command: ['/bin/true', '--idle'], admin: true },
      { name: 'script', token: 'y'.repeat(20) },
    ],
    roles: [
      { name: 'peeper', scopes: ['admin-ui', 'list:services!service=grades'], users: ['peeper'] },
      { name: 'reporter', scopes: ['read:groups'], services: ['script'] },
    ],
  })
  for (const name of ['alice', 'bob'])
    await core.tokens.create(user(name).id, { kind: 'oauth', client: 'service-grades', scopes: [] })
  core.services.get('grades')!.probe = { at: new Date().toISOString(), why: 'connection refused' }
  assert.equal((await alice.get('admin/services')).status, 403)
  const { text } = await root.get('admin/services')
  const row = (name: string) => text.split('<tr>').find(part => part.includes(`>${name}<`)) ?? ''
  assert.match(row('grades'), /Does not answer.*connection refused.*http:\/\/127\.0\.0\.1:9.*list:users.*2 users.*2 tokens/)
  assert.match(row('culler'), /Run by the hub.*Not running.*\/bin\/true --idle.*Roles: admin/)
  const plain = text.split('<tr>').find(part => part.includes('script<')) ?? ''
  assert.match(plain, /A program with a token.*It has no pages.*Roles: reporter/)
  assert.doesNotMatch(text, /x{20}|y{20}/)
  const peeper = (await (await browse('peeper')).get('admin/services')).text
  assert.match(peeper, /grades/)
  assert.doesNotMatch(peeper, /culler|127\.0\.0\.1|list:users|connection refused/)
})

test('roles page: every role with its rights and who has it by which way; only for who may read all of that', async t => {
  const { core, user, root, alice, browse } = await adminHub(t, {
    roles: [
      { name: 'tutor', description: 'Helps <students>', scopes: ['servers!group=class'], users: ['alice'], groups: ['tutors'] },
      { name: 'part', scopes: ['admin-ui', 'read:roles:users'], users: ['part'] },
    ],
    scopes: { 'custom:grades:read': { description: 'Read grades', subscopes: [] } },
    access: { everyone: true, admins: ['chief'] },
    services: [{ name: 'culler', token: 'x'.repeat(20), admin: true }],
  })
  await core.users.groups.add('tutors', [user('bob').id])
  assert.equal((await alice.get('admin/roles')).status, 403)
  assert.equal((await (await browse('part')).get('admin/roles')).status, 403)
  const { text } = await root.get('admin/roles')
  const row = (name: string) => text.split(`id="role-${name}"`)[1]?.split('</tr>')[0] ?? ''
  assert.match(row('tutor'), /config.*Helps &lt;students&gt;.*alice<\/a> <span class="muted">named in the config.*tutors<\/a>/)
  assert.match(row('tutor'), /For the group class and its members.*<code>delete:servers/)
  assert.doesNotMatch(row('tutor'), /bob/)
  assert.match(row('admin'), /root<\/a> <span class="muted">Made one by an admin.*Service culler/)
  assert.match(row('user'), /Everybody: 5 users.*For oneself alone.*<code>access:servers/)
  assert.match(row('server'), /For the server itself.*<code>access:servers/)
  assert.match(row('token'), /Everything that its owner may do/)
  assert.match(text, /custom:grades:read<\/code>.*Read grades/)
})

test('admin list: ordered by name or by last activity, narrowed by state, and all of it carried along', async t => {
  const { core, user, root, refuse } = await adminHub(t)
  const names = (text: string) => [...text.matchAll(/href="\/hub\/admin\/users\/(\w+)"/g)].map(([, name]) => name)
  core.users.active(user('bob').id, new Date(Date.now() - 5000))
  core.users.active(user('alice').id, new Date(Date.now() - 9000))
  assert.deepEqual(names((await root.get('admin')).text), ['alice', 'bob', 'root'])
  assert.deepEqual(names((await root.get('admin?sort=-name')).text), ['root', 'bob', 'alice'])
  assert.deepEqual(names((await root.get('admin?sort=-activity')).text), ['root', 'bob', 'alice'])
  const { text } = await root.get('admin?sort=activity&q=o')
  assert.deepEqual(names(text), ['bob', 'root'])
  assert.match(text, /aria-sort="ascending"><a class="sort" href="\/hub\/admin\?q=o&amp;sort=-activity"/)
  await (await core.servers.start(user('bob'), '', {}, undefined)).settled()
  refuse(new Error('no room'))
  await (await core.servers.start(user('alice'), '', {}, undefined)).settled()
  for (const [state, found] of [
    ['active', ['bob']],
    ['failed', ['alice']],
    ['stopped', ['alice', 'root']],
    ['pending', []],
    ['nonsense', ['alice', 'bob', 'root']],
  ] as const)
    assert.deepEqual(names((await root.get(`admin?state=${state}`)).text), found, state)
})

test('admin list: several servers are stopped at once, ticked or as found, and only those that one may stop', async t => {
  const { core, user, root, browse } = await adminHub(t, {
    roles: [{ name: 'tutor', scopes: ['admin-ui', 'list:users', 'read:servers', 'delete:servers!user=alice'], users: ['tutor'] }],
  })
  const start = async (name: string) => (await core.servers.start(user(name), '', {}, undefined)).settled()
  const up = () => [...core.servers.active()].map(({ owner }) => owner.name).sort()
  for (const name of ['alice', 'bob']) await start(name)
  const tutor = await browse('tutor')
  const { text } = await tutor.get('admin')
  assert.match(text, /name="server" value="alice\/"/)
  assert.doesNotMatch(text, /value="bob\/"/)
  assert.match(text, /Yes, stop 1 server</)
  assert.equal((await tutor.post('admin/stop', { server: 'bob/' })).status, 400)
  assert.equal((await tutor.post('admin/stop', {})).status, 400)
  assert.deepEqual(up(), ['alice', 'bob'])
  assert.equal((await tutor.post('admin/stop', { all: '1' })).status, 303)
  assert.deepEqual(up(), ['bob'])
  await start('alice')
  const done = await root.post('admin/stop', [
    ['server', 'alice/'],
    ['sort', '-name'],
  ])
  assert.equal(done.location, '/hub/admin?sort=-name')
  assert.deepEqual(up(), ['bob'])
  await start('alice')
  // Of those that the search finds, all; the others go on.
  await root.post('admin/stop', { all: '1', q: 'ali' })
  assert.deepEqual(up(), ['bob'])
  assert.equal((await (await browse('alice')).post('admin/stop', { all: '1' })).status, 403)
})

test('token page: rights are picked from what one has; the page says when it ends and where it was last used from', async t => {
  const { core, user, alice } = await adminHub(t)
  const page = (await alice.get('token')).text
  assert.match(page, /name="scope" value="start:servers!user"/)
  assert.doesNotMatch(page, /value="admin:users/)
  const wrong = await alice.post('token', { scopes: 'all', expires: '', scope: 'admin:users' })
  assert.equal(wrong.status, 400)
  const made = await alice.post('token', [
    ['scopes', 'all'],
    ['expires', ''],
    ['scope', 'start:servers!user'],
    ['scope', 'read:users:name!user'],
  ])
  assert.match(made.text, /It never expires/)
  const record = user('alice').tokens.at(-1)!
  assert.deepEqual([...record.scopes].sort(), ['read:users:name!user', 'start:servers!user'])
  core.users.used(user('alice').id, { token: record.id }, new Date(), '2001:db8::7')
  await core.users.update(user('alice').id, draft => {
    const created = new Date(Date.now() - 30 * 86_400_000).toISOString()
    Object.assign(draft.tokens.at(-1)!, { created, expires: new Date(Date.now() + 3 * 86_400_000).toISOString() })
  })
  assert.match((await alice.get('token')).text, /2001:db8::7.*In 3 days<\/time> <span class="badge">soon/)
})

test('the sections of the administration are on each of its pages, each for who may open it', async t => {
  const { root, browse } = await adminHub(t, {
    roles: [{ name: 'tutor', scopes: ['admin-ui', 'list:users!group=class', 'list:groups'], users: ['tutor'] }],
  })
  const paths = ['admin', 'admin/groups', 'admin/shares', 'admin/services', 'admin/storage', 'admin/roles', 'admin/audit']
  const links = (text: string) =>
    [...(/aria-label="Administration">(.*?)<\/nav>/s.exec(text)?.[1] ?? '').matchAll(/href="\/hub\/([^"]+)"/g)].map(
      ([, at]) => at,
    )
  for (const path of [...paths, 'admin/users/alice']) assert.deepEqual(links((await root.get(path)).text), paths, path)
  assert.deepEqual(links((await (await browse('tutor')).get('admin')).text), ['admin', 'admin/groups'])
})
