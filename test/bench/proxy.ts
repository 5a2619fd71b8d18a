import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { freePort } from '../running-hub.ts'
import { debianModules } from './hubs.ts'
import { client, costOf, type Figures, load, p99Of, rateOf, together } from './load.ts'
import { find, memoryOf, type Program, run } from './program.ts'
import { figure, table } from './table.ts'

const rounds = 3
const seconds = 1.2
const sockets = 20
const path = '/user/ann/'

interface Peer extends Program {
  name: string
  origin: string
}

/** `npm run bench -- proxy`: our front, http-proxy as it comes, and configurable-http-proxy, each before the same server, in turns. */
export async function benchProxy(say: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-proxy-'))
  const running: Program[] = []
  try {
    const start = async (name: string, command: string, args: (port: number) => string[]): Promise<Peer> => {
      const port = await freePort()
      const origin = `http://127.0.0.1:${port}`
      const program = await run(command, args(port), { cwd: folder, env: debianModules, ready: () => answers(origin) })
      running.push(program)
      return { ...program, name, origin }
    }
    const script = join(process.cwd(), 'dist/test/bench/peer.js')
    const peer = (name: string, kind: string, upstream = '') =>
      start(name, process.execPath, port => [script, kind, String(port), upstream])

    const { port: upstream } = new URL((await peer('', 'upstream')).origin)
    const peers = [await peer('our front', 'front', upstream), await peer('http-proxy, keep-alive', 'bare', upstream)]
    const chp = await find('configurable-http-proxy')
    if (!chp)
      say('configurable-http-proxy is not measured: it is not here. On Debian: apt-get install node-configurable-http-proxy')
    else {
      const api = String(await freePort())
      const target = `http://127.0.0.1:${upstream}`
      peers.push(
        await start('configurable-http-proxy', chp, port => [
          ...['--ip', '127.0.0.1', '--port', String(port)],
          ...['--api-ip', '127.0.0.1', '--api-port', api, '--default-target', target],
        ]),
      )
    }
    for (const { name, round } of cases) {
      const measured: Figures[][] = peers.map(() => [])
      for (let n = 0; n < rounds; n++) for (const [index, peer] of peers.entries()) measured[index]!.push(await round(peer))
      const results = measured.map(together)
      const rows = peers.map(({ name, pid }, index) => {
        const figures = results[index]!
        const ratio = costOf(figures) / costOf(results[0]!)
        return [
          name,
          figure(rateOf(figures)),
          figure(costOf(figures)),
          figure(p99Of(figures)),
          `${figure(ratio)} ×`,
          figure(memoryOf(pid)),
        ]
      })
      say(`${table([name, 'a second', 'ms CPU', 'p99 ms', 'cost to ours', 'MB'], rows)}\n`)
    }
    say('ms CPU: of the proxy’s process, for one operation.')
  } finally {
    for (const program of running.reverse()) await program.end()
    await rm(folder, { recursive: true, force: true })
  }
}

const cases: { name: string; round(peer: Peer): Promise<Figures> }[] = [
  { name: 'GET of 1 kB', round: peer => requests(peer, 'small', 16) },
  { name: 'GET of 10 MB', round: peer => requests(peer, 'large', 4) },
  { name: 'WebSocket round trip', round: roundTrips },
]

async function requests({ origin, pid }: Peer, what: string, width: number): Promise<Figures> {
  const { expect, close } = client(origin)
  try {
    await expect(200, path + what)
    return await load(pid, { seconds, width }, () => expect(200, path + what))
  } finally {
    close()
  }
}

async function roundTrips({ origin, pid }: Peer): Promise<Figures> {
  const open = Array.from(
    { length: sockets },
    () => new WebSocket(`${origin.replace('http', 'ws')}${path}echo`, { perMessageDeflate: false }),
  )
  try {
    await Promise.all(open.map(socket => once(socket, 'open')))
    const free = [...open]
    const message = Buffer.alloc(128, 'x')
    return await load(pid, { seconds, width: sockets }, async () => {
      const socket = free.pop()!
      const echo = once(socket, 'message')
      socket.send(message)
      await echo
      free.push(socket)
    })
  } finally {
    for (const socket of open) socket.terminate()
  }
}

async function answers(origin: string): Promise<boolean> {
  const { ask, close } = client(origin)
  try {
    return (await ask(`${path}small`)).status === 200
  } finally {
    close()
  }
}
