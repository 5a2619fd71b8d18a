import { AndFilter, EqualityFilter, ExtensibleFilter, type Filter, OrFilter, PresenceFilter } from 'ldapts'
import { HubError } from 'swarmhub'
import type { Connection, Entry } from './connection.ts'
import { dnKey, isUnder, parseDn } from './dn.ts'
import type { LdapSettings } from './options.ts'

export type GroupSettings = NonNullable<LdapSettings['groups']>

/** LDAP_MATCHING_RULE_IN_CHAIN: members of members, too. */
const inChain = '1.2.840.113556.1.4.1941'

/** More groups than this are a mistake somewhere. */
const most = 1000

/** DNs in one filter. */
const atOnce = 50

/** What has to be read of a person to find their groups. */
export const groupAttributes = ({ by, uid }: GroupSettings) => [...(by.includes('memberOf') ? ['memberOf'] : []), uid]

/**
 * The DNs of all groups that this person is a member of, each once. Throws when there is no end to them: a list that is cut would look
 * like memberships that were lost.
 */
export async function groupsOf(person: Entry, connection: Connection, settings: GroupSettings): Promise<string[]> {
  const { base, by, uid, nested, depth } = settings
  const found = new Map<string, string>()
  const inDirectory = by.includes('memberOf')

  /** Takes in what is new, and gives it. */
  const added = (dns: readonly string[]) =>
    dns.filter(dn => {
      const isNew = isUnder(dn, base) && !found.has(dnKey(dn))
      if (isNew) found.set(dnKey(dn), dn)
      return isNew
    })

  const withMembers = async (members: Filter[]) => {
    const filter = all([...(settings.filter ? [settings.filter] : []), new OrFilter({ filters: members })])
    return members.length === 0 ? [] : connection.search({ base, scope: settings.scope, filter, attributes: ['1.1'] })
  }

  /** The groups that these groups are in. */
  async function parents(dns: readonly string[]): Promise<string[]> {
    const entries = await withMembers(dns.flatMap(dn => byDn(dn, settings)))
    const parents: string[] = []
    for (const dn of inDirectory ? dns : []) {
      const filter = new PresenceFilter({ attribute: 'objectClass' })
      const [entry] = await connection.search({ base: dn, scope: 'base', filter, attributes: ['memberOf'], limit: 1 })
      parents.push(...(entry?.texts('memberOf') ?? []))
    }
    return [...entries.map(({ dn }) => dn), ...parents]
  }

  const names = by.includes('memberUid')
    ? person.texts(uid).map(value => new EqualityFilter({ attribute: 'memberUid', value }))
    : []
  const first = await withMembers([...byDn(person.dn, settings), ...names])
  let level = added([...first.map(({ dn }) => dn), ...(inDirectory ? person.texts('memberOf') : [])])
  for (let round = 0; nested === 'recursive' && level.length > 0; round++) {
    if (round === depth || found.size > most)
      throw new HubError('unavailable', `The groups of ${person.dn} have no end: see groups.depth, now ${depth}.`)
    const next: string[] = []
    for (let at = 0; at < level.length; at += atOnce) next.push(...(await parents(level.slice(at, at + atOnce))))
    level = added(next)
  }
  return [...found.values()]
}

/** What groups are called in the hub: as the map says, or the first value of their DN. */
export function namesOf(groups: readonly string[], map: GroupSettings['map']): string[] {
  if (!map) return [...new Set(groups.flatMap(dn => parseDn(dn)?.[0]?.[0]?.value ?? []))]
  const byKey = new Map(Object.entries(map).map(([dn, name]) => [dnKey(dn), name]))
  return [...new Set(groups.flatMap(dn => byKey.get(dnKey(dn)) ?? []))]
}

export function isInOneOf(groups: readonly string[], wanted: readonly string[]): boolean {
  const keys = new Set(wanted.map(dnKey))
  return groups.some(dn => keys.has(dnKey(dn)))
}

function byDn(dn: string, { by, nested }: GroupSettings): Filter[] {
  const named = by.filter(attribute => attribute === 'member' || attribute === 'uniqueMember')
  return named.map(attribute =>
    nested === 'active-directory' && attribute === 'member'
      ? new ExtensibleFilter({ matchType: attribute, rule: inChain, value: dn })
      : new EqualityFilter({ attribute, value: dn }),
  )
}

export const all = (filters: Filter[]): Filter => (filters.length === 1 ? filters[0]! : new AndFilter({ filters }))
