import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inParallel } from '../core/store/parallel.ts'
import { checkAnswer, operations } from './api-answers.ts'
import { attackedHub } from './hostile.ts'

/*
 * Who may do what, on a hub as it runs: a row for every route with each of its methods. One that is missing fails the test: add
 * it, by one of the shorthands or with a status for each caller.
 */

/** A user of their own, with a server `lab`, and a group, a service and a token where the path names one. */
interface Subject {
  user: string
  group: string
  service: string
  /** Who shares their servers with the user and the group, where the path says so. */
  owner: string
  /** The id of a token of theirs, and its secret. */
  token: string
  secret: string
}

interface Row {
  /**
   * For an administrator, for the user that the path names (a member of the group that it names), for another user, for a token of
   * an administrator that may `read:users:name` alone, for an expired token of an administrator, and without a token.
   */
  answers: [admin: number, owner: number, other: number, limited: number, expired: number, nobody: number]
  body?: unknown
  /** Where it is not for what is there already. */
  path?: (subject: Subject) => string
}

type More = Omit<Row, 'answers'>
const everybody = (status: number, more: More = {}): Row => ({
  ...more,
  answers: [status, status, status, status, status, status],
})
const callers = (status: number, more: More = {}): Row => ({ ...more, answers: [status, status, status, status, 403, 403] })
const admins = (status: number, more: More = {}): Row => ({ ...more, answers: [status, 403, 403, 403, 403, 403] })
/** Others have the same right over themselves: to them it looks as if there were none (contract 4.1). */
const owners = (status: number, more: More = {}): Row => ({ ...more, answers: [status, status, 404, 403, 403, 403] })

const toBob = { body: { user: 'bob' } }
const secret = () => `service-${crypto.randomUUID()}`

const rows: Record<string, Row> = {
  'GET ': everybody(200),
  'GET /info': admins(200),
  'GET /health': everybody(200),
  'HEAD /health': everybody(200),
  'GET /metrics': admins(200),
  'GET /openapi.json': everybody(200),
  'GET /audit': admins(200),

  'GET /user': callers(200),
  'GET /users': admins(200),
  'POST /users': admins(201, { body: { usernames: ['one', 'two'] } }),
  'GET /users/:user': { answers: [200, 200, 404, 200, 403, 403] },
  'POST /users/:user': admins(201, { path: ({ user }) => `/users/new-${user}` }),
  'PATCH /users/:user': admins(200, { body: { admin: false } }),
  'DELETE /users/:user': admins(204),
  'POST /users/:user/activity': owners(200, { body: { last_activity: '2026-01-31T12:00:00Z' } }),
  'POST /users/:user/admin-access': owners(200),
  'GET /users/:user/tokens': owners(200),
  'POST /users/:user/tokens': owners(201),
  'GET /users/:user/tokens/:token': owners(200),
  'DELETE /users/:user/tokens/:token': owners(204),

  'GET /users/:user/server': owners(200),
  'POST /users/:user/server': owners(201),
  'DELETE /users/:user/server': owners(204),
  // It does not start.
  'GET /users/:user/server/progress': owners(400),
  'GET /users/:user/server/logs': owners(200),
  'GET /users/:user/servers/': owners(200),
  'POST /users/:user/servers/': owners(201),
  'DELETE /users/:user/servers/': owners(204),
  'PUT /users/:user/servers/': owners(409),
  'GET /users/:user/servers/:server': owners(200),
  'POST /users/:user/servers/:server': owners(201),
  'DELETE /users/:user/servers/:server': owners(204),
  'PUT /users/:user/servers/:server': owners(201, { path: ({ user }) => `/users/${user}/servers/new` }),
  'PATCH /users/:user/servers/:server': owners(200, { body: { name: 'attic' } }),
  'GET /users/:user/servers/:server/progress': owners(400),
  'GET /users/:user/servers/:server/logs': owners(200),

  'GET /groups': admins(200),
  'POST /groups': admins(201, { body: { groups: ['chess'] } }),
  'GET /groups/:group': admins(200),
  'POST /groups/:group': admins(201, { path: ({ group }) => `/groups/new-${group}` }),
  'DELETE /groups/:group': admins(204),
  'POST /groups/:group/users': admins(200, { body: { users: ['root'] } }),
  'DELETE /groups/:group/users': admins(200, { body: { users: ['root'] } }),
  'PUT /groups/:group/properties': admins(200, { body: { room: 'B 12' } }),

  'GET /shares/:user': owners(200),
  'GET /shares/:user/': owners(200),
  'POST /shares/:user/': admins(200, toBob),
  'PATCH /shares/:user/': admins(200, toBob),
  'DELETE /shares/:user/': admins(204),
  'GET /shares/:user/:server': owners(200),
  'POST /shares/:user/:server': admins(200, toBob),
  'PATCH /shares/:user/:server': admins(200, toBob),
  'DELETE /shares/:user/:server': admins(204),
  'GET /share-codes/:user': owners(200),
  'GET /share-codes/:user/': owners(200),
  'POST /share-codes/:user/': admins(200),
  'DELETE /share-codes/:user/': admins(204),
  'GET /share-codes/:user/:server': owners(200),
  'POST /share-codes/:user/:server': admins(200),
  'DELETE /share-codes/:user/:server': admins(204),
  'GET /users/:user/shared': owners(200),
  'GET /users/:user/shared/:owner/': owners(200),
  'DELETE /users/:user/shared/:owner/': owners(204),
  'GET /users/:user/shared/:owner/:server': owners(200),
  'DELETE /users/:user/shared/:owner/:server': owners(204),
  'GET /groups/:group/shared': admins(200),
  'GET /groups/:group/shared/:owner/': admins(200),
  'DELETE /groups/:group/shared/:owner/': admins(204),
  'GET /groups/:group/shared/:owner/:server': admins(200),
  'DELETE /groups/:group/shared/:owner/:server': admins(204),

  'GET /services': admins(200),
  'GET /services/:service': admins(200),
  'POST /services/:service': admins(201, { body: { api_token: secret() }, path: ({ service }) => `/services/new-${service}` }),
  'DELETE /services/:service': admins(200),

  'GET /proxy': admins(200),
  'POST /proxy': admins(200),
  'PATCH /proxy': admins(400, { body: { api_url: 'http://127.0.0.1:8001' } }),
  'POST /shutdown': admins(202),

  // Who asks is said by the form, and this is none.
  'POST /oauth2/token': everybody(400),
  'GET /authorizations/token/:token': callers(200, { path: ({ secret }) => `/authorizations/token/${secret}` }),
  'POST /authorizations/token/:token': everybody(404),
}

