import { type Filter, FilterParser } from 'ldapts'
import { duration, messageOf } from 'swarmhub'
import { z } from 'zod'
import type { Server } from './connection.ts'
import { disablers } from './disabled.ts'
import { type Dn, isDn, parseDn } from './dn.ts'

const attribute = z.string().regex(/^([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)$/, 'expected the name of an attribute, such as "uid"')

const place = z.string().refine(text => parseDn(text)?.length, 'expected a DN, such as "ou=people,dc=example,dc=org"')

const address = z.string().transform((text, ctx): Server => {
  const server = readAddress(text)
  if (server) return server
  ctx.addIssue('expected the address of a server without a path, such as "ldaps://ldap.example.org"')
  return z.NEVER
})

/** What holds for all whom a search may find. A text of the config's alone: what somebody typed never becomes part of it. */
const filter = z.string().transform((text, ctx): Filter => {
  try {
    // The library would read each byte of these as a character of its own.
    if (/\\[89a-f][0-9a-f]/i.test(text)) throw new Error('write characters beyond ASCII as they are, not escaped')
    return FilterParser.parseString(text)
  } catch (error) {
    ctx.addIssue(`expected a filter, such as "(objectClass=person)": ${messageOf(error)}`)
    return z.NEVER
  }
})

/** Makes a person's DN of the name that was typed. */
export type DnOf = (name: string) => Dn

const dnOf = z.custom<DnOf>(value => typeof value === 'function', 'expected a function of the name, which makes a DN with dn`…`')

/** Paths of PEM files, or their text. */
const tls = z.strictObject({
  /** Who is trusted, in place of the authorities that Node knows. */
  ca: z.union([z.string().min(1), z.array(z.string().min(1))]).optional(),
  /** The name in the certificate, where it is not the one of the address. */
  servername: z.string().min(1).optional(),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
  /** The hub's own certificate, for servers that ask for one. */
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
})

const users = z.strictObject({
  /** Where people are searched. */
  base: place.optional(),
  scope: z.enum(['sub', 'one']).default('sub'),
  /** What people type: the value of one of these attributes. */
  login: z.union([attribute.transform(name => [name]), z.array(attribute).min(1)]).prefault('uid'),
  /** Nobody else is a user. */
  filter: filter.optional(),
  /** Direct bind, without a search: the DN of who typed this name; of several the first that the password opens. */
  dn: z.union([dnOf.transform(one => [one]), z.array(dnOf).min(1)]).optional(),
  /** The name here, in the directory's own spelling. */
  name: attribute.default('uid'),
  /** What stays the same for life and is given to nobody else: on Active Directory "objectGUID". */
  id: attribute.default('entryUUID'),
  /** Attributes that say that an account is none any more. */
  disabledBy: z.array(z.enum(disablers)).default([...disablers]),
  /** What hooks, mounts and the spawner find in `user.attributes`, and the attribute of the directory that it is. */
  attributes: z
    .record(z.string(), attribute)
    .default({ fullName: 'cn', mail: 'mail', uid: 'uidNumber', gid: 'gidNumber', home: 'homeDirectory' }),
})

const groups = z.strictObject({
  /** Where groups are; one that is elsewhere is none here. */
  base: place,
  scope: z.enum(['sub', 'one']).default('sub'),
  /** Where it stands who is a member: in a group's entry by DN (`member`, `uniqueMember`) or by name (`memberUid`), or in the person's. */
  by: z
    .array(z.enum(['member', 'uniqueMember', 'memberUid', 'memberOf']))
    .min(1)
    .default(['member', 'uniqueMember', 'memberUid']),
  /** The person's attribute that stands in `memberUid`. */
  uid: attribute.default('uid'),
  filter: filter.optional(),
  /** Groups in groups: not looked at, asked for one by one up to `depth`, or by Active Directory's own rule. */
  nested: z.enum(['no', 'recursive', 'active-directory']).default('no'),
  depth: z.int().min(1).max(50).default(10),
  /** DNs. Left out: members of no group may sign in too, if the config's `access` says so. */
  allowed: z.array(place).min(1).optional(),
  /** DNs of the groups whose members are administrators. Left out: the directory does not decide that. */
  admins: z.array(place).optional(),
  /** What groups are called here, by their DNs; all others are left out. Without it every group has the first value of its DN as its name. */
  map: z.record(place, z.string().min(1)).optional(),
})

export const options = z
  .strictObject({
    /** The plugin's name; two directories need two. */
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]*$/, 'expected a name of a-z, 0-9 and "-"')
      .default('ldap'),
    /** On the button of the form. */
    label: z.string().min(1).max(59).default('Sign in'),
    /** `ldaps://…`, or `ldap://…` with StartTLS; asked in this order. */
    servers: z.array(address).min(1, 'expected at least one server, such as "ldaps://ldap.example.org"'),
    tls: tls.prefault({}),
    /** `ldap://` without TLS: everybody on the way reads the passwords. */
    plaintext: z.boolean().default(false),
    /** Who searches. Left out: nobody in particular, or with `users.dn` the person who signs in. */
    account: z.strictObject({ dn: place, password: z.string().min(1) }).optional(),
    users,
    groups: groups.optional(),
    /** For one server. */
    timeout: duration().prefault('4s'),
    /** For all of them together. */
    deadline: duration().prefault('9s'),
    /** Connections at a time. */
    connections: z.int().min(1).max(1000).default(16),
  })
  .superRefine(({ users, groups, tls }, ctx) => {
    const wrong = (path: string[], message: string) => ctx.addIssue({ code: 'custom', path, message })
    if (!users.dn && users.base === undefined)
      wrong(['users', 'base'], 'say where people are, or how their DNs are made in users.dn')
    if (users.attributes.dn !== undefined || users.attributes.directoryId !== undefined)
      wrong(['users', 'attributes'], 'dn and directoryId are told by themselves: choose other names')
    if (groups?.filter && groups.by.includes('memberOf'))
      wrong(['groups', 'filter'], 'cannot be asked of groups by memberOf: leave out one of them')
    if (groups?.nested === 'active-directory' && !groups.by.includes('member'))
      wrong(['groups', 'nested'], 'the rule of Active Directory is about "member": add it to groups.by')
    if ((tls.cert === undefined) !== (tls.key === undefined)) wrong(['tls'], 'cert and key go together')
  })

export type LdapOptions = z.input<typeof options>
export type LdapSettings = z.output<typeof options>

/** What a function of `users.dn` made; one that was written in plain JavaScript may have made anything. */
export function madeDn(dnOf: DnOf, name: string): Dn {
  const made: unknown = dnOf(name)
  if (!isDn(made)) throw new TypeError('users.dn must give what dn`…` makes')
  return made
}

function readAddress(text: string): Server | undefined {
  if (!/^ldaps?:\/\/[^/?#@\s]+\/?$/.test(text) || !URL.canParse(text)) return undefined
  const { protocol, hostname, port } = new URL(text)
  const tls = protocol === 'ldaps:'
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return host === ''
    ? undefined
    : { url: text, host, port: port === '' ? (tls ? 636 : 389) : Number(port), security: tls ? 'tls' : 'starttls' }
}
