import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEntry } from '../core/audit.ts'
import { type Attacked, attackedHub, config } from './hostile.ts'
import { codeFor } from './notebook-login.ts'
import { ask, until } from './roles/loopback.ts'

/*
 * Rights, on a hub as it runs: whoever has some of them tries to get more, for themselves or for others, by way of users,
 * groups, roles, services and names, and to leave no trace of it.
 */

const more = `
  roles: [
    { name: 'clerk', scopes: ['admin-ui', 'admin:users', 'tokens'], users: ['clerk'] },
    { name: 'tutor', scopes: ['admin-ui', 'groups', 'list:groups', 'read:groups', 'list:users'], users: ['tutor'] },
    { name: 'registrar', scopes: ['admin:groups'], users: ['registrar'] },
    { name: 'operator', scopes: ['list:users', 'admin:servers', 'read:hub'], users: ['otto'], groups: ['operators'] },
    { name: 'class', scopes: ['read:hub'], groups: ['class'] },
    {
      name: 'narrow',
      scopes: [
        'admin-ui', 'admin:users!user=alice', 'admin:groups!group=class', 'list:groups!group=class', 'list:users!group=class',
        'list:services!service=grades', 'read:services!service=grades', 'read:users!user=alice',
      ],
      users: ['narrow'],
    },
    { name: 'admin', groups: ['roots'] },
  ],
  services: [
    { name: 'grades', token: 'the-token-of-the-grades', access: { users: ['pat'], groups: ['graders'] }, scopes: ['list:users', 'tokens', 'groups'], oauth: { redirectUri: 'https://grades.example.org/cb' } },
    { name: 'alice', token: 'the-token-of-a-service-alice', scopes: ['read:hub'] },
  ],
`

const rightsHub = (t: Parameters<typeof attackedHub>[0]) =>
  attackedHub(t, config(more).replace(`admins: ['root']`, `admins: ['root', 'boss'], adminGroups: ['wheel']`))

type Try = [method: string, path: string, body?: unknown]

/** Each is refused, as if there were nothing or as not allowed. */
async function refused(hub: Attacked, token: string, tries: Try[]) {
  for (const [method, path, body] of tries) {
    const { status } = await hub.api(token, method, path, body)
    assert.ok(status === 403 || status === 404, `${method} ${path} ${JSON.stringify(body)}: ${status}`)
  }
}

/** What an administrator sees of everybody: admin, groups and roles. */
async function everybody(hub: Attacked, root: string): Promise<Record<string, string>> {
  const { json } = await hub.api(root, 'GET', '/users')
  return Object.fromEntries(
    json.map(({ name, admin, groups, roles }: { name: string; admin: boolean; groups: string[]; roles: string[] }) => [
      name,
      `${admin} ${groups.toSorted()} ${roles.toSorted()}`,
    ]),
  )
}

