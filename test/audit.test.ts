import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type AuditEntry, createAudit } from '../core/audit.ts'
import { createLog, silent } from '../core/log.ts'
import { createWeb } from '../core/web/web.ts'
import { type ApiHub, apiHub } from './api-hub.ts'

const folderOf = async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'audit-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
const read = async (path: string) =>
  (await readFile(path, 'utf8'))
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as AuditEntry)
const everything = 1_000_000

// The file

test('audit: one JSON line each, in order, in a file for nobody else; typed names are cut and made visible', async t => {
  const folder = await folderOf(t)
  const audit = createAudit(folder, { size: everything, files: 2, log: silent })
  audit.during({ address: '10.0.0.7\u001b[2J', changes: true }, () => {
    audit.by({ kind: 'user', name: 'ada' })
    audit.record({ action: 'user.create', target: { user: `x\n\u202e${'y'.repeat(200)}` } })
  })
  audit.record({ action: 'server.crash', target: { user: 'ada', server: '' }, details: { cause: 'oom' } })
  await audit.flush()
  const [first, second, ...none] = await read(join(folder, 'audit.jsonl'))
  assert.deepEqual(none, [])
  assert.deepEqual(
    { ...first, time: '' },
    {
      time: '',
      action: 'user.create',
      actor: { kind: 'user', name: 'ada' },
      address: '10.0.0.7\\u{1b}[2J',
      target: { user: `x\\u{a}\\u{202e}${'y'.repeat(61)}` },
      result: 'success',
      details: {},
    },
  )
  assert.equal(second?.actor, null)
  assert.equal((await stat(join(folder, 'audit.jsonl'))).mode & 0o777, 0o600)
})

test('audit: a full file is put aside, the oldest is removed, and reading goes over all of them', async t => {
  const folder = await folderOf(t)
  const audit = createAudit(folder, { size: 400, files: 3, log: silent })
  for (let n = 0; n < 20; n++) {
    audit.record({ action: 'user.create', target: { user: `u${n}` } })
    await audit.flush()
  }
  const files = (await readdir(folder)).sort()
  assert.deepEqual(files.slice(0, 2), ['audit.1.jsonl', 'audit.2.jsonl'])
  assert.ok(files.length <= 3, files.join())
  audit.record({ action: 'user.create', target: { user: 'last' } })
  const { entries, more } = await audit.read({}, 0, 100)
  assert.equal(more, false)
  assert.deepEqual(
    entries.map(({ target }) => target.user),
    ['last', ...entries.slice(1).map((_, index) => `u${19 - index}`)],
  )
  assert.ok(entries.length > 4 && entries.length < 12, `${entries.length} lines are left`)
})

test('audit: a disk that takes nothing keeps nobody from anything, is logged, and gets the lines later', async t => {
  const folder = await folderOf(t)
  const lines: string[] = []
  const log = createLog({ format: 'json', write: line => void lines.push(line) })
  const audit = createAudit(folder, { size: everything, files: 2, log })
  await mkdir(join(folder, 'audit.jsonl'))
  audit.record({ action: 'user.create', target: { user: 'one' } })
  await audit.flush()
  assert.match(lines.join(), /could not be written/)
  await rm(join(folder, 'audit.jsonl'), { recursive: true })
  audit.record({ action: 'user.create', target: { user: 'two' } })
  const { entries } = await audit.read({}, 0, 10)
  assert.deepEqual(
    entries.map(({ target }) => target.user),
    ['two', 'one'],
  )
})

test('audit: lines that are damaged are left out, the others are found', async t => {
  const folder = await folderOf(t)
  const audit = createAudit(folder, { size: everything, files: 2, log: silent })
  audit.record({ action: 'user.create', target: { user: 'one' } })
  await audit.flush()
  await writeFile(join(folder, 'audit.jsonl'), '{"torn\n\n{"time":"x"}\n{"time":"2026-01-', { flag: 'a' })
  const next = createAudit(folder, { size: everything, files: 2, log: silent })
  next.record({ action: 'user.create', target: { user: 'two' } })
  const { entries } = await next.read({}, 0, 10)
  assert.equal(entries.length, 2)
})

