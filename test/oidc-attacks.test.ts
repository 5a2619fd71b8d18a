import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { Hono } from 'hono'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { type Context, type Hub, type HubError, isHubError, type Json, type RemoteEnv, silent, type User } from 'swarmhub'
import { claimAt, judge, merged } from '../plugins/oidc/claims.ts'
import { cilogon, entra, gitlab, globus, google, keycloak, type OidcOptions, oidc } from '../plugins/oidc/index.ts'
import { options } from '../plugins/oidc/options.ts'
import { issuerOf, listening } from './oidc-provider.ts'
import { fakeHub } from './roles/hub.ts'

const context = (): Context => ({ log: silent, signal: AbortSignal.timeout(60_000), progress() {} })
const callback = new URL('https://hub.example.org/hub/login/oidc/callback')
const now = () => Math.floor(Date.now() / 1000)

const { privateKey, publicKey } = await generateKeyPair('RS256')
const stranger = await generateKeyPair('RS256')

type Answer = (response: ServerResponse, body: URLSearchParams) => void | Promise<void>
const json =
  (value: unknown, status = 200): Answer =>
  response =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

/** A provider that answers what no real one can be made to answer. */
async function standIn(t: TestContext) {
  const server = createServer()
  await listening(server)
  const issuer = issuerOf(server)
  const document = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/keys`,
    userinfo_endpoint: `${issuer}/userinfo`,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    id_token_signing_alg_values_supported: ['RS256'],
  }
  const answers: Record<string, Answer> = {
    '/.well-known/openid-configuration': json(document),
    '/keys': json({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', use: 'sig', alg: 'RS256' }] }),
    '/userinfo': json({ sub: '1' }),
  }
  const asked: string[] = []
  server.on('request', async (request, response) => {
    let text = ''
    for await (const piece of request) text += piece
    const path = request.url!.split('?')[0]!
    asked.push(path)
    await (answers[path] ?? json({}, 404))(response, new URLSearchParams(text))
  })
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const sign = (claims: JWTPayload, key = privateKey, header = {}) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'one', ...header }).sign(key)
  const idToken = (nonce: string, more: JWTPayload = {}): JWTPayload => ({
    iss: issuer,
    sub: '1',
    aud: 'hub',
    iat: now(),
    exp: now() + 300,
    nonce,
    preferred_username: 'alice',
    ...more,
  })
  return { issuer, document, answers, asked, sign, idToken, stranger: stranger.privateKey }
}

type StandIn = Awaited<ReturnType<typeof standIn>>

async function plugged(t: TestContext, given: Partial<OidcOptions> & { issuer: string }, hub: Partial<Hub> = {}) {
  const plugin = oidc({ clientId: 'hub', clientSecret: 'x', ...given })
  await plugin.setup(fakeHub(t, { keepsAuthState: true, ...hub }))
  return plugin
}

/** Sign in; the token endpoint answers with what `token` makes of the nonce. */
async function signIn(
  there: StandIn,
  plugin: ReturnType<typeof oidc>,
  token: (nonce: string) => Promise<string> | string,
  back = '',
) {
  const state = `state-${Math.random()}`
  const url = await plugin.authenticator.begin({ callback, state }, context())
  there.answers['/token'] = async (response, body) => {
    const verifier = createHash('sha256')
      .update(body.get('code_verifier') ?? '')
      .digest('base64url')
    assert.equal(verifier, url.searchParams.get('code_challenge'), 'PKCE')
    const more = { access_token: 'at', token_type: 'Bearer', expires_in: 300, refresh_token: 'rt' }
    await json({ ...more, id_token: await token(url.searchParams.get('nonce')!) })(response, body)
  }
  const query = new URLSearchParams(`code=c&state=${state}&iss=${encodeURIComponent(there.issuer)}${back}`)
  return plugin.authenticator.finish({ callback, query }, context())
}

test('oidc: an ID token that is forged, of another, for another, too old or of another sign-in lets nobody in', async t => {
  const there = await standIn(t)
  const plugin = await plugged(t, { issuer: there.issuer })
  const { sign, idToken } = there
  assert.equal((await signIn(there, plugin, nonce => sign(idToken(nonce))))?.id, `${there.issuer} 1`)
  const unsigned = (nonce: string) => new UnsecuredJWT(idToken(nonce)).encode()
  const bad: Record<string, (nonce: string) => Promise<string> | string> = {
    'alg none': unsigned,
    'no signature': async nonce => `${(await sign(idToken(nonce))).split('.').slice(0, 2).join('.')}.`,
    'another key': nonce => sign(idToken(nonce), there.stranger),
    'another key, of no id': nonce => sign(idToken(nonce), there.stranger, { kid: 'two' }),
    'HS256 with what is public': nonce =>
      new SignJWT(idToken(nonce)).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from('x'.repeat(32))),
    'another nonce': () => sign(idToken('made-up')),
    'no nonce': () => sign({ ...idToken(''), nonce: undefined }),
    'another issuer': nonce => sign(idToken(nonce, { iss: 'https://evil.example.org' })),
    'another audience': nonce => sign(idToken(nonce, { aud: 'other' })),
    'several audiences, for another': nonce => sign(idToken(nonce, { aud: ['hub', 'other'], azp: 'other' })),
    expired: nonce => sign(idToken(nonce, { iat: now() - 1000, exp: now() - 60 })),
    'no sub': nonce => sign({ ...idToken(nonce), sub: undefined }),
    'no ID token at all': () => undefined as unknown as string,
  }
  for (const [what, token] of Object.entries(bad)) await assert.rejects(signIn(there, plugin, token), isHubError, what)
  const tolerated = await signIn(there, plugin, nonce => sign(idToken(nonce, { exp: now() - 10 })))
  assert.ok(tolerated, 'clocks may be some seconds apart')

  // Mix-up (RFC 9207): the answer of another provider, or of none; and another person's userinfo.
  const good = (nonce: string) => sign(idToken(nonce))
  there.asked.length = 0
  for (const back of ['&iss=https%3A%2F%2Fevil.example.org', '&code=d', '&state=other'])
    await assert.rejects(signIn(there, plugin, good, back), isHubError, back)
  assert.ok(!there.asked.includes('/token'), 'the code goes nowhere')
  there.answers['/userinfo'] = json({ sub: '2', preferred_username: 'bob' })
  await assert.rejects(signIn(there, plugin, good), isHubError)
})

test('oidc: a provider that hangs, answers by half, with an error, HTML or too much is an error within its time', async t => {
  const html: Answer = response => void response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Wait</h1>')
  const faults: Record<string, Answer> = {
    silent: () => {},
    'half an answer': response =>
      void response.writeHead(200, { 'content-type': 'application/json', 'content-length': 999 }).write('{'),
    500: json({ error: 'server_error' }, 500),
    '500 that says invalid_grant': json({ error: 'invalid_grant' }, 500),
    403: json({}, 403),
    HTML: html,
    'not JSON': response => void response.writeHead(200, { 'content-type': 'application/json' }).end('nope'),
    'an empty object': json({}),
    redirect: response => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
    'cut off': response => void response.destroy(),
    'too much': response =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end(`{"a":"${'x'.repeat(2 ** 21)}"}`),
  }
  for (const place of ['/.well-known/openid-configuration', '/token', '/keys', '/userinfo']) {
    for (const [what, fault] of Object.entries(faults)) {
      const there = await standIn(t)
      const plugin = await plugged(t, { issuer: there.issuer, timeout: '300ms' })
      const right = (nonce: string) => there.sign(there.idToken(nonce))
      const broken = async () => {
        there.answers[place] = fault
        if (place !== '/token') return signIn(there, plugin, right)
        const url = await plugin.authenticator.begin({ callback, state: 's' }, context())
        assert.ok(url)
        const query = new URLSearchParams({ code: 'c', state: 's', iss: there.issuer })
        return plugin.authenticator.finish({ callback, query }, context())
      }
      await assert.rejects(broken(), (error: HubError) => isHubError(error) && error.code === 'unavailable', `${place}: ${what}`)
    }
  }
})

test('oidc: an answer without end is not read to its end; another tenant’s document at the same host is not this one’s', async t => {
  const there = await standIn(t)
  const plugin = await plugged(t, { issuer: there.issuer })
  there.answers['/userinfo'] = json({ sub: '1', more: 'x'.repeat(2 ** 21) })
  await assert.rejects(
    signIn(there, plugin, nonce => there.sign(there.idToken(nonce))),
    isHubError,
  )
  // Of a host that the library makes an exception for.
  const issuer = (tenant: string) => `https://login.microsoftonline.com/${tenant}/v2.0`
  const theirs = { issuer: issuer('theirs'), authorization_endpoint: 'https://login.microsoftonline.com/authorize' }
  t.mock.method(globalThis, 'fetch', async () => Response.json({ ...there.document, ...theirs }))
  const begin = async (tenant: string) =>
    (await plugged(t, { issuer: issuer(tenant) })).authenticator.begin({ callback, state: 's' }, context())
  assert.ok(await begin('theirs'))
  await assert.rejects(begin('ours'), isHubError)
})