test('nobody makes themselves or a friend more than they are: by admin, groups, tokens, names or services (CVE-2024-41942)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  for (const name of ['mallory', 'alice']) await hub.token(name)
  assert.equal((await hub.api(root, 'POST', '/groups', { groups: ['wheel', 'graders', 'plain'] })).status, 201)
  const [clerk, tutor, registrar] = [await hub.token('clerk'), await hub.token('tutor'), await hub.token('registrar')]
  const before = await everybody(hub, root)

  await refused(hub, clerk, [
    ['PATCH', '/users/clerk', { admin: true }],
    ['PATCH', '/users/mallory', { admin: true }],
    ['POST', '/users/new', { admin: true }],
    ['POST', '/users', { usernames: ['new'], admin: true }],
    ['PATCH', '/users/root', { admin: false }],
    ['PATCH', '/users/root', { name: 'former' }],
    ['DELETE', '/users/root'],
    ['POST', '/users/root/tokens', {}],
    // Whom the config makes an admin is somebody, also before the first sign-in.
    ['PATCH', '/users/boss', { name: 'former' }],
    ['DELETE', '/users/boss'],
    // A token of somebody who may do more is more.
    ['POST', '/users/otto/tokens', {}],
    ['POST', '/users/otto/tokens', { scopes: ['admin:servers'] }],
    ['POST', '/users/otto/tokens', { scopes: ['inherit'] }],
    ['POST', '/users/otto/tokens', { roles: ['operator'] }],
    ['POST', '/groups/roots/users', { users: ['clerk'] }],
  ])
  for (const [method, path, body] of [
    ['PATCH', '/users/clerk', { name: 'boss' }],
    ['PATCH', '/users/mallory', { name: 'boss' }],
    ['PATCH', '/users/mallory', { name: 'Boss' }],
    ['POST', '/users/boss', undefined],
    ['POST', '/users', { usernames: [' BOSS'] }],
  ] as const)
    assert.ok([400, 409].includes((await hub.api(clerk, method, path, body)).status), `${method} ${path} ${JSON.stringify(body)}`)
  for (const body of [
    { groups: ['wheel'] },
    { groups: ['operators'] },
    { groups: ['graders'] },
    { roles: ['admin'] },
    { roles: ['operator'] },
    { id: 'x' },
    { scopes: ['admin'] },
  ])
    assert.ok([400, 403].includes((await hub.api(clerk, 'PATCH', '/users/clerk', body)).status), JSON.stringify(body))

  for (const token of [tutor, registrar])
    for (const group of ['wheel', 'roots', 'operators', 'graders'])
      for (const name of ['tutor', 'registrar', 'mallory'])
        await refused(hub, token, [['POST', `/groups/${group}/users`, { users: [name] }]])
  await refused(hub, registrar, [
    ['DELETE', '/groups/wheel'],
    ['DELETE', '/groups/roots'],
    ['POST', '/groups', { groups: ['roots', 'x'], users: ['mallory'] }],
  ])
  // Deleted and made anew, a group is what it was.
  assert.equal((await hub.api(registrar, 'DELETE', '/groups/operators')).status, 204)
  await refused(hub, registrar, [
    ['POST', '/groups/operators', { users: ['registrar'] }],
    ['POST', '/groups', { groups: ['operators'], users: ['mallory'] }],
  ])
  assert.equal((await hub.api(registrar, 'POST', '/groups/operators')).status, 201)
  await refused(hub, registrar, [['POST', '/groups/operators/users', { users: ['mallory'] }]])

  // On the pages as over the API.
  const office = await hub.enter('clerk')
  const form = new URLSearchParams({ _xsrf: await office.xsrf(), names: 'boss' })
  await office.open('/hub/admin/users', { method: 'POST', body: form })
  for (const name of ['clerk', 'mallory']) {
    const body = new URLSearchParams({ _xsrf: await office.xsrf(), name: 'boss' })
    assert.equal((await office.open(`/hub/admin/users/${name}/rename`, { method: 'POST', body })).reply.status, 400)
  }
  const page = await hub.enter('tutor')
  const _xsrf = await page.xsrf()
  for (const group of ['operators', 'wheel', 'roots', 'graders']) {
    const body = new URLSearchParams({ _xsrf, names: 'tutor' })
    const { reply } = await page.open(`/hub/admin/groups/${group}/add`, { method: 'POST', body })
    assert.ok(reply.status >= 400, `${group} ${reply.status}`)
  }
  assert.deepEqual(await everybody(hub, root), before)
  // What they may do they still can.
  assert.equal((await hub.api(tutor, 'POST', '/groups/plain/users', { users: ['mallory'] })).status, 200)
  assert.equal((await hub.api(clerk, 'POST', '/users/mallory/tokens', {})).status, 201)
  assert.equal((await hub.api(clerk, 'PATCH', '/users/mallory', { name: 'mallory2' })).status, 200)
})

