import { rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { z } from 'zod'
import { type ErrorCode, HubError, isHubError, messageOf } from '../errors.ts'
import { attributionOf } from '../hooks.ts'
import type { Close, Log } from '../plugin.ts'

/** What a terminal may ask a running hub for. */
const order = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('restart') }),
  z.strictObject({ do: z.literal('command'), plugin: z.string(), verb: z.string(), args: z.array(z.string()) }),
])
export type Order = z.infer<typeof order>

/** What comes back: the text to print, or what went wrong. */
const reply = z.union([
  z.strictObject({ text: z.string() }),
  z.strictObject({ error: z.strictObject({ code: z.custom<ErrorCode>(code => typeof code === 'string'), message: z.string() }) }),
])
export type Reply = z.infer<typeof reply>

/** Bytes of one order, and milliseconds for its answer. */
const largest = 1024 * 1024
const deadline = 900_000

/**
 * Carry out what comes over the control socket, one order a connection: a line of JSON in, a line of JSON out. Throws `conflict`
 * when somebody listens there already.
 */
export async function serveControl(path: string, carryOut: (order: Order) => Promise<string>, log: Log): Promise<Close> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', error => log.debug('a control connection broke', { error: error.message }))
    readLine(socket)
      .then(line => answered(async () => carryOut(order.parse(JSON.parse(line))), log))
      .then(answer => socket.end(`${JSON.stringify(answer)}\n`))
      .catch(error => {
        log.debug('no order came', { error: messageOf(error) })
        socket.destroy()
      })
  })
  // What a hub that was killed left behind.
  if (!(await isServed(path))) await rm(path, { force: true })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve)).catch(error => {
    if (error.code !== 'EADDRINUSE') throw error
    throw new HubError('conflict', `swarmhub is running here already: it listens on ${path}.`)
  })
  return () =>
    new Promise(resolve => {
      server.close(() => resolve())
      for (const socket of open) socket.destroy()
    })
}

/** Ask the hub that listens here. Rejects with its error, with `unavailable` when there is none. */
export async function giveOrder(path: string, order: Order): Promise<string> {
  const socket = connect(path)
  try {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    socket.setTimeout(deadline, () => socket.destroy(new HubError('timeout', 'The hub did not answer in time.')))
    socket.end(`${JSON.stringify(order)}\n`)
    return textOf(reply.parse(JSON.parse(await readLine(socket))))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      throw new HubError('unavailable', 'No hub is running here. Start one with "swarmhub start".', { cause: error })
    throw error
  } finally {
    socket.destroy()
  }
}

/** Does somebody listen here? */
function isServed(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    const answer = (is: boolean) => () => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', answer(true)).once('error', answer(false))
  })
}

/** What came of it, in a form that can be sent: of a bug or an outage only whose it is and its message; the rest is logged here. */
export async function answered(work: () => Promise<string>, log: Log): Promise<Reply> {
  try {
    return { text: await work() }
  } catch (error) {
    if (isHubError(error)) return { error: { code: error.code, message: error.message } }
    const { plugin, hook } = attributionOf(error)
    log.error('failed', { plugin, hook, error })
    return { error: { code: 'failed', message: `${plugin ? `${plugin} (${hook}): ` : ''}${messageOf(error)}` } }
  }
}

/** The text of an answer; throws its error. */
export function textOf(answer: Reply): string {
  if ('error' in answer) throw new HubError(answer.error.code, answer.error.message)
  return answer.text
}

/** Up to the first line break. Rejects when the connection ends before, and when it becomes too long. */
async function readLine(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk
    const end = text.indexOf('\n')
    if (end >= 0) return text.slice(0, end)
    if (text.length > largest) break
  }
  throw new HubError('unavailable', 'The connection to the hub ended before its answer. Its log tells more.')
}
