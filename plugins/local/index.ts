import { createHash } from 'node:crypto'
import { html } from 'hono/html'
import {
  type Challenge,
  duration,
  type Hub,
  HubError,
  type Identity,
  normalizeUsername,
  type Plugin,
  parseOptions,
  spoken,
} from 'swarmhub'
import { z } from 'zod'
import { accountPages } from './account-pages.ts'
import { type Account, type Accounts, createAccounts, initial, schema } from './accounts.ts'
import { commands } from './commands.ts'
import { enrolment, readDraft } from './enrolment.ts'
import { ownPages } from './own-pages.ts'
import type { Parts } from './parts.ts'
import { createPasswords } from './passwords.ts'
import { confirmFactor, draftFactor, type FactorDraft } from './second-factor.ts'
import { visitorPages } from './visitor-pages.ts'

const options = z.strictObject({
  /** On the button of the form. */
  label: z.string().min(1).default('Sign in'),
  /** How long a one-time link can be used. */
  links: duration().prefault('24h'),
  /** How people come to accounts: `invitation` by a link that an admin makes; `approval` also by asking for one, which an admin approves. */
  signUp: z.enum(['invitation', 'approval']).default('invitation'),
  /** `required`: who has none sets one up when they sign in; `admins`: administrators only. */
  secondFactor: z.enum(['optional', 'admins', 'required']).default('optional'),
  /** Characters that a new password has at least. */
  shortest: z.int().min(8).max(64).default(8),
})
export type LocalOptions = z.input<typeof options>

/** Accounts of the hub's own. The first start prints a one-time link that creates the admin's. */
export function local(given: LocalOptions = {}, passwords = createPasswords()) {
  const { label, links, signUp, secondFactor, shortest } = parseOptions('local', options, given)
  let running: { hub: Hub; accounts: Accounts } | undefined

  const inside = () => {
    if (!running) throw new HubError('unavailable', 'The accounts of this hub are not open yet. Try again in a moment.')
    return running
  }
  const accounts = () => inside().accounts
  const ownersOf = ({ id }: Account) => [...inside().hub.users()].filter(user => user.attributes.account === id)
  const needsFactor = (account: Account) =>
    secondFactor === 'required' || (secondFactor === 'admins' && (account.admin || ownersOf(account).some(({ admin }) => admin)))
  const parts: Parts = {
    hub: () => inside().hub,
    accounts,
    passwords,
    shortest,
    signUp,
    async signOut(account) {
      for (const owner of ownersOf(account)) await inside().hub.signOut(owner.name)
    },
    linkTo(kind, code) {
      const link = inside().hub.link(`${kind}?code=${code}`)
      if (kind === 'join') return { link, sentence: 'Who has this link can make an account.' }
      const owner = accounts().linked(code)?.name ?? ''
      return { link, sentence: `Sets the password of "${owner}": once, within ${spoken(links)}. Hand it to nobody else.` }
    },
  }
  const identity = ({ id, name, admin }: Account): Identity => {
    // Left out for the others: who was made an admin on the admin page stays one.
    return { name, id, attributes: { account: id }, ...(admin && { admin }) }
  }

  /** What is asked beyond the password. It is void once the password has changed. */
  function ask(account: Account, problem?: string, draft?: FactorDraft): Challenge {
    const { id, name } = account
    const field = { autocomplete: 'one-time-code', ...(problem !== undefined && { problem }) }
    const state = { id, mark: markOf(account) }
    if (account.secondFactor)
      return {
        ...field,
        question: 'Code from your app',
        content: html`<p>Type the code that your app shows now, or one of your recovery codes.</p>`,
        state: JSON.stringify(state),
      }
    const made = draft ?? draftFactor()
    return {
      ...field,
      question: 'Code from the app',
      content: html`<p>This hub asks ${secondFactor === 'admins' ? 'administrators' : 'everybody'} for a second factor. You have none yet.</p>
        ${enrolment(made, name, inside().hub)}`,
      state: JSON.stringify({ ...state, draft: JSON.stringify(made) }),
    }
  }

  return {
    name: 'local',

    authenticator: {
      kind: 'password',
      label,
      ...(signUp === 'approval' && { link: { label: 'Ask for an account', page: 'signup' } }),
      async check({ username, password, from }, ctx) {
        ctx.signal.throwIfAborted()
        const name = normalizeUsername(username)
        const account = name === undefined ? undefined : accounts().get(name)
        const kept = account?.password ?? undefined
        const asking = { from: from ?? '', signal: ctx.signal }
        if (!(await passwords.matches(password, kept, asking)) || !account || !kept) return null
        if (account.waiting)
          throw new HubError('denied', 'Your account waits for approval. Ask the administrator, or come back later.')
        if (passwords.isDated(kept)) {
          const renew = async () => accounts().replace(account.id, kept, await passwords.renew(password, asking))
          // The sign-in is right also when this fails; the next one tries again.
          await renew().catch(error => ctx.log.warn('a password could not be hashed anew', { error }))
        }
        const present = accounts().byId(account.id)
        if (!present) return null
        return present.secondFactor || needsFactor(present) ? ask(present) : identity(present)
      },
      async answer({ state, answer }, ctx) {
        ctx.signal.throwIfAborted()
        const { id, mark, draft: text } = asked.parse(JSON.parse(state))
        const account = accounts().byId(id)
        if (!account || markOf(account) !== mark) return null
        if (account.secondFactor)
          return (await accounts().useCode(id, answer))
            ? identity(account)
            : ask(account, 'This code is wrong, or was used already. Wait for the next one.')
        const draft = readDraft(text ?? '')
        // Its second factor was taken away while it was asked for.
        if (!draft) return null
        const factor = confirmFactor(draft, answer)
        if (!factor) return ask(account, 'This is not the code that the app shows now. Type the present one.', draft)
        await accounts().setFactor(id, factor)
        await parts.signOut(account)
        inside().hub.record('account.second-factor', account.name, { on: true })
        return identity(account)
      },
      async refresh(user) {
        const account = accounts().byId(user.attributes.account)
        return account ? identity(account) : null
      },
    },

    welcome: visitorPages(parts),
    web: ownPages(parts).route('/', accountPages(parts)),
    links: [{ label: 'Password', page: 'password' }],
    commands: commands(parts),

    async setup(hub) {
      const accounts = createAccounts(await hub.file('accounts', schema, initial), links)
      running = { hub, accounts }
      const code = await accounts.offerSetup()
      if (code) {
        hub.say(
          `\nThis hub has no account yet. Make the administrator's within ${spoken(links)} at\n\n  ${hub.link(`setup?code=${code}`)}\n`,
        )
      }
    },
  } satisfies Plugin
}

const asked = z.strictObject({ id: z.string(), mark: z.string(), draft: z.string().optional() })

/** Another one for each password. It tells nothing about it: what it is made of is no less random than it. */
const markOf = ({ password }: Account) => createHash('sha256').update(`asked ${password?.key}`).digest('base64url').slice(0, 16)
