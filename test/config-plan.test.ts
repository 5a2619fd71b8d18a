import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../core/config/load.ts'
import { plan } from '../core/config/plan.ts'
import { folder, head } from './written-config.ts'

test('the plan of a config names all it would run, in order, and sets nothing up', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `${head}import { Hono } from 'hono'
const nbgrader = {
  name: 'nbgrader',
  mount: { attach: () => [] },
  hooks: { 'before:spawn'() {}, 'after:stop'() {} },
  web: new Hono().use(async (_, next) => next()).get('/', c => c.text('')).post('/courses/:id', c => c.text('')),
  welcome: new Hono().get('/about', c => c.text('')),
  api: new Hono().get('/courses', c => c.json([])),
  jobs: { collect: { every: 600_000, run() {} } },
  commands: { fetch: { summary: 'Fetch all submissions', run() {} } },
  setup() { throw new Error('started') },
}
export default defineConfig({
  url: 'https://hub.example.org/lab',
  authenticators: [ask({ label: 'University' })],
  access: { users: ['ann', 'bob'], groups: ['students'], admins: ['cy'], adminGroups: ['staff'], blocked: ['eve'] },
  mounts: [nfs({ target: '/home', path: '/home' }), nbgrader],
  spawner: swarm(),
  proxy: proxy(),
  profiles: [
    { name: 'small', label: 'Small', image: 'example/notebook', cpus: 1, memory: '1536M', placement: { constraints: ['node.labels.gpu==true'] } },
    { name: 'plain', label: 'Plain', groups: ['students', 'staff'], cpus: 0.5, memory: 1000 },
  ],
  data: '/var/lib/swarmhub',
  plugins: [nbgrader, { name: 'late', network: { join: () => [] } }],
})`,
  })
  assert.equal(
    plan(await loadConfig({ cwd })),
    `config   ${join(cwd, 'hub.config.ts')}
data     /var/lib/swarmhub
address  https://hub.example.org/lab
access   the users ann, bob; members of students; the admins cy; the members of staff, as admins; but not eve

plugins, in this order
  1. ask
     role       authenticator by password: University
  2. nfs
     role       mount
  3. nbgrader
     role       mount
     hooks      before:spawn, after:stop
     pages      GET /lab/hub/x/nbgrader/about
                GET /lab/hub/x/nbgrader
                POST /lab/hub/x/nbgrader/courses/:id
     endpoints  GET /lab/hub/api/x/nbgrader/courses
     jobs       collect, every 10 minutes
     verbs      swarmhub nbgrader fetch  Fetch all submissions
  4. swarm
     role       spawner
  5. proxy
     role       proxy
  6. late
     role       network, not used

profiles
  small (Small): example/notebook; 1 CPU; 1536M of memory; node.labels.gpu==true; for everybody
  plain (Plain): no image of its own; 0.5 CPUs; 1000 bytes of memory; for students, staff

warnings
  "late" is not used as a network: for that it has to stand in networks
`,
  )
})

test('a plan without an address and without rules says what that means', async t => {
  const cwd = await folder(t, { 'hub.config.ts': `${head}export default defineConfig({ ...rest, access: {} })` })
  const text = plan(await loadConfig({ cwd }))
  assert.match(text, /^address {2}any host, path \/, plain http$/m)
  assert.match(text, /^access {3}nobody: say in hub.config.ts who/m)
  assert.match(text, /^ {2}nobody may sign in: /m)
})
