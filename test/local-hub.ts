import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { silent } from '../core/log.ts'
import { createPluginHub } from '../core/plugin-hub.ts'
import { createWeb } from '../core/web/web.ts'
import { initial, schema } from '../plugins/local/accounts.ts'
import { type LocalOptions, local } from '../plugins/local/index.ts'
import { type Cost, createPasswords } from '../plugins/local/passwords.ts'
import { apiHub, type Given } from './api-hub.ts'
import { fakeHub } from './roles/hub.ts'

const cheap: Cost = { n: 2 ** 4, r: 8, p: 1 }

/** A real hub with its pages on a port, its accounts those of `local`, with passwords that cost next to nothing. */
export async function localHub(t: TestContext, options: LocalOptions = {}, given: Given = {}) {
  const passwords = createPasswords(cheap)
  const plugin = local(options, passwords)
  const hub = await apiHub(t, { ...given, authenticator: plugin, plugins: [plugin] })
  const said: string[] = []
  const { folder } = fakeHub(t)
  const opened = createPluginHub(hub.core, 'hub', plugin, folder, silent)
  await plugin.setup({ ...opened, say: text => void said.push(text) })
  const file = await opened.file('accounts', schema, initial)
  const http = createServer(getRequestListener(new Hono().route('/', createWeb(hub.core)).fetch))
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    http.close()
    http.closeAllConnections()
  })
  return {
    ...hub,
    passwords,
    plugin: { ...plugin, accounts: () => file.data.accounts[0]! },
    file,
    said,
    setupPath: () => pathIn(said.at(-1) ?? ''),
    origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
  }
}

/** The path of a link to one of the plugin's pages, in what was printed or shown. */
export const pathIn = (text: string) => /\/hub\/x\/local\/\w+\?code=[\w-]+/.exec(text)![0]
export const twice = (password: string) => ({ password, repeated: password })
