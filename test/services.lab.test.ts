import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { noLab } from './lab/lab.ts'
import { freePort, type RunningHub, startHub } from './running-hub.ts'
import { type Visitor, visitor } from './visitor.ts'

/** A service as JupyterHub's documentation has it: its own Python package signs people in. */
const whoami = `
import json, os
from urllib.parse import urlparse
from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, authenticated

class WhoAmI(HubOAuthenticated, RequestHandler):
    @authenticated
    def get(self):
        self.finish(json.dumps({'user': self.get_current_user(), 'pid': os.getpid(), 'secret': os.environ.get('HIDDEN'), 'cwd': os.getcwd()}))

prefix = os.environ['JUPYTERHUB_SERVICE_PREFIX']
app = Application([(prefix, WhoAmI), (prefix + 'oauth_callback', HubOAuthCallbackHandler)], cookie_secret=os.urandom(32))
url = urlparse(os.environ['JUPYTERHUB_SERVICE_URL'])
app.listen(url.port, url.hostname)
print('whoami listens', flush=True)
IOLoop.current().start()
`

const config = (services: string) => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  services: [${services}],
})
`

const token = 'the-token-of-a-service-elsewhere'
const access = `access: { users: ['alice'] }`

async function enter(hub: RunningHub, name: string): Promise<Visitor> {
  const someone = visitor(hub.origin)
  await someone.signIn(name, 'a good password', '/hub/home')
  return someone
}

/** Open the service until it answers; agree when the hub asks. */
async function open(someone: Visitor, ms = 30_000) {
  const end = performance.now() + ms
  for (;;) {
    let page = await someone.open('/services/whoami/')
    if (page.reply.status === 200 && page.path.startsWith('/hub/api/oauth2/authorize'))
      page = await someone.submit(page.path, 'authorize', {})
    if (page.reply.status < 500 || performance.now() > end) return page
    await sleep(100)
  }
}

/** Alice, whom the rule names, gets in; bob does not, nor does he see a link. */
async function checkPeople(hub: RunningHub): Promise<{ alice: Visitor; pid: number; cwd: string; secret: string | null }> {
  const alice = await enter(hub, 'alice')
  assert.match((await alice.open('/hub/home')).text, /href="\/services\/whoami\/"/)
  const page = await open(alice)
  assert.equal(page.reply.status, 200, `${page.trail.join(' → ')}: ${page.text.slice(0, 500)}`)
  assert.equal(page.path, '/services/whoami/')
  const { user, ...rest } = JSON.parse(page.text)
  assert.deepEqual([user.kind, user.name, user.admin], ['user', 'alice', false])
  assert.deepEqual(user.scopes, ['access:services!service=whoami', 'read:users:groups!user=alice', 'read:users:name!user=alice'])
  assert.ok(alice.cookieFor('/services/whoami/').includes('service-whoami='))
  // Signed in already, and agreed to: no detour any more.
  assert.deepEqual((await alice.open('/services/whoami/')).trail, ['/services/whoami/'])

  const bob = await enter(hub, 'bob')
  assert.doesNotMatch((await bob.open('/hub/home')).text, /services\/whoami/)
  const refused = await bob.open('/services/whoami/')
  assert.equal(refused.reply.status, 403)
  assert.ok(refused.path.startsWith('/hub/api/oauth2/authorize'))
  assert.match(refused.text, /do not have permission/)
  return { alice, ...rest }
}

const lives = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function until(what: string, is: () => boolean | Promise<boolean>, ms = 20_000) {
  const end = performance.now() + ms
  while (!(await is())) {
    assert.ok(performance.now() < end, what)
    await sleep(50)
  }
}

async function script(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'service-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'whoami.py')
  await writeFile(file, whoami)
  return file
}

test('a service that the hub runs, with JupyterHub’s own HubOAuth: in through OAuth, no way in for others, up again when killed, gone with the hub', {
  skip: noLab,
}, async t => {
  const port = await freePort()
  const hub = await startHub(
    t,
    config(`{ name: 'whoami', url: 'http://127.0.0.1:${port}', command: ['/usr/bin/python3', '${await script(t)}'], ${access} }`),
    { HIDDEN: 'of the hub' },
  )
  await hub.healthy()
  const { alice, pid, cwd, secret } = await checkPeople(hub)
  assert.equal(secret, null, 'the hub’s environment is not the service’s')
  assert.equal(cwd, hub.folder)
  assert.match(hub.output(), /whoami listens/)

  const root = await enter(hub, 'root')
  const api = await root.ask(`/hub/api/services/whoami?_xsrf=${await root.xsrf()}`, { headers: { accept: 'application/json' } })
  const model = (await api.json()) as { pid: number; prefix: string }
  assert.deepEqual([model.pid, model.prefix], [pid, '/services/whoami/'])

  process.kill(pid, 'SIGKILL')
  await until('the killed one is gone', () => !lives(pid))
  const again = await open(alice)
  assert.equal(again.reply.status, 200, again.text.slice(0, 500))
  const next = JSON.parse(again.text).pid
  assert.notEqual(next, pid)

  // The hub dies without a word: its service goes too, and the next hub's gets the port and a new token.
  const [hubPid] = (await readFile(`/proc/${hub.child.pid}/task/${hub.child.pid}/children`, 'utf8')).trim().split(' ').map(Number)
  process.kill(hubPid!, 'SIGKILL')
  await until('it ends with the hub that was killed', () => !lives(next))
  await hub.printed(/hub is up[\s\S]*hub is up/)
  const last = await open(alice)
  assert.equal(last.reply.status, 200, last.text.slice(0, 500))

  assert.equal(await hub.end(), 0)
  await until('it ends with the hub', () => !lives(JSON.parse(last.text).pid))
})

test('a service that runs elsewhere, with JupyterHub’s own HubOAuth, behind a hub that knows its token', {
  skip: noLab,
}, async t => {
  const port = await freePort()
  const hub = await startHub(t, config(`{ name: 'whoami', url: 'http://127.0.0.1:${port}', token: '${token}', ${access} }`))
  await hub.healthy()
  await hub.printed(/a service does not answer/)
  const hubPort = /port: (\d+) \},\n {2}services/.exec(await configOf(hub))![1]
  const child = spawn('/usr/bin/python3', [await script(t)], {
    stdio: 'inherit',
    env: {
      PATH: process.env.PATH,
      JUPYTERHUB_SERVICE_NAME: 'whoami',
      JUPYTERHUB_API_TOKEN: token,
      JUPYTERHUB_CLIENT_ID: 'service-whoami',
      JUPYTERHUB_API_URL: `http://127.0.0.1:${hubPort}/hub/api`,
      JUPYTERHUB_BASE_URL: '/',
      JUPYTERHUB_SERVICE_PREFIX: '/services/whoami/',
      JUPYTERHUB_SERVICE_URL: `http://127.0.0.1:${port}`,
      JUPYTERHUB_OAUTH_CALLBACK_URL: '/services/whoami/oauth_callback',
    },
  })
  t.after(() => child.kill('SIGKILL'))
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/services/whoami/`, { redirect: 'manual' }).then(
      reply => reply.status < 500,
      () => false,
    )
  await until('it listens', answers)
  const { alice } = await checkPeople(hub)
  assert.equal(child.exitCode, null)

  // By its own token it is a service to the hub, with the rights of the config: none but to know itself.
  const asked = await fetch(`${hub.origin}/hub/api/user`, { headers: { authorization: `token ${token}` } })
  assert.equal(((await asked.json()) as { kind: string }).kind, 'service')
  assert.equal((await fetch(`${hub.origin}/hub/api/users`, { headers: { authorization: `token ${token}` } })).status, 403)

  // Signing out ends what the service could do in her name.
  const before = alice.cookieFor('/services/whoami/')
  await alice.open('/hub/logout')
  const after = await alice.ask('/services/whoami/', { headers: { cookie: before } })
  assert.equal(after.status, 302)
})

async function configOf({ folder }: RunningHub): Promise<string> {
  return readFile(join(folder, 'hub.config.ts'), 'utf8')
}
