import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { ShareCode } from '../identity/shares.ts'
import { serverPath } from '../names.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost } from './address.ts'
import type { PageContext } from './environment.ts'
import { Hidden, page } from './layout.tsx'
import { safeNext } from './next.ts'
import { spokenScopes } from './share.tsx'

/** `accept-share?code=`: who invites the visitor to which server, and to what. Nothing is accepted by opening it. */
export const showInvitation = (core: Core) =>
  function showInvitation(c: PageContext): Promise<Response> {
    const sent = c.get('again')
    const code = c.req.query('code') ?? sent?.get('code') ?? ''
    const found = invitation(core, c, code)
    const { owner, server: name, record } = found
    const server = core.servers.get(owner, name)
    const next = safeNext(c.req.query('next') ?? sent?.get('next'), publicHost(core, c))
    return page(
      core,
      c,
      { title: 'Invitation' },
      <section class="narrow panel">
        <h1>Invitation from {owner.name}</h1>
        <p>
          <strong>{owner.name}</strong> shares{' '}
          {name === '' ? 'their server' : <>their server “{server?.record.displayName ?? name}”</>} with you. You may:
        </p>
        <ul>
          <li>{spokenScopes(record.scopes)}</li>
        </ul>
        {!server?.ready && <p class="notice">It does not run just now.</p>}
        <p class="muted">
          It is {owner.name}’s computer, not yours: what you type and keep there, {owner.name} can read. Your name is shown to
          them.
        </p>
        <form class="actions" method="post" action={`${core.base}hub/accept-share`}>
          <Hidden xsrf={core.xsrf.token(c)} code={code} next={next} />
          <button class="primary" type="submit">
            Accept
          </button>
          <a class="button" href={`${core.base}hub/home`}>
            Not now
          </a>
        </form>
      </section>,
    )
  }

/** `accept-share`, the form sent: from now on it is shared with the visitor. On to the server. */
export const acceptInvitation = (core: Core) =>
  async function acceptInvitation(c: PageContext): Promise<Response> {
    const fields = c.get('fields')
    const code = fields.get('code') ?? c.req.query('code') ?? ''
    const next = safeNext(fields.get('next') ?? c.req.query('next'), publicHost(core, c))
    const { owner, server } = await core.shares.accept(code, c.get('visitor') as UserRecord)
    return c.redirect(next ?? serverPath(core.base, owner.name, server), 303)
  }

function invitation(core: Core, c: PageContext, code: string): ShareCode {
  const found = core.shares.findCode(code)
  if (!found) throw new HubError('missing', 'This invitation is no longer valid. Ask for a new one.')
  if (found.owner.id === c.get('visitor')?.id)
    throw new HubError('denied', 'This invitation is to a server of your own. Send it to somebody else.')
  return found
}
