import type { Settings } from '../config/schema.ts'
import type { GuardedHeaders } from '../plugin.ts'

/** The headers by which authenticators of this config know people, each with whose word they are. */
export const guardsOf = ({ authenticators }: Pick<Settings, 'authenticators'>): GuardedHeaders[] =>
  authenticators.flatMap(({ authenticator }) => (authenticator.kind === 'request' ? [authenticator] : []))
