import type { Hono } from 'hono'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { OAuthClient } from '../oauth/provider.ts'
import type { UserRecord } from '../store/records.ts'
import { sent } from './address.ts'
import { dressed } from './dressed.ts'
import type { PageContext, WebEnv } from './environment.ts'
import { form, navigated, policy, signedIn } from './guard.ts'
import { Hidden, page } from './layout.tsx'
import { sentence } from './scopes.tsx'

/**
 * `hub/api/oauth2/authorize`: where notebooks and services send a browser to find out who it is (contract 2.2). A page in
 * spite of its path: it takes the sign-in cookie only. Mount it at that path, before the API's own checks.
 */
export function createAuthorize(core: Core): Hono<WebEnv> {
  const app = dressed(core)
  app.get('/', navigated, signedIn(core), authorize(core))
  app.post('/', navigated, signedIn(core), form(core), authorize(core))
  return app
}

const authorize = (core: Core) =>
  async function authorize(c: PageContext): Promise<Response> {
    const user = c.get('visitor') as UserRecord
    const agreed = c.req.method === 'POST' ? c.get('fields').getAll('scopes') : undefined
    const query = new URLSearchParams(sent(c).query)
    const result = await core.oauth.authorize(user, query, core.sessions.sessionId(c), agreed)
    if (result.kind === 'redirect') return c.redirect(result.location)
    if (result.kind === 'confirm') return confirmPage(core, c, result)
    throw refusal(result.status, result.message)
  }

const refusal = (status: 400 | 403 | 500, message: string) =>
  new HubError(({ 400: 'invalid', 403: 'denied', 500: 'failed' } as const)[status], message)

function confirmPage(core: Core, c: PageContext, { client, scopes }: { client: OAuthClient; scopes: string[] }) {
  // Browsers apply form-action to the redirect that follows, too.
  const elsewhere = URL.canParse(client.redirectUri) ? new URL(client.redirectUri).origin : ''
  c.header('Content-Security-Policy', policy(core, c.get('nonce'), elsewhere))
  const whose = client.owner ? `a server of ${client.owner.name}` : `the service ${client.service}`
  return page(
    core,
    c,
    { title: 'Allow access' },
    <section class="narrow panel">
      <h1>Allow access?</h1>
      <p>
        <strong>{client.description || client.id}</strong> wants to know who you are, and to act in your name:
      </p>
      <ul>
        {scopes.map(scope => (
          <li>{asked(scope)}</li>
        ))}
      </ul>
      <p class="muted">You are about to open {whose}. Allow it only if you trust whoever runs it.</p>
      <form class="actions" method="post" action={sent(c).uri}>
        <Hidden xsrf={core.xsrf.token(c)} />
        {scopes.map(scope => (
          <input type="hidden" name="scopes" value={scope} />
        ))}
        <button class="primary" type="submit">
          Allow
        </button>
        <a class="button" href={`${core.base}hub/home`}>
          Do not allow
        </a>
      </form>
    </section>,
  )
}

/** A scope for whom it is asked of. */
function asked(scope: string): string {
  const [name = '', filter = ''] = scope.split('!', 2)
  const what = filter.replace(/^[a-z]+=/, '')
  if (name === 'read:users:name') return 'Read your user name'
  if (name === 'read:users:groups') return 'Read the names of your groups'
  if (name === 'access:servers') {
    const [user = '', server = ''] = what.split('/', 2)
    return user === '' ? 'Use every server' : `Use ${user}’s server${server && ` “${server}”`}`
  }
  if (name === 'access:services') return what ? `Use the service ${what}` : 'Use every service'
  if (name === 'inherit') return 'Everything that you may do'
  return sentence(scope)
}
