import type { Core } from '../core.ts'
import type { SessionRecord, UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'
import { Ago, Hidden, page } from './layout.tsx'

/** `sessions`: the browsers that the visitor is signed in with. */
export const showSessions = (core: Core) =>
  function showSessions(c: PageContext): Response | Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    const action = `${core.base}hub/sessions/end`
    const xsrf = core.xsrf.token(c)
    return page(
      core,
      c,
      { title: 'Signed in' },
      <>
        <h1>Where you are signed in</h1>
        <p>
          Sign out a browser that you do not know, then change your password. <a href={`${core.base}hub/token`}>Tokens</a> are no
          browsers: they go on working until you revoke them.
        </p>
        <SessionTable core={core} owner={visitor} action={action} xsrf={xsrf} present={core.sessions.find(c)?.record.hash} />
        <EndAll action={action} xsrf={xsrf}>
          You are signed out here, too, and in your notebooks.
        </EndAll>
      </>,
    )
  }

/** `sessions/end`, the form sent: signs out one browser, or all of them. */
export const endSessions = (core: Core) =>
  async function endSessions(c: PageContext): Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    await core.sessions.closeAll(visitor.id, chosen(c.get('fields')))
    return c.redirect(`${core.base}hub/sessions`, 303)
  }

/** The sessions that the form is about: the one that it names, or all. A form that names none means none. */
export function chosen(fields: URLSearchParams): (session: SessionRecord) => boolean {
  const id = fields.get('session')
  return session => fields.get('all') === '1' || keyOf(session) === id
}

/** Names a session on pages; opens nothing, and neither does what it is a part of. */
const keyOf = ({ hash }: SessionRecord) => hash.slice(0, 24)

interface Listed {
  core: Core
  owner: UserRecord
  action: string
  xsrf: string
  /** The hash of the session that the page is looked at with. */
  present?: string | undefined
  /** They can be looked at only. */
  fixed?: boolean
}

export function SessionTable({ core, owner, action, xsrf, present, fixed = false }: Listed) {
  const sessions = core.sessions.of(owner.id)
  if (sessions.length === 0) return <p class="muted">No browser is signed in.</p>
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Browser</th>
          <th scope="col">Last seen</th>
          <th scope="col">Signed in</th>
          <th scope="col">Ends</th>
          <td />
        </tr>
      </thead>
      <tbody>
        {sessions.map(session => (
          <tr>
            <th scope="row">
              {session.browser ?? 'A browser'} {session.hash === present && <span class="badge">this one</span>}
            </th>
            <td data-label="Last seen">
              <Used use={core.users.lastUse(owner.id, { session: session.hash })} />
            </td>
            <td data-label="Signed in">
              <div>
                <Ago at={session.created} />
                <span class="muted block">by {session.authenticator}</span>
              </div>
            </td>
            <td data-label="Ends">
              <Ago at={session.expires} />
            </td>
            <td>
              {!fixed && (
                <form method="post" action={action}>
                  <Hidden xsrf={xsrf} session={keyOf(session)} />
                  <button type="submit" aria-label={`Sign out ${session.browser ?? 'a browser'}`}>
                    Sign out
                  </button>
                </form>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

export function EndAll({ action, xsrf, children }: { action: string; xsrf: string; children: string }) {
  return (
    <details class="confirm lone">
      <summary>Sign out everywhere</summary>
      <form class="answer" method="post" action={action}>
        <p>{children}</p>
        <Hidden xsrf={xsrf} all="1" />
        <button class="danger" type="submit">
          Yes, sign out everywhere
        </button>
      </form>
    </details>
  )
}

/** When something was last used, and from where. */
export function Used({ use: { at, from } }: { use: { at: string | null; from: string | null } }) {
  return (
    <div>
      <Ago at={at} />
      {from !== null && <span class="muted block">{from}</span>}
    </div>
  )
}
