import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { silent } from '../core/log.ts'
import { createPluginHub } from '../core/plugin-hub.ts'
import { createWeb } from '../core/web/web.ts'
import { local } from '../plugins/local/index.ts'
import { createPasswords } from '../plugins/local/passwords.ts'
import { apiHub } from './api-hub.ts'
import { fakeHub } from './roles/hub.ts'
import { visitor } from './visitor.ts'

const good = 'a horse, a battery'

test('local: set-up, sign-in, change of password and a reset, on the pages of a real hub', async t => {
  const plugin = local({}, createPasswords({ n: 2 ** 4, r: 8, p: 1 }))
  const { core } = await apiHub(t, { authenticator: plugin, plugins: [plugin] })
  const said: string[] = []
  const { folder } = fakeHub(t)
  await plugin.setup({ ...createPluginHub(core, 'hub', plugin, folder, silent), say: text => void said.push(text) })
  const http = createServer(getRequestListener(new Hono().route('/', createWeb(core)).fetch))
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    http.close()
    http.closeAllConnections()
  })
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const pathIn = (text: string) => /\/hub\/x\/local\/\S+/.exec(text)![0]
  const twice = (password: string) => ({ password, repeated: password })

  // Nobody is signed in: the page is there all the same, and its form needs its own token.
  const ada = visitor(origin)
  const setup = pathIn(said[0]!)
  const forged = await ada.ask(setup, { method: 'POST', body: new URLSearchParams({ username: 'eve', ...twice(good) }) })
  assert.equal(forged.status, 403)
  const done = await ada.submit(setup, 'setup', { username: 'Ada', ...twice(good) })
  assert.equal(done.path, '/hub/login')
  assert.equal((await ada.open(setup)).reply.status, 403)

  assert.equal((await ada.signIn('ada', 'a wrong horse')).reply.status, 403)
  await ada.signIn('ADA', good)
  const home = await ada.open('/hub/home')
  assert.equal(home.reply.status, 200)
  assert.match(home.text, /<a href="\/hub\/x\/local\/password">Password<\/a>/)
  assert.equal(core.users.get('ada')?.admin, true)

  // The page for those who are signed in sends all others away first.
  assert.match((await visitor(origin).open('/hub/x/local/password')).path, /^\/hub\/login/)
  const refused = await ada.submit('/hub/x/local/password', 'password', { current: 'a guess', ...twice('a newer horse') })
  assert.equal(refused.reply.status, 403)
  const elsewhere = visitor(origin)
  await elsewhere.signIn('ada', good)
  const changed = await ada.submit('/hub/x/local/password', 'password', { current: good, ...twice('a newer horse') })
  assert.match(changed.path, /^\/hub\/login/)
  assert.match((await elsewhere.open('/hub/home')).path, /^\/hub\/login/)

  const link = pathIn(await plugin.commands.reset.run(['ada']))
  await elsewhere.submit(link, 'link', twice('a third horse'))
  assert.equal((await elsewhere.signIn('ada', 'a newer horse')).reply.status, 403)
  await elsewhere.signIn('ada', 'a third horse')
  assert.equal((await elsewhere.open('/hub/home')).reply.status, 200)
})
