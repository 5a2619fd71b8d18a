import type { Identity } from 'swarmhub'
import type { Claims, OidcSettings, Tokens } from './options.ts'

/** Who somebody is, or why they may not come in. */
export type Finding = { identity: Identity } | { refused: string }

/** The value at a path: `groups`, `realm_access.roles`; a claim whose name has dots is found by its whole name first. */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  return path.split('.').reduce<unknown>((inner, key) => {
    const has = typeof inner === 'object' && inner !== null && Object.hasOwn(inner, key)
    return has ? Reflect.get(inner, key) : undefined
  }, claims)
}

/**
 * Several answers about one person as one; of two that say the same claim the later counts. An address and whether it is verified are
 * of one answer, or the one could be made to vouch for the other.
 */
export function merged(...answers: readonly Claims[]): Claims {
  return answers.reduce<Claims>((all, answer) => {
    const { email_verified: _, ...others } = all
    return { ...(Object.hasOwn(answer, 'email') ? others : all), ...answer }
  }, {})
}

/** What the claims make of somebody. Throws when it cannot be found out, such as when groups are told only in part. */
export async function judge(settings: OidcSettings, all: Claims, tokens: Tokens): Promise<Finding> {
  const { claims: where, require, emailDomains } = settings
  const { email, ...others } = all
  const isVerified = typeof email === 'string' && where.emailVerified(all) === true
  // From here on nobody sees an address that the provider does not vouch for.
  const claims = isVerified ? all : others

  const lacking = Object.keys(require).find(path => !holds(claimAt(claims, path), require[path], claims))
  if (lacking !== undefined)
    return { refused: `Your account there may not be used here (${lacking}). If you think that it should, ask the admin.` }
  if (emailDomains && !(isVerified && emailDomains.includes(domainOf(email))))
    return {
      refused: 'Only people with a verified e-mail address of certain domains may sign in here, and yours is none of them.',
    }

  const name = typeof where.name === 'function' ? where.name(claims) : claimAt(claims, where.name)
  const told = typeof where.name === 'string' ? where.name : 'name'
  if (typeof name !== 'string' || name === '')
    return { refused: `The provider does not tell your ${told}, or has not verified it. Tell the admin.` }
  if (!isVerified && typeof email === 'string' && name.trim().toLowerCase() === email.trim().toLowerCase())
    return { refused: 'Your e-mail address there is not verified. Verify it there, and sign in again.' }

  const [issuer, subject] = [String(all.iss), String(all.sub)]
  const groups = where.groups === undefined ? undefined : await groupsOf(where.groups, claims, tokens)
  return {
    identity: {
      name,
      id: `${issuer} ${subject}`,
      ...(groups && { groups }),
      ...(where.admin !== undefined && { admin: isTrue(where.admin, claims) }),
      attributes: { ...attributesOf(where.attributes, claims), issuer, subject },
      ...(typeof all.sid === 'string' && { session: all.sid }),
    },
  }
}

/** Is it this value, or one of these? A list holds it when one of its values is. */
function holds(value: unknown, wanted: OidcSettings['require'][string] | undefined, claims: Claims): boolean {
  if (typeof wanted === 'function') return wanted(value, claims) === true
  const [values, accepted] = [[value].flat(), [wanted].flat()]
  return values.some(one => one !== undefined && accepted.includes(one as string))
}

/** After the last `@`: what stands in front of it the person may have chosen. */
const domainOf = (email: string) => /.@([^@]+)$/.exec(email)?.[1]?.toLowerCase() ?? ''

async function groupsOf(where: NonNullable<OidcSettings['claims']['groups']>, claims: Claims, tokens: Tokens): Promise<string[]> {
  const told = typeof where === 'function' ? await where(claims, tokens) : toldAt(where, claims)
  const groups = typeof told === 'string' ? [told] : told
  if (!Array.isArray(groups) || !groups.every(group => typeof group === 'string'))
    throw new Error(`the groups (${typeof where === 'string' ? where : 'claims.groups'}) are not a list of texts`)
  return groups
}

/** A claim that is not there is no group; one that stands elsewhere (OpenID Connect Core 5.6.2), as with too many groups at Entra, is not known. */
function toldAt(path: string, claims: Claims): unknown {
  const [first = path] = path.split('.')
  const elsewhere = claims._claim_names
  if ((typeof elsewhere === 'object' && elsewhere !== null && first in elsewhere) || claims.hasgroups === true)
    throw new Error(`the provider tells ${path} of this person only on request: ask for them in a function in claims.groups`)
  return claimAt(claims, path) ?? []
}

const isTrue = (where: NonNullable<OidcSettings['claims']['admin']>, claims: Claims) =>
  (typeof where === 'function' ? where(claims) : claimAt(claims, where)) === true

function attributesOf(where: OidcSettings['claims']['attributes'], claims: Claims): Record<string, unknown> {
  if (typeof where === 'function') return where(claims)
  const told = Object.entries(where).map(([name, path]) => [name, claimAt(claims, path)] as const)
  return Object.fromEntries(told.filter(([, value]) => value !== undefined))
}
