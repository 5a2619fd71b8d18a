import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Context, Hono } from 'hono'
import { unrecorded } from '../core/audit.ts'
import { type Config, config } from '../core/config/schema.ts'
import { createStager } from '../core/hooks.ts'
import { createIdentity } from '../core/identity/identity.ts'
import { createLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import type { Authenticator, Hooks, Identity, Plugin } from '../core/plugin.ts'
import { openStore } from '../core/store/store.ts'

export interface Given {
  access?: Config['access']
  authenticators?: { name: string; authenticator: Authenticator }[]
  hooks?: Hooks
  url?: string
  timeouts?: Config['timeouts']
  roles?: Config['roles']
  scopes?: Config['scopes']
  folder?: string
  services?: Config['services']
  authStateKeys?: Buffer[]
  signIn?: Config['signIn']
  cookies?: Config['cookies']
  activity?: Config['activity']
}

/** An authenticator that takes everybody whose password is `right`, as they call themselves. */
export const passwords = (name = 'passwords', identify: (name: string) => Identity | null = name => ({ name })) => ({
  name,
  authenticator: {
    kind: 'password',
    label: 'Sign in',
    check: async ({ username, password }) => (password === 'right' ? identify(username) : null),
  } satisfies Authenticator as Authenticator,
})

/** The identity part of a hub, its state in a folder of its own, and browsers to visit it with. */
export async function identityHub(t: TestContext, given: Given = {}) {
  const folder = given.folder ?? (await mkdtemp(join(tmpdir(), 'swarmhub-identity-')))
  if (!given.folder) t.after(() => rm(folder, { recursive: true, force: true }))
  const role = { name: 'none', spawner: {}, proxy: {} } as Plugin
  const settings = config.parse({
    authenticators: given.authenticators ?? [passwords()],
    access: given.access ?? { everyone: true },
    roles: given.roles ?? [],
    scopes: given.scopes ?? {},
    spawner: role,
    proxy: role,
    timeouts: { hook: '2s', ...given.timeouts },
    services: given.services ?? [],
    authState: { keys: (given.authStateKeys ?? []).map(key => key.toString('hex')) },
    signIn: given.signIn,
    cookies: given.cookies,
    activity: given.activity,
    ...(given.url && { url: given.url }),
  })
  const url = given.url === undefined ? undefined : new URL(given.url)
  const base = url?.pathname ?? '/'
  const lines: string[] = []
  const log = createLog({ format: 'json', write: line => void lines.push(line) })
  const plugins: Plugin[] = [...settings.authenticators, { name: 'hooks', hooks: given.hooks ?? {} }]
  const stager = createStager(plugins, settings.timeouts.hook, createMetrics())
  const store = await openStore(folder)
  const closing = new AbortController().signal
  const ended: string[] = []
  const identity = createIdentity({
    store,
    settings,
    base,
    url,
    stager,
    audit: unrecorded,
    log,
    closing,
    ended: id => void ended.push(id),
  })

  /** Let something happen within one request of a browser. */
  async function visit<T>(browser: Browser, path: string, act: (c: Context) => T | Promise<T>, init: RequestInit = {}) {
    let result: T | undefined
    const app = new Hono()
    app.all('*', async c => {
      result = await act(c)
      return c.text('ok')
    })
    app.onError(error => {
      throw error
    })
    const headers = new Headers(init.headers)
    if (browser.jar.size > 0 && !headers.has('cookie')) headers.set('cookie', browser.cookies(path))
    const response = await app.request(`http://hub.test${path}`, { ...init, headers })
    browser.keep(response.headers.getSetCookie())
    return { result: result as T, set: response.headers.getSetCookie() }
  }

  return { ...identity, store, folder, lines, base, visit, settings, ended }
}

/** A cookie jar that knows paths. */
export class Browser {
  readonly jar = new Map<string, { name: string; value: string; path: string }>()

  keep(cookies: string[]): void {
    for (const cookie of cookies) {
      const [pair = '', ...attributes] = cookie.split('; ')
      const name = pair.slice(0, pair.indexOf('='))
      const path = attributes.find(one => one.startsWith('Path='))?.slice(5) ?? '/'
      if (attributes.includes('Max-Age=0')) this.jar.delete(`${name} ${path}`)
      else this.jar.set(`${name} ${path}`, { name, value: pair.slice(name.length + 1), path })
    }
  }

  cookies(path: string): string {
    const sent = [...this.jar.values()].filter(cookie => path.startsWith(cookie.path))
    return sent.map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  value(name: string): string | undefined {
    return [...this.jar.values()].find(cookie => cookie.name === name)?.value
  }
}
