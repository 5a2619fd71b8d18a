import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Context, guardHeaders, silent } from 'swarmhub'
import { type HeaderOptions, header } from '../plugins/header/index.ts'
import { startFront } from './http-proxy-front.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { ask, serveHttp, upgrade } from './roles/loopback.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const from = ['127.0.0.1']
const context: Context = { log: silent, signal: AbortSignal.timeout(60_000), progress() {} }

testAuthenticator('header', 'request', () => ({
  authenticator: header({ from }).authenticator,
  headers: { 'remote-user': 'alice' },
  name: 'alice',
}))

const json = { header: 'X-User', json: 'who.name' }
testAuthenticator('header of JSON', 'request', () => ({
  authenticator: header({ from, user: { ...json, pattern: /([a-z]+)@example\.org/ }, id: { header: 'X-User', json: 'sub' } })
    .authenticator,
  headers: { 'x-user': '{"sub":17,"who":{"name":"alice@example.org"}}' },
  name: 'alice',
}))

const identify = (options: Partial<HeaderOptions>, headers: Record<string, string>) =>
  header({ from, ...options }).authenticator.identify(new Map(Object.entries(headers)))
const bytes = (text: string) => Buffer.from(text).toString('latin1')

test('a name, an id, groups and attributes are read from where the config says, and from nowhere else', () => {
  const options: Partial<HeaderOptions> = {
    id: 'X-Id',
    groups: 'Remote-Groups',
    admins: ['ops'],
    attributes: { mail: 'Remote-Email', none: 'X-None' },
  }
  const sent = {
    'remote-user': bytes('Zoë'),
    'x-id': '17',
    'remote-groups': 'a, b ,,ops',
    'remote-email': 'z@x.test',
    other: 'x',
  }
  assert.deepEqual(identify(options, sent), {
    name: 'Zoë',
    id: '17',
    groups: ['a', 'b', 'ops'],
    admin: true,
    attributes: { mail: 'z@x.test' },
  })
  assert.deepEqual(identify(options, { 'remote-user': 'a', 'x-id': '1' }), {
    name: 'a',
    id: '1',
    groups: [],
    admin: false,
    attributes: {},
  })
  assert.equal(identify(options, { 'remote-user': 'a' }), null, 'without its id it could be anybody')
  assert.deepEqual(identify({}, { 'remote-user': 'a' }), { name: 'a', attributes: {} })
  const list = { header: 'X-Json', json: 'groups' }
  assert.deepEqual(identify({ groups: list }, { 'remote-user': 'a', 'x-json': '{"groups":["x",7,"y,z"]}' })?.groups, ['x', 'y,z'])
})

test('a part of a header counts only when all of it is as it should be', () => {
  const user = { header: 'X-Subject', pattern: /.*,CN=([a-z]+)/ }
  assert.equal(identify({ user }, { 'x-subject': 'O=Acme,CN=alice' })?.name, 'alice')
  for (const no of ['O=Acme,CN=alice,OU=x', 'CN=alice', 'O=A,CN=', 'O=A,CN=alice\n', 'O=A,CN=ALICE'])
    assert.equal(identify({ user }, { 'x-subject': no }), null, no)
  for (const no of [
    '{',
    '[]',
    'null',
    '"alice"',
    '{"who":null}',
    '{"who":{"name":{}}}',
    '{"who":{"name":["a"]}}',
    '{"who.name":"a"}',
  ])
    assert.equal(identify({ user: json }, { 'x-user': no }), null, no)
  assert.equal(identify({ user: { header: 'X', json: '__proto__.constructor.name' } }, { x: '{}' }), null)
})

test('options that cannot be meant stop the start', () => {
  for (const [wrong, where] of [
    [{ from: [] }, /header\.from: expected at least one/],
    [{ from: ['proxy.example.org'] }, /header\.from\[0\]: expected an address/],
    [{ user: 'Remote_User' }, /header\.user.*never believed/],
    [{ user: 'X-Forwarded-For' }, /header\.user/],
    [{ user: 'Cookie' }, /header\.user/],
    [{ user: { header: 'X', pattern: /alice/ } }, /exactly one group/],
    [{ user: { header: 'X', pattern: /(a)(b)/ } }, /exactly one group/],
    [{ admins: ['x'] }, /header\.admins: say in groups/],
    [{ env: { EMAIL: 'mail' } }, /header\.env\.EMAIL: there is no "mail"/],
    [{ attributes: { mail: 'X' }, env: { JUPYTERHUB_USER: 'mail' } }, /header\.env/],
    [{ allowed_headers: {} }, /unknown key/],
  ] as const)
    assert.throws(() => header({ from, ...wrong } as HeaderOptions), { code: 'config', message: where })
})

