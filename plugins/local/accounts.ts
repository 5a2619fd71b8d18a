import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { HubError, type StateFile } from 'swarmhub'
import { z } from 'zod'
import { type Kept, kept } from './passwords.ts'

const when = z.iso.datetime()

/** A one-time link: only the hash of its code is kept. */
const link = z.strictObject({ hash: z.string().regex(/^[0-9a-f]{64}$/), expires: when })

const account = z.strictObject({
  /** Never re-used: an account that is made anew is another one. */
  id: z.uuid(),
  name: z.string(),
  admin: z.boolean(),
  created: when,
  /** null until its owner has chosen one. */
  password: kept.nullable(),
  /** Opens the page that sets the password. */
  link: link.nullable(),
})
export type Account = z.infer<typeof account>

export const schema = z.strictObject({
  version: z.literal(1),
  accounts: z.array(account),
  /** Opens the page that creates the first account. */
  setup: link.nullable(),
})
export type State = z.infer<typeof schema>

export const initial: State = { version: 1, accounts: [], setup: null }

type Link = z.infer<typeof link>

const hashOf = (code: string) => createHash('sha256').update(code).digest('hex')
const opens = (hash: string, link: Link | null) => link?.hash === hash && Date.parse(link.expires) > Date.now()
const used = () => new HubError('denied', 'This link was used already, or has expired. Ask the administrator for a new one.')

/** The accounts in their file. Links live for `lifetime` milliseconds. Names are normalised already. */
export function createAccounts(file: StateFile<State>, lifetime: number) {
  const newLink = () => {
    const code = randomBytes(32).toString('base64url')
    return { code, link: { hash: hashOf(code), expires: new Date(Date.now() + lifetime).toISOString() } }
  }
  const newAccount = (name: string, admin: boolean): Account => {
    return { id: randomUUID(), name, admin, created: new Date().toISOString(), password: null, link: null }
  }
  const change = (name: string, apply: (account: Account) => void) =>
    file.update(state => {
      const found = state.accounts.find(account => account.name === name)
      if (!found) throw new HubError('missing', `There is no account "${name}". swarmhub local list shows all.`)
      apply(found)
    })

  return {
    all: (): readonly Account[] => file.data.accounts,
    get: (name: string) => file.data.accounts.find(account => account.name === name),
    byId: (id: unknown) => file.data.accounts.find(account => account.id === id),

    /** The code that creates the first account; the one before it is void. undefined when there is an account. */
    async offerSetup(): Promise<string | undefined> {
      if (file.data.accounts.length > 0) return undefined
      const { code, link } = newLink()
      await file.update(state => {
        state.setup = link
      })
      return code
    },
    canSetUp: (code: string) => file.data.accounts.length === 0 && opens(hashOf(code), file.data.setup),
    /** Create the first account, an admin's. Throws `denied` for a code that is not, or no more, the right one. */
    async setUp(code: string, name: string, password: Kept): Promise<void> {
      const first = { ...newAccount(name, true), password }
      await file.update(state => {
        if (state.accounts.length > 0 || !opens(hashOf(code), state.setup)) throw used()
        state.setup = null
        state.accounts.push(first)
      })
    },

    /** Make an account; resolves with the code of the link by which its owner sets the password. */
    async add(name: string, admin: boolean): Promise<string> {
      const { code, link } = newLink()
      const made = { ...newAccount(name, admin), link }
      await file.update(state => {
        if (state.accounts.some(account => account.name === name)) {
          throw new HubError('conflict', `There is an account "${name}" already. swarmhub local reset gives it a new link.`)
        }
        state.setup = null
        state.accounts.push(made)
      })
      return code
    },
    /** A new link for an account. Its password stays until the link is used. */
    async reset(name: string): Promise<string> {
      const { code, link } = newLink()
      await change(name, account => {
        account.link = link
      })
      return code
    },
    linked(code: string) {
      const hash = hashOf(code)
      return file.data.accounts.find(account => opens(hash, account.link))
    },
    /** Set the password by a link; the link is void then. Throws `denied` for a code that is not, or no more, the right one. */
    async redeem(code: string, password: Kept): Promise<void> {
      const hash = hashOf(code)
      await file.update(state => {
        const found = state.accounts.find(account => opens(hash, account.link))
        if (!found) throw used()
        found.link = null
        found.password = password
      })
    },

    /** Put one password in the place of another; does nothing when it has changed since. */
    async replace(id: string, old: Kept, password: Kept): Promise<void> {
      await file.update(state => {
        const found = state.accounts.find(account => account.id === id)
        if (found?.password?.key === old.key) found.password = password
      })
    },
    setAdmin: (name: string, admin: boolean) =>
      change(name, account => {
        account.admin = admin
      }),
    remove: (name: string) =>
      file.update(state => {
        if (!state.accounts.some(account => account.name === name)) {
          throw new HubError('missing', `There is no account "${name}". swarmhub local list shows all.`)
        }
        state.accounts = state.accounts.filter(account => account.name !== name)
      }),
  }
}

export type Accounts = ReturnType<typeof createAccounts>