test('oidc: asked again, only invalid_grant ends sessions; a new refresh token is never lost', async t => {
  const there = await standIn(t)
  let kept: Json | undefined
  const plugin = await plugged(t, { issuer: there.issuer, timeout: '1s' }, { authState: () => kept })
  const identity = await signIn(there, plugin, nonce => there.sign(there.idToken(nonce)))
  const user: User = { id: 'u', slug: 'alice', admin: false, groups: [], name: 'alice', attributes: identity!.attributes! }
  const ask = () => plugin.authenticator.refresh(user, context())

  assert.equal((await ask())?.id, identity!.id, 'without auth state there is nothing to ask with')
  kept = identity!.authState
  for (const answer of [
    json({ error: 'server_error' }, 500),
    json({ error: 'invalid_grant' }, 503),
    json({ error: 'invalid_client' }, 401),
    json({ error: 'temporarily_unavailable' }, 400),
    json({}),
  ]) {
    there.answers['/token'] = answer
    await assert.rejects(ask(), isHubError)
  }
  there.answers['/token'] = json({ access_token: 'at2', token_type: 'Bearer', refresh_token: 'rt2' })
  there.answers['/userinfo'] = json({}, 500)
  const half = await ask()
  assert.equal(half?.id, identity!.id)
  assert.equal((half!.authState as { refreshToken: string }).refreshToken, 'rt2')
  there.answers['/userinfo'] = json({ sub: '1', email: 'a@x.org', email_verified: true })
  assert.equal((await ask())?.attributes?.mail, 'a@x.org')
  const other = await there.sign({ ...there.idToken(''), nonce: undefined, sub: '2' })
  there.answers['/token'] = json({ access_token: 'at2', token_type: 'Bearer', id_token: other })
  assert.equal((await ask())?.id, identity!.id, 'an answer about somebody else says nothing')
  there.answers['/token'] = json({ error: 'invalid_grant' }, 400)
  assert.equal(await ask(), null)
})