test('attributes become variables of the server, as the config says, and nothing else does', async () => {
  const { hooks } = header({ from, attributes: { mail: 'X-Mail', uid: 'X-Uid' }, env: { EMAIL: 'mail', WHO: 'uid' } })
  const draft = { env: { HOME: '/' } }
  const spawn = { user: { attributes: { mail: 'a@x.test', uid: 7, HOME: 'x' } }, draft } as unknown as Parameters<
    (typeof hooks)['before:spawn']
  >[0]
  await hooks['before:spawn'](spawn)
  assert.deepEqual(draft.env, { HOME: '/', EMAIL: 'a@x.test' })
  assert.equal(context.signal.aborted, false)
})

test('a guarded header is believed from its addresses alone, once, and in its own spelling', () => {
  const { unbelieved, guards } = guardHeaders([
    { headers: ['Remote-User', 'X-Id'], from: ['10.0.0.0/8', '2001:db8::/32'] },
    { headers: ['X-Id'], from: ['192.0.2.1'] },
  ])
  const table: [string[], string | undefined, string[]][] = [
    [['Host', 'Remote-User'], '10.1.2.3', []],
    [['Remote-User'], '::ffff:10.1.2.3', []],
    [['Remote-User'], '2001:db8::1', []],
    [['Remote-User'], '11.1.2.3', ['remote-user']],
    [['Remote-User'], '192.0.2.1', ['remote-user']],
    [['x-id'], '192.0.2.1', []],
    [['REMOTE-USER'], undefined, ['remote-user']],
    [['Remote-User'], 'unknown', ['remote-user']],
    [['Remote-User', 'remote-user'], '10.1.2.3', ['remote-user', 'remote-user']],
    [['Remote_User'], '10.1.2.3', ['remote_user']],
    [['Remote-User', 'Remote_User'], '10.1.2.3', ['remote-user', 'remote_user']],
  ]
  for (const [names, peer, gone] of table) assert.deepEqual(unbelieved(names, peer), gone, `${names} ${peer}`)
  assert.ok(guards('REMOTE_user') && !guards('host'))
})

