import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { SessionRecord, TokenRecord, UserRecord } from '../store/records.ts'
import type { ApiContext } from './endpoint.ts'

/** Milliseconds: a user's activity is noted this often, not at each request. */
const resolution = 30_000

/**
 * Who asks? By a token in the header, else by the cookie of a signed-in browser with its `_xsrf`. Throws `denied` for
 * everybody else, never anything that would read as "does not exist".
 */
export async function identify(core: Core, c: ApiContext): Promise<void> {
  const service = serviceOf(core, c)
  if (service) {
    const caller = core.services.caller(service)
    core.audit.by(caller)
    c.set('service', service)
    c.set('caller', caller)
    return
  }
  const { owner: found, token, session } = tokenOf(core, c) ?? sessionOf(core, c)
  const authenticator = session ? session.authenticator : token?.kind !== 'server' && found.identity?.authenticator
  if (session && (await core.logins.contradicts(c, found, session.authenticator))) throw unknownCaller()
  if (authenticator && !(await core.logins.refresh(found, authenticator))) throw unknownCaller()
  // The authenticator may just have changed what they are.
  const owner = core.users.byId(found.id)
  if (!owner) throw unknownCaller()
  noteUse(core, owner, token)
  c.set('owner', owner)
  c.set('token', token)
  c.set('session', session)
  const caller = core.tokens.caller(owner, token)
  core.audit.by(caller)
  c.set('caller', caller)
}

export const unknownCaller = () => new HubError('denied', 'Missing or invalid credentials.')

interface Found {
  owner: UserRecord
  token?: TokenRecord
  session?: SessionRecord
}

/** undefined: the request carries none. A token that is not good is not made up for by a cookie. */
export function tokenOf(core: Core, c: ApiContext): Found | undefined {
  const secret = secretOf(c)
  if (secret === undefined) return undefined
  const found = core.tokens.find(secret)
  if (!found) throw unknownCaller()
  return { owner: found.owner, token: found.record }
}

const secretOf = (c: ApiContext) => /^(?:token|bearer)\s+(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]

function serviceOf(core: Core, c: ApiContext) {
  const secret = secretOf(c)
  return secret === undefined ? undefined : core.services.find(secret)
}

function sessionOf(core: Core, c: ApiContext): Found {
  const found = core.sessions.find(c)
  if (!found || isForm(c)) throw unknownCaller()
  if (core.xsrf.needed(c, 'api') && !core.xsrf.valid(c)) {
    throw new HubError(
      'denied',
      'The request has no valid _xsrf. Send the one of the page, as header X-XSRFToken or in the query.',
    )
  }
  return { owner: found.owner, session: found.record }
}

/** A form of another site can send any body but one that says it is JSON. */
function isForm(c: ApiContext): boolean {
  const type = c.req.header('content-type')
  return c.req.method !== 'GET' && type !== undefined && !/^\s*application\/json\s*(;|$)/i.test(type)
}

/** People and their programs are active; a server's own calls only show that it runs. */
function noteUse(core: Core, owner: UserRecord, token: TokenRecord | undefined): void {
  if (token?.kind === 'server') {
    core.servers.heard(owner, token.server ?? '')
    return
  }
  const last = core.users.lastActivity(owner.id)
  if (last === null || Date.now() - Date.parse(last) > resolution) core.users.active(owner.id, new Date())
}
