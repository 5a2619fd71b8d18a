import { type Context, Hono } from 'hono'
import { html } from 'hono/html'
import { type HubEnv, HubError } from 'swarmhub'
import type { Account, Invitation } from './accounts.ts'
import { fieldsOf, hidden, orAgain, problemOf } from './forms.ts'
import type { Parts } from './parts.ts'

const pageSize = 100
/** What an invitation may be for. */
const most = { uses: 10_000, days: 365 }

/** For administrators: all accounts, who waits for approval, invitations. */
export function accountPages(parts: Parts): Hono<HubEnv> {
  const { accounts, hub, linkTo, signOut } = parts
  const app = new Hono<HubEnv>()

  const show = (c: Context<HubEnv>, { said, problem, status = 200 }: { said?: Said; problem?: string; status?: number } = {}) => {
    const query = (c.req.query('q') ?? '').trim().toLowerCase().slice(0, 255)
    const found = accounts()
      .all()
      .filter(({ name }) => name.includes(query))
    return c.get('page')(
      'Accounts',
      content(c.get('xsrf'), { found, query, said, problem, invitations: accounts().invitations() }),
      status,
    )
  }

  app.use('/accounts', async (c, next) => {
    if (!c.get('caller').user?.admin) throw new HubError('denied', 'Only an administrator sees the accounts of this hub.')
    await next()
  })
  app.get('/accounts', c => show(c))
  app.post('/accounts', async c => {
    const typed = await fieldsOf(c)
    const again = (problem: string, status: number) => show(c, { problem, status })
    return orAgain(c, again, async () => {
      const act = Object.hasOwn(acts, typed.do) ? acts[typed.do as keyof typeof acts] : undefined
      if (!act) throw new HubError('invalid', 'There is no such thing to do here. Reload the page.')
      const said = await act(typed, c)
      return said ? show(c, { said }) : c.redirect('accounts', 303)
    })
  })

  const acts = {
    async invite({ uses, days }: Fields): Promise<Said> {
      const code = await accounts().invite(
        within('number of people', uses, most.uses),
        within('number of days', days, most.days) * 86_400_000,
      )
      hub().record('account.invite', null, { uses, days })
      return linkTo('join', code)
    },
    async withdraw({ id }: Fields): Promise<void> {
      await accounts().withdraw(id)
      hub().record('account.invite', null, { withdrawn: true })
    },
    async approve({ username }: Fields): Promise<void> {
      await accounts().approve(username)
      hub().record('account.approve', username)
    },
    async reset({ username }: Fields): Promise<Said> {
      const code = await accounts().reset(username)
      hub().record('account.reset', username)
      return linkTo('link', code)
    },
    async 'forget-factor'({ username }: Fields): Promise<void> {
      const account = known(username)
      await accounts().setFactor(account.id, null)
      hub().record('account.second-factor', username, { on: false })
    },
    async remove({ username }: Fields, c: Context<HubEnv>): Promise<void> {
      const account = known(username)
      if (account.id === c.get('caller').user?.attributes.account)
        throw new HubError('conflict', 'You cannot remove your own account.')
      await accounts().remove(username)
      hub().record('account.delete', username)
      await signOut(account)
    },
  }

  function known(name: string): Account {
    const account = accounts().get(name)
    if (!account) throw new HubError('conflict', 'This account is gone already.')
    return account
  }

  return app
}

type Fields = Awaited<ReturnType<typeof fieldsOf>>

/** Shown once: the link is kept nowhere. */
type Said = ReturnType<Parts['linkTo']>

export function within(what: string, typed: string, most: number): number {
  const number = /^\d{1,6}$/.test(typed) ? Number(typed) : 0
  if (number < 1 || number > most) throw new HubError('invalid', `The ${what} is from 1 to ${most}.`)
  return number
}

interface Shown {
  found: readonly Account[]
  query: string
  said?: Said | undefined
  problem?: string | undefined
  invitations: readonly Invitation[]
}

const content = (xsrf: string, { found, query, said, problem, invitations }: Shown) => {
  const button = (label: string, fields: Record<string, string>, about: string) =>
    html`<form method="post">
      ${hidden({ _xsrf: xsrf, ...fields })}<button aria-label="${`${label}: ${about}`}">${label}</button>
    </form>`
  return html`${problemOf(problem)}
    ${said && html`<div class="notice" role="status"><p>${said.sentence}</p><p><code>${said.link}</code></p><p>You see it only now.</p></div>`}
    <form method="get">
      <p><label>Find an account <input name="q" type="search" value="${query}" autocomplete="off" /></label></p>
      <p><button>Find</button></p>
    </form>
    <p role="status">${found.length} account${found.length === 1 ? '' : 's'}${found.length > pageSize && `, the first ${pageSize} are shown`}</p>
    <table>
      <thead>
        <tr>
          <th scope="col">Account</th>
          <td></td>
        </tr>
      </thead>
      <tbody>
        ${[...found]
          .sort((a, b) => Number(b.waiting) - Number(a.waiting))
          .slice(0, pageSize)
          .map(
            ({ name, admin, waiting, password, secondFactor }) =>
              html`<tr>
                <th scope="row">
                  ${name} ${admin && html`<span class="badge">admin</span>`}
                  <span class="muted block">
                    ${[waiting && 'waits for approval', !password && 'no password yet', secondFactor && 'second factor'].filter(Boolean).join(', ')}
                  </span>
                </th>
                <td>
                  <details class="confirm">
                    <summary aria-label="${`Change ${name}`}">Change</summary>
                    <div class="answer">
                      ${waiting && button('Approve', { do: 'approve', username: name }, name)}
                      ${!waiting && button('New password link', { do: 'reset', username: name }, name)}
                      ${secondFactor && button('Remove the second factor', { do: 'forget-factor', username: name }, name)}
                      ${button(waiting ? 'Refuse' : 'Remove the account', { do: 'remove', username: name }, name)}
                    </div>
                  </details>
                </td>
              </tr>`,
          )}
      </tbody>
    </table>
    <h2>Invitations</h2>
    <ul>
      ${invitations.map(
        ({ id, left, expires }) =>
          html`<li>
            For ${left} more, until ${new Date(expires).toUTCString()} ${button('Withdraw', { do: 'withdraw', id }, `the invitation for ${left} more`)}
          </li>`,
      )}
    </ul>
    <form method="post">
      ${hidden({ _xsrf: xsrf, do: 'invite' })}
      <p><label>For how many people <input name="uses" type="number" min="1" max="${most.uses}" value="1" required /></label></p>
      <p><label>For how many days <input name="days" type="number" min="1" max="${most.days}" value="7" required /></label></p>
      <p><button>Make an invitation link</button></p>
    </form>`
}
