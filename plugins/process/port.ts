import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { HubError } from 'swarmhub'

/**
 * A free port on the loopback address, none of `taken`. From below those that the system gives away by itself: it stays free
 * during the seconds until the notebook listens on it.
 */
export async function freePort(taken: ReadonlySet<number>): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '32768')
  const end = Math.max(Number.parseInt(range, 10), 12_000)
  for (let tries = 0; tries < 200; tries++) {
    const port = randomInt(10_000, end)
    if (!taken.has(port) && (await isFree(port))) return port
  }
  throw new HubError('unavailable', 'There is no free port for the server on this machine. Try again later.')
}

const isFree = (port: number) =>
  new Promise<boolean>(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
