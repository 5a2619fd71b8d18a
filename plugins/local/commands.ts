import { parseArgs } from 'node:util'
import { type Command, HubError, milliseconds, normalizeUsername } from 'swarmhub'
import type { Parts } from './parts.ts'

/** `swarmhub local …` */
export function commands({ accounts, hub, linkTo, signOut }: Parts) {
  return {
    add: {
      summary: 'NAME [--admin]: make an account; prints the link that sets its password',
      async run(args) {
        const { name, flags } = named(args, 'add NAME [--admin]', { admin: { type: 'boolean' } })
        const code = await accounts().add(name, flags.admin === true)
        hub().record('account.create', name, { admin: flags.admin === true })
        return printed(linkTo('link', code))
      },
    },
    reset: {
      summary: 'NAME: print a link that sets a new password',
      async run(args) {
        const { name } = named(args, 'reset NAME')
        const code = await accounts().reset(name)
        hub().record('account.reset', name)
        return printed(linkTo('link', code))
      },
    },
    invite: {
      summary: '[--uses N] [--for 7d]: print a link by which people make accounts for themselves',
      async run(args) {
        const line = 'invite [--uses N] [--for 7d]'
        const { positionals, values } = parse(args, line, { uses: { type: 'string' }, for: { type: 'string' } })
        const uses = Number(values.uses ?? 1)
        const ms = readDuration(String(values.for ?? '7d'), line)
        if (positionals.length > 0 || !Number.isInteger(uses) || uses < 1 || uses > 10_000) throw usage(line)
        const code = await accounts().invite(uses, ms)
        hub().record('account.invite', null, { uses, ms })
        return printed(linkTo('join', code))
      },
    },
    approve: {
      summary: 'NAME: let somebody in who has asked for an account',
      async run(args) {
        const { name } = named(args, 'approve NAME')
        await accounts().approve(name)
        hub().record('account.approve', name)
        return `"${name}" can sign in now, if the access rules of the config say so.`
      },
    },
    'forget-factor': {
      summary: 'NAME: take away the second factor of who has lost it',
      async run(args) {
        const { name } = named(args, 'forget-factor NAME')
        const account = accounts().get(name)
        if (!account) throw new HubError('missing', `There is no account "${name}". swarmhub local list shows all.`)
        await accounts().setFactor(account.id, null)
        hub().record('account.second-factor', name, { on: false })
        return `"${name}" signs in without a code now.`
      },
    },
    admin: {
      summary: 'NAME yes|no: is this account an administrator?',
      async run([name = '', answer = '', ...rest]) {
        if (!['yes', 'no'].includes(answer) || rest.length > 0) throw usage('admin NAME yes|no')
        const account = named([name], 'admin NAME yes|no').name
        await accounts().setAdmin(account, answer === 'yes')
        hub().record('account.change', account, { admin: answer === 'yes' })
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
        hub().record('account.delete', name)
        if (account) await signOut(account)
        return `The account "${name}" is gone. Its user and files are still there: remove the user on the page Admin.`
      },
    },
    list: {
      summary: 'all accounts',
      run: () =>
        accounts()
          .all()
          .map(({ name, admin, password, waiting, secondFactor }) =>
            [
              name,
              admin && 'admin',
              waiting && 'waits for approval',
              !password && 'no password yet',
              secondFactor && 'second factor',
            ]
              .filter(Boolean)
              .join('  '),
          )
          .join('\n') || 'There is no account yet.',
    },
  } satisfies Record<string, Command>
}

const printed = ({ link, sentence }: ReturnType<Parts['linkTo']>) => `${link}\n${sentence}`

const usage = (line: string) => new HubError('invalid', `Write: swarmhub local ${line}`)

type Flags = Record<string, { type: 'boolean' | 'string' }>

function parse(args: string[], line: string, options: Flags) {
  try {
    return parseArgs({ args, allowPositionals: true, options })
  } catch (error) {
    throw new HubError('invalid', usage(line).message, { cause: error })
  }
}

/** The name, normalised, and the flags among a command's arguments. */
function named(args: string[], line: string, options: Flags = {}) {
  const { positionals, values } = parse(args, line, options)
  const name = positionals.length === 1 ? normalizeUsername(positionals[0]!) : undefined
  if (name === undefined) throw usage(line)
  return { name, flags: values }
}

function readDuration(text: string, line: string): number {
  try {
    return milliseconds(text)
  } catch (error) {
    throw new HubError('invalid', usage(line).message, { cause: error })
  }
}