test('audit: found by user as actor and as target, by action and by time, page by page', async t => {
  const audit = createAudit(await folderOf(t), { size: everything, files: 2, log: silent })
  const actor = { kind: 'user', name: 'ada' } as const
  audit.record({ action: 'user.create', actor, target: { user: 'bob' } })
  audit.record({ action: 'sign-in', actor: { kind: 'user', name: 'bob' }, target: { user: 'bob' } })
  audit.record({ action: 'user.delete', actor, target: { user: 'carol' } })
  const found = async (filter: Parameters<typeof audit.read>[0], offset = 0, limit = 10) =>
    (await audit.read(filter, offset, limit)).entries.map(({ action }) => action)
  assert.deepEqual(await found({ user: 'ada' }), ['user.delete', 'user.create'])
  assert.deepEqual(await found({ user: 'bob' }), ['sign-in', 'user.create'])
  assert.deepEqual(await found({ user: 'bo' }), [])
  assert.deepEqual(await found({ action: 'sign-in' }), ['sign-in'])
  assert.deepEqual(await found({ from: new Date(Date.now() + 60_000) }), [])
  assert.deepEqual(await found({ until: new Date(Date.now() - 60_000) }), [])
  assert.deepEqual(await found({}, 1, 1), ['sign-in'])
  assert.equal((await audit.read({}, 0, 2)).more, true)
  assert.equal((await audit.read({}, 1, 2)).more, false)
})

// Through the hub

/** The lines that this leaves, without their times. */
async function trailOf(hub: ApiHub, act: () => unknown): Promise<Omit<AuditEntry, 'time'>[]> {
  const before = (await hub.core.audit.read({}, 0, everything)).entries.length
  await act()
  const { entries } = await hub.core.audit.read({}, 0, everything)
  return entries
    .slice(0, entries.length - before)
    .reverse()
    .map(({ time, ...rest }) => rest)
}
const brief = ({ action, actor, target, result }: Omit<AuditEntry, 'time'>) =>
  [actor?.name ?? null, action, ...Object.values(target), result].join(' ')
const from = { 'X-Forwarded-For': '192.0.2.9' }

test('audit: each action by the API leaves its one line, with actor, address and target, and no secret', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  const rows: [method: string, path: string, body: unknown, status: number, lines: string[]][] = [
    ['POST', '/users/bob', undefined, 201, ['ada user.create bob success']],
    ['POST', '/users', { usernames: ['carol', 'dan'] }, 201, ['ada user.create carol success', 'ada user.create dan success']],
    ['PATCH', '/users/bob', { name: 'robert' }, 200, ['ada user.rename bob success']],
    ['PATCH', '/users/robert', { admin: true }, 200, ['ada user.admin robert success']],
    ['PATCH', '/users/robert', { admin: true }, 200, []],
    ['PATCH', '/users/robert', { admin: false }, 200, ['ada user.admin robert success']],
    ['POST', '/users/carol/tokens', { note: 'a note' }, 201, ['ada token.create carol a2 success']],
    ['DELETE', '/users/carol/tokens/a2', undefined, 204, ['ada token.revoke carol a2 success']],
    ['POST', '/users/carol/server', undefined, 201, ['ada server.start carol  success']],
    ['DELETE', '/users/carol/server', undefined, 204, ['ada server.stop carol  success']],
    ['DELETE', '/users/carol/server', undefined, 204, []],
    ['POST', '/users/carol/servers/lab', undefined, 201, ['ada server.start carol lab success']],
    [
      'DELETE',
      '/users/carol/servers/lab',
      { remove: true },
      204,
      ['ada server.stop carol lab success', 'ada server.delete carol lab success'],
    ],
    ['POST', '/users/carol/server', { user_options: { profile: 'none' } }, 400, ['ada server.start carol  failed']],
    ['DELETE', '/users/carol', undefined, 204, ['ada user.delete carol success']],
    ['GET', '/users', undefined, 200, []],
  ]
  for (const [method, path, body, status, lines] of rows) {
    const left = await trailOf(hub, async () => {
      const answer = await hub.send(method, path, { token, body, headers: from })
      assert.equal(answer.status, status, `${method} ${path} ${answer.text}`)
      if (answer.json?.token) secrets.push(answer.json.token)
    })
    assert.deepEqual(left.map(brief), lines, `${method} ${path}`)
    assert.ok(left.every(({ address, actor }) => address === '192.0.2.9' && actor?.kind === 'user'))
  }
  const text = await readFile(join(hub.folder, 'audit.jsonl'), 'utf8')
  for (const secret of [token, ...secrets]) assert.ok(!text.includes(secret), 'no token is in the trail')
})
const secrets: string[] = []

test('audit: who signs in or fails to, who has to wait, and who signs out', async t => {
  const hub = await apiHub(t)
  await hub.core.users.create('bob')
  const ask = (password: string) =>
    hub.send('POST', '/users/bob/tokens', { body: { auth: { username: 'Bob', password } }, headers: from })
  assert.deepEqual((await trailOf(hub, () => ask('a wrong one'))).map(brief), [' sign-in bob denied'])
  const good = await trailOf(hub, () => ask('the shared one'))
  assert.deepEqual(good.map(brief), ['bob sign-in bob success', 'bob token.create bob a1 success'])
  assert.deepEqual(good[0]?.details, { authenticator: 'dummy' })
  const { Cookie } = await hub.browser('bob')
  const web = createWeb(hub.core)
  const out = () => web.request('http://hub.test/hub/logout', { headers: { Cookie, ...from } })
  const left = await trailOf(hub, out)
  assert.deepEqual(left.map(brief), ['bob sign-out bob success'])
  assert.equal(left[0]?.address, '192.0.2.9')
  assert.deepEqual(await trailOf(hub, out), [], 'there is nobody to sign out any more')
  const text = await readFile(join(hub.folder, 'audit.jsonl'), 'utf8')
  assert.doesNotMatch(text, /a wrong one|the shared one/)
})

