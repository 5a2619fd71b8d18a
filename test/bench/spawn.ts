import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { answers } from '../../core/servers/answers.ts'
import { lab, type Node, noLab } from '../lab/lab.ts'
import { freePort, startHub } from '../running-hub.ts'
import { tap } from '../swarm-engine.ts'
import { nameOf, service } from './hubs.ts'
import { client } from './load.ts'
import { childOf, cpuOf } from './program.ts'
import { figure, table } from './table.ts'

/** Milliseconds of the hub's own that a single start may take, at the median. */
const aim = 150
/** Engine calls that two minutes may differ by: the looks do not begin with the minute. */
const oneLook = 3

/**
 * `npm run bench -- spawn`: starts on the lab's Swarm through a whole hub. What the engine and the notebook take is not the hub's own:
 * that is from the click until the Swarm is asked for the service, and from the first answer of the server's port until the hub says
 * `ready`. Somebody else looks for that answer: a prober of the bench, which asks the engine past the proxy that counts the hub's calls.
 */
export async function benchSpawn(say: (line: string) => void): Promise<void> {
  if (noLab) return say(`Starts are not measured: ${noLab}`)
  const ends: (() => unknown)[] = []
  try {
    const bench = await startBench({ name: 'bench spawn', after: end => void ends.push(end) })
    ends.push(() => bench.stopAll())
    const rounds: Round[] = []
    const round = async (what: string, profile: string, starts: number, times = 1) => {
      for (let n = 0; n < times; n++) {
        process.stderr.write(`${what}, ${starts} at once, ${n + 1} of ${times} …\n`)
        rounds.push({ what, starts, ...(await bench.start(profile, starts)) })
        if (starts === 1) await bench.stopAll()
      }
    }
    // The first one finds out about the image, and warms up both.
    await bench.start('light-manager', 1)
    await bench.stopAll()
    await round('light, on the manager', 'light-manager', 1, 9)
    await round('light, on another node', 'light-worker', 1, 9)
    await round('light', 'light', 10)
    process.stderr.write('watching 10 …\n')
    const few = await bench.watched()
    await round('light', 'light', 50)
    await bench.start('light', 40)
    process.stderr.write('watching 100 …\n')
    const many = await bench.watched()
    await bench.stopAll()
    await round('notebook', 'notebook', 1, 4)
    await round('notebook', 'notebook', 10)
    report(say, rounds, few, many)
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

interface Round {
  what: string
  /** How many at once. */
  starts: number
  /** Of those that got ready; milliseconds. */
  times: Times[]
  /** What did not go well: answers of 500 and more, starts that failed. */
  errors: string[]
  /** Milliseconds of processor time of the hub. */
  cpu: number
  /** Of the engine. */
  calls: number
}

/** Milliseconds: from the click until the Swarm is asked; from the first answer of the port until `ready`; from the click until `ready`. */
interface Times {
  before: number
  after: number
  all: number
}

type Test = Parameters<typeof startHub>[0]

/** A hub on the lab's Swarm, with a proxy before the engine. */
async function startBench(t: Test) {
  const { nodes, images } = await lab()
  const manager = nodes[0]!
  const asked = new Map<string, number>()
  let calls = 0
  const { socket } = await tap(t, manager.socket, request => {
    calls++
    if (!/\/services\/create\b/.test(request.url ?? '')) return false
    const at = performance.now()
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => asked.set(JSON.parse(String(Buffer.concat(chunks))).Labels['org.swarmhub.user'], at))
    return false
  })
  const hub = await startHub(t, config(socket, images, `bench${await freePort()}-`))
  await hub.printed(/swarmhub is at/, 60_000)
  const pid = childOf(hub.child.pid!)
  const { ask, close } = client(hub.origin)
  t.after(close)
  const authorization = `Bearer ${service.token}`
  const api = (method: string, path: string, body?: object) =>
    ask(`/hub/api${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      body: body ? JSON.stringify(body) : '',
    })
  const probe = await prober(nodes)
  t.after(probe.end)
  const running = new Set<string>()
  let users = 0

  /** As a browser does: the click, then the events of the start until its last. */
  async function click(user: string, profile: string): Promise<Times> {
    const began = performance.now()
    const { status, body } = await api('POST', `/users/${user}/server`, { profile })
    if (status !== 201 && status !== 202) throw new Error(`${status} ${body}`)
    const last = status === 201 ? 'ready' : await events(`${hub.origin}/hub/api/users/${user}/server/progress`, authorization)
    const ready = performance.now()
    if (!last.includes('ready')) throw new Error(last)
    const [sent, answered] = [asked.get(user), await probe.answered(user)]
    if (sent === undefined) throw new Error('nobody has asked the Swarm for it')
    return { before: sent - began, after: ready - answered, all: ready - began }
  }

  return {
    /** So many at once, each of a user of their own. */
    async start(profile: string, starts: number) {
      const names = Array.from({ length: starts }, () => nameOf(users++))
      for (const name of names) {
        const { status } = await api('POST', `/users/${name}`)
        if (status !== 201) throw new Error(`no user ${name}: ${status}`)
        running.add(name)
      }
      // What came before has been written and told.
      await sleep(1000)
      const before = { cpu: cpuOf(pid), calls }
      probe.expect(names)
      const results = await Promise.allSettled(names.map(name => click(name, profile)))
      return {
        times: results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : [])),
        errors: results.flatMap(result => (result.status === 'rejected' ? [String(result.reason)] : [])),
        cpu: cpuOf(pid) - before.cpu,
        calls: calls - before.calls,
      }
    },
    /** What a minute of watching costs: calls, and milliseconds of processor time of the hub. */
    async watched() {
      await sleep(2000)
      const before = { cpu: cpuOf(pid), calls }
      await sleep(60_000)
      return { cpu: cpuOf(pid) - before.cpu, calls: calls - before.calls }
    },
    async stopAll() {
      await Promise.all(
        [...running].map(async user => {
          while ((await api('DELETE', `/users/${user}/server`)).status !== 204) await sleep(500)
          running.delete(user)
        }),
      )
    },
  }
}

const config = (docker: string, { notebook, base }: { notebook: string; base: string }, prefix: string) => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, swarm } from 'swarmhub/plugins'
const light = { label: 'x', image: ${JSON.stringify(base)}, command: ['perl', '-MIO::Socket::INET', '-e', ${JSON.stringify(server)}] }
const on = kind => ({ ...light, name: 'light-' + kind, placement: { constraints: ['node.labels.kind==' + kind] } })
export default defineConfig({
  authenticators: [dummy()],
  access: { everyone: true },
  spawner: swarm({ docker: ${JSON.stringify(docker)}, prefix: ${JSON.stringify(prefix)}, stopGrace: '1s' }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  limits: { starts: 100 },
  timeouts: { slow: '1ms', answer: '5m' },
  services: [{ name: 'bench', token: '${service.token}', admin: true }],
  profiles: [
    { ...light, name: 'light' }, on('manager'), on('worker'),
    {
      name: 'notebook', label: 'x', image: ${JSON.stringify(notebook)},
      env: { JUPYTERHUB_SINGLEUSER_APP: 'notebook.notebookapp.NotebookApp' },
    },
  ],
})
`

/** Answers HTTP within some milliseconds of its start, and takes next to nothing: fifty fit on two cores. */
const server = `
my $all = IO::Socket::INET->new(LocalPort => 8888, Listen => 64, ReuseAddr => 1) or die;
while (my $one = $all->accept) { while (<$one>) { last if /^\\r?$/ } print $one "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $one }
`

/** The last line of a stream of events. */
function events(url: string, authorization: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { authorization, accept: 'text/event-stream' }, agent: false }, reply => {
      let text = ''
      reply.setEncoding('utf8').on('data', chunk => {
        text += chunk
        const last = /^data: (.*"(?:ready|failed)":true.*)\n/m.exec(text)?.[1]
        if (last === undefined) return
        resolve(last)
        reply.destroy()
      })
      reply.on('end', () => reject(new Error(`the events of the start end with ${reply.statusCode} ${text}`)))
      reply.on('error', reject)
    })
      .on('error', reject)
      .end()
  })
}

