import { type Context, Hono } from 'hono'
import { html } from 'hono/html'
import { HubError, networkOf, normalizeUsername, type VisitorEnv } from 'swarmhub'
import { taken } from './accounts.ts'
import { codeOf, fieldsOf, hidden, nameField, newPasswordFields, orAgain, problemOf } from './forms.ts'
import type { Parts } from './parts.ts'
import type { Kept } from './passwords.ts'

/** For everybody who has a link, and for who asks for an account: first account, password of an account, sign-up. */
export function visitorPages(parts: Parts): Hono<VisitorEnv> {
  const { accounts, passwords, hub, shortest, signUp, signOut } = parts
  const app = new Hono<VisitorEnv>()

  /** A page with a form for a new account, and what it does. `open`: may it be used now? */
  function register(path: string, title: string, sentence: string, open: (code: string) => boolean, make: Make, done: Done) {
    const show = (c: Context<VisitorEnv>, problem?: string, username = '', status = 200) =>
      c.get('page')(title, accountForm({ sentence, xsrf: c.get('xsrf'), shortest, username, problem }), status)
    app.get(path, c => (open(codeOf(c)) ? show(c) : spent(c)))
    app.post(path, async c => {
      const code = codeOf(c)
      if (!open(code)) return spent(c)
      const typed = await fieldsOf(c)
      const again = (problem: string, status: number) => show(c, problem, typed.username.slice(0, 255), status)
      return orAgain(c, again, async () => {
        const name = normalizeUsername(typed.username)
        if (name === undefined)
          throw new HubError('invalid', 'This cannot be a name. Choose one without slashes and invisible characters.')
        const password = await chosen(c, name, typed)
        await make({ code, name, password, address: c.get('address') })
        return done(c)
      })
    })
  }

  /** What to keep of the password that was typed twice. */
  function chosen(c: Context<VisitorEnv>, name: string, { password, repeated }: { password: string; repeated: string }) {
    if (password !== repeated) throw new HubError('invalid', 'The two passwords are not the same. Type them again.')
    return passwords.keep(password, name, { shortest, from: networkOf(c.get('address')) })
  }

  /** Who chooses a name gets none that somebody has: nor one that an admin or the config has made a user of. */
  async function demandFree(name: string, address: string): Promise<void> {
    const isFree = async () => !accounts().get(name) && !hub().user(name)
    if (!(await hub().attempt(name, address, isFree))) throw taken()
  }

  register(
    '/setup',
    'Set up this hub',
    'Create the first account. It will be the administrator’s.',
    code => accounts().canSetUp(code),
    async ({ code, name, password }) => {
      await accounts().setUp(code, name, password)
      hub().record('account.create', name, { admin: true })
    },
    c => c.redirect('../../login', 303),
  )

  register(
    '/join',
    'Create an account',
    'You are invited: choose a name and a password.',
    code => accounts().isInvited(code),
    async ({ code, name, password, address }) => {
      await demandFree(name, address)
      await accounts().join(code, name, password)
      hub().record('account.create', name, { by: 'invitation' })
    },
    c => c.redirect('../../login', 303),
  )

  if (signUp === 'approval')
    register(
      '/signup',
      'Ask for an account',
      'Choose a name and a password. You can sign in when an administrator has approved the account.',
      () => true,
      async ({ name, password, address }) => {
        await demandFree(name, address)
        await accounts().apply(name, password)
        hub().record('account.create', name, { by: 'sign-up', waiting: true })
        hub().log.info('somebody asks for an account', { name, approve: `swarmhub local approve ${name}` })
      },
      c =>
        c.get('page')(
          'Your account waits for approval',
          html`<p role="status">You can sign in as soon as an administrator has approved it.</p>
            <p><a href="../../login">To the sign-in page</a></p>`,
        ),
    )

  app.get('/link', c => {
    const account = accounts().linked(codeOf(c))
    return account ? c.get('page')('Choose a password', linkForm(c.get('xsrf'), account.name, shortest)) : spent(c)
  })
  app.post('/link', async c => {
    const code = codeOf(c)
    const account = accounts().linked(code)
    if (!account) return spent(c)
    const typed = await fieldsOf(c)
    const again = (problem: string, status: number) =>
      c.get('page')('Choose a password', linkForm(c.get('xsrf'), account.name, shortest, problem), status)
    return orAgain(c, again, async () => {
      await accounts().redeem(code, await chosen(c, account.name, typed))
      hub().record('account.password', account.name, { by: 'link' })
      await signOut(account)
      return c.redirect('../../login', 303)
    })
  })

  return app
}

type Make = (given: { code: string; name: string; password: Kept; address: string }) => Promise<void>
type Done = (c: Context<VisitorEnv>) => Response | Promise<Response>

const spent = (c: Context<VisitorEnv>) =>
  c.get('page')(
    'This link does not work',
    html`<p>It was used already, or has expired. Ask the administrator for a new one.</p>
      <p>The link that sets up a hub is a new one at each start of the hub: the last one in its output counts.</p>`,
    403,
  )

const accountForm = (given: {
  sentence: string
  xsrf: string
  shortest: number
  username: string
  problem?: string | undefined
}) =>
  html`<p>${given.sentence}</p>
    ${problemOf(given.problem)}
    <form method="post">
      ${hidden({ _xsrf: given.xsrf })} ${nameField(given.username)} ${newPasswordFields(given.shortest)}
      <p><button>Create account</button></p>
    </form>`

const linkForm = (xsrf: string, name: string, shortest: number, problem?: string) =>
  html`<p>For the account <strong>${name}</strong>.</p>
    ${problemOf(problem)}
    <form method="post">
      ${hidden({ _xsrf: xsrf })}
      <input type="hidden" name="username" value="${name}" autocomplete="username" />
      ${newPasswordFields(shortest)}
      <p><button>Set password</button></p>
    </form>`
