import { type Context, Hono } from 'hono'
import { html } from 'hono/html'
import { type HubEnv, HubError, networkOf } from 'swarmhub'
import type { Account } from './accounts.ts'
import { enrolment, readDraft } from './enrolment.ts'
import { codeField, currentPasswordField, fieldsOf, hidden, newPasswordFields, orAgain, problemOf } from './forms.ts'
import type { Parts } from './parts.ts'
import { confirmFactor, draftFactor } from './second-factor.ts'

/** For who is signed in: change the password, set up the second factor or turn it off. */
export function ownPages({ accounts, passwords, hub, shortest, signOut }: Parts): Hono<HubEnv> {
  const app = new Hono<HubEnv>()
  const mine = (c: Context<HubEnv>) => accounts().byId(c.get('caller').user?.attributes.account)
  const notHere = (c: Context<HubEnv>) =>
    c.get('page')('Your account', html`<p>Your password is not kept by this hub. Change it where you got it.</p>`, 404)

  /** Throws `denied` for a wrong password, `busy` after too many: a session that somebody left open is no way to guess at it. */
  async function demandPassword(c: Context<HubEnv>, account: Account, typed: string): Promise<void> {
    const address = c.get('address')
    const asking = { from: networkOf(address), signal: c.req.raw.signal }
    const isRight = await hub().attempt(c.get('caller').name, address, () =>
      passwords.matches(typed, account.password ?? undefined, asking),
    )
    if (!isRight) throw new HubError('denied', 'This is not your current password. Type it again.')
  }

  const passwordPage = (c: Context<HubEnv>, problem?: string, status = 200) =>
    c.get('page')(
      'Change your password',
      changeForm(c.get('xsrf'), shortest, c.get('caller').user?.admin === true, problem),
      status,
    )

  app.get('/password', c => (mine(c) ? passwordPage(c) : notHere(c)))
  app.post('/password', async c => {
    const account = mine(c)
    if (!account?.password) return notHere(c)
    const old = account.password
    const typed = await fieldsOf(c)
    return orAgain(
      c,
      (problem, status) => passwordPage(c, problem, status),
      async () => {
        if (typed.password !== typed.repeated)
          throw new HubError('invalid', 'The two new passwords are not the same. Type them again.')
        await demandPassword(c, account, typed.current)
        const asking = { shortest, from: networkOf(c.get('address')) }
        await accounts().replace(account.id, old, await passwords.keep(typed.password, account.name, asking))
        hub().record('account.password', account.name)
        await signOut(account)
        return c.redirect('../../login', 303)
      },
    )
  })

  const factorPage = (c: Context<HubEnv>, account: Account, draft = draftFactor(), problem?: string, status = 200) =>
    c.get('page')(
      'Second factor',
      account.secondFactor
        ? factorForm(c.get('xsrf'), account.secondFactor.recovery.length, problem)
        : html`${problemOf(problem)} ${enrolment(draft, account.name, hub())}
            <form method="post">
              ${hidden({ _xsrf: c.get('xsrf'), do: 'on', draft: JSON.stringify(draft) })} ${currentPasswordField}
              ${codeField('Code from the app')}
              <p>You will be signed out everywhere, and sign in again with a code.</p>
              <p><button>Turn on</button></p>
            </form>`,
      status,
    )

  app.get('/second-factor', c => {
    const account = mine(c)
    return account ? factorPage(c, account) : notHere(c)
  })
  app.post('/second-factor', async c => {
    const account = mine(c)
    if (!account?.password) return notHere(c)
    const typed = await fieldsOf(c)
    const draft = readDraft(typed.draft)
    return orAgain(
      c,
      (problem, status) => factorPage(c, account, draft, problem, status),
      async () => {
        await demandPassword(c, account, typed.current)
        if (typed.do === 'on') {
          const factor = draft && !account.secondFactor ? confirmFactor(draft, typed.code) : undefined
          if (!factor) throw new HubError('invalid', 'This is not the code that the app shows now. Type the present one.')
          await accounts().setFactor(account.id, factor)
          hub().record('account.second-factor', account.name, { on: true })
          // Whoever came in by the password alone is out; the owner sees at once that the code is asked for.
          await signOut(account)
          return c.redirect('../../login', 303)
        } else {
          const { name } = c.get('caller')
          const isRight = await hub().attempt(name, c.get('address'), () => accounts().useCode(account.id, typed.code))
          if (!isRight) throw new HubError('denied', 'This code is wrong, or was used already. Wait for the next one.')
          await accounts().setFactor(account.id, null)
        }
        hub().record('account.second-factor', account.name, { on: false })
        return c.redirect('second-factor', 303)
      },
    )
  })

  return app
}

const changeForm = (xsrf: string, shortest: number, admin: boolean, problem?: string) =>
  html`<p><a href="second-factor">Second factor</a>${admin && html` · <a href="accounts">All accounts</a>`}</p>
    <p>You will be signed out everywhere, and sign in again with the new password.</p>
    ${problemOf(problem)}
    <form method="post">
      ${hidden({ _xsrf: xsrf })} ${currentPasswordField} ${newPasswordFields(shortest)}
      <p><button>Change password</button></p>
    </form>`

const factorForm = (xsrf: string, left: number, problem?: string) =>
  html`<p role="status">It is on: each sign-in asks for a code. ${left} recovery code${left === 1 ? ' is' : 's are'} left.</p>
    <p>To get new recovery codes or to change the device, turn it off and set it up again.</p>
    ${problemOf(problem)}
    <form method="post">
      ${hidden({ _xsrf: xsrf, do: 'off' })} ${currentPasswordField} ${codeField('Code from the app, or a recovery code')}
      <p><button>Turn off</button></p>
    </form>`
