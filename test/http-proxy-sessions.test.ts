import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { context, startFront, token } from './http-proxy-front.ts'
import { echo, serveHttp, upgrade } from './roles/loopback.ts'

const [ada, bob] = ['a'.repeat(32), 'b'.repeat(32)]
const cookieOf = (id: string) => `_xsrf=1; jupyterhub-session-id=${id}; jupyterhub-user-ada=2`

/** A front before a server that tells which cookies it sees, and says yes to every WebSocket. */
async function withServer(t: TestContext) {
  const server = await serveHttp(t, (req, res) => res.end(req.headers.cookie ?? 'none'), echo)
  const front = await startFront(t)
  for (const name of ['ada', 'bob']) await front.route(`/user/${name}/`, server.target)
  const open = async (path: string, cookie?: string) =>
    (await upgrade(t, front.port, path, cookie === undefined ? {} : { Cookie: cookie })).socket
  return {
    ...front,
    open,
    end: (id: string) => front.proxy.endSession(id, context()),
    seen: async (cookie: string) => (await front.get('/user/ada/', { headers: { Cookie: cookie } })).body,
  }
}

test('a session that ends takes its WebSockets along, on every route, in whatever way the cookie is spelled, and no others', async t => {
  const { open, end } = await withServer(t)
  const gone = [
    await open('/user/ada/ws', cookieOf(ada)),
    await open('/user/bob/ws', cookieOf(ada)),
    await open('/user/ada/ws', `jupyterhub-session-id=planted; jupyterhub-session-id=${ada}`),
    await open('/user/ada/ws', `jupyterhub-session-id="${ada}"`),
  ]
  const kept = [await open('/user/ada/ws', cookieOf(bob)), await open('/user/ada/ws'), await open('/user/ada/ws', 'a=b')]
  const closed = gone.map(socket => once(socket, 'close'))
  await end(ada)
  await Promise.all(closed)
  for (const socket of kept) {
    socket.write('still here')
    assert.equal(String((await once(socket, 'data'))[0]), 'still here')
  }
  await end(ada)
  await end('nobody’s')
})

test('no server sees the id of a session that has ended: it would remember for minutes who that was', async t => {
  const { seen, end, open } = await withServer(t)
  assert.equal(await seen(cookieOf(ada)), cookieOf(ada))
  await end(ada)
  assert.equal(await seen(cookieOf(ada)), '_xsrf=1; jupyterhub-user-ada=2')
  assert.equal(await seen(`jupyterhub-session-id=${ada}`), 'none')
  assert.equal(await seen(` jupyterhub-session-id = "${ada}"; x=1`), 'x=1')
  assert.equal(await seen(cookieOf(bob)), cookieOf(bob))
  const late = await open('/user/ada/ws', cookieOf(ada))
  late.write('let in by something else')
  assert.equal(String((await once(late, 'data'))[0]), 'let in by something else')
})

test('only who has the secret of the route API ends sessions', async t => {
  const { open, front } = await withServer(t)
  const socket = await open('/user/ada/ws', cookieOf(ada))
  const { at } = front.api
  assert.ok('socket' in at)
  const { request } = await import('node:http')
  const status = async (authorization: string, method = 'DELETE') => {
    const outgoing = request({
      socketPath: at.socket,
      method,
      path: `/api/sessions/${ada}`,
      headers: { authorization },
      agent: false,
    })
    const [answer] = await once(outgoing.end(), 'response')
    answer.resume()
    return answer.statusCode
  }
  assert.equal(await status('token wrong'), 403)
  assert.equal(await status(`token ${token}`, 'GET'), 405)
  socket.write('x')
  await once(socket, 'data')
  const closed = once(socket, 'close')
  assert.equal(await status(`token ${token}`), 204)
  await closed
})
