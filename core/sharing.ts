import type { Core } from './core.ts'
import { HubError } from './errors.ts'
import type { Grantee } from './identity/shares.ts'
import type { Caller, ServerRef } from './plugin.ts'
import { refuse } from './rights.ts'

/** What is shared when nothing else is said: the server may be used. */
const usual = ['access:servers']

/**
 * The names of these scopes, which may be filtered by this very server. Throws `invalid` for every other filter, and for
 * what is no scope or cannot be had for one server.
 */
export function namesOfScopes(
  { roles }: Core,
  { user, name }: ServerRef,
  scopes: readonly string[] | null | undefined,
): string[] {
  const filter = `server=${user}/${name}`
  return (scopes?.length ? scopes : usual).map(scope => {
    const at = scope.indexOf('!')
    const base = at < 0 ? scope : scope.slice(0, at)
    if (at >= 0 && scope.slice(at + 1) !== filter)
      throw new HubError(
        'invalid',
        `The scope ${JSON.stringify(scope.slice(0, 100))} is not for this server: only !${filter} is.`,
      )
    if (!roles.isScope(`${base}!${filter}`))
      throw new HubError('invalid', `There is no scope ${JSON.stringify(base.slice(0, 100))} that could be shared.`)
    return base
  })
}

/** Nobody hands on by a share what they do not have for that server themselves. */
export function demandToGive(caller: Caller, { user, name }: ServerRef, scopes: readonly string[]): void {
  const beyond = scopes.find(scope => !caller.allows(scope, { user, server: name }))
  if (beyond !== undefined) refuse(beyond, `You may not share the scope ${beyond} of this server: you do not have it.`)
}

/**
 * The user or group of this name, for who may read it: nobody learns by sharing who there is. Throws `denied`, and
 * `invalid` when there is none.
 */
export function namedGrantee({ users }: Core, caller: Caller, kind: Grantee['kind'], name: string): Grantee {
  const scope = `read:${kind}s:name`
  if (!caller.allows(scope, kind === 'user' ? { user: name } : { group: name }))
    refuse(scope, `You may not share with this ${kind} by name: that takes the right ${scope}.`)
  const grantee = granteeCalled(users, kind, name)
  if (!grantee) throw new HubError('invalid', `There is no ${kind} ${JSON.stringify(name.slice(0, 64))}.`)
  return grantee
}

/** The user or group who has this name now. */
export function granteeCalled(users: Core['users'], kind: Grantee['kind'], name: string): Grantee | undefined {
  const found = kind === 'user' ? users.get(name) : users.groups.get(name)
  return found && { kind, id: found.id }
}
