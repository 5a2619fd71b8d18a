import assert from 'node:assert/strict'
import { mock, type TestContext, test } from 'node:test'
import type { Config } from '../core/config/schema.ts'
import { HubError } from '../core/errors.ts'
import { browse, type FakeCore, fakeCore } from './fake-core.ts'

const two: Config['profiles'] = [
  { name: 'student', label: 'Student' },
  { name: 'teacher', label: 'Teacher', groups: ['teachers'] },
]

function hubOf(
  options: Parameters<typeof fakeCore>[0] = {},
  groups: string[] = [],
): { core: FakeCore; alice: ReturnType<typeof browse> } {
  const core = fakeCore(options)
  core.addUser('alice', { groups })
  core.addUser('bob')
  return { core, alice: browse(core, 'alice') }
}

const location = (answer: Response) => answer.headers.get('location')
const running = (core: FakeCore, user: string, name = '') =>
  Object.assign(core.server(user, name), { state: 'running', pending: null, ready: true })

// Home

test('home offers what can be done with each server now', async () => {
  const { core, alice } = hubOf()
  running(core, 'alice')
  Object.assign(core.addServer('alice', 'moving'), { state: 'starting', pending: 'spawn' })
  core.addServer('alice', 'idle')
  const page = await (await alice.get('/hub/home')).text()
  assert.match(page, /href="\/user\/alice\/"[^>]*>Open/)
  assert.match(page, /action="\/hub\/stop\/alice"/)
  assert.match(page, /href="\/hub\/spawn-pending\/alice\/moving"/)
  assert.match(page, /action="\/hub\/stop\/alice\/moving"/)
  assert.match(page, /action="\/hub\/spawn\/alice\/idle"/)
  assert.match(page, /action="\/hub\/delete\/alice\/idle"/)
  assert.doesNotMatch(page, /action="\/hub\/delete\/alice"/)
})

test('with one profile Start on the home page starts at once', async () => {
  const { core, alice } = hubOf()
  assert.match(await (await alice.get('/hub/home')).text(), /<form method="post" action="\/hub\/spawn\/alice">/)
  const answer = await alice.post('/hub/spawn/alice')
  assert.equal(answer.status, 303)
  assert.equal(location(answer), '/hub/spawn-pending/alice')
  assert.deepEqual(core.calls, [['start', 'alice', '', {}]])
})

test('another server is started, or its profile asked for; a bad name is refused', async () => {
  const one = hubOf()
  assert.equal(location(await one.alice.post('/hub/home', { server: ' lab 1 ' })), '/hub/spawn-pending/alice/lab%201')
  for (const server of ['', '..', 'a/b', 'a\u200bb'])
    assert.equal((await one.alice.post('/hub/home', { server })).status, 400, server)
  const several = hubOf({ profiles: two }, ['teachers'])
  assert.equal(location(await several.alice.post('/hub/home', { server: 'lab' })), '/hub/spawn/alice/lab')
  assert.deepEqual(several.core.calls, [])
})

// Start

test('the start page shows the profiles of this user, the last choice selected', async () => {
  const profiles = [...two, { name: 'big', label: 'Big', memory: 4 * 2 ** 30, cpus: 2 }]
  const { core, alice } = hubOf({ profiles })
  core.server('alice', '').record.profile = 'big'
  const page = await (await alice.get('/hub/spawn?next=/x%3Fa%3D1')).text()
  assert.match(page, /value="student"/)
  assert.doesNotMatch(page, /value="teacher"/)
  assert.match(page, /value="big" required="" checked=""/)
  assert.match(page, /2 CPUs · 4 GiB of memory/)
  assert.match(page, /name="next" value="\/x\?a=1"/)
  assert.deepEqual(core.calls, [])
})

test('a GET starts when there is nothing to choose, or when the query chooses', async () => {
  const one = hubOf()
  assert.equal(
    location(await one.alice.get('/hub/spawn?next=/user/alice/tree')),
    '/hub/spawn-pending/alice?next=%2Fuser%2Falice%2Ftree',
  )
  const several = hubOf({ profiles: two }, ['teachers'])
  assert.equal(location(await several.alice.get('/hub/spawn/alice/s?profile=teacher&opt-x=1')), '/hub/spawn-pending/alice/s')
  const userOptions = { profile: 'teacher', x: '1' }
  assert.deepEqual(several.core.calls, [['start', 'alice', 's', { profile: 'teacher', displayName: undefined, userOptions }]])
})

