import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createWeb } from '../core/web/web.ts'
import { apiHub } from './api-hub.ts'

/*
 * A form whose `_xsrf` is not good any more does nothing, and comes again with what was typed (contract 2.8): on every page that
 * has one. The sign-in page is in web-login.test.ts; where one says yes to an application nothing is typed.
 */

async function pagesHub(t: TestContext) {
  const profiles = [
    { name: 'small', label: 'Small' },
    { name: 'big', label: 'Big', choices: [{ name: 'data', label: 'Data', pattern: /[a-z]*/, env: 'DATA' }] },
  ]
  const hub = await apiHub(t, { profiles, limits: { namedServers: 3 } })
  await hub.person('root', { admin: true })
  await hub.person('alice')
  const { users, servers } = hub.core
  await servers.describe(users.get('root')!, 'lab', () => {})
  await users.groups.create(['class'], [users.get('alice')!.id])
  const app = createWeb(hub.core)
  const { Cookie, xsrf } = await hub.browser('root')
  const post = async (
    path: string,
    fields: Record<string, string> | [string, string][],
    headers: Record<string, string> = {},
  ) => {
    const body = new URLSearchParams(fields)
    const reply = await app.request(`/hub/${path}`, { method: 'POST', headers: { Cookie, Host: 'hub.test', ...headers }, body })
    return { status: reply.status, location: reply.headers.get('location'), text: await reply.text() }
  }
  const state = () => JSON.stringify([[...hub.store.byId.values()], hub.store.hub.data])
  const { code } = await hub.core.shares.addCode(users.get('alice')!, '', ['access:servers'], 1e6)
  const routes = new Set(app.routes.filter(({ method }) => method === 'POST').map(({ path }) => path.replace('/hub/', '')))
  return { ...hub, post, state, xsrf, code, routes }
}

type Form = [path: string, fields: Record<string, string> | [string, string][], shown: RegExp[]]

const forms = (code: string): Form[] => [
  ['home', { server: 'course-1' }, [/name="server"[^>]*value="course-1"/]],
  ['spawn', { profile: 'big', 'big.data': 'abc' }, [/value="big"[^>]*checked/, /name="big.data"[^>]*value="abc"/]],
  ['spawn/root/lab', { profile: 'small', next: '/hub/token' }, [/value="small"[^>]*checked/, /name="next" value="\/hub\/token"/]],
  [
    'token',
    [
      ['note', 'for "x"'],
      ['scopes', 'read'],
      ['expires', '7d'],
      ['scope', 'admin-ui'],
    ],
    [/value="for &quot;x&quot;"/, /value="read" selected/, /value="7d" selected/, /value="admin-ui" checked/],
  ],
  [
    'share/root/lab',
    { kind: 'group', name: 'a class', level: 'start' },
    [/value="group" selected/, /value="a class"/, /value="start" selected/],
  ],
  ['share-link/root/lab', { level: 'manage', expires: '7d' }, [/value="manage" selected/, /value="7d" selected/]],
  ['unshare/root/lab', { kind: 'user', name: 'alice' }, [/<h1>Share/]],
  ['accept-share', { code, next: '/hub/token' }, [new RegExp(`name="code" value="${code}"`), /name="next" value="\/hub\/token"/]],
  ['admin/users', { names: 'new one\nother', admin: '1' }, [/>new one\nother<\/textarea>/, /name="admin" value="1"\/>/]],
  ['admin/stop', { all: '1' }, [/<h1>Users and servers/]],
  ['admin/users/alice/rename', { name: 'alicia' }, [/name="name"[^>]*value="alicia"/]],
  ['admin/users/alice/delete', { confirm: 'alice' }, [/name="confirm"(?![^>]*value)/]],
  ['admin/users/alice/admin', { admin: '1' }, [/<h1>alice/]],
  ['admin/users/alice/revoke', { id: '2' }, [/<h1>alice/]],
  ['admin/users/alice/sign-out', { all: '1' }, [/<h1>alice/]],
  ['admin/groups', { name: 'new <b>', names: 'alice' }, [/value="new &lt;b&gt;"/, />alice<\/textarea>/]],
  ['admin/groups/class/add', { names: 'root' }, [/>root<\/textarea>/]],
  ['admin/groups/class/remove', { user: 'alice' }, [/<h1>class/]],
  [
    'admin/groups/class/properties',
    [
      ['key', 'room'],
      ['value', 'B 12'],
      ['key', 'lead'],
      ['value', '{"a":1}'],
    ],
    [/value="room"/, /value="B 12"/, /value="lead"/, /value="\{&quot;a&quot;:1\}"/],
  ],
  ['admin/groups/class/delete', { confirm: 'class' }, [/name="confirm"(?![^>]*value)/]],
  ['admin/storage/erase', { confirm: 'x' }, [/<h1>Storage/]],
  ['token/revoke', { id: '1' }, [/<h1>Tokens/]],
  ['sessions/end', { all: '1' }, [/<h1>Where you are signed in/]],
  ['stop/root/lab', {}, [/<h1>Your servers/]],
  ['leave/alice', {}, [/<h1>Your servers/]],
  ['delete/root/lab', {}, [/<h1>Your servers/]],
]