test('api access: every route, with each of its methods, for everybody who may ask', async t => {
  assert.deepEqual(Object.keys(rows).sort(), [...operations].sort(), 'each has its row here, and there is none without a route')

  const hub = await attackedHub(t)
  const root = await hub.token('root')
  const ask = async (method: string, path: string, body?: unknown, token = root) => {
    const { status, json } = await hub.api(token, method, path, body)
    checkAnswer(method, path, status, json)
    return { status, json }
  }
  const well = async (method: string, path: string, body?: unknown) => {
    const { status, json } = await ask(method, path, body)
    assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(json)}`)
    return json
  }

  const limited = await hub.token('root', ['read:users:name'])
  const other = await hub.token('bob')
  const { token: expired } = await well('POST', '/users/root/tokens', { expires_in: 1 })
  while ((await ask('GET', '/user', undefined, expired)).status === 200) await sleep(100)

  await well('PUT', '/users/root/servers/lab')
  let count = 0
  const prepare = async (route: string): Promise<Subject> => {
    const n = ++count
    const [user, group, service] = [`user${n}`, `group${n}`, `service${n}`]
    await well('POST', `/users/${user}`)
    const { id, token } = await well('POST', `/users/${user}/tokens`)
    if (route.includes(':server')) await well('PUT', `/users/${user}/servers/lab`)
    if (route.includes(':group')) await well('POST', `/groups/${group}`, { users: [user] })
    if (route.includes(':owner'))
      for (const server of ['', 'lab'])
        await well('POST', `/shares/root/${server}`, route.includes(':group') ? { group } : { user })
    if (route.includes(':service')) await well('POST', `/services/${service}`, { api_token: secret() })
    return { user, group, service, owner: 'root', token: id, secret: token }
  }

  const check = async (operation: string) => {
    const { answers, body, path } = rows[operation]!
    const [method = '', route = ''] = operation.split(' ')
    // Who may changes something: each of them has a subject of their own.
    const [first, second, third] = await Promise.all([route, route, route].map(prepare))
    const at = (subject: Subject) =>
      path?.(subject) ??
      route.replaceAll(/:(\w+)/g, (_, name) => (name === 'server' ? 'lab' : encodeURIComponent(subject[name as keyof Subject])))
    const statusAs = async (token: string, subject: Subject) => (await ask(method, at(subject), body, token)).status
    const others = await Promise.all([other, limited, expired, ''].map(token => statusAs(token, third!)))
    const owner = await statusAs(second!.secret, second!)
    const got = [await statusAs(root, first!), owner, ...others]
    assert.deepEqual(got, answers, `${operation} as admin, owner, other, limited, expired, nobody`)
  }

  await inParallel(
    operations.filter(operation => operation !== 'POST /shutdown'),
    6,
    check,
  )
  await check('POST /shutdown')
  assert.equal(await new Promise(resolve => hub.child.once('exit', resolve)), 0)
})
