import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { exportJWK, generateKeyPair } from 'jose'
import type Provider from 'oidc-provider'
import type { Configuration } from 'oidc-provider'

/** A real OpenID provider in the test process. */
export interface TestProvider {
  issuer: string
  /** Who has an account there, by `sub`: their claims. Without one a sign-in fails; who is taken out is refused from then on. */
  people: Map<string, Record<string, unknown>>
  provider: Provider
  clientSecret: string
  /** Sign in there as a browser would that was sent to `url`; resolves with the address it is sent back to. */
  approve(url: URL, who: string): Promise<URL>
  /** A browser's cookies there, to sign in, sign out and come back with. */
  browser(): {
    approve(url: URL, who?: string): Promise<URL>
    open(url: URL): Promise<Response>
    /** Sign out there: open the page and say yes. */
    confirm(url: URL): Promise<void>
  }
}

export const clientId = 'hub'
const clientSecret = 'the-secret-of-the-client'

/** On a free port, or on a server that listens already. `callbacks`: where it may send people back to. */
export async function openProvider(
  t: TestContext,
  { callbacks, more = {}, client = {} }: { callbacks: string[]; more?: Configuration; client?: object },
  server: Server = createServer(),
): Promise<TestProvider> {
  if (!server.listening) await listening(server)
  const issuer = issuerOf(server)
  const people: TestProvider['people'] = new Map()
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const provider = await quietly(async () => {
    const { Provider } = await import('oidc-provider')
    return new Provider(issuer, {
      clients: [
        {
          client_id: clientId,
          client_secret: clientSecret,
          redirect_uris: callbacks,
          post_logout_redirect_uris: callbacks.map(address => new URL('/hub/login', address).href),
          grant_types: ['authorization_code', 'refresh_token'],
          ...client,
        },
      ],
      jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'one', use: 'sig', alg: 'RS256' }] },
      cookies: { keys: ['a key for cookies'] },
      scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
      claims: {
        openid: ['sub', 'sid'],
        profile: ['name', 'preferred_username'],
        email: ['email', 'email_verified'],
        groups: ['groups', 'is_admin', 'acr'],
      },
      pkce: { required: () => true },
      conformIdTokenClaims: true,
      issueRefreshToken: async () => true,
      features: {
        devInteractions: { enabled: false },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: { enabled: true, logoutSource },
      },
      interactions: { url: (_, { uid }) => `/interaction/${uid}` },
      findAccount: async (_, sub) => {
        const claims = people.get(sub)
        return claims && { accountId: sub, claims: async () => ({ sub, ...claims }) }
      },
      // Nobody is asked whether the hub may know who they are.
      loadExistingGrant: async ctx => {
        const grant = new ctx.oidc.provider.Grant({ clientId, accountId: ctx.oidc.session!.accountId! })
        grant.addOIDCScope('openid offline_access profile email groups')
        await grant.save()
        return grant
      },
      ttl: { AccessToken: 3600, IdToken: 3600, Session: 86_400, Grant: 86_400, Interaction: 600, RefreshToken: 86_400 },
      // The hub is on this machine, where the provider would not go by itself.
      fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined } as RequestInit),
      ...more,
    })
  })

  const answer = provider.callback()
  server.on('request', async (request, response) => {
    const interaction = /^\/interaction\/[\w-]+/.test(request.url ?? '')
    if (!interaction) return answer(request, response)
    try {
      const { prompt } = await provider.interactionDetails(request, response)
      const login = new URL(request.url!, issuer).searchParams.get('login')
      if (prompt.name !== 'login' || login !== null) {
        const result = login === '' ? { error: 'access_denied' } : { login: { accountId: login ?? '' } }
        await provider.interactionFinished(request, response, result)
        return
      }
      response.setHeader('content-type', 'text/html')
      response.end(
        `<title>Provider</title><form>${[...people.keys()].map(who => `<button name="login" value="${who}">${who}</button>`).join('')}</form>`,
      )
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })

  function browser() {
    const jar = new Map<string, string>()
    async function ask(url: URL, body?: URLSearchParams): Promise<Response> {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const reply = await fetch(url, { redirect: 'manual', headers: { cookie }, ...(body && { method: 'POST', body }) })
      for (const line of reply.headers.getSetCookie()) {
        const [pair = ''] = line.split(';')
        const [name = '', value = ''] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
        if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name)
        else jar.set(name, value)
      }
      return reply
    }
    return {
      open: ask,
      async confirm(url: URL) {
        const page = await (await ask(url)).text()
        const field = (name: string) => new RegExp(`${name}="([^"]+)"`).exec(page)![1]!
        const reply = await ask(new URL(field('action'), url), new URLSearchParams({ xsrf: field('value'), logout: 'yes' }))
        if (reply.status !== 303) throw new Error(`signing out there fails: ${reply.status} ${await reply.text()}`)
      },
      async approve(begin: URL, who = ''): Promise<URL> {
        let at = begin
        for (let hop = 0; hop < 10; hop++) {
          if (at.pathname.startsWith('/interaction/')) at.searchParams.set('login', who)
          const reply = await ask(at)
          const to = reply.headers.get('location')
          if (to === null)
            throw new Error(`the provider stops at ${at.href}: ${reply.status} ${(await reply.text()).slice(0, 500)}`)
          await reply.body?.cancel()
          at = new URL(to, at)
          if (at.origin !== issuer) return at
        }
        throw new Error('the provider sends the browser in a circle')
      },
    }
  }

  return { issuer, people, provider, clientSecret, browser, approve: (url, who) => browser().approve(url, who) }
}

export const listening = (server: Server) => new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
export const issuerOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const logoutSource = (ctx: { body: unknown }, form: string) => void (ctx.body = form)

/** It warns of this version of Node, which the hub supports, and of what is meant for tests. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { warn, info } = console
  Object.assign(console, { warn() {}, info() {} })
  try {
    return await work()
  } finally {
    Object.assign(console, { warn, info })
  }
}