test('a form whose _xsrf is not good does nothing and comes again with what was typed, on every page that has one', async t => {
  const { post, state, xsrf, code, routes } = await pagesHub(t)
  const before = state()
  const rows = forms(code).map(([path]) => path)
  const fits = (route: string) => rows.some(path => new RegExp(`^${route.replaceAll(/:\w+/g, '[^/]+')}$`).test(path))
  const others = [...routes].filter(route => !/^(login|security\/csp-report)$/.test(route) && !fits(route))
  assert.deepEqual(others, [
    'spawn/:user',
    'stop/:user',
    'share/:user',
    'share-link/:user',
    'unshare/:user',
    'leave/:user/:server',
  ])
  for (const [path, fields, shown] of forms(code))
    for (const stale of ['', 'of-another-session']) {
      const typed: [string, string][] = [...(Array.isArray(fields) ? fields : Object.entries(fields)), ['_xsrf', stale]]
      const answer = await post(path, typed)
      assert.equal(answer.status, 403, path)
      assert.match(answer.text, /role="alert"[\s\S]*Nothing has been done yet/, path)
      for (const pattern of shown) assert.match(answer.text, pattern, path)
      // Nothing is stored here that could be erased.
      if (path !== 'admin/storage/erase')
        assert.ok(answer.text.includes(`name="_xsrf" value="${xsrf}"`), `${path}: good to be sent again`)
    }
  assert.equal(state(), before)
})

test('a form that another site sends is not shown again: nobody else chooses what stands in ours', async t => {
  const { post, state, code } = await pagesHub(t)
  const before = state()
  for (const [path, fields] of forms(code)) {
    const { status, text } = await post(path, fields, { 'Sec-Fetch-Site': 'cross-site' })
    assert.equal(status, 403, path)
    assert.doesNotMatch(text, /<form/, path)
  }
  assert.equal(state(), before)
})

test('what came again can be sent as it is, and then it counts', async t => {
  const { post, xsrf, core, code } = await pagesHub(t)
  const sent = async (path: string, fields: Record<string, string>) => (await post(path, { ...fields, _xsrf: xsrf })).status
  assert.equal(await sent('admin/groups', { name: 'new', names: 'alice' }), 303)
  assert.equal(await sent('admin/users/alice/rename', { name: 'alicia' }), 303)
  assert.equal(await sent('accept-share', { code }), 303)
  assert.equal(await sent('token', { note: 'n', scopes: 'read', expires: '7d' }), 200)
  assert.ok(core.users.groups.get('new') && core.users.get('alicia'))
})

test('of two _xsrf cookies the good one counts, in either order, for every form', async t => {
  const hub = await pagesHub(t)
  const { Cookie, xsrf } = await hub.browser('root')
  const own = Cookie.split('; ')
  for (const cookies of [
    [`_xsrf=tossed`, ...own],
    [...own, '_xsrf=tossed'],
  ]) {
    const Cookie = cookies.join('; ')
    const name = `g${cookies.indexOf('_xsrf=tossed')}`
    assert.equal((await hub.post('admin/groups', { name, _xsrf: 'tossed' }, { Cookie })).status, 403)
    assert.equal(hub.core.users.groups.get(name), undefined)
    assert.equal((await hub.post('admin/groups', { name, _xsrf: xsrf }, { Cookie })).status, 303)
  }
})