test('oidc: a logout token has to be the provider’s, for this hub, fresh, of a logout, and is good once', async t => {
  const there = await standIn(t)
  const ended: unknown[] = []
  let fail = false
  const plugin = await plugged(
    t,
    { issuer: there.issuer },
    {
      endSessions: async which => {
        if (fail) throw new Error('the disk is full')
        ended.push(which)
        return ['alice']
      },
    },
  )
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
  const app = new Hono<RemoteEnv>()
  app.use(async (c, next) => {
    c.set('log', silent)
    await next()
  })
  app.route('/', plugin.remote)
  let count = 0
  const logout = (more: JWTPayload = {}): JWTPayload => {
    return {
      iss: there.issuer,
      aud: 'hub',
      iat: now(),
      exp: now() + 120,
      jti: `j${++count}`,
      events,
      sub: '1',
      sid: 's',
      ...more,
    }
  }
  const send = async (token: string) => {
    const body = new URLSearchParams({ logout_token: token })
    const reply = await app.request('/logout', { method: 'POST', body })
    assert.equal(reply.headers.get('cache-control'), 'no-store')
    return reply.status
  }
  const bad: Record<string, string> = {
    unsigned: new UnsecuredJWT(logout()).encode(),
    'of another key': await there.sign(logout(), there.stranger),
    'of another issuer': await there.sign(logout({ iss: 'https://evil.example.org' })),
    'for another': await there.sign(logout({ aud: 'other' })),
    'too old': await there.sign(logout({ iat: now() - 1000 })),
    expired: await there.sign(logout({ exp: now() - 60 })),
    'without iat': await there.sign(logout({ iat: undefined })),
    'without jti': await there.sign(logout({ jti: undefined })),
    'without events': await there.sign(logout({ events: undefined })),
    'of another event': await there.sign(logout({ events: { other: {} } })),
    'with a nonce': await there.sign(logout({ nonce: 'n' })),
    'of nobody': await there.sign(logout({ sub: undefined, sid: undefined })),
    'of another type': await there.sign(logout(), undefined, { typ: 'at+jwt' }),
    'an ID token': await there.sign(there.idToken('n')),
    nothing: '',
  }
  for (const [what, token] of Object.entries(bad)) assert.equal(await send(token), 400, what)
  assert.deepEqual(ended, [])

  const good = await there.sign(logout(), undefined, { typ: 'logout+jwt' })
  fail = true
  assert.equal(await send(good), 503)
  fail = false
  assert.equal(await send(good), 200)
  assert.equal(await send(good), 400)
  assert.equal(await send(await there.sign(logout({ sub: undefined }))), 200)
  assert.equal(await send(await there.sign(logout({ sid: undefined }))), 200)
  const id = `${there.issuer} 1`
  assert.deepEqual(ended, [{ id, session: 's' }, { session: 's' }, { id }])
})

