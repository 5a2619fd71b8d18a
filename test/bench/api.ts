import { type BenchHub, jupyterHubLack, nameOf, service, startJupyterHub, startOurs } from './hubs.ts'
import { client, costOf, type Figures, load, p99Of, type Reply, rateOf, together } from './load.ts'
import { memoryOf } from './program.ts'
import { figure, table, verdict } from './table.ts'

const many = 10_000
const few = 100
/** Users who do something themselves: the same ones in each hub. */
const active = 50
const rounds = 2
const seconds = 1.2
const width = 8
/** Seconds of each operation before it is measured: a hub runs for weeks, and Node takes a second or two to compile what is asked of it often. */
const warm = 2.5

/** `npm run bench -- api`: our hub beside JupyterHub, each with 10,000 users, and ours with 100, in turns. */
export async function benchApi(say: (line: string) => void): Promise<void> {
  const lack = await jupyterHubLack()
  if (lack) say(lack)
  const hubs: BenchHub[] = []
  try {
    hubs.push(await startOurs(many), await startOurs(few))
    if (!lack) hubs.push(await startJupyterHub(many))
    process.stderr.write('users, tokens, sessions …\n')
    const ready = await Promise.all(hubs.map(prepare))
    const fresh = hubs.map(({ pid }) => memoryOf(pid))
    const results = new Map<string, (Figures | undefined)[]>()
    for (const { name, once } of cases) {
      process.stderr.write(`${name} …\n`)
      const measured: Figures[][] = hubs.map(() => [])
      for (const hub of ready) {
        const operation = once(hub)
        if (operation) await load(hub.pid, { seconds: warm, width: widthOf(name) }, operation)
      }
      for (let round = 0; round < rounds; round++)
        for (const [index, hub] of ready.entries()) {
          const operation = once(hub)
          if (operation) measured[index]!.push(await load(hub.pid, { seconds, width: widthOf(name) }, operation))
        }
      results.set(
        name,
        measured.map(each => (each.length > 0 ? together(each) : undefined)),
      )
    }
    report(say, results, hubs, fresh)
  } finally {
    await Promise.all(hubs.map(hub => hub.close()))
  }
}

/** How many at a time. */
const widthOf = (name: string) => (name.startsWith('all') ? 1 : width)

interface Prepared extends BenchHub {
  get(path: string, token?: string, headers?: Record<string, string>): Promise<Reply>
  post(status: number, path: string, body?: string, token?: string): Promise<Reply>
  signIn(username: string): Promise<string>
  /** By the number of one of the active users. */
  oauth(who: number): Promise<void>
  tokens: string[]
  /** The name of any user. */
  random(): string
  /** A name that is free. */
  fresh(): string
}

interface Case {
  name: string
  /** How many times JupyterHub's operations for each second of processor time. */
  aim: number
  /** undefined: this hub cannot do it. */
  once(hub: Prepared): ((n: number) => Promise<unknown>) | undefined
}

const cases: Case[] = [
  {
    name: 'GET /user',
    aim: 15,
    once:
      ({ get, tokens }) =>
      n =>
        get('/user', tokens[n % active]!),
  },
  {
    name: 'GET /users/NAME',
    aim: 15,
    once:
      ({ get, random }) =>
      () =>
        get(`/users/${random()}`),
  },
  {
    name: 'a page of 200 of /users',
    aim: 10,
    once:
      ({ get, users }) =>
      n =>
        get(`/users?limit=200&offset=${users > 200 ? (n % (users / 200)) * 200 : 0}`, service.token, paging),
  },
  { name: 'all of /users, page by page', aim: 20, once: hub => () => everybody(hub) },
  {
    name: 'all of /users, streamed',
    aim: 20,
    once: hub =>
      hub.name === 'JupyterHub'
        ? () => everybody(hub)
        : () => hub.get('/users', service.token, { accept: 'application/x-ndjson' }),
  },
  {
    name: 'POST /users/NAME/activity (ours: on disk within a minute)',
    aim: 10,
    once:
      ({ post, tokens }) =>
      n => {
        const body = JSON.stringify({ last_activity: new Date().toISOString() })
        return post(200, `/users/${nameOf(n % active)}/activity`, body, tokens[n % active]!)
      },
  },
  {
    name: 'POST /users/NAME, a new user',
    aim: 10,
    once:
      ({ post, fresh }) =>
      () =>
        post(201, `/users/${fresh()}`),
  },
  {
    name: 'sign-in: page and form',
    aim: 5,
    once:
      ({ signIn }) =>
      n =>
        signIn(nameOf(n % active)),
  },
  {
    name: 'OAuth: authorize and token',
    aim: 5,
    once:
      ({ oauth }) =>
      n =>
        oauth(n % active),
  },
]

const paging = { accept: 'application/jupyterhub-pagination+json' }