test('the front takes a guarded header out of what comes from elsewhere, for the hub and for servers, also of a WebSocket', async t => {
  const seen = (res: { headers: Record<string, unknown> }) => JSON.parse(String(res.headers['x-seen'])) as Record<string, string>
  const echo = () =>
    serveHttp(
      t,
      (req, res) => res.setHeader('X-Seen', JSON.stringify(req.headers)).end(),
      (req, socket) =>
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Seen: ${JSON.stringify(req.headers)}\r\n\r\n`,
        ),
    )
  const [hub, notebook] = [await echo(), await echo()]
  const guarded = (from: string) => [{ headers: ['Remote-User', 'X-Forwarded-User'], from: [from] }]
  for (const [address, said] of [
    ['127.0.0.1', 'alice'],
    ['192.0.2.1', undefined],
  ] as const) {
    const { port, route } = await startFront(t, { hub: { host: '127.0.0.1', port: hub.port }, guarded: guarded(address) })
    await route('/user/alice/', notebook.target)
    for (const path of ['/hub/login', '/user/alice/x']) {
      const headers = {
        'Remote-User': 'alice',
        'X-Forwarded-User': 'alice',
        'X-Peer': '192.0.2.1',
        'X-Forwarded-For': '192.0.2.1',
        Connection: 'Remote-User',
      }
      const [plain, socket] = [
        seen(await ask(port, path, { headers })),
        seen(await upgrade(t, port, path, { ...headers, Connection: 'Upgrade, Remote-User' })),
      ]
      for (const got of [plain, socket]) {
        assert.deepEqual([got['remote-user'], got['x-forwarded-user']], [said, said], `${path} ${address}`)
        assert.equal(got['x-peer'], path.startsWith('/hub') ? '127.0.0.1' : undefined)
      }
      const twice = seen(await ask(port, path, { headers: { 'Remote-User': ['alice', 'bob'], Remote_User: 'eve' } }))
      assert.deepEqual([twice['remote-user'], twice.remote_user], [undefined, undefined])
    }
  }
})

const config = (from: string, more = '') => `
import { defineConfig } from 'swarmhub'
import { dummy, header, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [header({ from: ['${from}'], groups: 'Remote-Groups', signOut: 'https://sso.example.org/bye' })${more}],
  access: { everyone: true },
  spawner: process(),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { grace: '2s' },
})
`

/** A browser behind a proxy that names who uses it. */
function named(origin: string, headers: () => Record<string, string>) {
  const browser = visitor(origin)
  const open = async (path: string) => {
    const trail = [path]
    for (;;) {
      const reply = await browser.ask(trail.at(-1)!, { headers: headers() })
      const to = reply.headers.get('location')
      if (to === null || trail.length > 9) return { reply, trail, text: await reply.text() }
      trail.push(to)
    }
  }
  return { ...browser, open }
}

test('whom the proxy names is in without a page; who is somebody else next is signed out first; others are asked', async t => {
  const hub = await startHub(t, config('127.0.0.1'))
  await hub.printed(/swarmhub is at/)
  let who: Record<string, string> = { 'Remote-User': 'Alice', 'Remote-Groups': 'a,b' }
  const { open, ask, cookie } = named(hub.origin, () => who)
  const first = await open('/hub/token')
  assert.deepEqual(first.trail.at(-1), '/hub/token')
  assert.match(first.text, />\s*alice\s*</)
  const session = cookie('jupyterhub-hub-login')
  await open('/hub/home')
  assert.equal(cookie('jupyterhub-hub-login'), session, 'one session, not one for each page')
  who = {}
  assert.match((await open('/hub/home')).text, />\s*alice\s*</, 'a request that names nobody is the session’s')
  who = { 'Remote-User': 'bob' }
  const api = await ask('/hub/api/user', { headers: who })
  assert.equal(api.status, 403, 'a session of hers, a request of his')
  const his = await open('/hub/home')
  assert.match(his.text, />\s*bob\s*</)
  assert.ok(!/alice/.test(his.text))
  const out = await ask('/hub/logout', { headers: who })
  assert.equal(out.headers.get('location'), 'https://sso.example.org/bye')
  who = { 'Remote-User': '../x' }
  assert.equal((await open('/hub/home')).reply.status, 403)
  who = {}
  const nobody = await open('/hub/home')
  assert.equal(nobody.reply.status, 403)
  assert.match(nobody.text, /Nothing in front of this hub says who you are/)
})

test('a forged header is nothing, at the front, at the hub itself, and with whatever a client says of where it comes from', async t => {
  const hub = await startHub(t, config('192.0.2.1'))
  await hub.printed(/swarmhub is at/)
  const written = await readFile(join(hub.folder, 'hub.config.ts'), 'utf8')
  const [, hubPort] = /hub: \{ port: (\d+)/.exec(written)!
  const lies = {
    'Remote-User': 'root',
    'X-Forwarded-For': '192.0.2.1',
    'X-Real-IP': '192.0.2.1',
    Forwarded: 'for=192.0.2.1',
    'X-Swarmhub-Peer': '192.0.2.1',
    'X-Swarmhub-Front': 'x',
  }
  for (const origin of [hub.origin, `http://127.0.0.1:${hubPort}`]) {
    const { reply } = await named(origin, () => lies).open('/hub/login/header')
    assert.equal(reply.status, 403, origin)
  }
})

test('beside another way to sign in there is a button, in the order of the config', async t => {
  const hub = await startHub(
    t,
    config('127.0.0.1', ', dummy()')
      .replace('header({', "header({ label: 'By the proxy',")
      .replace('access:', 'signIn: { sameNames: true }, access:'),
  )
  await hub.printed(/swarmhub is at/)
  const { text } = await visitor(hub.origin).open('/hub/login')
  assert.match(text, /href="\/hub\/login\/header"[^>]*>\s*By the proxy/)
  const inside = await named(hub.origin, () => ({ 'Remote-User': 'alice' })).open('/hub/login/header?next=/hub/token')
  assert.equal(inside.trail.at(-1), '/hub/token')
})
