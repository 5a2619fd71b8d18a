import type { Hub } from 'swarmhub'
import type { Account, Accounts } from './accounts.ts'
import type { Passwords } from './passwords.ts'

/** What the pages and verbs of this plugin work with. */
export interface Parts {
  /** Throws `unavailable` before the plugin is set up. */
  hub(): Hub
  accounts(): Accounts
  passwords: Passwords
  /** Characters that a new password has at least. */
  shortest: number
  /** How people come to accounts: by an admin's invitation only, or also by asking for one. */
  signUp: 'invitation' | 'approval'
  /** End the sessions of the account's owner. */
  signOut(account: Account): Promise<void>
  /** A whole address to open, and what it does, how often and for how long: for who hands it on. */
  linkTo(kind: 'link' | 'join', code: string): { link: string; sentence: string }
}
