import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Context, type Hub, isHubError, silent, type User } from 'swarmhub'
import { type GitHubOptions, github } from '../plugins/github/index.ts'
import { type Account, type Fault, githubServer } from './github-server.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const context = (): Context => ({ log: silent, signal: AbortSignal.timeout(20_000), progress() {} })

const callback = new URL('https://hub.example.org/hub/login/github/callback')

testAuthenticator('github', 'redirect', async t => {
  const { url, client, approve } = await githubServer(t)
  return { authenticator: github({ url, ...client }).authenticator, approve, name: 'octocat' }
})

/** One plugin, and its sign-in from the button to the identity. */
async function signingIn(t: TestContext, options: Partial<GitHubOptions> = {}) {
  const server = await githubServer(t)
  const { authenticator } = github({ url: server.url, ...server.client, timeout: '300ms', ...options })
  let state = 0
  const begin = () => authenticator.begin({ callback, state: `state ${++state}` })
  return {
    ...server,
    authenticator,
    begin,
    async signIn(account?: Account) {
      if (account) server.state.visitor = account
      const { searchParams } = await server.approve(begin())
      return authenticator.finish({ callback, query: searchParams }, context())
    },
    again: (id: number, login = 'x') =>
      authenticator.refresh(
        { id: 'u', name: login, slug: 'x', admin: false, groups: [], attributes: { githubId: String(id) } } satisfies User,
        context(),
      ),
  }
}

const alice: Account = { id: 17, login: 'Alice', name: 'Alice A.' }
const member = (...logins: string[]) => logins.map(login => ({ login, state: 'active' as const }))

test('the browser is sent with PKCE and only the scopes that are needed; the verifier differs for each sign-in and stays here', async t => {
  const plain = (await signingIn(t)).begin().searchParams
  assert.equal(plain.get('scope') ?? '', '')
  assert.equal(plain.get('allow_signup'), 'false')
  const { begin, approve, authenticator } = await signingIn(t, { organizations: ['acme'], mail: true, scopes: ['repo'] })
  const [one, two] = [begin(), begin()]
  assert.equal(one.searchParams.get('scope'), 'read:org,user:email,repo')
  assert.match(one.searchParams.get('code_challenge')!, /^[\w-]{43}$/)
  assert.notEqual(one.searchParams.get('code_challenge'), two.searchParams.get('code_challenge'))
  // A code that was begun with another state is of no use.
  const query = (await approve(one)).searchParams
  query.set('state', two.searchParams.get('state')!)
  await assert.rejects(authenticator.finish({ callback, query }, context()), { code: 'denied' })
})

test('GitHub’s address decides where its API is', () => {
  const to = (url?: string) =>
    github({ clientId: 'a', clientSecret: 'b', ...(url && { url }) }).authenticator.begin({ callback, state: 's' })
  assert.equal(to().href.split('?')[0], 'https://github.com/login/oauth/authorize')
  assert.equal(to('https://octo.ghe.com').href.split('?')[0], 'https://octo.ghe.com/login/oauth/authorize')
  assert.equal(to('https://github.example.org/').href.split('?')[0], 'https://github.example.org/login/oauth/authorize')
})

test('the account is the numeric id’s: a new login is the same person, a login that somebody else has now is another', async t => {
  const { signIn } = await signingIn(t)
  const { authState, ...identity } = (await signIn(alice))!
  assert.match(JSON.stringify(authState), /^\{"token":"gho_\w+"\}$/)
  assert.deepEqual(identity, {
    name: 'Alice',
    id: '17',
    attributes: { login: 'Alice', githubId: '17', fullName: 'Alice A.' },
  })
  assert.equal((await signIn({ ...alice, login: 'alice-b' }))?.id, '17')
  assert.equal((await signIn({ id: 99, login: 'Alice' }))?.id, '99')
})

