import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** Somebody with an account there. */
export interface Account {
  id: number
  login: string
  name?: string | null
  emails?: { email: string; primary: boolean; verified: boolean }[]
  organizations?: { login: string; state: 'active' | 'pending' }[]
  /** `acme:staff` */
  teams?: string[]
}

/** What goes wrong with a path: a status with JSON, something else in a 200, or no end of waiting. */
export type Fault =
  | { status: number; headers?: Record<string, string>; body?: string }
  | 'html'
  | 'silence'
  | 'reset'
  | 'half'
  | 'endless'

/**
 * A stand-in for GitHub, by its documented endpoints: the web flow of OAuth apps with PKCE, and what the REST API tells of a
 * person. Approves at once, as whoever `visitor` is. Lists come in pages of two, whatever is asked for.
 */
export async function githubServer(t: { after(close: () => Promise<void>): void }) {
  const state = {
    visitor: { id: 1, login: 'Octocat' } as Account,
    /** Leave out `rel="next"`, as for a list that ends; or say that it goes on for ever. */
    faults: new Map<string, Fault>(),
    /** What was asked: method and path with query, and the token that came with it. */
    asked: [] as { what: string; token: string | undefined }[],
    denies: false,
    endlessPages: false,
  }
  const client = { clientId: 'the-client', clientSecret: 'the secret of the client' }
  const codes = new Map<string, { account: Account; redirect: string; challenge: string; scope: string }>()
  const tokens = new Map<string, { account: Account; scope: string }>()
  let origin = ''

  const json = (res: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) =>
    res.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers }).end(JSON.stringify(body))

  function paged(res: ServerResponse, url: URL, list: unknown[]) {
    const page = Number(url.searchParams.get('page') ?? 1)
    const next = state.endlessPages || list.length > page * 2
    // An address that is not ours: whoever follows it gives the token away.
    const link = `<https://evil.test${url.pathname}?page=${page + 1}>; rel="next", <https://evil.test/>; rel="last"`
    json(res, list.slice(page * 2 - 2, page * 2), 200, next ? { Link: link } : {})
  }

  async function oauth(req: IncomingMessage, res: ServerResponse, url: URL) {
    const query = url.searchParams
    if (url.pathname === '/login/oauth/authorize') {
      const back = new URL(query.get('redirect_uri')!)
      back.searchParams.set('state', query.get('state')!)
      if (state.denies) back.searchParams.set('error', 'access_denied')
      else {
        assert.equal(query.get('client_id'), client.clientId)
        assert.equal(query.get('code_challenge_method'), 'S256')
        const code = randomBytes(10).toString('hex')
        const [redirect, challenge, scope] = ['redirect_uri', 'code_challenge', 'scope'].map(key => query.get(key) ?? '')
        codes.set(code, { account: state.visitor, redirect: redirect!, challenge: challenge!, scope: scope! })
        back.searchParams.set('code', code)
      }
      return res.writeHead(302, { Location: back.href }).end()
    }
    const sent = JSON.parse(await text(req)) as Record<string, string>
    const found = codes.get(sent.code ?? '')
    codes.delete(sent.code ?? '')
    const challenge = createHash('sha256')
      .update(sent.code_verifier ?? '')
      .digest('base64url')
    const wrong = (error: string) => json(res, { error, error_description: 'No.', error_uri: 'https://docs.github.com' })
    if (sent.client_id !== client.clientId || sent.client_secret !== client.clientSecret)
      return wrong('incorrect_client_credentials')
    if (!found || found.challenge !== challenge) return wrong('bad_verification_code')
    if (found.redirect !== sent.redirect_uri) return wrong('redirect_uri_mismatch')
    const token = `gho_${randomBytes(18).toString('hex')}`
    tokens.set(token, found)
    json(res, { access_token: token, token_type: 'bearer', scope: found.scope.replaceAll(' ', ',') })
  }

  function api(res: ServerResponse, url: URL, token: string | undefined) {
    const found = tokens.get(token ?? '')
    if (!found) return json(res, { message: 'Bad credentials' }, 401)
    const { account, scope } = found
    const { id, login, name = null, emails = [], organizations = [], teams = [] } = account
    const needs = (wanted: string) => scope.split(/[ ,]/).includes(wanted) || void json(res, { message: 'Needs a scope' }, 403)
    switch (url.pathname.replace('/api/v3', '')) {
      case '/user':
        return json(res, { id, login, name, email: 'public@evil.test' })
      case '/user/emails':
        return needs('user:email') && paged(res, url, emails)
      case '/user/memberships/orgs': {
        // Whatever `state` was asked for: not all servers know it.
        return (
          needs('read:org') &&
          paged(
            res,
            url,
            organizations.map(({ login, state }) => ({ state, role: 'member', organization: { login } })),
          )
        )
      }
      case '/user/teams':
        return (
          needs('read:org') &&
          paged(
            res,
            url,
            teams.map(team => ({ slug: team.split(':')[1], name: 'Some team', organization: { login: team.split(':')[0] } })),
          )
        )
      default:
        return json(res, { message: 'Not Found' }, 404)
    }
  }

  function fail(req: IncomingMessage, res: ServerResponse, fault: Fault) {
    if (fault === 'silence') return
    if (fault === 'reset') return req.socket.resetAndDestroy()
    if (fault === 'html') return res.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>Unicorn!</h1>')
    if (fault === 'half')
      return res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 100 }).write('{"id": 1')
    if (fault === 'endless') {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      const more = () => {
        while (!res.destroyed && res.write(' '.repeat(65_536)));
      }
      res.on('drain', more)
      return more()
    }
    const { status, headers, body = '{"message":"No."}' } = fault
    res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body)
  }

  const server = createServer((req, res) => {
    const url = new URL(req.url!, origin)
    const token = /^(?:token|bearer) (.*)$/i.exec(req.headers.authorization ?? '')?.[1]
    state.asked.push({ what: `${req.method} ${req.url}`, token })
    const fault = state.faults.get(url.pathname.replace('/api/v3', ''))
    if (fault) return void fail(req, res, fault)
    if (url.pathname.startsWith('/login/')) return void oauth(req, res, url)
    api(res, url, token)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.after(async () => {
    const closed = once(server.close(), 'close')
    server.closeAllConnections()
    await closed
  })

  return {
    ...state,
    state,
    url: origin,
    client,
    tokens,
    /** As a browser that was sent to `url`: resolves with the address that it is sent back to. */
    async approve(url: URL): Promise<URL> {
      const answer = await fetch(url, { redirect: 'manual' })
      await answer.body?.cancel()
      return new URL(answer.headers.get('location')!)
    },
    /** Its owner takes back what they allowed. */
    revoke: () => tokens.clear(),
  }
}