/** The way of a client that wants them all. */
async function everybody({ get, users }: Pick<Prepared, 'get' | 'users'>): Promise<void> {
  let count = 0
  for (let at = '/users?limit=200'; at !== ''; ) {
    const { items, _pagination } = JSON.parse(String((await get(at, service.token, paging)).body))
    count += items.length
    const next: string | undefined = _pagination.next?.url
    at = next === undefined ? '' : next.slice(next.indexOf('/users'))
  }
  if (count < users) throw new Error(`there are ${count} users in the list`)
}

/** What the cases need: tokens of some users, and their sessions. */
async function prepare(hub: BenchHub): Promise<Prepared> {
  const { ask, expect } = client(hub.origin)
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  let created = 0

  const get = (path: string, token = service.token, headers = {}) =>
    expect(200, `/hub/api${path}`, { headers: { ...bearer(token), ...headers } })
  const post = (status: number, path: string, body?: string, token = service.token) =>
    expect(status, `/hub/api${path}`, {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: body ?? '',
    })

  /** As a browser that has never been here: the page, then its form. The cookies that it has then. */
  async function signIn(username: string): Promise<string> {
    const page = await expect(200, '/hub/login', { headers: { accept: 'text/html' } })
    const xsrf = /name="_xsrf" value="([^"]*)"/.exec(String(page.body))?.[1]
    const form = new URLSearchParams({ username, password: 'x', ...(xsrf !== undefined && { _xsrf: xsrf }) })
    const answer = await expect(302, '/hub/login', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', cookie: cookies(page) },
      body: String(form),
    })
    return cookies(answer)
  }

  const { clientId, redirectUri, token: secret } = service
  const authorize = `/hub/api/oauth2/authorize?${new URLSearchParams({ client_id: clientId, redirect_uri: redirectUri, response_type: 'code', state: 'x' })}`

  async function oauth(who: number): Promise<void> {
    const sent = await expect(302, authorize, { headers: { accept: 'text/html', cookie: sessions[who]! } })
    const code = new URL(String(sent.headers.location)).searchParams.get('code') ?? ''
    await expect(200, '/hub/api/oauth2/token', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: String(
        new URLSearchParams({
          client_id: clientId,
          client_secret: secret,
          grant_type: 'authorization_code',
          code,
          redirect_uri: redirectUri,
        }),
      ),
    })
  }

  // 201 here; JupyterHub 3.0 says 200.
  const newToken = (n: number) =>
    ask(`/hub/api/users/${nameOf(n)}/tokens`, { method: 'POST', headers: bearer(service.token), body: '{}' })
  const tokens: string[] = []
  const sessions: string[] = []
  for (let n = 0; n < active; n++) {
    tokens.push(JSON.parse(String((await newToken(n)).body)).token)
    sessions.push(await signIn(nameOf(n)))
  }
  const prepared = {
    ...hub,
    get,
    post,
    signIn,
    oauth,
    tokens,
    random: () => nameOf(Math.floor(Math.random() * hub.users)),
    fresh: () => `new${created++}`,
  }
  // JupyterHub makes objects of its users when it first meets them, which takes it much longer.
  await everybody(prepared)
  return prepared
}

const cookies = ({ headers }: Reply) =>
  [headers['set-cookie'] ?? []]
    .flat()
    .map(line => line.split(';', 1)[0])
    .join('; ')

function report(
  say: (line: string) => void,
  results: Map<string, (Figures | undefined)[]>,
  hubs: BenchHub[],
  fresh: number[],
): void {
  const head = ['', 'ours/s', 'ms CPU', 'p99 ms', 'JupyterHub/s', 'ms CPU', 'p99 ms', 'ratio', 'aim', '']
  const shown = (figures: Figures | undefined) =>
    figures ? [figure(rateOf(figures)), figure(costOf(figures)), figure(p99Of(figures))] : ['–', '–', '–']
  say(
    table(
      head,
      cases.map(({ name, aim }) => {
        const [ours, , theirs] = results.get(name)!
        return [name, ...shown(ours), ...shown(theirs), ...(ours && theirs ? verdict(costOf(theirs) / costOf(ours), aim) : [])]
      }),
    ),
  )
  say('\nms CPU: of the hub’s process, for one operation; the ratio is of these. Both hubs have 10,000 users.\n')
  say(
    table(
      ['ours, ms CPU', `${few} users`, `${many} users`, 'growth', ''],
      cases
        .filter(({ name }) => !name.includes('/users,') && !name.includes('page of 200'))
        .map(({ name }) => {
          const [large, small] = results.get(name)!.map(figures => (figures ? costOf(figures) : Number.NaN))
          const growth = large! / small!
          return [name, figure(small!), figure(large!), `${figure(growth)} ×`, growth <= 1.2 ? 'flat' : 'grows']
        }),
    ),
  )
  say('')
  say(
    table(
      ['memory of the hub, MB', 'after one list of all', 'after all this'],
      hubs.map(({ name, users, pid }, index) => [`${name}, ${users} users`, figure(fresh[index]!), figure(memoryOf(pid))]),
    ),
  )
}