test('filtered rights open what they name, in no list and by no other method anything else (GHSA-69wv)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  for (const name of ['alice', 'bob']) await hub.token(name)
  assert.equal((await hub.api(root, 'POST', '/groups/other', { users: ['bob'] })).status, 201)
  assert.equal((await hub.api(root, 'POST', '/groups/class/users', { users: ['alice'] })).status, 200)
  const narrow = await hub.token('narrow')
  const names = (json: { name: string }[]) => json.map(({ name }) => name)
  assert.deepEqual(names((await hub.api(narrow, 'GET', '/users')).json), ['alice'])
  assert.deepEqual(names((await hub.api(narrow, 'GET', '/groups')).json), ['class'])
  assert.deepEqual(Object.keys((await hub.api(narrow, 'GET', '/services')).json), ['grades'])
  await refused(hub, narrow, [
    ['POST', '/users', { usernames: ['alice'] }],
    ['POST', '/users', { usernames: ['new'] }],
    ['POST', '/users/new'],
    ['PATCH', '/users/bob', { name: 'x' }],
    ['DELETE', '/users/bob'],
    ['GET', '/users/bob'],
    ['POST', '/groups', { groups: ['class'] }],
    ['POST', '/groups', { groups: ['new'] }],
    ['POST', '/groups/new'],
    ['DELETE', '/groups/other'],
    ['PUT', '/groups/other/properties', {}],
    ['POST', '/groups/other/users', { users: ['alice'] }],
    ['DELETE', '/groups/other/users', { users: ['bob'] }],
    ['GET', '/groups/other'],
    ['GET', '/services/alice'],
    ['GET', '/audit'],
    ['GET', '/info'],
  ])
  // Its group is no way to draw others in who may do more.
  await refused(hub, narrow, [['POST', '/groups/class/users', { users: ['otto'] }]])
  // On the pages.
  const page = await hub.enter('narrow')
  assert.doesNotMatch((await page.open('/hub/admin')).text, /\b(bob|otto|clerk)\b/)
  assert.doesNotMatch((await page.open('/hub/admin/groups')).text, /\b(other|operators)\b/)
  for (const path of ['/hub/admin/groups/other', '/hub/admin/audit'])
    assert.ok([403, 404].includes((await page.open(path)).reply.status), path)
})

test('a name that is given up takes along its groups, roles, tokens, files and history, and leaves the next one nothing (GHSA-mj6q)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  const { env } = await hub.notebook('otto')
  assert.equal((await hub.api(root, 'POST', '/groups/class/users', { users: ['otto'] })).status, 200)
  assert.equal((await hub.api(root, 'POST', '/groups', { groups: ['graders'], users: ['otto'] })).status, 201)
  const own = await hub.token('otto')
  assert.equal((await hub.api(root, 'POST', '/users/pat')).status, 201)
  assert.equal((await hub.run('restart')).code, 0, 'the hub reads whom the config means')
  const named = await hub.token('otto', ['servers!user=otto', 'read:users!user=otto'])
  const session = await hub.enter('otto')
  assert.equal((await hub.api(root, 'DELETE', '/users/otto/server')).status, 204)
  assert.equal((await hub.api(root, 'PATCH', '/users/otto', { name: 'former' })).status, 200)
  assert.equal((await hub.api(root, 'POST', '/users/otto')).status, 201)
  assert.equal((await hub.api(root, 'PATCH', '/users/pat', { name: 'patricia' })).status, 200)
  assert.equal((await hub.api(root, 'POST', '/users/pat')).status, 201)

  const check = async (when: string) => {
    const all = await everybody(hub, root)
    assert.equal(all.former, 'false class,graders operator,user', when)
    assert.equal(all.otto, 'false  user', when)
    for (const token of [own, named]) {
      const { json } = await hub.api(token, 'GET', '/user')
      assert.equal(json.name, 'former', when)
      assert.doesNotMatch(JSON.stringify(json.scopes), /=otto/, when)
      const { status } = await hub.api(token, 'GET', '/users/otto/tokens')
      assert.ok(status === 403 || status === 404)
    }
    assert.match((await session.open('/hub/home')).text, /former/)
    for (const [name, may] of [
      ['patricia', true],
      ['pat', false],
    ] as const) {
      const { token } = (await hub.api(root, 'POST', `/users/${name}/tokens`, {})).json
      const { scopes } = (await hub.api(token, 'GET', '/user')).json
      assert.equal(scopes.includes('access:services!service=grades'), may, `${name} ${when}`)
    }
  }
  await check('at once')
  await hub.killHub()
  await check('after a kill')

  const fresh = (await hub.api(root, 'POST', '/users/otto/tokens', {})).json.token as string
  await refused(hub, fresh, [
    ['GET', '/users'],
    ['GET', '/info'],
    ['GET', '/users/former'],
    ['POST', '/users/former/server'],
  ])
  const grades = new URLSearchParams({
    client_id: 'service-grades',
    redirect_uri: 'https://grades.example.org/cb',
    response_type: 'code',
    state: 's',
  })
  assert.equal((await session.ask(`/hub/api/oauth2/authorize?${grades}`)).status, 200, 'the former one may open the service')
  // The newcomer’s own server: another folder, another token, and none of the options of before.
  assert.equal((await hub.api(fresh, 'POST', '/users/otto/server')).status, 201)
  const own2 = JSON.parse((await ask(hub.port, '/user/otto/env')).body)
  assert.notEqual(own2.HOME, env.HOME)
  assert.notEqual(own2.JUPYTERHUB_API_TOKEN, env.JUPYTERHUB_API_TOKEN)
  await refused(hub, env.JUPYTERHUB_API_TOKEN!, [['GET', '/user']])

  // Deleted and made anew: the same.
  assert.equal((await hub.api(root, 'DELETE', '/users/former')).status, 204)
  assert.equal((await hub.api(root, 'POST', '/users/former')).status, 201)
  assert.equal((await everybody(hub, root)).former, 'false  user')
  assert.match((await session.open('/hub/home')).path, /^\/hub\/login/)
})

