import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunningHub, startHub, type Test } from './running-hub.ts'
import { type Visitor, visitor } from './visitor.ts'

/** What everybody signs in with. */
export const password = 'the shared password of all'

/**
 * A notebook of somebody who means harm. Below its own path: `env` tells what it was given, `seen` what a request looked like when it
 * arrived, `say?headers=[name, value, …]` answers with these headers, also an upgrade; everything else says whose it is.
 */
export const notebook = `
const { createServer } = require('node:http')
const { JUPYTERHUB_SERVICE_URL, JUPYTERHUB_SERVICE_PREFIX, JUPYTERHUB_USER } = process.env
const { hostname, port } = new URL(JUPYTERHUB_SERVICE_URL)
const read = req => {
  const { pathname, searchParams } = new URL(req.url, 'http://notebook')
  return { what: pathname.slice(JUPYTERHUB_SERVICE_PREFIX.length), said: JSON.parse(searchParams.get('headers') ?? '[]') }
}
const answer = (req, res) => {
  const { what, said } = read(req)
  if (what === 'env') return res.end(JSON.stringify(process.env))
  if (what === 'seen') return res.end(JSON.stringify({ url: req.url, headers: req.headers }))
  if (what === 'say') return res.writeHead(200, said).end('said')
  res.end('notebook of ' + JUPYTERHUB_USER + ' ' + process.pid)
}
const server = createServer((req, res) => {
  try { answer(req, res) } catch (error) { res.writeHead(400).end(String(error)) }
})
server.on('upgrade', (req, socket) => {
  const { said } = read(req)
  let lines = 'X-Seen: ' + JSON.stringify(req.headers) + '\\r\\n'
  for (let i = 0; i < said.length; i += 2) lines += said[i] + ': ' + said[i + 1] + '\\r\\n'
  socket.on('error', () => {})
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n' + lines + '\\r\\n')
  socket.pipe(socket)
})
server.listen(Number(port), hostname)
`

export const command = [process.execPath, '-e', notebook]

/** A hub whose notebooks all are such; `more` are further keys of its config, `slow` is how long a POST waits for a start. */
export const config = (more = '', slow = '5s') => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: ${JSON.stringify(password)} })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ command: ${JSON.stringify(command)}, grace: '1s' }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { grace: '5s', poll: '1s', slow: '${slow}' },
  ${more}
})
`

export interface Attacked extends RunningHub {
  /** The front's port. */
  port: number
  /** A browser that is signed in. */
  enter(name: string): Promise<Visitor>
  /** A notebook that runs. */
  notebook(name: string): Promise<{ owner: Visitor; base: string; env: Record<string, string>; text: string }>
  /** The API as a program calls it, with a token; the path is below `hub/api`. */
  api(token: string, method: string, path: string, body?: unknown): Promise<{ status: number; json: Json }>
  /** A token with these scopes, made on behalf of its owner. */
  token(name: string, scopes?: string[]): Promise<string>
  /** Kill the hub, not the front; resolves when the next one serves. */
  killHub(): Promise<void>
  pids(): Promise<{ front: number; hub: number }>
}

// biome-ignore lint/suspicious/noExplicitAny: tests read it with what they expect in mind, and fail where it is not there
type Json = any

export async function attackedHub(t: Test, text = config(), env: Record<string, string> = {}): Promise<Attacked> {
  const hub = await startHub(t, text, env)
  await hub.printed(/swarmhub is at/)
  const { origin, child } = hub

  const enter: Attacked['enter'] = async name => {
    const someone = visitor(origin)
    const { path } = await someone.signIn(name, password, '/hub/home')
    assert.equal(path, '/hub/home', `${name} is signed in`)
    return someone
  }
  const pids = async () => {
    const children = (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).trim().split(' ')
    for (const pid of children)
      if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('--supervised'))
        return { front: child.pid!, hub: Number(pid) }
    return { front: child.pid!, hub: 0 }
  }
  const api: Attacked['api'] = async (token, method, path, body) => {
    const headers = { ...(token && { authorization: `token ${token}` }) }
    const content = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
    const reply = await fetch(`${origin}/hub/api${path}`, {
      method,
      headers,
      redirect: 'manual',
      ...(content !== undefined && { body: content }),
    })
    const answer = await reply.text()
    return { status: reply.status, json: /json/.test(reply.headers.get('content-type') ?? '') ? JSON.parse(answer) : answer }
  }

  return {
    ...hub,
    port: Number(new URL(origin).port),
    enter,
    pids,
    api,
    async notebook(name) {
      const owner = await enter(name)
      await owner.open('/hub/spawn')
      const base = `/user/${name}/`
      for (let tries = 0; tries < 600; tries++) {
        const { text } = await owner.open(base)
        if (text.startsWith('notebook of')) {
          const { text: env } = await owner.open(`${base}env`)
          return { owner, base, env: JSON.parse(env), text }
        }
        await sleep(25)
      }
      return assert.fail(`the notebook of ${name} never came`)
    },
    async token(name, scopes = ['inherit']) {
      const body = { auth: { username: name, password }, scopes }
      const { status, json } = await api('', 'POST', `/users/${encodeURIComponent(name)}/tokens`, body)
      assert.equal(status, 201, JSON.stringify(json))
      return json.token
    },
    async killHub() {
      const { hub: killed } = await pids()
      process.kill(killed, 'SIGKILL')
      for (let tries = 0; tries < 600; tries++) {
        const { hub } = await pids()
        if (hub !== 0 && hub !== killed) return
        await sleep(25)
      }
      assert.fail('there is no next hub')
    },
  }
}