const choosing: Config['profiles'] = [
  {
    name: 'lab',
    label: 'Lab',
    choices: [
      {
        name: 'size',
        label: 'Size',
        options: [
          { name: 'small', label: 'Small' },
          { name: 'large', label: 'Large', description: 'On <request>' },
          { name: 'staff', label: 'Staff', groups: ['teachers'] },
        ],
      },
      { name: 'dataset', label: 'Data set', pattern: /[a-z]*/, env: 'DATASET' },
    ],
  },
]

test('the start page shows the choices of a profile, those of the last time selected; a link may select others', async () => {
  const { core, alice } = hubOf({ profiles: choosing })
  Object.assign(core.server('alice', '').record, { profile: 'lab', choices: { size: 'large', dataset: 'abc"d' } })
  const page = await (await alice.get('/hub/spawn')).text()
  assert.match(page, /<select id="lab\.size"/)
  assert.match(page, /<option value="large" selected="">Large – On &lt;request&gt;/)
  assert.doesNotMatch(page, /value="staff"/)
  assert.match(page, /name="lab\.dataset"[^>]*value="abc&quot;d"/)
  const linked = await (await alice.get('/hub/spawn?form&profile=lab&size=small')).text()
  assert.match(linked, /<option value="small" selected="">/)
  assert.doesNotMatch(linked, /<option value="large" selected="">/)
  assert.deepEqual(core.calls, [])
  assert.match(await (await alice.get('/hub/home')).text(), /href="\/hub\/spawn\/alice"[^>]*>\s*Start/)
})

test('the form sends the choices of the profile that was chosen; what is refused is said, the choices kept', async () => {
  const { core, alice } = hubOf({ profiles: choosing })
  await alice.post('/hub/spawn/alice', { profile: 'lab', 'lab.size': 'large', 'lab.dataset': 'abc', 'other.size': 'x' })
  const choices = { size: 'large', dataset: 'abc' }
  assert.deepEqual(core.calls, [['start', 'alice', '', { profile: 'lab', choices, userOptions: { profile: 'lab', ...choices } }]])
  Object.assign(core.server('alice', ''), { state: 'stopped', pending: null })
  core.servers.start = async () => {
    throw new HubError('invalid', 'Not this.')
  }
  const page = await (await alice.post('/hub/spawn/alice', { profile: 'lab', 'lab.size': 'large', 'lab.dataset': 'x' })).text()
  assert.match(page, /Not this\./)
  assert.match(page, /<option value="large" selected="">/)
  assert.match(page, /name="lab\.dataset"[^>]*value="x"/)
})

test('a start page for what runs leads to it, for what moves to its progress', async () => {
  const { core, alice } = hubOf({ profiles: two })
  running(core, 'alice')
  assert.equal(location(await alice.get('/hub/spawn')), '/user/alice/')
  assert.equal(location(await alice.get('/hub/spawn/alice?next=/user/alice/lab')), '/user/alice/lab')
  assert.equal(location(await alice.post('/hub/spawn/alice')), '/user/alice/')
  Object.assign(core.server('alice', ''), { state: 'stopping', pending: 'stop', ready: false })
  assert.equal(location(await alice.get('/hub/spawn')), '/hub/spawn-pending/alice')
  assert.deepEqual(core.calls, [])
})

test('what refuses a start is said on the start page, the choice kept', async () => {
  const { core, alice } = hubOf({ profiles: two }, ['teachers'])
  core.servers.start = async () => {
    throw new HubError('busy', 'Too many <b>servers</b> start now.', { retryAfter: 41.5 })
  }
  const answer = await alice.post('/hub/spawn/alice', { profile: 'teacher', next: '/x' })
  const page = await answer.text()
  assert.equal(answer.status, 429)
  assert.equal(answer.headers.get('retry-after'), '42')
  assert.match(page, /Too many &lt;b&gt;servers/)
  assert.match(page, /value="teacher" required="" checked=""/)
  assert.match(page, /name="next" value="\/x"/)
})

