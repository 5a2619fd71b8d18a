import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Context, type FrontOptions, silent } from 'swarmhub'
import { type HttpProxyOptions, httpProxy } from 'swarmhub/plugins/http-proxy'
import { type Ask, ask, serveName } from './roles/loopback.ts'

export const context = (signal: AbortSignal = AbortSignal.timeout(60_000)): Context => ({ log: silent, signal, progress() {} })

export const token = 'the-secret-of-the-route-api'

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-front-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A front on the loopback address, before a hub that tells the path it was asked for. Closed at the end of the test. */
export async function startFront(t: TestContext, given: Partial<FrontOptions> & { options?: HttpProxyOptions } = {}) {
  const { options, ...rest } = given
  const folder = rest.folder ?? (await temporaryFolder(t))
  const front: FrontOptions = {
    hub: rest.hub ?? { host: '127.0.0.1', port: (await serveName(t, 'hub')).port },
    hubHeaders: { 'x-front': 'the front' },
    peerHeader: 'x-peer',
    guarded: [{ headers: ['Remote-User'], from: ['192.0.2.0/24'] }],
    api: { at: { socket: join(folder, 'routes.sock') }, token },
    base: '/',
    folder,
    patience: 200,
    ...rest,
  }
  const { proxy } = httpProxy({ host: '127.0.0.1', port: 0, grace: '1ms', ...options })
  proxy.connect(front.api)
  const close = await proxy.serve(front, context())
  let closed: Promise<void> | undefined
  const closeOnce = () => {
    closed ??= Promise.resolve(close())
    return closed
  }
  t.after(closeOnce)
  const { port } = proxy.listens
  return {
    proxy,
    front,
    port,
    close: closeOnce,
    get: (path: string, asked?: Ask) => ask(port, path, asked),
    route: (path: string, target: string, data: Record<string, unknown> = {}) => proxy.add({ path, target, data }, context()),
  }
}
