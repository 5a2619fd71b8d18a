import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import { demand, missing } from '../rights.ts'
import type { UserRecord } from '../store/records.ts'
import { serverPage } from './address.ts'
import { State } from './card.tsx'
import type { PageContext } from './environment.ts'
import { Hidden } from './layout.tsx'
import { spokenScopes } from './share.tsx'

/** What others share with the visitor, directly and through groups; nothing when it is nothing. */
export function SharedWithMe({ core, caller, visitor, xsrf }: { core: Core; caller: Caller; visitor: UserRecord; xsrf: string }) {
  const shares = core.shares.with({ kind: 'user', id: visitor.id })
  if (shares.length === 0 || !caller.allows('read:users:shares', { user: visitor.name })) return null
  return (
    <section aria-labelledby="shared">
      <h2 id="shared">Shared with you</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Server</th>
            <th scope="col">You may</th>
            <th scope="col">State</th>
            <td />
          </tr>
        </thead>
        <tbody>
          {shares.flatMap(({ owner, server: name, record }) => {
            const server = core.servers.get(owner, name)
            if (!server) return []
            const at = { user: owner.name, name }
            const may = (scope: string) => caller.allows(scope, { user: owner.name, server: name })
            const label = `${owner.name}’s server${name && ` “${server.record.displayName ?? name}”`}`
            return (
              <tr>
                <th scope="row">{label}</th>
                <td data-label="You may">
                  <div>
                    {spokenScopes(record.scopes)}
                    {record.grantee.kind === 'group' && (
                      <span class="muted block">as a member of {core.shares.nameOf(record.grantee)}</span>
                    )}
                  </div>
                </td>
                <td data-label="State">
                  <div>
                    <State server={server} />
                  </div>
                </td>
                <td>
                  <div class="actions">
                    {server.ready && may('access:servers') && (
                      <a class="button primary" href={server.path} aria-label={`Open ${label}`}>
                        Open
                      </a>
                    )}
                    {server.state === 'stopped' && may('start:servers') && (
                      <a class="button" href={serverPage(core, 'spawn', at)} aria-label={`Start ${label}`}>
                        Start
                      </a>
                    )}
                    {record.grantee.kind === 'user' && caller.allows('users:shares', { user: visitor.name }) && (
                      <details class="confirm">
                        <summary aria-label={`Leave ${label}`}>Leave</summary>
                        <form class="answer" method="post" action={serverPage(core, 'leave', at)}>
                          <p>You cannot open it any more, until {owner.name} shares it again.</p>
                          <Hidden xsrf={xsrf} />
                          <button class="danger" type="submit">
                            Yes, leave
                          </button>
                        </form>
                      </details>
                    )}
                  </div>
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </section>
  )
}

/** `leave/USER[/SERVER]`, the form sent: gives back what that user shares with the visitor. */
export const leaveServer = (core: Core) =>
  async function leaveServer(c: PageContext): Promise<Response> {
    const { id, name } = c.get('visitor') as UserRecord
    demand(c.get('caller'), ['users:shares'], { user: name })
    const owner = core.users.get(c.req.param('user') ?? '')
    if (!owner) throw missing()
    await core.shares.revoke(owner, c.req.param('server') ?? '', { kind: 'user', id })
    return c.redirect(`${core.base}hub/home`, 303)
  }
