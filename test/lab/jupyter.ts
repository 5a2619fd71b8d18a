import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { installed } from './debian.ts'

/** Debian's jupyterhub-singleuser, run by /usr/bin/python3: what the `process` spawner starts. Installs it where it is missing. */
export async function singleuser(): Promise<string> {
  await installed('jupyterhub', 'jupyter-notebook', 'python3-notebook', 'python3-ipykernel', 'python3-jupyter-server')
  return '/usr/bin/jupyterhub-singleuser'
}

/** A Python kernel in a running notebook server, as a notebook page has it: made over REST, spoken to over a WebSocket. */
export interface Kernel {
  id: string
  /** Fires `close` when the connection is cut. */
  socket: WebSocket
  /** Runs code and gives what it printed. Throws what the code raised. */
  run(code: string, timeout?: number): Promise<string>
  /** Ends the kernel and the connection. */
  close(): Promise<void>
}

/** How to reach a notebook server. */
export interface NotebookAccess {
  /** The server's base, e.g. `http://127.0.0.1:8000/user/alice/`. */
  url: string
  /** `{ authorization: 'token …' }`, or `{ cookie: '…' }` as a browser has it. `_xsrf` is fetched where the cookies lack it. */
  headers?: Record<string, string>
  /** For the kernel to be there, in milliseconds. */
  timeout?: number
}

/** Starts a kernel. */
export async function kernel({ url, headers = {}, timeout = 30_000 }: NotebookAccess): Promise<Kernel> {
  const base = url.endsWith('/') ? url : `${url}/`
  const signal = AbortSignal.timeout(timeout)
  const own = await withXsrf(base, lowercase(headers), signal)
  const made = await fetch(`${base}api/kernels`, {
    method: 'POST',
    headers: { ...own, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'python3' }),
    redirect: 'manual',
    signal,
  })
  const answer = await made.text()
  if (made.status !== 201) throw new Error(`POST ${base}api/kernels answered ${made.status}: ${answer.slice(0, 500)}`)
  const { id } = JSON.parse(answer) as { id: string }

  const channels = `${base.replace(/^http/, 'ws')}api/kernels/${id}/channels?session_id=${randomUUID()}`
  const socket = await connect(channels, { ...own, origin: new URL(base).origin }, timeout)
  return {
    id,
    socket,
    run: (code, patience = 30_000) => execute(socket, code, patience),
    async close() {
      socket.terminate()
      await fetch(`${base}api/kernels/${id}`, { method: 'DELETE', headers: own, signal: AbortSignal.timeout(10_000) }).catch(
        () => {},
      )
    },
  }
}

/** Runs code in a kernel of its own and gives what it printed. */
export async function runCode(access: NotebookAccess & { code: string }): Promise<string> {
  const own = await kernel(access)
  try {
    return await own.run(access.code, access.timeout)
  } finally {
    await own.close()
  }
}

/** Waits until a notebook server answers at all: `GET …/api` needs no sign-in. */
export async function notebookUp(url: string, timeout = 30_000): Promise<void> {
  const deadline = performance.now() + timeout
  const base = url.endsWith('/') ? url : `${url}/`
  let last = 'nothing'
  while (performance.now() < deadline) {
    const status = await fetch(`${base}api`, { redirect: 'manual', signal: AbortSignal.timeout(3000) }).then(
      reply => reply.status,
      error => String(error.cause ?? error),
    )
    if (status === 200) return
    last = String(status)
    await sleep(100)
  }
  throw new Error(`${base}api does not answer: ${last}`)
}

/** The part of a kernel's message that is read here: https://jupyter-client.readthedocs.io/en/stable/messaging.html */
interface Message {
  parent_header: { msg_id?: string }
  header: { msg_type: string }
  content: { name?: string; text?: string; ename?: string; evalue?: string; traceback?: string[]; execution_state?: string }
}

function execute(socket: WebSocket, code: string, timeout: number): Promise<string> {
  const id = randomUUID()
  const content = { code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false, stop_on_error: true }
  const header = {
    msg_id: id,
    msg_type: 'execute_request',
    username: '',
    session: id,
    date: new Date().toISOString(),
    version: '5.3',
  }
  return new Promise((resolve, reject) => {
    let printed = ''
    let raised: Error | undefined
    const timer = setTimeout(() => end(new Error(`no end of the code after ${timeout} ms; printed so far: ${printed}`)), timeout)
    const cut = (code: number) => end(new Error(`the connection was closed with ${code}`))
    const heard = (data: WebSocket.RawData) => {
      const { parent_header, header, content } = JSON.parse(String(data)) as Message
      if (parent_header?.msg_id !== id) return
      if (header.msg_type === 'stream' && content.name === 'stdout') printed += content.text
      if (header.msg_type === 'error') raised = new Error(`${content.ename}: ${content.evalue}`)
      // What was printed comes before this on the same channel.
      if (header.msg_type === 'status' && content.execution_state === 'idle') end(raised)
    }
    const end = (error?: Error) => {
      clearTimeout(timer)
      socket.off('message', heard).off('close', cut)
      if (error) reject(error)
      else resolve(printed)
    }
    socket.on('message', heard).on('close', cut)
    socket.send(JSON.stringify({ header, parent_header: {}, metadata: {}, content, channel: 'shell', buffers: [] }))
  })
}

function connect(url: string, headers: Record<string, string>, timeout: number): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers, handshakeTimeout: timeout, followRedirects: false })
    socket.once('open', () => resolve(socket))
    socket.once('unexpected-response', (_, reply) => reject(new Error(`${url} answered ${reply.statusCode} to the upgrade`)))
    socket.on('error', reject)
  })
}

/** A cookie proves who asks; `_xsrf` in cookie and header proves that a page of the server itself made it ask. */
async function withXsrf(base: string, headers: Record<string, string>, signal: AbortSignal): Promise<Record<string, string>> {
  if (!headers.cookie || headers['x-xsrftoken']) return headers
  let cookie = headers.cookie
  if (!xsrfIn(cookie)) {
    const page = await fetch(`${base}tree`, { headers, redirect: 'manual', signal })
    await page.arrayBuffer()
    const given = page.headers.getSetCookie().find(line => line.startsWith('_xsrf='))
    if (given) cookie = `${cookie}; ${given.split(';')[0]}`
  }
  const token = xsrfIn(cookie)
  return token ? { ...headers, cookie, 'x-xsrftoken': token } : headers
}

/** The last one counts: the one of the longer path comes after that of the hub in what the caller collected. */
function xsrfIn(cookie: string): string | undefined {
  return [...cookie.matchAll(/(?:^|;\s*)_xsrf=([^;]*)/g)].at(-1)?.[1]
}

function lowercase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
