import { once } from 'node:events'
import { connect as dial, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as secure } from 'node:tls'
import { Client, type Filter, ResultCodeError } from 'ldapts'
import { HubError } from 'swarmhub'

/** One server of the directory. */
export interface Server {
  url: string
  host: string
  port: number
  /** From the first byte, after StartTLS, or not at all. */
  security: 'tls' | 'starttls' | 'none'
}

/** A line of what was asked and answered, for who looks for a mistake. Never holds a password. */
export type Say = (line: string) => void

export interface Question {
  base: string
  scope: 'base' | 'one' | 'sub'
  filter: Filter
  attributes: readonly string[]
  /** How many entries are of interest. Left out: all, and it is an error when the server does not give all. */
  limit?: number
}

/** An entry; attributes are found whatever the case of their names. */
export interface Entry {
  dn: string
  values(attribute: string): readonly Buffer[]
  texts(attribute: string): readonly string[]
}

/** A connection to one server, for one piece of work. Rejects with whatever keeps the server from answering. */
export interface Connection {
  /** False when the server says that it is not so. Throws for an empty DN or password, with which a bind proves nothing (RFC 4513 5.1). */
  bind(dn: string, password: string): Promise<boolean>
  bindAnonymously(): Promise<void>
  /** Referrals are not followed. */
  search(question: Question): Promise<Entry[]>
}

/** Bytes that a server may send within one connection. */
const mostBytes = 4 * 2 ** 20

/** Bytes that are looked at in one go. */
const pieceBytes = 8192

/** A bind that ended with one of these (RFC 4511 appendix A) is a no: a referral, a locked account, not such a DN, the wrong password. */
const refusals = new Set([10, 19, 32, 34, 48, 49, 50, 53])

const startTls = '1.3.6.1.4.1.1466.20037'

/**
 * Connect, do the work, say good-bye. Where TLS is asked for nothing else is sent before the certificate was verified. The signal must
 * abort at the end, however it came: with it every socket is closed.
 */
export async function connected<T>(
  server: Server,
  tls: ConnectionOptions,
  { signal, say }: { signal: AbortSignal; say: Say },
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  let outermost = unharmed(dial({ host: server.host, port: server.port }))
  const plain = outermost
  // Only that one: Node 20 ends with SIGSEGV when a socket is destroyed before the TLS within it.
  const close = () => outermost.destroy()
  signal.addEventListener('abort', close)
  if (signal.aborted) close()
  await once(plain, 'connect')
  if (server.security === 'starttls') {
    // Its parser ends with it: what was smuggled in front of TLS must not become part of an answer within TLS.
    await clientOn(plain, server).exop(startTls)
    plain.removeAllListeners('data').removeAllListeners('readable')
  }
  if (server.security !== 'none') {
    outermost = securing(plain, server, tls)
    if (signal.aborted) close()
    await once(outermost, 'secureConnect')
  }
  say(`${server.url}: connected, ${server.security === 'none' ? 'not encrypted' : 'encrypted, certificate verified'}`)
  const client = clientOn(outermost, server)
  const result = await work(speaking(client, say))
  await client.unbind()
  return result
}

function securing(plain: Socket, { host }: Server, tls: ConnectionOptions): Socket {
  const name = tls.servername ?? host
  const options = { ...tls, socket: plain, host: name, ...(isIP(name) === 0 && { servername: name }) }
  return unharmed(secure({ ...options, rejectUnauthorized: true }))
}

/** Whoever waits for the socket hears of its errors; one that comes when nobody does must not end the process. */
const unharmed = <S extends Socket>(socket: S): S => socket.on('error', () => {})

/** The library's client on an open socket. It would connect anew by itself, without TLS: here it cannot. */
function clientOn(socket: Socket, { url }: Server): Client {
  let given = false
  let left = mostBytes
  // Read by hand: the library's parser calls itself for each message of a piece, and a large one of small ones would end the process.
  socket.on('readable', () => {
    for (let piece = read(); piece !== null; piece = read()) left -= piece.length
    if (left < 0) socket.destroy(new Error(`${url} sends more than ${mostBytes} bytes`))
  })
  const read = (): Buffer | null => socket.read(Math.min(pieceBytes, socket.readableLength))
  return new Client({
    url: url.replace(/^ldaps/, 'ldap'),
    createConnection: () => {
      if (given) throw new Error(`${url} closed the connection`)
      given = true
      // It takes all such listeners away first.
      queueMicrotask(() => unharmed(socket))
      return socket
    },
  })
}

const speaking = (client: Client, say: Say): Connection => ({
  async bind(dn, password) {
    if (dn === '' || password === '') throw new TypeError('a bind without a DN or a password proves nothing')
    try {
      await client.bind(dn, password)
      say(`bind as ${dn}: accepted`)
      return true
    } catch (error) {
      if (!(error instanceof ResultCodeError && refusals.has(error.code))) throw error
      say(`bind as ${dn}: refused, ${error.message}`)
      return false
    }
  },

  async bindAnonymously() {
    await client.bind('', '')
  },

  async search({ base, scope, filter, attributes, limit }) {
    const found = await client.search(base, {
      scope,
      filter,
      attributes: [...attributes],
      explicitBufferAttributes: [...attributes],
      ...(limit === undefined ? { paged: { pageSize: 500 } } : { sizeLimit: limit }),
    })
    const entries = found.searchEntries.map(({ dn, ...rest }) => entryOf(dn, rest))
    const referred = found.searchReferences.length > 0 ? `; ${found.searchReferences.length} referrals not followed` : ''
    say(`search ${base} (${scope}) for ${filter}: ${entries.map(({ dn }) => dn).join('; ') || 'nothing'}${referred}`)
    return entries
  },
})

function entryOf(dn: string, attributes: Record<string, Buffer | Buffer[] | string | string[]>): Entry {
  const byName = new Map(Object.entries(attributes).map(([name, value]) => [name.toLowerCase(), [value].flat().map(bufferOf)]))
  const part = [...byName.keys()].find(name => name.includes(';range='))
  if (part !== undefined)
    throw new HubError('unavailable', `The directory gives only a part of ${part} of ${dn}. Find groups by "member" instead.`)
  const values: Entry['values'] = attribute => byName.get(attribute.toLowerCase()) ?? []
  return { dn, values, texts: attribute => values(attribute).map(value => value.toString('utf8')) }
}

const bufferOf = (value: Buffer | string) => (typeof value === 'string' ? Buffer.from(value) : value)
