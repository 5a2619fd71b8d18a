import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Config, config } from '../core/config/schema.ts'
import { createHub } from '../core/hub.ts'
import { createLog } from '../core/log.ts'
import type { Plugin, Route } from '../core/plugin.ts'
import { engine } from './api-hub.ts'
import { passwords } from './identity-hub.ts'
import { freePort } from './running-hub.ts'
import { visitor } from './visitor.ts'

export type Given = Partial<Config> & { url?: string }

/** A whole hub in this process with these settings, and browsers before it. Everybody's password is `right`. */
export async function settingsHub(t: TestContext, given: Given = {}, folder?: string) {
  const dataFolder = folder ?? (await mkdtemp(join(tmpdir(), 'settings-')))
  const running = engine(t)
  const table = new Map<string, Route>()
  const proxy: Plugin = {
    name: 'table',
    proxy: {
      add: async route => void table.set(route.path, route),
      remove: async path => void table.delete(path),
      list: async () => [...table.values()].map(route => ({ ...route, active: new Date() })),
    },
  }
  const port = await freePort()
  const settings = config.parse({
    authenticators: [passwords()],
    access: { everyone: true },
    spawner: running.plugin,
    proxy,
    hub: { port },
    ...given,
  })
  const lines: string[] = []
  const plugins = [...settings.authenticators, settings.spawner, settings.proxy, ...settings.plugins]
  const hub = createHub(
    { settings, plugins, dataFolder, file: '', warnings: [], bundle: undefined as never },
    {
      log: createLog({ format: 'json', level: 'debug', write: line => void lines.push(line) }),
      routeApi: { at: { socket: '/nowhere' }, token: 'secret' },
      end: () => {},
    },
  )
  await hub.start()
  t.after(async () => {
    await hub.close()
    // What was under way may still write.
    await rm(dataFolder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  })
  const origin = `http://127.0.0.1:${port}`

  /** A browser in which this user is signed in. */
  const signedIn = async (name: string) => {
    const browser = visitor(origin)
    const page = await browser.signIn(name, 'right')
    return { ...browser, page }
  }
  /** The API with this user's own token. */
  const api = async (name: string) => {
    const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
      const reply = await fetch(`${origin}${placeOf(given)}hub/api${path}`, {
        method,
        headers,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const text = await reply.text()
      return {
        status: reply.status,
        headers: reply.headers,
        // biome-ignore lint/suspicious/noExplicitAny: tests read it with what they expect in mind, and fail where it is not there
        json: (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text) as any,
      }
    }
    const { json } = await call('POST', `/users/${name}/tokens`, { auth: { username: name, password: 'right' } })
    return (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      call(method, path, body, { authorization: `token ${json.token}`, ...headers })
  }
  return { ...hub, ...running, origin, table, lines, signedIn, api, folder: dataFolder, settings }
}

const placeOf = ({ url, base = '/' }: Given) => (url === undefined ? base : new URL(url).pathname)