test('audit: a user’s first sign-in makes the user, by nobody’s hand', async t => {
  const hub = await apiHub(t)
  const left = await trailOf(hub, () =>
    hub.core.logins.password('dummy', { username: 'eve', password: 'the shared one' }, '192.0.2.1'),
  )
  assert.deepEqual(left.map(brief), [' user.create eve success', 'eve sign-in eve success'])
})

test('audit: what somebody may not do is one line, also when it is tried again; reading is none', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('bob')
  await hub.core.users.create('root', { admin: true })
  const helper = await hub.person('root', { scopes: ['admin:users', 'tokens'] })
  const create = () => hub.send('POST', '/users/eve', { token })
  assert.deepEqual((await trailOf(hub, create)).map(brief), ['bob refused eve denied'])
  assert.deepEqual(await trailOf(hub, create), [])
  assert.deepEqual(await trailOf(hub, () => hub.send('GET', '/users', { token })), [])
  const promote = () => hub.send('PATCH', '/users/bob', { token: helper, body: { admin: true } })
  assert.deepEqual((await trailOf(hub, promote)).map(brief), ['root refused denied'])
})

test('audit: a start that fails or is cancelled, and a server that dies by itself', async t => {
  const hub = await apiHub(t)
  const [ada, bob] = [await hub.person('ada', { admin: true }), await hub.person('bob')]
  const start = () => hub.send('POST', '/users/bob/server', { token: bob, headers: from })
  const open = hub.hold('start')
  const cancelled = await trailOf(hub, async () => {
    await start()
    const stopping = hub.send('DELETE', '/users/bob/server', { token: ada, headers: from })
    open()
    await stopping
    await hub.core.servers.get(hub.core.users.get('bob')!, '')!.settled()
  })
  assert.deepEqual(cancelled.map(brief).sort(), ['ada server.stop bob  success', 'bob server.start bob  failed'])
  assert.equal((await start()).status, 201)
  for (const server of hub.made.values())
    server.status = { state: 'gone', cause: { code: 'out-of-memory', message: 'It used too much memory.' } }
  const died = await trailOf(hub, async () => {
    // Noticed in somebody's request, and not their doing.
    const notice = () => {
      hub.core.audit.by({ kind: 'user', name: 'bob' })
      return hub.core.servers.check(server)
    }
    const server = hub.core.servers.get(hub.core.users.get('bob')!, '')!
    await hub.core.audit.during({ address: '192.0.2.9', changes: true }, notice)
    await server.settled()
  })
  assert.deepEqual(
    died.map(({ action, actor, address, details }) => [action, actor, address, details]),
    [['server.crash', null, null, { cause: 'out-of-memory' }]],
  )
  hub.refuse(new Error('no room'))
  assert.deepEqual((await trailOf(hub, start)).map(brief), ['bob server.start bob  failed'])
})

test('audit: opening another’s server is written down, opening one’s own is not', async t => {
  const hub = await apiHub(t)
  for (const name of ['ada', 'bob', 'eve']) await hub.person(name, { admin: name === 'ada' })
  const user = (name: string) => hub.core.users.get(name)!
  const server = await hub.core.servers.start(user('bob'), '', {}, undefined)
  await server.settled()
  const query = new URLSearchParams({
    client_id: 'jupyterhub-user-bob',
    response_type: 'code',
    redirect_uri: '/user/bob/oauth_callback',
  })
  const open = (name: string) => () => hub.core.oauth.authorize(user(name), query, 'a session', [])
  assert.deepEqual((await trailOf(hub, open('ada'))).map(brief), ['ada server.open bob  success'])
  assert.deepEqual((await trailOf(hub, open('eve'))).map(brief), ['eve server.open bob  denied'])
  assert.deepEqual(await trailOf(hub, open('bob')), [])
})