/** Looks for the first answer of servers, without the hub: the engine tells where each is published, and there it is asked. */
async function prober(nodes: Node[]) {
  const ended = new AbortController()
  const waiting = new Map<string, (at: number) => void>()
  const found = new Map<string, Promise<number>>()
  const known = new Set<string>()
  const addresses = new Map(nodes.map(({ id, address }) => [id, address]))

  async function ask(user: string, target: string): Promise<void> {
    const pause = waiting.size > 5 ? 25 : 5
    while (!ended.signal.aborted) {
      if (await answers(target, `/user/${user}/`, 2000, ended.signal)) return waiting.get(user)?.(performance.now())
      await sleep(pause)
    }
  }

  async function look(): Promise<void> {
    for (const { NodeID, Spec, Status } of await tasks(nodes[0]!)) {
      const user = Spec.ContainerSpec?.Labels?.['org.swarmhub.user'] ?? ''
      const port = Status.PortStatus?.Ports?.[0]?.PublishedPort
      if (!waiting.has(user) || known.has(user) || !port || !NodeID) continue
      known.add(user)
      void ask(user, `http://${addresses.get(NodeID)}:${port}`).finally(() => waiting.delete(user))
    }
  }

  void (async () => {
    while (!ended.signal.aborted) {
      if (waiting.size > 0) await look()
      await sleep(waiting.size > 5 ? 50 : 10)
    }
  })()
  return {
    /** These are about to be started. */
    expect(users: string[]) {
      for (const user of users) found.set(user, new Promise(resolve => waiting.set(user, resolve)))
    },
    /** When it first answered. */
    answered: (user: string) => found.get(user)!,
    end: () => ended.abort(),
  }
}

