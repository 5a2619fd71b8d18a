import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type HubRecord, hub, type UserRecord, user, version } from '../../core/store/records.ts'
import { freePort, program } from '../running-hub.ts'
import { client } from './load.ts'
import { childOf, find, run } from './program.ts'

/** A hub under test: `user00000` and so on are its users. */
export interface BenchHub {
  name: string
  users: number
  /** Of the hub itself, past its proxy. */
  origin: string
  /** Of the hub's own process. */
  pid: number
  close(): Promise<void>
}

/** A service with all rights, whose users sign in through the hub without being asked. */
export const service = {
  token: 'b'.repeat(64),
  clientId: 'service-bench',
  redirectUri: 'http://127.0.0.1:9/callback',
}

export const nameOf = (n: number) => `user${String(n).padStart(5, '0')}`

const config = (port: number, hubPort: number) => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy } from 'swarmhub/plugins'

const still = {
  name: 'still',
  spawner: {
    start: async () => ({}),
    poll: async () => ({ state: 'gone', cause: { code: 'missing', message: 'It is not there.' } }),
    stop: async () => {},
    list: async () => [],
  },
}

export default defineConfig({
  authenticators: [dummy()],
  access: { everyone: true },
  spawner: still,
  proxy: httpProxy({ host: '127.0.0.1', port: ${port} }),
  hub: { port: ${hubPort} },
  services: [{
    name: 'bench', token: '${service.token}', admin: true, access: { everyone: true },
    oauth: { clientId: '${service.clientId}', redirectUri: '${service.redirectUri}', noConfirm: true },
  }],
})
`

/** Ours, as \`npm start\` runs it: front and hub, each a process. */
export async function startOurs(users: number): Promise<BenchHub> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-ours-'))
  const remove = () => rm(folder, { recursive: true, force: true, maxRetries: 5 })
  try {
    const [port, hubPort] = [await freePort(), await freePort()]
    await writeFile(join(folder, 'hub.config.ts'), config(port, hubPort))
    await writeUsers(join(folder, 'data'), users)
    const origin = `http://127.0.0.1:${hubPort}`
    const node = ['--enable-source-maps', program, 'start']
    const { pid, end } = await run(process.execPath, node, {
      cwd: folder,
      env: { NODE_ENV: 'production' },
      ready: () => answers(origin),
    })
    return { name: 'swarmhub', users, origin, pid: childOf(pid), close: () => end().then(remove) }
  } catch (error) {
    await remove()
    throw error
  }
}

/** The records as the hub itself would have written them. */
async function writeUsers(data: string, users: number): Promise<void> {
  await mkdir(join(data, 'users'), { recursive: true, mode: 0o700 })
  const write = (path: string, record: HubRecord | UserRecord) =>
    writeFile(join(data, path), `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 })
  const [id, secret] = [randomBytes(6).toString('hex'), randomBytes(32).toString('base64url')]
  await write('hub.json', hub.parse({ version, id, secret, groups: [] }))
  for (let n = 0; n < users; n++) {
    const name = nameOf(n)
    const id = n.toString(16).padStart(16, '0')
    const now = new Date().toISOString()
    const record = { version, id, number: n + 1, name, slug: name, admin: false, created: now, lastActivity: now, identity: null }
    await write(`users/${id}.json`, user.parse({ ...record, attributes: {}, tokens: [], sessions: [], servers: [] }))
  }
}

/** What JupyterHub lacks here, as a sentence; undefined when it can be run. */
export async function jupyterHubLack(): Promise<string | undefined> {
  const lacking = await Promise.all(
    ['jupyterhub', 'configurable-http-proxy', 'python3'].map(async name => ((await find(name)) ? [] : [name])),
  )
  const names = lacking.flat()
  if (names.length === 0) return undefined
  return `JupyterHub is not measured: there is no ${names.join(' and no ')} here. On Debian: apt-get install jupyterhub`
}

const jupyterConfig = (port: number, hubPort: number, apiPort: number) => `
c.JupyterHub.bind_url = 'http://127.0.0.1:${port}'
c.JupyterHub.hub_bind_url = 'http://127.0.0.1:${hubPort}'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:${apiPort}'
c.JupyterHub.authenticator_class = 'dummy'
c.JupyterHub.spawner_class = 'simple'
c.JupyterHub.services = [{
  'name': 'bench', 'api_token': '${service.token}', 'admin': True,
  'oauth_client_id': '${service.clientId}', 'oauth_redirect_uri': '${service.redirectUri}', 'oauth_no_confirm': True,
}]
c.JupyterHub.load_roles = [{'name': 'user', 'scopes': ['self', 'access:services']}]
`

const fill = `
import datetime, sqlite3, sys, uuid
db = sqlite3.connect('jupyterhub.sqlite')
role = db.execute("SELECT id FROM roles WHERE name = 'user'").fetchone()[0]
now = datetime.datetime.utcnow().isoformat(' ')
for n in range(int(sys.argv[1])):
    row = db.execute('INSERT INTO users (name, admin, created, last_activity, cookie_id) VALUES (?, 0, ?, ?, ?)', ('user%05d' % n, now, now, uuid.uuid4().hex))
    db.execute('INSERT INTO user_role_map (user_id, role_id) VALUES (?, ?)', (row.lastrowid, role))
db.commit()
`

/** Where Debian has its modules: a Node that is not Debian's own does not look there. */
export const debianModules = { NODE_PATH: '/usr/share/nodejs' }

/** Debian's JupyterHub with its proxy, SQLite and everything else as it comes. Its users are written into its database. */
export async function startJupyterHub(users: number): Promise<BenchHub> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-jupyterhub-'))
  const remove = () => rm(folder, { recursive: true, force: true, maxRetries: 5 })
  try {
    const [port, hubPort, apiPort] = [await freePort(), await freePort(), await freePort()]
    await writeFile(join(folder, 'jupyterhub_config.py'), jupyterConfig(port, hubPort, apiPort))
    const origin = `http://127.0.0.1:${hubPort}`
    const start = async () =>
      run((await find('jupyterhub'))!, [], { cwd: folder, env: debianModules, ready: () => answers(origin) })
    const first = await start()
    await first.end()
    await promisify(execFile)((await find('python3'))!, ['-c', fill, String(users)], { cwd: folder })
    const { pid, end } = await start()
    return { name: 'JupyterHub', users, origin, pid, close: () => end().then(remove) }
  } catch (error) {
    await remove()
    throw error
  }
}

async function answers(origin: string): Promise<boolean> {
  const { ask, close } = client(origin)
  try {
    return (await ask('/hub/health')).status === 200
  } finally {
    close()
  }
}