test('audit: what is done on the pages is the visitor’s doing', async t => {
  const hub = await apiHub(t)
  await hub.core.users.create('ada', { admin: true })
  const web = createWeb(hub.core)
  const { Cookie, xsrf } = await hub.browser('ada')
  const post = (path: string, fields: Record<string, string>) => async () => {
    const body = new URLSearchParams({ _xsrf: xsrf, ...fields })
    const headers = { Cookie, Host: 'hub.test', ...from }
    const reply = await web.request(`http://hub.test/hub/${path}`, { method: 'POST', body, headers })
    assert.ok(reply.status < 400, `${path}: ${reply.status} ${await reply.text()}`)
  }
  const rows: [string, Record<string, string>, string[]][] = [
    ['admin/users', { names: 'bob\ncarol' }, ['ada user.create bob success', 'ada user.create carol success']],
    ['admin/users/bob/admin', { admin: '1' }, ['ada user.admin bob success']],
    ['admin/users/bob/delete', { confirm: 'bob' }, ['ada user.delete bob success']],
    ['token', { scopes: 'all', expires: '' }, ['ada token.create ada a1 success']],
    ['token/revoke', { id: '1' }, ['ada token.revoke ada a1 success']],
  ]
  for (const [path, fields, lines] of rows) {
    const left = await trailOf(hub, post(path, fields))
    assert.deepEqual(left.map(brief), lines, path)
    assert.ok(left.every(({ address }) => address === '192.0.2.9'))
  }
  const started = await trailOf(hub, async () => {
    await post('spawn/carol', { profile: 'notebook' })()
    await hub.core.servers.get(hub.core.users.get('carol')!, '')!.settled()
  })
  assert.deepEqual(started.map(brief), ['ada server.start carol  success'])
})

test('audit: a trail that cannot be written fails no action', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  await hub.core.audit.flush()
  await rm(join(hub.folder, 'audit.jsonl'))
  await mkdir(join(hub.folder, 'audit.jsonl'))
  assert.equal((await hub.send('POST', '/users/bob', { token })).status, 201)
  assert.equal((await hub.send('POST', '/users/bob/server', { token })).status, 201)
  assert.equal((await hub.send('DELETE', '/users/bob/server', { token })).status, 204)
  await chmod(hub.folder, 0o700)
})

// Who may read it

test('audit: GET /audit takes both rights, filters, and goes from page to page', async t => {
  const hub = await apiHub(t)
  const token = await hub.person('ada', { admin: true })
  const bob = await hub.person('bob')
  for (const scopes of [['admin-ui'], ['read:users'], ['admin-ui', 'read:users!user=bob'], ['read:hub']]) {
    const less = await hub.person('ada', { scopes })
    const { status } = await hub.send('GET', '/audit', { token: less })
    assert.ok(status === 403 || status === 404, scopes.join())
  }
  assert.equal((await hub.send('GET', '/audit', { token: bob })).status, 403)
  assert.equal((await hub.send('GET', '/audit')).status, 403)
  await hub.core.audit.flush()
  const names = ['u1', 'u2', 'u3', 'u4', 'u5']
  await hub.send('POST', '/users', { token, body: { usernames: names } })

  const seen: string[] = []
  let path: string | undefined = '/audit?limit=2&action=user.create&user=ada'
  for (let pages = 0; path !== undefined; pages++) {
    assert.ok(pages < 4)
    const { json } = await hub.send('GET', path, { token })
    seen.push(...json.items.map(({ target }: AuditEntry) => target.user))
    await hub.send('POST', `/users/later${pages}`, { token })
    path = json.next?.replace('/hub/api', '')
  }
  assert.deepEqual(seen, ['u5', 'u4', 'u3', 'u2', 'u1', 'ada'], 'without what was added meanwhile')
  for (const query of ['limit=0', 'limit=x', 'action=nothing', 'from=yesterday', 'offset=-1'])
    assert.equal((await hub.send('GET', `/audit?${query}`, { token })).status, 400, query)
  assert.deepEqual((await hub.send('GET', '/audit?from=2100-01-01T00:00:00Z', { token })).json, { items: [], next: null })
})

test('audit: the page shows it to who may read it, with what was typed as text', async t => {
  const hub = await apiHub(t)
  for (const name of ['ada', 'bob']) await hub.core.users.create(name, { admin: name === 'ada' })
  await hub.core.logins.password('dummy', { username: '<script>alert(1)</script>', password: 'no' }, '192.0.2.1')
  const web = createWeb(hub.core)
  const get = async (name: string, query = '') => {
    const { Cookie } = await hub.browser(name)
    return web.request(`http://hub.test/hub/admin/audit${query}`, { headers: { Cookie, Host: 'hub.test' } })
  }
  assert.equal((await get('bob')).status, 403)
  const text = await (await get('ada')).text()
  assert.match(text, /&lt;script&gt;alert\(1\)/)
  assert.match(text, /192\.0\.2\.1/)
  assert.match(text, /<option value="sign-in">/)
  assert.match(await (await get('ada', '?action=server.crash')).text(), /Nothing found/)
  assert.match(await (await get('ada', '?user=bob&action=user.create')).text(), /admin false/)
  assert.equal((await get('ada', '?from=nonsense&page=-1&action=%00')).status, 200)
})
