import { noteRefusal } from './audit.ts'
import { HubError } from './errors.ts'
import type { Caller, ScopeTarget } from './plugin.ts'

/**
 * The caller must hold one of the scopes for the target. Who holds it for other targets learns `missing`, the same answer
 * as for what does not exist; who does not hold it at all learns `denied` (contract 4.1).
 */
export function demand(caller: Caller, accepted: readonly string[], target?: ScopeTarget): void {
  if (accepted.some(scope => caller.allows(scope, target))) return
  noteRefusal(target, accepted.join(' or '))
  if (target && accepted.some(scope => caller.holds(scope))) throw missing()
  throw new HubError('denied', `You may not do this. It takes the right ${accepted.join(' or ')}.`)
}

/** Somebody may not, for a reason that is no single scope: throws `denied` with this sentence. */
export function refuse(needed: string, message: string): never {
  noteRefusal(undefined, needed)
  throw new HubError('denied', message)
}

/** One answer for what does not exist and for what must not be seen. */
export const missing = () => new HubError('missing', 'There is no such user or server, or you may not see it.')