test('only an active member of exactly these organizations and teams gets in, on whatever page it stands', async t => {
  const { signIn, asked, tokens } = await signingIn(t, { organizations: ['Acme', 'globex:Data'] })
  const pages = member('a', 'b', 'c', 'd', 'e')
  const table: [Partial<Account>, boolean][] = [
    [{}, false],
    [{ organizations: member('acme') }, true],
    [{ organizations: member('ACME') }, true],
    [{ organizations: [...pages, ...member('acme')] }, true],
    [{ organizations: member('acme-evil', 'evil-acme', 'acm', 'acmee') }, false],
    [{ organizations: [{ login: 'acme', state: 'pending' }] }, false],
    [{ organizations: member('globex') }, false],
    [{ organizations: member('globex'), teams: ['globex:data'] }, true],
    [{ organizations: member('globex'), teams: ['globex:a', 'globex:b', 'globex:c', 'Globex:DATA'] }, true],
    [{ organizations: member('globex', 'evil'), teams: ['evil:data', 'globex:data2', 'globex:dat'] }, false],
    [{ organizations: [{ login: 'globex', state: 'pending' }], teams: ['globex:data'] }, false],
    [{ teams: ['globex:data', 'acme:x'] }, false],
  ]
  for (const [account, enters] of table) {
    const found = await signIn({ ...alice, ...account }).catch(error => assert.ok(isHubError(error) && error.code === 'denied'))
    assert.equal(found !== undefined, enters, JSON.stringify(account))
  }
  // To nobody but GitHub, whatever a list says of its next page.
  assert.ok(asked.filter(({ token }) => token).every(({ token }) => tokens.has(token!)))
})

test('teams become groups: of the organizations that the config names, or as it calls them; members of some are administrators', async t => {
  const account = {
    ...alice,
    organizations: member('Acme', 'other'),
    teams: ['acme:Staff', 'acme:ops', 'other:staff', 'gone:staff'],
  }
  const listed = await signingIn(t, { organizations: ['acme'] })
  assert.deepEqual((await listed.signIn(account))?.groups, ['acme', 'acme:staff', 'acme:ops'])
  const called = await signingIn(t, {
    groups: { 'ACME:staff': 'teachers', 'acme:gone': 'x', other: 'guests' },
    admins: ['acme:OPS'],
  })
  const identity = await called.signIn(account)
  assert.deepEqual([identity?.groups, identity?.admin], [['teachers', 'guests'], true])
  assert.equal((await called.signIn({ ...account, teams: [] }))?.admin, false)
  const none = await (await signingIn(t)).signIn(account)
  assert.ok(none && !('groups' in none) && !('admin' in none))
})

test('an e-mail address counts only when GitHub has verified it, and is the primary one', async t => {
  const at = (email: string, primary: boolean, verified: boolean) => ({ email, primary, verified })
  const { signIn } = await signingIn(t, { username: 'email', mail: true })
  const emails = [at('a@x.test', false, true), at('b@x.test', false, true), at('alice@x.test', true, true)]
  const identity = await signIn({ ...alice, emails })
  assert.deepEqual([identity?.name, identity?.attributes?.mail], ['alice@x.test', 'alice@x.test'])
  for (const none of [[], [at('boss@x.test', true, false)], [at('boss@x.test', false, true)]])
    await assert.rejects(signIn({ ...alice, emails: none }), { code: 'denied' })
})

