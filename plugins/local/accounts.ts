import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { HubError, type StateFile } from 'swarmhub'
import { z } from 'zod'
import { type Kept, kept } from './passwords.ts'
import { type SecondFactor, secondFactor, useCode } from './second-factor.ts'

const when = z.iso.datetime()
const hash = z.string().regex(/^[0-9a-f]{64}$/)

/** A one-time link: only the hash of its code is kept. */
const link = z.strictObject({ hash, expires: when })

/** A link by which people make accounts for themselves. */
const invitation = z.strictObject({
  id: z.uuid(),
  hash,
  expires: when,
  /** Accounts that can still be made by it. */
  left: z.int().positive(),
})
export type Invitation = z.infer<typeof invitation>

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
  /** Asked for by its owner, and nobody has approved it yet. */
  waiting: z.boolean().default(false),
  secondFactor: secondFactor.nullable().default(null),
})
export type Account = z.infer<typeof account>

export const schema = z.strictObject({
  version: z.literal(1),
  accounts: z.array(account),
  /** Opens the page that creates the first account. */
  setup: link.nullable(),
  invitations: z.array(invitation).default([]),
})
export type State = z.infer<typeof schema>

export const initial: State = { version: 1, accounts: [], setup: null, invitations: [] }

type Link = z.infer<typeof link>

/** Accounts that may wait for approval at a time: nobody fills the file with names. */
const mostWaiting = 200
const mostInvitations = 200

const hashOf = (code: string) => createHash('sha256').update(code).digest('hex')
const isOpen = (link: { expires: string }) => Date.parse(link.expires) > Date.now()
const opens = (hash: string, link: Link | null) => link?.hash === hash && isOpen(link)
/** Nobody can sign in yet. */
const isEmpty = ({ accounts }: State) => accounts.every(({ waiting }) => waiting)
const used = () => new HubError('denied', 'This link was used already, or has expired. Ask the administrator for a new one.')
const unknown = (name: string) => new HubError('missing', `There is no account "${name}". swarmhub local list shows all.`)

