import { type Context, Hono } from 'hono'
import { html } from 'hono/html'
import { type HubEnv, isHubError, normalizeUsername, type VisitorEnv } from 'swarmhub'
import type { Account, Accounts } from './accounts.ts'
import type { Passwords } from './passwords.ts'

interface Parts {
  accounts(): Accounts
  passwords: Passwords
  /** End the sessions of the account's owner. */
  signOut(account: Account): Promise<void>
}

/** For everybody who has a one-time link: the first account, and a password for an account. */
export function visitorPages({ accounts, passwords, signOut }: Parts): Hono<VisitorEnv> {
  const app = new Hono<VisitorEnv>()

  app.get('/setup', c => {
    if (!accounts().canSetUp(codeOf(c))) return spent(c)
    return c.get('page')('Set up this hub', setupForm(c.get('xsrf')))
  })
  app.post('/setup', async c => {
    const code = codeOf(c)
    if (!accounts().canSetUp(code)) return spent(c)
    const typed = await fields(c)
    const name = normalizeUsername(typed.username)
    const again = (problem: string) =>
      c.get('page')('Set up this hub', setupForm(c.get('xsrf'), typed.username.slice(0, 255), problem), 400)
    if (name === undefined) return again('This cannot be a name. Choose one without slashes and invisible characters.')
    if (typed.password !== typed.repeated) return again('The two passwords are not the same. Type them again.')
    try {
      await accounts().setUp(code, name, await passwords.keep(typed.password, name))
    } catch (error) {
      if (isHubError(error) && error.code === 'invalid') return again(error.message)
      throw error
    }
    return c.redirect('../../login', 303)
  })

  app.get('/link', c => {
    const account = accounts().linked(codeOf(c))
    return account ? c.get('page')('Choose a password', linkForm(c.get('xsrf'), account.name)) : spent(c)
  })
  app.post('/link', async c => {
    const code = codeOf(c)
    const account = accounts().linked(code)
    if (!account) return spent(c)
    const typed = await fields(c)
    const again = (problem: string) => c.get('page')('Choose a password', linkForm(c.get('xsrf'), account.name, problem), 400)
    if (typed.password !== typed.repeated) return again('The two passwords are not the same. Type them again.')
    try {
      await accounts().redeem(code, await passwords.keep(typed.password, account.name))
    } catch (error) {
      if (isHubError(error) && error.code === 'invalid') return again(error.message)
      throw error
    }
    await signOut(account)
    return c.redirect('../../login', 303)
  })

  return app
}

/** For who is signed in: change the password. */
export function ownPages({ accounts, passwords, signOut }: Parts): Hono<HubEnv> {
  const app = new Hono<HubEnv>()
  const mine = (c: Context<HubEnv>) => accounts().byId(c.get('caller').user?.attributes.account)
  const notHere = (c: Context<HubEnv>) =>
    c.get('page')('Change your password', html`<p>Your password is not kept by this hub. Change it where you got it.</p>`, 404)

  app.get('/password', c => (mine(c) ? c.get('page')('Change your password', changeForm(c.get('xsrf'))) : notHere(c)))
  app.post('/password', async c => {
    const account = mine(c)
    if (!account?.password) return notHere(c)
    const typed = await fields(c)
    const again = (problem: string, status = 400) =>
      c.get('page')('Change your password', changeForm(c.get('xsrf'), problem), status)
    if (typed.password !== typed.repeated) return again('The two new passwords are not the same. Type them again.')
    try {
      if (!(await passwords.matches(typed.current, account.password, c.req.raw.signal))) {
        return again('This is not your current password. Type it again.', 403)
      }
      await accounts().replace(account.id, account.password, await passwords.keep(typed.password, account.name))
    } catch (error) {
      if (isHubError(error) && error.code === 'invalid') return again(error.message)
      throw error
    }
    await signOut(account)
    return c.redirect('../../login', 303)
  })

  return app
}

const codeOf = (c: Context) => c.req.query('code') ?? ''

async function fields(c: Context) {
  const body = await c.req.parseBody()
  const text = (name: string) => (typeof body[name] === 'string' ? body[name] : '')
  return {
    username: text('username'),
    current: text('current'),
    password: text('password'),
    repeated: text('repeated'),
  }
}

const spent = (c: Context<VisitorEnv>) =>
  c.get('page')(
    'This link does not work',
    html`<p>It was used already, or has expired. Ask the administrator for a new one.</p>
      <p>The link that sets up a hub is a new one at each start of the hub: the last one in its output counts.</p>`,
    403,
  )

// The forms have no action: they are sent to the address that showed them, code included.

const problemOf = (problem: string | undefined) => problem && html`<p role="alert">${problem}</p>`

const newPassword = html`<p>
    <label>
      New password <small>(at least 8 characters)</small>
      <input type="password" name="password" autocomplete="new-password" minlength="8" required />
    </label>
  </p>
  <p>
    <label>
      Repeat the new password
      <input type="password" name="repeated" autocomplete="new-password" minlength="8" required />
    </label>
  </p>`

const setupForm = (xsrf: string, username = '', problem?: string) =>
  html`<p>Create the first account. It will be the administrator’s.</p>
    ${problemOf(problem)}
    <form method="post">
      <input type="hidden" name="_xsrf" value="${xsrf}" />
      <p>
        <label>User name <input name="username" value="${username}" autocomplete="username" autocapitalize="none" required /></label>
      </p>
      ${newPassword}
      <p><button>Create account</button></p>
    </form>`

const linkForm = (xsrf: string, name: string, problem?: string) =>
  html`<p>For the account <strong>${name}</strong>.</p>
    ${problemOf(problem)}
    <form method="post">
      <input type="hidden" name="_xsrf" value="${xsrf}" />
      <input type="hidden" name="username" value="${name}" autocomplete="username" />
      ${newPassword}
      <p><button>Set password</button></p>
    </form>`

const changeForm = (xsrf: string, problem?: string) =>
  html`<p>You will be signed out everywhere, and sign in again with the new password.</p>
    ${problemOf(problem)}
    <form method="post">
      <input type="hidden" name="_xsrf" value="${xsrf}" />
      <p>
        <label>
          Current password <input type="password" name="current" autocomplete="current-password" required />
        </label>
      </p>
      ${newPassword}
      <p><button>Change password</button></p>
    </form>`