test('a service is what the config says: no user’s twin, and no way to more', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  const alice = await hub.token('alice')
  await hub.token('clerk')
  const twin = 'the-token-of-a-service-alice'
  const { json: who } = await hub.api(twin, 'GET', '/user')
  assert.deepEqual([who.kind, who.name], ['service', 'alice'])
  assert.doesNotMatch(JSON.stringify(who.scopes), /user=alice/)
  await refused(hub, twin, [
    ['GET', '/users/alice'],
    ['POST', '/users/alice/server'],
    ['GET', '/users/alice/tokens'],
    ['POST', '/users/alice/tokens', {}],
    ['POST', '/users/alice/activity', { last_activity: new Date().toISOString() }],
    ['GET', '/services/grades'],
  ])
  // Rights over tokens are no rights of others: not of administrators, and not of those whom a role gives more.
  const grades = 'the-token-of-the-grades'
  await refused(hub, grades, [
    ['POST', '/users/root/tokens', {}],
    ['POST', '/users/otto/tokens', {}],
    ['POST', '/users/clerk/tokens', { scopes: ['admin:users'] }],
    ['POST', '/groups/roots/users', { users: ['alice'] }],
    ['POST', '/groups/operators/users', { users: ['alice'] }],
    ['GET', '/audit'],
  ])
  assert.equal((await hub.api(grades, 'POST', '/users/alice/tokens', {})).status, 201)
  // A service’s token is nobody’s sign-in, and no secret of another client.
  const headers = { authorization: `token ${grades}` }
  for (const path of ['/hub/home', '/hub/admin', '/hub/token'])
    assert.match(String((await ask(hub.port, path, { headers })).headers.location), /^\/hub\/login/)
  const { env, owner } = await hub.notebook('alice')
  const code = (await codeFor(owner, env)).get('code')!
  const stolen = await fetch(`${hub.origin}/hub/api/oauth2/token`, {
    method: 'POST',
    body: new URLSearchParams({
      client_id: 'service-grades',
      client_secret: grades,
      grant_type: 'authorization_code',
      redirect_uri: 'https://grades.example.org/cb',
      code,
    }),
  })
  assert.equal(stolen.status, 400)
  // Who is not in its group gets no code for it, and who leaves the group loses what it had.
  const address = `/hub/api/oauth2/authorize?${new URLSearchParams({ client_id: 'service-grades', redirect_uri: 'https://grades.example.org/cb', response_type: 'code', state: 's' })}`
  assert.equal((await owner.ask(address)).status, 403)
  assert.equal((await hub.api(root, 'POST', '/groups', { groups: ['graders'], users: ['alice'] })).status, 201)
  assert.equal((await owner.ask(address)).status, 200)
  assert.equal((await hub.api(alice, 'GET', '/user')).json.scopes.includes('access:services!service=grades'), true)
  assert.equal((await hub.api(root, 'DELETE', '/groups/graders/users', { users: ['alice'] })).status, 200)
  assert.equal((await owner.ask(address)).status, 403)
  assert.equal((await hub.api(alice, 'GET', '/user')).json.scopes.includes('access:services!service=grades'), false)
})