const settings = (given: Partial<OidcOptions> = {}) =>
  options.parse({ issuer: 'https://sso.example.org', clientId: 'hub', ...given })
const tokens = { accessToken: 'at', signal: AbortSignal.timeout(60_000) }
const person = { iss: 'https://sso.example.org', sub: '1', preferred_username: 'alice' }

test('oidc: claims are found by path, by their own keys alone, and an address goes with who vouches for it', () => {
  const claims = { a: { b: ['x'] }, 'https://x.org/a.b': 'whole' }
  assert.deepEqual(claimAt(claims, 'a.b'), ['x'])
  assert.equal(claimAt(claims, 'https://x.org/a.b'), 'whole')
  for (const path of ['constructor', '__proto__', 'a.constructor', 'a.b.length.x', 'toString.name', 'b'])
    assert.equal(claimAt(claims, path), undefined, path)
  assert.deepEqual(merged({ email: 'a@x', email_verified: true }, { email: 'b@x' }), { email: 'b@x' })
  assert.deepEqual(merged({ email: 'a@x', email_verified: true }, { sub: '1' }), { email: 'a@x', email_verified: true, sub: '1' })
})

test('oidc: what is required holds by the claim itself, exactly, and beside every other rule', async () => {
  const rows: [Partial<OidcOptions>, Record<string, unknown>, boolean][] = [
    // CVE-2022-31027, CVE-2024-29033, GHSA-55m3-44xf-hg4h: who the organisation is, is not read from an address.
    [{ require: { hd: 'uni.edu' } }, { hd: 'uni.edu' }, true],
    [{ require: { hd: 'uni.edu' } }, { email: 'a@uni.edu', email_verified: true }, false],
    [{ require: { hd: ['uni.edu', 'x.org'] } }, { hd: 'UNI.edu.evil' }, false],
    [{ require: { hd: 'uni.edu' } }, { hd: ['uni.edu'] }, true],
    // GHSA-gprj-3p75-f996: an identity provider, not a suffix of the name.
    [{ require: { identity_provider: 'u-1' } }, { identity_provider: 'u-2', preferred_username: 'a@uni.edu' }, false],
    [{ require: { idp: ['https://idp.uni.edu'] } }, { idp: 'https://idp.uni.edu' }, true],
    [{ require: { idp: ['https://idp.uni.edu'] } }, { idp: 'https://idp.uni.edu.evil' }, false],
    [{ require: { idp: ['https://idp.uni.edu'] } }, {}, false],
    [{ require: { acr: ['gold', 'silver'], amr: 'mfa' } }, { acr: 'gold', amr: ['pwd', 'mfa'] }, true],
    [{ require: { acr: ['gold', 'silver'], amr: 'mfa' } }, { acr: 'gold', amr: ['pwd'] }, false],
    [{ require: { aud: 'api' } }, { aud: ['hub', 'api'] }, true],
    [{ require: { email_verified: true } }, { email_verified: 'true' }, false],
    [{ require: { level: value => Number(value) >= 2 } }, { level: 2 }, true],
    [{ require: { level: value => Number(value) >= 2 } }, {}, false],
    [{ emailDomains: ['uni.edu'] }, { email: 'a@UNI.edu', email_verified: true }, true],
    [{ emailDomains: ['uni.edu'] }, { email: 'a@uni.edu' }, false],
    [{ emailDomains: ['uni.edu'] }, { email: 'a@uni.edu', email_verified: 'yes' }, false],
    [{ emailDomains: ['uni.edu'] }, { email: 'x@uni.edu.evil', email_verified: true }, false],
    [{ emailDomains: ['uni.edu'] }, { email: 'uni.edu@evil', email_verified: true }, false],
    [{ emailDomains: ['uni.edu'] }, { email: 'uni.edu', email_verified: true }, false],
    [{ emailDomains: ['uni.edu'] }, { email: '"a@uni.edu"@evil', email_verified: true }, false],
    // CVE-2026-33175: an address that nobody has verified is nobody's name, under whatever claim it comes.
    [{ claims: { name: 'email' } }, { email: 'a@uni.edu', email_verified: true }, true],
    [{ claims: { name: 'email' } }, { email: 'a@uni.edu' }, false],
    [{ claims: { name: 'email' } }, { email: 'a@uni.edu', email_verified: false }, false],
    [{}, { preferred_username: 'Boss@uni.edu', email: 'boss@uni.edu' }, false],
    [{ claims: { name: claims => String(claims.email ?? '').split('@')[0]! } }, { email: 'boss@evil' }, false],
    [{}, { preferred_username: undefined }, false],
    [{}, { preferred_username: ['alice'] }, false],
    [{}, { preferred_username: '' }, false],
  ]
  for (const [given, claims, isIn] of rows) {
    const found = await judge(settings(given), { ...person, ...claims }, tokens)
    assert.equal('identity' in found, isIn, JSON.stringify([given, claims, found]))
  }
})