/** The accounts in their file. Links live for `lifetime` milliseconds. Names are normalised already. */
export function createAccounts(file: StateFile<State>, lifetime: number) {
  const newLink = (ms = lifetime) => {
    const code = randomBytes(32).toString('base64url')
    return { code, link: { hash: hashOf(code), expires: new Date(Date.now() + ms).toISOString() } }
  }
  const newAccount = (name: string, given: Partial<Account>): Account => ({
    id: randomUUID(),
    name,
    admin: false,
    created: new Date().toISOString(),
    password: null,
    link: null,
    waiting: false,
    secondFactor: null,
    ...given,
  })
  const change = (name: string, apply: (account: Account) => void) =>
    file.update(state => {
      const found = state.accounts.find(account => account.name === name)
      if (!found) throw unknown(name)
      apply(found)
    })
  const changeById = (id: string, apply: (account: Account) => void) =>
    file.update(state => {
      const found = state.accounts.find(account => account.id === id)
      if (found) apply(found)
    })
  const put = (state: State, made: Account) => {
    if (state.accounts.some(({ name }) => name === made.name)) throw taken()
    state.accounts.push(made)
  }

  return {
    all: (): readonly Account[] => file.data.accounts,
    get: (name: string) => file.data.accounts.find(account => account.name === name),
    byId: (id: unknown) => file.data.accounts.find(account => account.id === id),

    /** The code that creates the first account; the one before it is void. undefined when there is an account. */
    async offerSetup(): Promise<string | undefined> {
      if (!isEmpty(file.data)) return undefined
      const { code, link } = newLink()
      await file.update(state => {
        state.setup = link
      })
      return code
    },
    canSetUp: (code: string) => isEmpty(file.data) && opens(hashOf(code), file.data.setup),
    /** Create the first account, an admin's. Throws `denied` for a code that is not, or no more, the right one. */
    async setUp(code: string, name: string, password: Kept): Promise<void> {
      const first = newAccount(name, { admin: true, password })
      await file.update(state => {
        if (!isEmpty(state) || !opens(hashOf(code), state.setup)) throw used()
        state.setup = null
        state.accounts.push(first)
      })
    },

    /** Make an account; resolves with the code of the link by which its owner sets the password. */
    async add(name: string, admin: boolean): Promise<string> {
      const { code, link } = newLink()
      const made = newAccount(name, { admin, link })
      await file.update(state => {
        put(state, made)
        state.setup = null
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

    invitations: (): readonly Invitation[] => file.data.invitations.filter(isOpen),
    /** A link by which so many people make accounts, for so many milliseconds. Resolves with its code. */
    async invite(uses: number, ms: number): Promise<string> {
      const { code, link } = newLink(ms)
      const made = { id: randomUUID(), ...link, left: uses }
      await file.update(state => {
        state.invitations = state.invitations.filter(isOpen)
        if (state.invitations.length >= mostInvitations)
          throw new HubError('conflict', `There are ${mostInvitations} open invitations already. Withdraw some of them.`)
        state.invitations.push(made)
      })
      return code
    },
    withdraw: (id: string) =>
      file.update(state => {
        state.invitations = state.invitations.filter(invitation => invitation.id !== id)
      }),
    isInvited(code: string) {
      const hash = hashOf(code)
      return file.data.invitations.some(invitation => opens(hash, invitation))
    },
    /** Throws `conflict` for a name that is taken, `denied` for a code that is not, or no more, good. */
    async join(code: string, name: string, password: Kept): Promise<void> {
      const hash = hashOf(code)
      const made = newAccount(name, { password })
      await file.update(state => {
        const found = state.invitations.find(invitation => opens(hash, invitation))
        if (!found) throw used()
        put(state, made)
        if (found.left > 1) found.left--
        else state.invitations = state.invitations.filter(invitation => invitation !== found)
      })
    },
    /** Ask for an account; it lets nobody in until it is approved. Throws `conflict` for a name that is taken, `busy` when many wait. */
    async apply(name: string, password: Kept): Promise<void> {
      const made = newAccount(name, { password, waiting: true })
      await file.update(state => {
        if (isEmpty(state)) throw new HubError('unavailable', 'This hub is still being set up. Come back later.')
        if (state.accounts.filter(({ waiting }) => waiting).length >= mostWaiting)
          throw new HubError(
            'busy',
            'Too many people wait for their accounts. Try again when the administrator has seen to them.',
            {
              retryAfter: 3600,
            },
          )
        put(state, made)
      })
    },
    approve: (name: string) =>
      change(name, account => {
        account.waiting = false
      }),

    /** Put one password in the place of another; does nothing when it has changed since. */
    replace: (id: string, old: Kept, password: Kept) =>
      changeById(id, account => {
        if (account.password?.key === old.key) account.password = password
      }),
    /** With a factor each sign-in asks for a code; null: no more. */
    setFactor: (id: string, factor: SecondFactor | null) =>
      changeById(id, account => {
        account.secondFactor = factor
      }),
    /** Is this a code of the account's second factor? Then it is used, durably: the same one is never right again. */
    async useCode(id: string, typed: string): Promise<boolean> {
      let isRight = false
      await changeById(id, account => {
        const left = account.secondFactor && useCode(account.secondFactor, typed)
        isRight = Boolean(left)
        if (left) account.secondFactor = left
      })
      return isRight
    },
    setAdmin: (name: string, admin: boolean) =>
      change(name, account => {
        account.admin = admin
      }),
    remove: (name: string) =>
      file.update(state => {
        if (!state.accounts.some(account => account.name === name)) throw unknown(name)
        state.accounts = state.accounts.filter(account => account.name !== name)
      }),
  }
}

export const taken = () => new HubError('conflict', 'There is an account of this name already.')

export type Accounts = ReturnType<typeof createAccounts>