test('an administrator’s cookie alone changes no user, group, token or server; with the _xsrf of their pages it does (CVE-2020-36191)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.enter('root')
  const token = await hub.token('root')
  await hub.token('z')
  await hub.api(token, 'POST', '/groups/g', { users: ['z'] })
  const before = await everybody(hub, token)
  const foreign = await (await hub.enter('mallory')).xsrf()
  const afterwards = { ...before, mallory: 'false  user' }
  const own = await root.xsrf()
  const cookie = root.cookieFor('/hub/api')
  const send = async (method: string, path: string, xsrf: string | undefined, type?: string, body?: unknown) => {
    const headers = { cookie, ...(xsrf && { 'x-xsrftoken': xsrf }), ...(type && { 'content-type': type }) }
    return (
      await ask(hub.port, `/hub/api${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
    ).status
  }
  const changes: Try[] = [
    ['POST', '/users/new'],
    ['PATCH', '/users/z', { admin: true }],
    ['DELETE', '/users/z'],
    ['POST', '/users/z/tokens', {}],
    ['POST', '/users/z/server'],
    ['POST', '/groups/new'],
    ['POST', '/groups/g/users', { users: ['root'] }],
    ['DELETE', '/groups/g/users', { users: ['z'] }],
    ['PUT', '/groups/g/properties', { a: 1 }],
    ['DELETE', '/groups/g'],
  ]
  for (const [method, path, body] of changes) {
    for (const xsrf of [undefined, foreign, `${own}x`])
      assert.equal(await send(method, path, xsrf, 'application/json', body), 403, `${method} ${path}`)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      assert.equal(await send(method, path, own, type, body ?? {}), 403, `${method} ${path} ${type}`)
  }
  assert.deepEqual(await everybody(hub, token), afterwards)
  assert.equal(await send('POST', '/users/new', own), 201)
  assert.equal(await send('POST', '/groups/g/users', own, 'application/json', { users: ['new'] }), 200)
})

test('no Sec-Fetch mode, origin or missing header makes a form good that has not its _xsrf (CVE-2026-40864)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.enter('root')
  const token = await hub.token('root')
  await hub.api(token, 'POST', '/groups/g')
  const cookie = root.cookieFor('/hub/home')
  const forms = [
    'spawn',
    'spawn/root/x',
    'token',
    'admin/users',
    'admin/groups',
    'admin/groups/g/add',
    'admin/groups/g/delete',
    'admin/groups/g/properties',
    'accept-share?code=x',
    'share/root',
    'share-link/root',
    'unshare/root',
    'leave/root',
    'home',
  ]
  for (const path of forms)
    for (const mode of ['no-cors', 'cors', 'navigate', 'websocket', 'same-origin', 'junk', undefined])
      for (const [origin, site] of [
        ['http://evil.example', 'cross-site'],
        [hub.origin, 'same-origin'],
        ['null', 'none'],
      ] as const) {
        const { status } = await ask(hub.port, `/hub/${path}`, {
          method: 'POST',
          headers: {
            cookie,
            origin,
            'sec-fetch-site': site,
            'content-type': 'application/x-www-form-urlencoded',
            ...(mode !== undefined && { 'sec-fetch-mode': mode }),
          },
          body: 'users=z&name=z&group=z&user=root&confirm=g',
        })
        assert.equal(status, 403, `${path} ${mode} ${origin}`)
      }
  // What a page may load stays loadable (the regression of 5.4.6).
  const logo = { 'sec-fetch-mode': 'no-cors', 'sec-fetch-site': 'same-origin' }
  assert.equal((await ask(hub.port, '/hub/logo', { headers: logo })).status, 200)
  assert.deepEqual(
    Object.keys(await everybody(hub, token)).filter(name => name === 'z'),
    [],
  )
  const { json } = await hub.api(token, 'GET', '/groups/g')
  assert.deepEqual([json.users, json.properties], [[], {}])
})

test('markup in whatever people may write is text on every page: groups, properties, names, notes, the trail (GHSA-c4gm)', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  const evil = '"><img src=x onerror=1>'
  const group = `g ${evil}`
  assert.equal((await hub.api(root, 'POST', '/users', { usernames: [`u ${evil}`] })).status, 201)
  assert.equal((await hub.api(root, 'POST', '/groups', { groups: [group], users: [`u ${evil}`.toLowerCase()] })).status, 201)
  const { status } = await hub.api(root, 'PUT', `/groups/${encodeURIComponent(group)}/properties`, {
    [evil]: evil,
    b: 'javascript:alert(1)',
  })
  assert.equal(status, 200)
  assert.equal((await hub.api(root, 'POST', '/users/root/tokens', { note: evil })).status, 201)
  await hub.api(root, 'POST', `/users/${encodeURIComponent(evil)}/server`)
  await hub.api('', 'POST', '/users/x/tokens', { auth: { username: evil, password: 'a wrong one' } })
  const page = await hub.enter('root')
  const next = encodeURIComponent(`/hub/${evil}`)
  for (const path of [
    'admin',
    `admin?q=${encodeURIComponent(evil)}`,
    'admin/groups',
    `admin/groups?q=${encodeURIComponent(evil)}`,
    `admin/groups/${encodeURIComponent(group)}`,
    'admin/audit',
    `admin/audit?user=${encodeURIComponent(evil)}`,
    'token',
    `spawn?next=${next}`,
    `login?next=${next}`,
    `error/503?url=${encodeURIComponent(evil)}`,
    `user-redirect/${encodeURIComponent(evil)}`,
  ]) {
    const { text, reply } = await page.open(`/hub/${path}`)
    assert.ok(reply.status < 500 || path.startsWith('error'), `${path} ${reply.status}`)
    assert.doesNotMatch(text, /<img src=x/, path)
    assert.doesNotMatch(text, /(href|action|formaction)="javascript:/i, path)
  }
})

test('the trail has every try at more, and who tried; nobody reads it without the right, nor writes a line of it', async t => {
  const hub = await rightsHub(t)
  const root = await hub.token('root')
  const clerk = await hub.token('clerk')
  const tutor = await hub.token('tutor')
  await hub.token('mallory')
  const trail = async (query = '') => (await hub.api(root, 'GET', `/audit?limit=1000${query}`)).json.items as AuditEntry[]
  await hub.api(clerk, 'PATCH', '/users/clerk', { admin: true })
  await hub.api(tutor, 'POST', '/groups/operators/users', { users: ['tutor'] })
  await hub.api('the-token-of-a-service-alice', 'POST', '/users/mallory/server')
  const forged = `x","actor":{"kind":"user","name":"root"}`
  await hub.api(root, 'POST', '/groups', { groups: [forged] })
  await hub.api('', 'POST', '/users/x/tokens', { auth: { username: `eve\n{"action":"user.admin"}`, password: 'a wrong one' } })
  await until(async () => (await trail('&action=refused')).length >= 3)
  const tries = (await trail('&action=refused')).map(({ actor, target, result }) => [
    actor?.kind,
    actor?.name,
    ...Object.values(target),
    result,
  ])
  assert.deepEqual(new Set(tries.map(one => one.slice(0, 2).join(' '))), new Set(['user clerk', 'user tutor', 'service alice']))
  assert.ok(tries.every(one => one.at(-1) === 'denied'))
  const all = await trail()
  const admins = all.filter(({ action }) => action === 'user.admin')
  assert.deepEqual(
    admins.map(({ target, details }) => [target.user, details.by]).sort(),
    [
      ['boss', 'access'],
      ['root', 'access'],
    ],
    'whom the config names, and nobody else',
  )
  assert.equal(all.find(({ action, target }) => action === 'group.create' && target.group === forged)?.actor?.name, 'root')
  assert.ok(all.every(({ address }) => address === null || address === '127.0.0.1'))
  for (const token of [tutor, 'the-token-of-the-grades', await hub.token('mallory')])
    await refused(hub, token, [['GET', '/audit']])
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
    assert.ok((await hub.api(root, method, '/audit', { action: 'sign-in' })).status >= 400, method)
  for (const path of ['/hub/static/../data/audit.jsonl', '/data/audit.jsonl', '/hub/audit.jsonl'])
    assert.notEqual((await ask(hub.port, path)).status, 200)
})