interface Task {
  NodeID?: string
  Spec: { ContainerSpec?: { Labels?: Record<string, string> } }
  Status: { PortStatus?: { Ports?: { PublishedPort?: number }[] } }
}

function tasks({ socket }: Node): Promise<Task[]> {
  const filters = encodeURIComponent(JSON.stringify({ 'desired-state': ['running'] }))
  return new Promise((resolve, reject) => {
    request({ socketPath: socket, path: `/tasks?filters=${filters}` }, reply => {
      const chunks: Buffer[] = []
      reply.on('data', (chunk: Buffer) => chunks.push(chunk))
      reply.on('end', () => resolve(JSON.parse(String(Buffer.concat(chunks)))))
    })
      .on('error', reject)
      .end()
  })
}

type Watched = { cpu: number; calls: number }

function report(say: (line: string) => void, rounds: Round[], few: Watched, many: Watched): void {
  const kinds = [...new Set(rounds.map(({ what, starts }) => `${what} ${starts}`))]
  const head = [
    '',
    'at once',
    'ready',
    'click → ready',
    'click → asked',
    'answers → ready',
    'own share',
    'ms CPU',
    'calls',
    'aim',
    '',
  ]
  const rows = kinds.map(kind => {
    const mine = rounds.filter(({ what, starts }) => `${what} ${starts}` === kind)
    const { what, starts } = mine[0]!
    const times = mine.flatMap(({ times }) => times)
    const wanted = starts * mine.length
    const own = median(times.map(({ before, after }) => before + after))
    const each = (of: (round: Round) => number) => figure(mine.reduce((sum, round) => sum + of(round), 0) / wanted)
    const [goal, met] = starts === 1 ? [`${aim} ms`, own <= aim] : ['all ready', times.length === wanted]
    return [
      what,
      String(starts),
      `${times.length} of ${wanted}`,
      ...[
        median(times.map(({ all }) => all)),
        median(times.map(({ before }) => before)),
        median(times.map(({ after }) => after)),
        own,
      ].map(figure),
      each(({ cpu }) => cpu),
      each(({ calls }) => calls),
      goal,
      met && mine.every(({ errors }) => errors.length === 0) ? 'met' : 'not met',
    ]
  })
  say(table(head, rows))
  say(
    '\nMilliseconds, at the median. Own share: from the click until the Swarm is asked, and from the first answer until `ready`.',
  )
  say(
    'ms CPU: of the hub’s process, for one start; calls: of the engine, for one start. Light: a server of a few lines, since 50',
  )
  say('notebooks at once are too much for two cores.\n')
  for (const error of new Set(rounds.flatMap(({ errors }) => errors))) say(`failed: ${error}`)
  const same = Math.abs(few.calls - many.calls) <= oneLook
  say(
    table(
      ['a minute of watching', '10 servers', '100 servers', 'aim', ''],
      [
        ['engine calls', String(few.calls), String(many.calls), 'the same', same ? 'met' : 'not met'],
        ['ms CPU of the hub', figure(few.cpu), figure(many.cpu), '', ''],
      ],
    ),
  )
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
