import { parseArgs } from 'node:util'
import { duration, type Hub, HubError, type Identity, normalizeUsername, type Plugin, parseOptions, spoken } from 'swarmhub'
import { z } from 'zod'
import { type Account, type Accounts, createAccounts, initial, schema } from './accounts.ts'
import { ownPages, visitorPages } from './pages.ts'
import { createPasswords } from './passwords.ts'

const options = z.strictObject({
  /** On the button of the form. */
  label: z.string().min(1).default('Sign in'),
  /** How long a one-time link can be used. */
  links: duration().prefault('24h'),
})
export type LocalOptions = z.input<typeof options>

/** Accounts of the hub's own. The first start prints a one-time link that creates the admin's. */
export function local(given: LocalOptions = {}, passwords = createPasswords()) {
  const { label, links } = parseOptions('local', options, given)
  let running: { hub: Hub; accounts: Accounts } | undefined

  const inside = () => {
    if (!running) throw new HubError('unavailable', 'The accounts of this hub are not open yet. Try again in a moment.')
    return running
  }
  const accounts = () => inside().accounts
  const signOut = async (account: Account) => {
    const { hub } = inside()
    const owners = [...hub.users()].filter(user => user.attributes.account === account.id)
    for (const owner of owners) await hub.signOut(owner.name)
  }
  const identity = ({ id, name, admin }: Account): Identity => {
    // Left out for the others: who was made an admin on the admin page stays one.
    return { name, id, attributes: { account: id }, ...(admin && { admin }) }
  }
  const invitation = (name: string, code: string) =>
    `${inside().hub.link(`link?code=${code}`)}\nSets the password of "${name}": once, within ${spoken(links)}. Hand it to nobody else.`

  return {
    name: 'local',

    authenticator: {
      kind: 'password',
      label,
      async check({ username, password }, ctx) {
        ctx.signal.throwIfAborted()
        const name = normalizeUsername(username)
        const account = name === undefined ? undefined : accounts().get(name)
        const kept = account?.password ?? undefined
        if (!(await passwords.matches(password, kept, ctx.signal)) || !account || !kept) return null
        if (passwords.isDated(kept)) {
          const renew = async () => accounts().replace(account.id, kept, await passwords.keep(password, account.name))
          // The sign-in is right also when this fails; the next one tries again.
          await renew().catch(error => ctx.log.warn('a password could not be hashed anew', { error }))
        }
        return identity(account)
      },
      async refresh(user) {
        const account = accounts().byId(user.attributes.account)
        return account ? identity(account) : null
      },
    },

    welcome: visitorPages({ accounts, passwords, signOut }),
    web: ownPages({ accounts, passwords, signOut }),
    links: [{ label: 'Password', page: 'password' }],

    commands: {
      add: {
        summary: 'NAME [--admin]: make an account; prints the link that sets its password',
        async run(args) {
          const { name, admin } = named(args, 'add NAME [--admin]')
          return invitation(name, await accounts().add(name, admin))
        },
      },
      reset: {
        summary: 'NAME: print a link that sets a new password',
        async run(args) {
          const { name } = named(args, 'reset NAME')
          return invitation(name, await accounts().reset(name))
        },
      },
      admin: {
        summary: 'NAME yes|no: is this account an administrator?',
        async run([name = '', answer = '', ...rest]) {
          if (!['yes', 'no'].includes(answer) || rest.length > 0) throw usage('admin NAME yes|no')
          const account = named([name], 'admin NAME yes|no').name
          await accounts().setAdmin(account, answer === 'yes')
          return answer === 'yes'
            ? `"${account}" is an administrator, from the next sign-in at the latest.`
            : `"${account}" is no administrator any more, from the next sign-in at the latest; but still one if the config or the page Admin says so.`
        },
      },
      remove: {
        summary: 'NAME: remove an account and end its sessions; the user and the files stay',
        async run(args) {
          const { name } = named(args, 'remove NAME')
          const account = accounts().get(name)
          await accounts().remove(name)
          if (account) await signOut(account)
          return `The account "${name}" is gone. Its user and files are still there: remove the user on the page Admin.`
        },
      },
      list: {
        summary: 'all accounts',
        run: () =>
          accounts()
            .all()
            .map(({ name, admin, password }) => `${name}${admin ? '  admin' : ''}${password ? '' : '  no password yet'}`)
            .join('\n') || 'There is no account yet.',
      },
    },

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

const usage = (line: string) => new HubError('invalid', `Write: swarmhub local ${line}`)

/** The name, normalised, and the flag among a command's arguments. */
function named(args: string[], line: string): { name: string; admin: boolean } {
  const parse = () => {
    try {
      return parseArgs({ args, allowPositionals: true, options: { admin: { type: 'boolean', default: false } } })
    } catch (error) {
      throw new HubError('invalid', usage(line).message, { cause: error })
    }
  }
  const { positionals, values } = parse()
  const name = positionals.length === 1 ? normalizeUsername(positionals[0]!) : undefined
  if (name === undefined || (values.admin && !line.includes('--admin'))) throw usage(line)
  return { name, admin: values.admin }
}
