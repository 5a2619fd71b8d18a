import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hub, Identity, Json } from 'swarmhub'
import { type OidcOptions, oidc } from '../plugins/oidc/index.ts'
import { clientId, issuerOf, listening, openProvider, type TestProvider } from './oidc-provider.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { fakeHub } from './roles/hub.ts'
import { type RunningHub, startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const alice = {
  preferred_username: 'alice',
  name: 'Alice A.',
  email: 'alice@example.org',
  email_verified: true,
  groups: ['staff'],
}
const callback = new URL('https://hub.example.org/hub/oauth_callback')

/** A plugin on a hub that keeps what it is told. */
async function plugged(t: TestContext, options: OidcOptions, more: Partial<Hub> = {}) {
  const plugin = oidc(options)
  const kept = new Map<string, Json>()
  await plugin.setup(fakeHub(t, { keepsAuthState: true, authState: user => kept.get(user), ...more }))
  return { plugin, kept }
}

testAuthenticator('oidc', 'redirect', async t => {
  const there = await openProvider(t, { callbacks: [callback.href] })
  there.people.set('1', alice)
  const { plugin, kept } = await plugged(t, { issuer: there.issuer, clientId, clientSecret: there.clientSecret })
  return {
    authenticator: plugin.authenticator,
    approve: url => there.approve(url, '1'),
    name: 'alice',
    bindsCodes: true,
    keep: (identity: Identity) => void kept.set('alice', identity.authState!),
    forget: async () => {
      const account = kept.get('alice') as { refreshToken: string }
      const token = await there.provider.RefreshToken.find(account.refreshToken)
      await token?.destroy()
    },
  }
})

const config = (issuer: string, options = '', more = '') => `
import { defineConfig, prefixed } from 'swarmhub'
import { httpProxy, oidc, process } from 'swarmhub/plugins'
export default defineConfig({
  access: { groups: ['staff'], adminGroups: ['bosses'] },
  authState: { keys: ['${'ab'.repeat(32)}'] },
  authenticators: [
    oidc({ issuer: '${issuer}', clientId: '${clientId}', clientSecret: 'the-secret-of-the-client',
      scopes: ['openid', 'profile', 'email', 'groups'], claims: { groups: 'groups' }, ${options} }),
    prefixed('second-', oidc({ name: 'second', label: 'Elsewhere', issuer: 'http://127.0.0.1:9', clientId: 'x' })),
  ],
  spawner: process(),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  ${more}
})`

async function hubWithProvider(t: TestContext, options = '', more = ''): Promise<{ hub: RunningHub; there: TestProvider }> {
  const server = createServer()
  await listening(server)
  const hub = await startHub(t, config(issuerOf(server), options, more))
  const client = { backchannel_logout_uri: `${hub.origin}/hub/x/oidc/logout`, backchannel_logout_session_required: true }
  const there = await openProvider(t, { callbacks: [`${hub.origin}/hub/login/oidc/callback`], client }, server)
  there.people.set('1', alice).set('2', { ...alice, preferred_username: 'bob', groups: ['guests'] })
  await hub.healthy()
  return { hub, there }
}

/** Sign in with the hub's browser and the provider's. */
async function signIn(hub: RunningHub, there: TestProvider, who: string, next = '', provider = there.browser()) {
  const browser = visitor(hub.origin)
  const begin = await browser.ask(`/hub/login/oidc${next && `?next=${encodeURIComponent(next)}`}`)
  const back = await provider.approve(new URL(begin.headers.get('location')!), who)
  return { browser, provider, begin, back, landed: await browser.open(back.pathname + back.search) }
}

test('oidc: the whole way over HTTP, to groups, attributes and an administrator; strangers stay out', async t => {
  const { hub, there } = await hubWithProvider(t)
  there.people.get('1')!.groups = ['staff', 'bosses']
  const login = await visitor(hub.origin).open('/hub/login')
  assert.match(login.text, /href="\/hub\/login\/oidc">\s*Sign in with OpenID Connect/)
  assert.match(login.text, /href="\/hub\/login\/second">\s*Elsewhere/)

  const { browser, begin, back, landed } = await signIn(hub, there, '1', '/hub/token')
  const sent = new URL(begin.headers.get('location')!).searchParams
  assert.equal(sent.get('code_challenge_method'), 'S256')
  assert.match(sent.get('nonce')!, /^[\w-]{43}$/)
  assert.equal(landed.path, '/hub/token')
  assert.equal(landed.reply.status, 200)
  const { text } = await browser.open('/hub/api/user')
  const model = JSON.parse(text)
  assert.deepEqual([model.name, model.admin, model.groups.sort()], ['alice', true, ['bosses', 'staff']])

  // The state was used; another browser never had it.
  assert.equal((await browser.ask(back.pathname + back.search)).status, 400)
  const other = await signIn(hub, there, '1')
  const thief = visitor(hub.origin)
  const fresh = await visitor(hub.origin).ask('/hub/login/oidc')
  const stolen = await there.approve(new URL(fresh.headers.get('location')!), '1')
  assert.equal((await thief.ask(stolen.pathname + stolen.search)).status, 400)
  // A code of one sign-in in another one's state, of the same browser.
  const mixed = new URL(other.back)
  mixed.searchParams.set(
    'state',
    new URL((await thief.ask('/hub/login/oidc')).headers.get('location')!).searchParams.get('state')!,
  )
  mixed.searchParams.set(
    'code',
    (await there.approve(new URL((await other.browser.ask('/hub/login/oidc')).headers.get('location')!), '1')).searchParams.get(
      'code',
    )!,
  )
  assert.equal((await thief.ask(mixed.pathname + mixed.search)).status, 403)
  assert.match((await thief.open('/hub/home')).path, /^\/hub\/login/)

  const bob = await signIn(hub, there, '2')
  assert.equal(bob.landed.reply.status, 403)
  assert.match(bob.landed.text, /You may not sign in to this hub/)
  const refused = await signIn(hub, there, '')
  assert.equal(refused.landed.reply.status, 403)
  // Another account there that calls itself so, too, does not get hers.
  there.people.set('3', { ...alice })
  assert.match((await signIn(hub, there, '3')).landed.text, /belongs to somebody else/)
  for (const secret of [there.clientSecret, back.searchParams.get('code')!, sent.get('state')!])
    assert.ok(!hub.output().includes(secret))
})

test('oidc: auth state is for its readers alone; signing out here goes on to the provider and back', async t => {
  const { hub, there } = await hubWithProvider(t)
  there.people.get('1')!.groups = ['staff', 'bosses']
  const { browser, provider } = await signIn(hub, there, '1')
  const headers = { 'x-xsrftoken': await browser.xsrf(), 'sec-fetch-mode': 'cors' }
  const read = async (path: string) => JSON.parse(await (await browser.ask(path, { headers })).text())
  const { auth_state: state } = await read('/hub/api/users/alice')
  assert.equal(state.subject, '1')
  assert.ok(state.refreshToken && state.accessToken && state.idToken)
  assert.equal((await read('/hub/api/users'))[0].auth_state, null)
  assert.equal((await read('/hub/api/user')).auth_state ?? null, null)

  const out = await browser.ask('/hub/logout')
  const leave = new URL(out.headers.get('location')!)
  assert.equal(leave.origin, there.issuer)
  assert.equal(leave.searchParams.get('post_logout_redirect_uri'), `${hub.origin}/hub/login`)
  assert.equal(leave.searchParams.get('id_token_hint'), state.idToken)
  assert.equal((await provider.open(leave)).status, 200)
  assert.match((await browser.open('/hub/home')).path, /^\/hub\/login/)
  assert.ok(!hub.output().includes(state.refreshToken) && !hub.output().includes(state.idToken))
})

test('oidc: the provider ends sessions by its back channel, each once, and nobody else does', async t => {
  const { hub, there } = await hubWithProvider(t)
  const [here, elsewhere] = [await signIn(hub, there, '1'), await signIn(hub, there, '1')]
  const isIn = async ({ browser }: { browser: ReturnType<typeof visitor> }) =>
    !(await browser.open('/hub/home')).path.startsWith('/hub/login')
  assert.ok((await isIn(here)) && (await isIn(elsewhere)))

  // The provider's own way: its page for signing out, which tells the hub.
  const out = await here.browser.ask('/hub/logout')
  const third = await signIn(hub, there, '1', '', here.provider)
  await here.provider.confirm(new URL(out.headers.get('location')!))
  assert.ok(!(await isIn(third)), 'the same session there, in another browser here')
  assert.ok(await isIn(elsewhere), 'another session there is another one here')

  const client = (await there.provider.Client.find(clientId))!
  for (const bad of ['', 'x', 'a.b.c', 'eyJhbGciOiJub25lIn0.e30.']) {
    const body = new URLSearchParams({ logout_token: bad })
    const reply = await fetch(`${hub.origin}/hub/x/oidc/logout`, { method: 'POST', body })
    assert.equal(reply.status, 400, bad)
  }
  assert.ok(await isIn(elsewhere))
  Object.assign(client, { backchannelLogoutSessionRequired: false })
  const told = client as unknown as { backchannelLogout(sub: string, sid?: string): Promise<void> }
  await told.backchannelLogout('2')
  assert.ok(await isIn(elsewhere), 'somebody else was meant')
  await told.backchannelLogout('1')
  assert.ok(!(await isIn(elsewhere)))
})

test('oidc: asked again, a provider that says no ends the sessions, and one that does not answer never does', async t => {
  const { hub, there } = await hubWithProvider(t, '', `timeouts: { refresh: '1ms' },`)
  const { browser } = await signIn(hub, there, '1')
  assert.equal((await browser.open('/hub/home')).path, '/hub/home')
  there.people.set('1', { ...alice, groups: ['staff', 'writers'] })
  await sleep(5)
  const groups = async () => JSON.parse((await browser.open('/hub/api/user')).text).groups
  await browser.open('/hub/home')
  assert.deepEqual(await groups(), ['staff', 'writers'])
  there.people.delete('1')
  await sleep(5)
  assert.match((await browser.open('/hub/home')).path, /^\/hub\/login/)
})
