import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { parseArgs } from 'node:util'
import { HubError, messageOf, normalizeUsername, type Plugin, parseOptions, silent } from 'swarmhub'
import { createDirectory, type Finding } from './directory.ts'
import { type LdapOptions, type LdapSettings, options } from './options.ts'
import { createServers } from './servers.ts'

export { type Dn, dn } from './dn.ts'
export type { LdapOptions } from './options.ts'

/** People of an LDAP directory, with their groups: OpenLDAP, Active Directory, 389 Directory Server, FreeIPA and what speaks as they do. */
export function ldap(given: LdapOptions) {
  const settings = parseOptions('ldap', options, given)
  const { name, label, plaintext } = settings
  const directory = createDirectory(settings)
  const servers = createServers({
    ...settings,
    tls: tlsOptions(settings),
    servers: settings.servers.map(server =>
      plaintext && server.security === 'starttls' ? { ...server, security: 'none' } : server,
    ),
  })

  return {
    name,

    authenticator: {
      kind: 'password',
      label,
      async check({ username, password }, ctx) {
        ctx.signal.throwIfAborted()
        const name = normalizeUsername(username)
        // An empty password is a bind as nobody, which servers accept; NUL ends it early in some of them.
        if (name === undefined || password === '' || password.includes('\0') || password.length > 4096) return null
        const finding = await servers.ask(ctx, connection => directory.signIn(connection, name, password))
        if (finding && 'refused' in finding.answer) throw new HubError('denied', finding.answer.refused)
        return identityOf(finding)
      },
      ...(directory.searches && {
        refresh: async (user, ctx) => identityOf(await servers.ask(ctx, connection => directory.again(connection, user))),
      }),
    },

    commands: {
      test: {
        summary: '--user NAME: ask the directory for somebody, without a password, and print each step',
        async run(args, ctx) {
          const name = userOf(args, settings.name)
          const lines: string[] = []
          const say = (line: string) => void lines.push(line)
          try {
            if (!directory.searches) {
              say('Nobody can be searched for without their password: see account and users.base. Only the connection is tried.')
              await servers.ask({ ...ctx, say }, directory.greet)
              return lines.join('\n')
            }
            const finding = await servers.ask({ ...ctx, say }, connection => directory.look(connection, name))
            return [...lines, ...describe(finding, name)].join('\n')
          } catch (error) {
            return [...lines, `Failed: ${messageOf(error)}`].join('\n')
          }
        },
      },
    },

    setup(hub) {
      if (settings.servers.some(({ security }) => plaintext && security === 'starttls'))
        hub.log.warn('passwords go to the directory unencrypted: plaintext is set')
      if (!directory.searches)
        hub.log.warn(
          'who is removed from the directory stays signed in until the session ends: give an account and users.base to look for them',
        )
    },

    async health(signal) {
      const lines: string[] = []
      await servers.ask({ signal, log: silent, say: line => void lines.push(line) }, directory.greet).catch(error => {
        throw new HubError('unavailable', [messageOf(error), ...lines].join(' '), { cause: error })
      })
    },
  } satisfies Plugin
}

const identityOf = (finding: Finding | null) => (finding && 'identity' in finding.answer ? finding.answer.identity : null)

/** The name after `--user`, as it would be asked for at a sign-in. */
function userOf(args: string[], plugin: string): string {
  const usage = new HubError('invalid', `Write: swarmhub ${plugin} test --user NAME`)
  const read = () => {
    try {
      return parseArgs({ args, options: { user: { type: 'string' } } }).values.user ?? ''
    } catch (error) {
      throw new HubError('invalid', usage.message, { cause: error })
    }
  }
  const name = normalizeUsername(read())
  if (name === undefined) throw usage
  return name
}

/** A value of the directory that is nobody's business, should somebody have asked for it. */
const isSecret = (key: string) => /pass|pwd|secret|hash|key|token/i.test(key)

function describe(finding: Finding | null, name: string): string[] {
  if (!finding) return [`Nobody may sign in as "${name}": there is not exactly one entry for this name.`]
  const groups = finding.groups.length > 0 ? finding.groups.map(dn => `group ${dn}`) : ['in no group that is looked at']
  if ('refused' in finding.answer) return [...groups, `Refused: ${finding.answer.refused}`]
  const { identity } = finding.answer
  return [
    ...groups,
    `name here: ${normalizeUsername(identity.name) ?? `none, "${identity.name}" can be nobody's`}`,
    `id: ${identity.id}`,
    ...Object.entries(identity.attributes ?? {}).map(
      ([key, value]) => `attribute ${key}: ${isSecret(key) ? 'not shown' : JSON.stringify(value)}`,
    ),
    `groups here: ${identity.groups?.join(', ') || (identity.groups ? 'none' : 'not told')}`,
    `administrator: ${identity.admin === undefined ? 'not told' : identity.admin ? 'yes' : 'no'}`,
    'The directory is content; the rules in access have the last word. The password was not asked for.',
  ]
}

/** What Node needs to know; files are read once, at start. */
function tlsOptions({ tls }: LdapSettings): ConnectionOptions {
  const pem = (given: string) => {
    if (given.includes('-----BEGIN ')) return given
    try {
      return readFileSync(given, 'utf8')
    } catch (error) {
      throw new HubError('config', `ldap: ${given} in tls cannot be read: ${messageOf(error)}`, { cause: error })
    }
  }
  const { ca, cert, key, ...rest } = tls
  return {
    ...rest,
    ...(ca !== undefined && { ca: [ca].flat().map(pem) }),
    ...(cert !== undefined && { cert: pem(cert) }),
    ...(key !== undefined && { key: pem(key) }),
  }
}
