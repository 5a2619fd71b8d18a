import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './command.ts'

/** Runs the docker command against a node's engine and gives its output without the closing line feed. */
export async function docker(node: { socket: string }, ...args: string[]): Promise<string> {
  return (await run('docker', ['-H', `unix://${node.socket}`, ...args], { env: dockerEnv() })).trimEnd()
}

/** The environment without what would lead the docker command elsewhere. BuildKit is off: Debian has no buildx. */
export function dockerEnv(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^DOCKER_(HOST|CONTEXT|TLS|TLS_VERIFY|CERT_PATH)$/.test(name))
  return { ...Object.fromEntries(own), DOCKER_BUILDKIT: '0' }
}

/** Waits until an engine answers on its socket; throws as soon as its process has ended. */
export async function engineUp(socket: string, alive: () => boolean, patience = 60_000): Promise<void> {
  const deadline = performance.now() + patience
  while (!(await pings(socket))) {
    if (!alive()) throw new Error(`the engine of ${socket} has ended; its log stands beside it`)
    if (performance.now() > deadline) throw new Error(`no engine answers at ${socket}`)
    await sleep(50)
  }
}

function pings(socketPath: string): Promise<boolean> {
  return new Promise(resolve => {
    const ping = request({ socketPath, path: '/_ping', timeout: 2000 }, reply => {
      reply.resume().on('end', () => resolve(reply.statusCode === 200))
    })
    ping.on('timeout', () => ping.destroy())
    ping.on('error', () => resolve(false)).end()
  })
}