test('oidc: groups that cannot be read refuse, rather than being fewer; an admin is one by true alone', async () => {
  const told = async (given: OidcOptions['claims'], claims: object) => {
    const found = await judge(settings({ claims: given }), { ...person, ...claims }, tokens)
    return 'identity' in found ? found.identity : undefined
  }
  const roles = { realm_access: { roles: ['a', 'b'] } }
  assert.deepEqual((await told({ groups: 'realm_access.roles' }, roles))?.groups, ['a', 'b'])
  assert.deepEqual((await told({ groups: 'groups' }, {}))?.groups, [])
  assert.equal((await told({}, { groups: ['a'] }))?.groups, undefined)
  for (const groups of [{ a: 1 }, [1], ['a', null], 7, true])
    await assert.rejects(told({ groups: 'groups' }, { groups }), JSON.stringify(groups))
  await assert.rejects(told({ groups: 'groups' }, { _claim_names: { groups: 'src1' } }))
  await assert.rejects(told({ groups: 'groups' }, { hasgroups: true }))
  await assert.rejects(told({ groups: async () => Promise.reject(new Error('the directory is down')) }, {}))
  assert.deepEqual((await told({ groups: async (_, { accessToken }) => [accessToken] }, {}))?.groups, ['at'])
  for (const is of ['true', 1, 'yes', ['true'], {}, undefined, false])
    assert.equal((await told({ admin: 'is_admin' }, { is_admin: is }))?.admin, false)
  assert.equal((await told({ admin: 'is_admin' }, { is_admin: true }))?.admin, true)
  assert.equal((await told({}, { is_admin: true }))?.admin, undefined)
  const both = { issuer: 'https://sso.example.org', subject: '1' }
  assert.deepEqual((await told({}, { name: 'A', email: 'a@x' }))?.attributes, { fullName: 'A', ...both })
})