const faults: [Fault, string, RegExp][] = [
  [{ status: 500 }, 'unavailable', /an error \(500\)/],
  [{ status: 502, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad gateway</h1>' }, 'unavailable', /an error \(502\)/],
  [{ status: 404 }, 'unavailable', /an error \(404\)/],
  [{ status: 403 }, 'denied', /does not let this hub see/],
  [{ status: 403, headers: { 'X-RateLimit-Remaining': '0' } }, 'unavailable', /no more questions/],
  [{ status: 429, headers: { 'Retry-After': '60' } }, 'unavailable', /no more questions/],
  [{ status: 401 }, 'denied', /does not know this sign-in/],
  [{ status: 302, headers: { Location: 'https://evil.test/' } }, 'unavailable', /elsewhere/],
  [{ status: 304 }, 'unavailable', /elsewhere/],
  [{ status: 204 }, 'unavailable', /understood|reached/],
  [{ status: 200, body: '{' }, 'unavailable', /understood|reached/],
  [{ status: 200, body: '{"message":"no"}' }, 'unavailable', /understood|reached/],
  [{ status: 200, body: 'null' }, 'unavailable', /understood|reached/],
  ['html', 'unavailable', /a page in place of data/],
  ['silence', 'unavailable', /did not answer within/],
  ['half', 'unavailable', /did not answer within/],
  ['endless', 'unavailable', /more than anybody can read/],
  ['reset', 'unavailable', /cannot be reached/],
]

test('whatever GitHub answers in place of an answer lets nobody in, with a sentence and without a secret', async t => {
  const { signIn, state, client, tokens } = await signingIn(t, { organizations: ['acme'], mail: true })
  const account = { ...alice, organizations: member('acme'), emails: [{ email: 'a@x.test', primary: true, verified: true }] }
  assert.ok(await signIn(account))
  for (const path of ['/user', '/user/memberships/orgs', '/user/teams', '/user/emails', '/login/oauth/access_token'])
    for (const [fault, code, sentence] of faults) {
      state.faults.set(path, fault)
      const said = `${path} ${JSON.stringify(fault)}`
      const error = await signIn(account).then(
        () => assert.fail(`${said} let somebody in`),
        (error: unknown) => error,
      )
      assert.ok(isHubError(error), `${said}: ${error}`)
      assert.deepEqual([error.code, sentence.test(error.message)], [code, true], `${said}: ${error.code} ${error.message}`)
      const shown = JSON.stringify({ ...error, message: error.message, cause: error.cause, stack: error.stack })
      for (const secret of [client.clientSecret, ...tokens.keys()]) assert.ok(!shown.includes(secret), said)
      state.faults.delete(path)
    }
  state.endlessPages = true
  await assert.rejects(signIn(account), { code: 'unavailable', message: /more memberships than can be read/ })
})

test('an error in a 200 is an error', async t => {
  const { signIn, state } = await signingIn(t)
  for (const [error, code] of [
    ['bad_verification_code', 'denied'],
    ['unverified_user_email', 'denied'],
    ['incorrect_client_credentials', 'unavailable'],
    ['redirect_uri_mismatch', 'unavailable'],
    ['<script>', 'unavailable'],
  ]) {
    state.faults.set('/login/oauth/access_token', { status: 200, body: JSON.stringify({ error, access_token: 'x', scope: '' }) })
    await assert.rejects(signIn(alice), { code, message: /^[^<]*$/ })
  }
  state.faults.clear()
  state.denies = true
  assert.equal(await signIn(alice), null)
})

test('asked again: who has left, or was taken back, is nobody; an outage changes nothing, nor does a new login', async t => {
  const { signIn, again, state, revoke } = await signingIn(t, { organizations: ['acme'] })
  const account: Account = { ...alice, organizations: member('acme'), teams: ['acme:a'] }
  assert.ok(await signIn(account))
  account.login = 'alicia'
  account.teams = ['acme:b']
  const identity = await again(17)
  assert.deepEqual([identity?.name, identity?.id, identity?.groups], ['alicia', '17', ['acme', 'acme:b']])
  for (const [fault] of faults.filter(([fault]) => typeof fault === 'string' || fault.status !== 401)) {
    state.faults.set('/user/memberships/orgs', fault)
    await assert.rejects(again(17), isHubError, JSON.stringify(fault))
  }
  state.faults.clear()
  await assert.rejects(again(18), /has not signed in since the hub started/)
  account.organizations = [{ login: 'acme', state: 'pending' }]
  assert.equal(await again(17), null)
  account.organizations = member('acme')
  assert.ok(await again(17))
  revoke()
  assert.equal(await again(17), null)
})

test('after a restart it is auth state that has the token to ask again with', async t => {
  const { signIn, url, client } = await signingIn(t)
  const kept = (await signIn(alice))?.authState
  const later = github({ url, ...client, organizations: ['acme'] })
  later.setup({ log: silent, authState: name => (name === 'gh-alice' ? kept : undefined) } as Partial<Hub> as Hub)
  const user = { id: 'u', name: 'gh-alice', slug: 'x', admin: false, groups: [], attributes: { githubId: '17' } }
  await assert.rejects(later.authenticator.refresh(user, context()), { code: 'denied' }, 'it asked, with too few scopes')
  await assert.rejects(later.authenticator.refresh({ ...user, name: 'bob' }, context()), /authState\.keys/)
})

test('options that cannot be meant stop the start', () => {
  for (const [wrong, where] of [
    [{ clientSecret: '' }, /github\.clientSecret/],
    [{ url: 'http://github.example.org' }, /github\.url: expected an address with https/],
    [{ url: 'https://github.com/acme' }, /github\.url: expected an address without a path/],
    [{ organizations: [] }, /github\.organizations: expected at least one/],
    [{ organizations: ['acme:'] }, /github\.organizations\[0\]/],
    [{ organizations: ['ac me'] }, /github\.organizations\[0\]/],
    [{ orgs: ['acme'] }, /unknown key, did you mean|unknown key/],
  ] as const)
    assert.throws(() => github({ clientId: 'a', clientSecret: 'b', ...wrong } as GitHubOptions), {
      code: 'config',
      message: where,
    })
})

const config = (url: string, more = '') => `
import { defineConfig } from 'swarmhub'
import { github, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [github({ url: ${JSON.stringify(url)}, clientId: 'the-client', clientSecret: 'the secret of the client', organizations: ['acme'], timeout: '2s' })],
  access: { groups: ['acme:staff'], admins: ['boss'] },
  spawner: process(),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  timeouts: { refresh: '1ms', grace: '2s' },
  ${more}
})
`

test('the whole way over HTTP: in by GitHub, bound to the browser, once; out for who has left; renamed is the same', async t => {
  const server = await githubServer(t)
  const hub = await startHub(t, config(server.url))
  await hub.printed(/swarmhub is at/)
  const account: Account = { ...alice, organizations: member('acme'), teams: ['acme:staff'] }
  server.state.visitor = account

  const away = async (browser: ReturnType<typeof visitor>) => {
    const page = await browser.open('/hub/login')
    assert.match(page.text, /href="\/hub\/login\/github[^"]*">\s*Sign in with GitHub/)
    const reply = await browser.ask('/hub/login/github?next=/hub/token')
    const to = new URL(reply.headers.get('location')!)
    assert.equal(to.origin, server.url)
    assert.equal(Buffer.from(to.searchParams.get('state')!, 'base64url').length, 32)
    const back = await server.approve(to)
    return back.pathname + back.search
  }

  const browser = visitor(hub.origin)
  const back = await away(browser)
  const before = server.state.asked.length
  assert.equal((await visitor(hub.origin).ask(back)).status, 400, 'another browser')
  assert.equal(server.state.asked.length, before, 'GitHub was not asked')
  const landed = await browser.open(back)
  assert.equal(landed.path, '/hub/token', landed.text.slice(0, 2000))
  assert.equal((await browser.ask(back)).status, 400, 'twice')

  // As somebody else with the login that she had, and as herself with another.
  account.login = 'alice2'
  const again = visitor(hub.origin)
  await again.open(await away(again))
  assert.match((await again.open('/hub/home')).text, />\s*alice\s*</)
  server.state.visitor = { ...account, id: 18, login: 'alice' }
  const squatter = visitor(hub.origin)
  const refused = await squatter.open(await away(squatter))
  assert.equal(refused.reply.status, 403)
  assert.match(refused.text, /belongs to somebody else/)

  // Of the right organization and in no rule; of another one.
  server.state.visitor = { id: 20, login: 'carol', organizations: member('acme') }
  const carol = visitor(hub.origin)
  assert.equal((await carol.open(await away(carol))).reply.status, 403)
  server.state.visitor = { id: 21, login: 'boss', organizations: member('acme-evil'), teams: ['acme:staff'] }
  const boss = visitor(hub.origin)
  const out = await boss.open(await away(boss))
  assert.deepEqual([out.reply.status, /Only members of acme/.test(out.text)], [403, true])

  server.state.faults.set('/user', { status: 500 })
  assert.equal((await browser.open('/hub/home')).path, '/hub/home', 'an outage signs nobody out')
  const later = visitor(hub.origin)
  assert.equal((await later.open(await away(later))).reply.status, 503, 'nor lets anybody in')
  server.state.faults.clear()
  await new Promise(resolve => setTimeout(resolve, 50))
  account.organizations = [{ login: 'acme', state: 'pending' }]
  assert.match((await browser.open('/hub/home')).path, /^\/hub\/login/)
  assert.ok(!hub.output().includes('gho_') && !hub.output().includes('the secret of the client'))
})
