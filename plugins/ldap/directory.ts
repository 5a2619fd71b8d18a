import { EqualityFilter, type Filter, OrFilter, PresenceFilter } from 'ldapts'
import { HubError, type Identity, type User } from 'swarmhub'
import type { Connection, Entry } from './connection.ts'
import { disabledBy } from './disabled.ts'
import { textOf } from './dn.ts'
import { all, groupAttributes, groupsOf, isInOneOf, namesOf } from './groups.ts'
import { type LdapSettings, madeDn } from './options.ts'

/** What the directory says of somebody: who they are, or why they may not come in. */
export interface Finding {
  /** DNs. */
  groups: readonly string[]
  answer: { identity: Identity } | { refused: string }
}

/** The questions that the hub has for a directory. Each is asked on a fresh connection; null is nobody. */
export interface Directory {
  /** null: no such name, more than one, or not this password. The password is not empty. */
  signIn(connection: Connection, name: string, password: string): Promise<Finding | null>
  /** Who was signed in, as they are now; null also for whom the directory has never told an id of. */
  again(connection: Connection, user: User): Promise<Finding | null>
  /** Whoever would sign in under this name. */
  look(connection: Connection, name: string): Promise<Finding | null>
  /** Throws when this server would not answer the others. */
  greet(connection: Connection): Promise<void>
  /** Can people be found without their password? */
  readonly searches: boolean
}

export function createDirectory({ account, users, groups }: LdapSettings): Directory {
  const { base, scope } = users
  const attributes = [
    ...new Set([
      ...[users.name, users.id, ...users.disabledBy, ...Object.values(users.attributes)],
      ...(groups ? groupAttributes(groups) : []),
    ]),
  ]
  const everybody = new PresenceFilter({ attribute: 'objectClass' })
  const isUser = (filter: Filter) => all(users.filter ? [users.filter, filter] : [filter])
  const loggingInAs = (value: string) =>
    new OrFilter({ filters: users.login.map(attribute => new EqualityFilter({ attribute, value })) })

  /** From now on the connection is of whoever searches; with `users.dn` and no account that is the person who has signed in. */
  async function asReader(connection: Connection): Promise<void> {
    if (!account) return users.dn ? undefined : connection.bindAnonymously()
    if (await connection.bind(account.dn, account.password)) return
    throw new Error(`${account.dn} is refused: check account.dn and account.password`)
  }

  /** The one entry; two are none. */
  async function find(connection: Connection, filter: Filter): Promise<Entry | undefined> {
    if (base === undefined) throw new HubError('config', 'Without users.base nobody can be searched for.')
    const entries = await connection.search({ base, scope, filter: isUser(filter), attributes, limit: 2 })
    return entries.length === 1 ? entries[0] : undefined
  }

  /** Whom the password opens, found by a search. A name that nobody has takes as many questions as one that somebody has. */
  async function searched(connection: Connection, name: string, password: string): Promise<Entry | undefined> {
    await asReader(connection)
    const entry = await find(connection, loggingInAs(name))
    const isRight = await connection.bind(entry?.dn || `cn=nobody-of-this-hub,${base}`, password)
    return isRight ? entry : undefined
  }

  /** Whom the password opens, among the DNs that can be made of the name. */
  async function direct(connection: Connection, name: string, password: string): Promise<Entry | undefined> {
    for (const dnOf of users.dn ?? []) {
      const dn = textOf(madeDn(dnOf, name))
      if (!(await connection.bind(dn, password))) continue
      await asReader(connection)
      const [entry] = await connection.search({ base: dn, scope: 'base', filter: isUser(everybody), attributes, limit: 1 })
      return entry
    }
    return undefined
  }

  async function findingOf(connection: Connection, entry: Entry | undefined): Promise<Finding | null> {
    if (!entry) return null
    const refuse = (refused: string, groups: readonly string[] = []): Finding => ({ groups, answer: { refused } })
    const disabled = disabledBy(entry, users.disabledBy)
    if (disabled) return refuse(`Your account is disabled or has expired in the directory (${disabled}).`)
    const [name, ...others] = entry.texts(users.name)
    if (name === undefined || others.length > 0)
      return refuse(
        `Your entry in the directory has ${name === undefined ? 'no' : 'more than one'} ${users.name}. Tell the admin.`,
      )
    const [id] = entry.values(users.id)
    if (!id?.length)
      throw new HubError(
        'unavailable',
        `The directory does not tell the ${users.id} of your entry. Tell the admin: see users.id.`,
      )
    const member = groups && (await groupsOf(entry, connection, groups))
    if (groups?.allowed && !isInOneOf(member ?? [], groups.allowed))
      return refuse('You are in none of the groups of the directory that may sign in here.', member)
    const identity: Identity = {
      name,
      id: idOf(id),
      attributes: { ...told(entry, users.attributes), dn: entry.dn, directoryId: idOf(id) },
      ...(member && { groups: namesOf(member, groups?.map) }),
      ...(groups?.admins && { admin: isInOneOf(member ?? [], groups.admins) }),
    }
    return { groups: member ?? [], answer: { identity } }
  }

  return {
    searches: base !== undefined && (account !== undefined || users.dn === undefined),

    async signIn(connection, name, password) {
      const entry = await (users.dn ? direct : searched)(connection, name, password)
      if (entry && !users.dn) await asReader(connection)
      return findingOf(connection, entry)
    },

    async again(connection, user) {
      const { directoryId } = user.attributes
      // A name is no substitute: it may be another one here, or somebody else's there by now.
      if (typeof directoryId !== 'string') return null
      await asReader(connection)
      const isThem = new EqualityFilter({ attribute: users.id, value: bytesOf(directoryId) })
      return findingOf(connection, await find(connection, isThem))
    },

    async look(connection, name) {
      await asReader(connection)
      return findingOf(connection, await find(connection, loggingInAs(name)))
    },

    async greet(connection) {
      await asReader(connection)
      const place = base === undefined ? {} : { base }
      await connection.search({ base: '', ...place, scope: 'base', filter: everybody, attributes: ['1.1'], limit: 1 })
    },
  }
}

/** An id as text: as it is where it is readable, else in hex. */
function idOf(value: Buffer): string {
  const text = value.toString('latin1')
  return /^(?!0x)[\x20-\x7e]+$/.test(text) ? text : `0x${value.toString('hex')}`
}

/** The value that `idOf` made the text of. */
const bytesOf = (id: string) => (id.startsWith('0x') ? Buffer.from(id.slice(2), 'hex') : id)

/** RFC 2307's numbers. */
const isNumber = (attribute: string, value: string) => /^(uid|gid)number$/i.test(attribute) && /^\d{1,10}$/.test(value)

/** The attributes that there are, a list where there is more than one value. */
function told(entry: Entry, attributes: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, attribute]) => {
      const values = entry.texts(attribute).map(value => (isNumber(attribute, value) ? Number(value) : value))
      return values.length === 0 ? [] : [[name, values.length === 1 ? values[0] : values]]
    }),
  )
}