test('oidc: presets are options, and what they keep out stays out', () => {
  const client = { clientId: 'hub', clientSecret: 'x' }
  const checked = (given: OidcOptions) => options.parse(given)
  assert.equal(
    checked(keycloak({ ...client, url: 'https://sso.example.org/', realm: 'a b' })).issuer,
    'https://sso.example.org/realms/a%20b',
  )
  const ours = google({
    ...client,
    domains: ['uni.edu'],
    require: { hd: 'evil', amr: 'mfa' },
    claims: { groups: 'g' },
    label: 'Uni',
  })
  assert.deepEqual(ours.require, { hd: ['uni.edu'], amr: 'mfa' })
  assert.deepEqual([ours.label, ours.claims?.name, ours.claims?.groups, ours.parameters?.hd], ['Uni', 'email', 'g', 'uni.edu'])
  assert.deepEqual(checked(google({ ...client, domains: 'any' })).require, {})
  assert.deepEqual(globus({ ...client, identityProviders: ['u-1'] }).require, { identity_provider: ['u-1'] })
  assert.deepEqual(cilogon({ ...client, identityProviders: ['https://idp.uni.edu'] }).require, { idp: ['https://idp.uni.edu'] })
  assert.equal(checked(gitlab(client)).issuer, 'https://gitlab.com')
  const tenant = '72f988bf-86f1-41af-91ab-2d7cd011db47'
  assert.equal(checked(entra({ ...client, tenant })).issuer, `https://login.microsoftonline.com/${tenant}/v2.0`)
  const wrong: (() => unknown)[] = [
    () => google({ ...client } as never),
    () => google({ ...client, domains: [] }),
    () => globus({ ...client } as never),
    () => cilogon({ ...client, identityProviders: [] }),
    () => entra({ ...client, tenant: 'common' }),
    () => oidc({ issuer: 'http://sso.example.org', ...client }),
    () => oidc({ issuer: 'https://sso.example.org', ...client, hostedDomain: 'x' } as never),
    () => oidc({ issuer: 'https://sso.example.org', ...client, parameters: { redirect_uri: 'x' } }),
    () => oidc({ issuer: 'https://sso.example.org', clientId: 'x', clientAuthentication: 'post' }),
    () => oidc({ issuer: 'https://sso.example.org', ...client, emailDomains: ['@uni.edu'] }),
  ]
  for (const make of wrong) assert.throws(make, (error: HubError) => error.code === 'config', String(make))
})

test('oidc: a restart of the hub spoils no sign-in; a plain issuer’s document has to be its own', async t => {
  const there = await standIn(t)
  const hub = fakeHub(t)
  const make = async () => {
    const plugin = oidc({ issuer: there.issuer, clientId: 'hub' })
    await plugin.setup(hub)
    return plugin
  }
  const state = 'state-of-one'
  const [before, after] = [await make(), await make()]
  const url = (plugin: typeof before) => plugin.authenticator.begin({ callback, state }, context())
  const [one, two] = [await url(before), await url(after)]
  assert.equal(one.href, two.href)
  assert.notEqual(
    one.searchParams.get('nonce'),
    (await after.authenticator.begin({ callback, state: 'another' }, context())).searchParams.get('nonce'),
  )
  there.answers['/.well-known/openid-configuration'] = json({ ...there.document, issuer: 'http://127.0.0.1:1' })
  await assert.rejects(url(await make()), isHubError)
})