test('a user starts, stops and sees only what they may; the answer does not tell what exists', async () => {
  const { core, alice } = hubOf()
  running(core, 'bob')
  const paths = [
    '/hub/spawn/bob',
    '/hub/spawn/nobody',
    '/hub/spawn-pending/bob',
    '/hub/spawn-pending/nobody',
    '/hub/user/bob/',
    '/hub/user/nobody/',
  ]
  const answers = await Promise.all(paths.map(path => alice.get(path)))
  const pages = await Promise.all(answers.map(async answer => (await answer.text()).replace(/nonce="[^"]*"/g, '')))
  for (const [index, path] of paths.entries()) {
    assert.equal(answers[index]?.status, 404, path)
    assert.equal(pages[index], pages[0], path)
  }
  for (const path of ['/hub/spawn/bob', '/hub/stop/bob', '/hub/delete/bob/x'])
    assert.equal((await alice.post(path)).status, 404, path)
  assert.equal((await alice.get('/hub/spawn-pending/alice/never-made')).status, 404)
  assert.deepEqual(core.calls, [])
  core.addUser('root', { admin: true })
  for (const path of ['/hub/spawn/nobody', '/hub/spawn/alice/a%00b', '/hub/spawn-pending/nobody']) {
    const answer = await browse(core, 'root').get(path)
    assert.equal(answer.status, 404, path)
    assert.match(await answer.text(), /There is no such user, group or server, or you may not see it\./)
  }
  // Who does not hold the right at all gets 403.
  core.tokens.caller = owner => ({ kind: 'user', name: owner.name, scopes: new Set(), allows: () => false, holds: () => false })
  assert.equal((await alice.get('/hub/spawn/bob')).status, 403)
  assert.equal((await alice.post('/hub/stop/alice')).status, 403)
})

// Progress

test('the progress page shows the steps so far, works without a script, and cancels this very server', async () => {
  const { core, alice } = hubOf()
  const server = core.addServer('alice', 'lab')
  Object.assign(server, { state: 'starting', pending: 'spawn', startedAt: performance.now() - 61_000 })
  server.say('requested', 'Your server was requested.', 5)
  server.say('pulling', 'Getting <the> image', 40)
  const answer = await alice.get('/hub/spawn-pending/alice/lab?next=/user/alice/lab/tree')
  const page = await answer.text()
  assert.equal(answer.status, 200)
  assert.match(page, /<noscript><meta http-equiv="refresh" content="3"/)
  assert.match(page, /data-events="\/hub\/events\/alice\/lab\?_xsrf=good-alice&amp;after=g1.2"/)
  assert.match(page, /data-next="\/user\/alice\/lab\/tree"/)
  assert.match(page, /<li data-step="pulling" class="now" aria-current="step">/)
  assert.match(page, /<li data-step="requested" class="done">/)
  assert.match(page, /<li data-step="placed" class="done" hidden="">/)
  assert.match(page, /Getting &lt;the&gt; image/)
  assert.match(page, />1:0\d</)
  assert.match(page, /action="\/hub\/stop\/alice\/lab"/)
  assert.deepEqual(core.calls, [])
})

test('the progress page goes on when ready, tells why a start failed with 500, and never starts anything', async () => {
  const { core, alice } = hubOf()
  running(core, 'alice')
  assert.equal(location(await alice.get('/hub/spawn-pending/alice')), '/user/alice/')
  assert.equal(location(await alice.get('/hub/spawn-pending/alice?next=/user/alice/x')), '/user/alice/x')
  assert.equal(location(await alice.get('/hub/spawn-pending/alice?next=//evil')), '/user/alice/')

  const failed = core.addServer('alice', 'lab')
  const cause = {
    code: 'exited' as const,
    message: 'It ended <at> once.',
    hint: 'Ask.',
    engine: 'task: non-zero',
    exitCode: 3,
    log: ['<script>x'],
  }
  failed.failure = { cause, at: new Date().toISOString() }
  const answer = await alice.get('/hub/spawn-pending/alice/lab?next=/user/alice/lab/a')
  const page = await answer.text()
  assert.equal(answer.status, 500)
  for (const text of [
    'It ended &lt;at&gt; once.',
    'Ask.',
    'Exit code: 3',
    'task: non-zero',
    '&lt;script&gt;x',
    'value="/user/alice/lab/a"',
  ])
    assert.ok(page.includes(text), text)

  const idle = await (await alice.get('/hub/spawn-pending/alice/lab')).text()
  assert.match(idle, /action="\/hub\/spawn\/alice\/lab"/)
  core.addServer('alice', 'idle')
  assert.equal((await alice.get('/hub/spawn-pending/alice/idle')).status, 200)
  Object.assign(core.addServer('alice', 'ending'), { state: 'stopping', pending: 'stop' })
  assert.match(await (await alice.get('/hub/spawn-pending/alice/ending')).text(), /ending is stopping/)
  assert.deepEqual(core.calls, [])
})

/** The events of a stream, until it ends or `count` are there. */
async function events(answer: Response, count = Number.POSITIVE_INFINITY) {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (text.split('\n\n').length <= count) {
    const { done, value } = await reader.read()
    if (done) break
    text += value
  }
  await reader.cancel()
  return text
    .split('\n\n')
    .filter(block => block.includes('data:'))
    .map(block => ({
      id: /^id: (.*)$/m.exec(block)?.[1],
      event: /^event: (.*)$/m.exec(block)?.[1],
      data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? 'null'),
    }))
}

function startingServer(t: TestContext) {
  const hub = hubOf()
  const server = hub.core.server('alice', '')
  Object.assign(server, { state: 'starting', pending: 'spawn' })
  t.after(() => server.say('cancelled', 'Cancelled.', 100))
  return { ...hub, server }
}

test('events come live with ids, and end with the start', async t => {
  const { alice, server } = startingServer(t)
  server.say('requested', 'one', 5)
  const answer = await alice.get('/hub/events/alice?_xsrf=good-alice')
  assert.equal(answer.headers.get('content-type'), 'text/event-stream')
  assert.equal(answer.headers.get('x-accel-buffering'), 'no')
  const reading = events(answer)
  server.say('starting', 'two\n\ndata: forged', 50)
  server.say('ready', 'three', 100)
  const seen = await reading
  assert.deepEqual(
    seen.map(({ id, data }) => [id, data.message]),
    [
      ['g1.1', 'one'],
      ['g1.2', 'two\n\ndata: forged'],
      ['g1.3', 'three'],
    ],
  )
})

test('a browser that comes back gets only what it missed; one of another start gets all', async t => {
  const { alice, server } = startingServer(t)
  for (const message of ['one', 'two', 'three']) server.say('starting', message, 50)
  const again = await alice.get('/hub/events/alice?_xsrf=good-alice&after=g1.1', { 'last-event-id': 'g1.2' })
  assert.deepEqual(
    (await events(again, 1)).map(({ id }) => id),
    ['g1.3'],
  )
  const loaded = await alice.get('/hub/events/alice?_xsrf=good-alice&after=g1.1')
  assert.deepEqual(
    (await events(loaded, 2)).map(({ id }) => id),
    ['g1.2', 'g1.3'],
  )
  const other = await alice.get('/hub/events/alice?_xsrf=good-alice', { 'last-event-id': 'g0.2' })
  assert.deepEqual(
    (await events(other, 3)).map(({ id }) => id),
    ['g1.1', 'g1.2', 'g1.3'],
  )
})

test('a server that was taken over, or is stopping, has no lines: the stream says when it has settled', async () => {
  const { core, alice } = hubOf()
  const server = Object.assign(core.server('alice', ''), { state: 'unknown', pending: 'check' as const })
  const reading = events(await alice.get('/hub/events/alice?_xsrf=good-alice'))
  server.settle()
  assert.deepEqual(
    (await reading).map(({ event }) => event),
    ['settled'],
  )
})

test('a stop whose clean-up is tried again is not over; who is signed out meanwhile is told', async t => {
  const { core, alice } = hubOf()
  const server = core.server('alice', '')
  server.say('ready', 'What its start told is no news now.', 100)
  Object.assign(server, { state: 'stopping', pending: 'stop' as const, ready: false })
  server.settled = async () => {}
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const reading = events(await alice.get('/hub/events/alice?_xsrf=good-alice'))
  let over = false
  reading.then(() => (over = true))
  for (let round = 0; round < 50; round++) await new Promise(setImmediate)
  assert.equal(over, false)
  server.pending = null as never
  mock.timers.tick(1000)
  assert.deepEqual(
    (await reading).map(({ event }) => event),
    ['settled'],
  )
  for (const path of ['/hub/events', '/hub/events/alice'])
    assert.deepEqual(
      (await events(await browse(core).get(path))).map(({ event }) => event),
      ['settled'],
    )
})

test('events are for our own pages only', async t => {
  const { alice } = startingServer(t)
  assert.equal((await alice.get('/hub/events/alice')).status, 403)
  assert.equal((await alice.get('/hub/events')).status, 403)
  for (const site of ['cross-site', 'same-site', 'none'])
    assert.equal((await alice.get('/hub/events/alice?_xsrf=good-alice', { 'sec-fetch-site': site })).status, 403, site)
  assert.equal((await alice.get('/hub/events/bob?_xsrf=good-alice')).status, 404)
})

test('the home page’s stream sends the cards as the page shows them', async () => {
  const { core, alice } = hubOf()
  running(core, 'alice')
  const [first] = await events(await alice.get('/hub/events?_xsrf=good-alice'), 1)
  const page = await (await alice.get('/hub/home')).text()
  assert.equal(first?.data.length, 1)
  assert.equal(first?.data[0].said, 'My server: Running')
  assert.ok(page.includes(first?.data[0].html))
})

// Stop

test('stop stops this very server and goes back to where it was asked; delete is for named ones', async () => {
  const { core, alice } = hubOf()
  running(core, 'alice')
  core.addServer('alice', 'lab').state = 'starting'
  assert.equal(location(await alice.post('/hub/stop/alice')), '/hub/home')
  assert.equal(location(await alice.post('/hub/stop/alice/lab', { next: '/hub/admin?q=a' })), '/hub/admin?q=a')
  assert.equal(location(await alice.post('/hub/stop/alice/lab', { next: 'https://evil/' })), '/hub/home')
  assert.equal((await alice.post('/hub/delete/alice/lab')).status, 303)
  assert.deepEqual(core.calls, [
    ['stop', 'alice', '', 'user'],
    ['stop', 'alice', 'lab', 'cancelled'],
    ['stop', 'alice', 'lab', 'user'],
    ['delete', 'alice', 'lab'],
  ])
})

// A server that is not there

test('a stopped server is 424: a page with the way to start it, JSON for programs', async () => {
  const { core, alice } = hubOf({ base: '/b/', url: 'https://hub.example.org/b/' })
  core.addServer('alice', 'lab')
  const page = await alice.get('/b/hub/user/alice/lab/tree/x?y=1')
  assert.equal(page.status, 424)
  const next = new URLSearchParams({ next: '/b/hub/user/alice/lab/tree/x?y=1' })
  assert.ok((await page.text()).includes(`href="/b/hub/spawn/alice/lab?${next}"`))

  const message =
    'JupyterHub server no longer running at /b/user/alice/. Restart the server at https://hub.example.org/b/hub/spawn/alice'
  const cases: [string, Record<string, string>][] = [
    ['/b/hub/user/alice/api/kernels', {}],
    ['/b/hub/user/alice/api/kernels', { accept: 'text/html', 'sec-fetch-mode': 'cors' }],
    ['/b/hub/user/alice/tree', { accept: 'application/json, */*' }],
    ['/b/hub/user/alice/tree', { accept: 'text/html;q=0.8, application/json' }],
  ]
  for (const [path, headers] of cases) {
    const answer = await alice.get(path, headers)
    assert.equal(answer.status, 424)
    assert.deepEqual(await answer.json(), { message })
  }
  for (const accept of ['*/*', 'text/html,*/*', 'application/json;q=0.5, text/html'])
    assert.match((await alice.get('/b/hub/user/alice/tree', { accept })).headers.get('content-type') ?? '', /html/, accept)
})

test('a token sees the 424 too; a change needs the token or _xsrf', async () => {
  const { core, alice } = hubOf()
  core.bearers.set('t', { user: 'bob', scopes: ['access:servers!server=alice/'] })
  const program = browse(core)
  assert.equal((await program.get('/hub/user/alice/api', { authorization: 'Bearer t' })).status, 424)
  assert.equal((await program.get('/hub/user/bob/api', { authorization: 'token t' })).status, 404)
  assert.equal(
    (await program.request('/hub/user/alice/api', { method: 'POST', headers: { authorization: 'token t' } })).status,
    424,
  )
  assert.equal(
    location(await program.get('/hub/user/alice/api', { authorization: 'token wrong' }))?.startsWith('/hub/login?'),
    true,
  )
  assert.equal((await alice.request('/hub/user/alice/x', { method: 'DELETE' })).status, 403)
  const removed = await alice.request('/hub/user/alice/x', { method: 'DELETE', headers: { 'x-xsrftoken': 'good-alice' } })
  assert.equal(removed.status, 424)
  assert.match(removed.headers.get('content-type') ?? '', /json/)
})

test('a server that starts, or has failed, is shown by its progress page', async () => {
  const { core, alice } = hubOf()
  Object.assign(core.server('alice', ''), { state: 'starting', pending: 'spawn' })
  const answer = await alice.get('/hub/user/alice/lab?x=1')
  assert.equal(answer.status, 303)
  assert.equal(location(answer), '/hub/spawn-pending/alice?next=%2Fhub%2Fuser%2Falice%2Flab%3Fx%3D1')
  assert.equal((await alice.get('/hub/user/alice/api/status')).status, 424)
})

test('a ready server is redirected to, counted, and the fourth time in a row is a loop', async t => {
  const { core, alice } = hubOf({ base: '/b/' })
  running(core, 'alice')
  assert.equal(location(await alice.get('/b/hub/user/alice/a%20b/%2F?x=%26')), '/b/user/alice/a%20b/%2F?x=%26&redirects=1')
  assert.equal(location(await alice.get('/b/hub/user/alice/')), '/b/user/alice/?redirects=1')
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const waiting = alice.get('/b/hub/user/alice/?redirects=2&x=1')
  for (let round = 0; round < 20; round++) await Promise.resolve()
  mock.timers.tick(4000)
  assert.equal(location(await waiting), '/b/user/alice/?x=1&redirects=3')
  assert.deepEqual(core.calls, [['check', 'alice', '']])
  const loop = await alice.get('/b/hub/user/alice/?redirects=4')
  assert.equal(loop.status, 500)
  assert.match(await loop.text(), /Redirect loop detected/)
})

test('what no route takes is sent below hub/, as it came', async () => {
  const { alice, core } = hubOf({ base: '/b/' })
  const answers: [string, number, string][] = [
    ['/b/', 302, '/b/hub/'],
    ['/b/user/bob%40x.org/a%2Fb?q=%26', 302, '/b/hub/user/bob%40x.org/a%2Fb?q=%26'],
    ['/b/user/alice', 301, '/b/user/alice/'],
    ['/b/services/x?y=1', 301, '/b/services/x/?y=1'],
    ['/b/user-redirect/lab', 302, '/b/hub/user-redirect/lab'],
    ['/b/hub', 301, '/b/hub/'],
    ['/favicon.ico', 302, '/b/hub/favicon.ico'],
    ['//evil.com/x', 302, '/b/hub/evil.com/x'],
    ['/b//evil.com/x', 302, '/b/hub/evil.com/x'],
  ]
  for (const [path, status, to] of answers) {
    const answer = await alice.request(`http://hub.test${path}`)
    assert.deepEqual([answer.status, location(answer)], [status, to], path)
  }
  assert.equal((await alice.post('/b/user/alice/api/contents')).status, 403)
  assert.equal((await alice.get('/b/hub/')).headers.get('location'), '/b/hub/home')
  assert.deepEqual(core.calls, [])
})

test('user-redirect leads to this page of the visitor’s own server, the query kept', async () => {
  const { core } = hubOf()
  core.addUser('bob@x.org')
  const answer = await browse(core, 'bob@x.org').get(
    '/hub/user-redirect/git-pull?repo=https%3A%2F%2Fx%2Fy&urlpath=lab%2Ftree%3Fa%3D1',
  )
  const url = new URL(location(answer) ?? '', 'http://hub.test')
  assert.equal(url.pathname, '/hub/spawn/bob@x.org')
  assert.equal(url.searchParams.get('next'), '/user/bob@x.org/git-pull?repo=https%3A%2F%2Fx%2Fy&urlpath=lab%2Ftree%3Fa%3D1')
})

test('the start page tells how many more of each profile there is room for, where that is known', async () => {
  const { core, alice } = hubOf({ profiles: ['a', 'b', 'c', 'd'].map(name => ({ name, label: `Profile ${name}` })) })
  core.room = new Map([
    ['a', 0],
    ['b', 1],
    ['c', 3],
  ])
  const page = await (await alice.get('/hub/spawn')).text()
  const [, a, b, c, d] = page.split(/<strong>Profile ./)
  assert.match(a ?? '', /no machine has room for it at the moment/)
  assert.match(b ?? '', /1 free place</)
  assert.match(c ?? '', /3 free places</)
  assert.doesNotMatch(d ?? '', /free place|no machine/)
})

test('what a user should know of a running server stands on its card', async () => {
  const { core, alice } = hubOf()
  running(core, 'alice').notice = 'The machine n1 is being taken out of service.'
  assert.match(await (await alice.get('/hub/home')).text(), /<p class="notice">The machine n1 is being taken out of service/)
})
