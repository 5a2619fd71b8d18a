import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../running-hub.ts'
import { run } from './command.ts'
import { installed } from './debian.ts'

/** Debian's slapd with people in it, on 127.0.0.1. */
export interface Slapd {
  /** With StartTLS. */
  ldap: string
  ldaps: string
  /** The path of the authority's certificate, which signed the server's for `ldap.example.org` and 127.0.0.1. */
  ca: string
  /** Of an authority that signed nothing here. */
  otherCa: string
  /** Who may read everything. */
  account: { dn: string; password: string }
  /** Changes entries, as an admin would: LDIF with `changetype`. */
  modify(ldif: string): Promise<void>
  /** Ends it, and its connections. Twice is once. */
  stop(): Promise<void>
  /** Another one with the same entries, as a replica has them. */
  replica(): Promise<Slapd>
}

export const suffix = 'dc=example,dc=org'
const root = { dn: `cn=root,${suffix}`, password: 'the root of the tests' }

/** Starts one in a folder of its own, for a test or whatever else says when it is over. */
export async function slapd(t: { after(close: () => Promise<void>): void }, ldif: string): Promise<Slapd> {
  await installed('slapd', 'ldap-utils', 'openssl')
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-slapd-'))
  const running = new Set<ChildProcess>()
  t.after(async () => {
    await Promise.all([...running].map(ended))
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  await certificates(folder)
  const first = await start(folder, 'first', running)
  const load = `${base}\n${ldif}`
  await run('ldapadd', ['-M', '-x', '-H', first.ldap, '-D', root.dn, '-w', root.password], { input: load })
  return first
}

async function start(folder: string, name: string, running: Set<ChildProcess>): Promise<Slapd> {
  const data = join(folder, name)
  await mkdir(data, { recursive: true })
  await writeFile(join(folder, `${name}.conf`), configuration(folder, data))
  const ldap = `ldap://127.0.0.1:${await freePort()}`
  const ldaps = `ldaps://127.0.0.1:${await freePort()}`
  const urls = [ldap, ldaps, `ldapi://${encodeURIComponent(join(data, 'ldapi'))}`]
  const command = ['slapd', '-d', '0', '-f', join(folder, `${name}.conf`), '-h', urls.join(' ')]
  // Should the tests be killed, the kernel ends it with them.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: 'ignore' })
  running.add(child)
  await Promise.all([listening(ldap, child), listening(ldaps, child)])
  return {
    ldap,
    ldaps,
    ca: join(folder, 'ca.pem'),
    otherCa: join(folder, 'other.pem'),
    account: { dn: `cn=reader,${suffix}`, password: 'reads all' },
    async modify(ldif) {
      await run('ldapmodify', ['-M', '-x', '-H', ldap, '-D', root.dn, '-w', root.password], { input: ldif })
    },
    stop: () => ended(child),
    async replica() {
      const next = `${name}-replica`
      await cp(data, join(folder, next), { recursive: true, filter: source => !source.endsWith('ldapi') })
      return start(folder, next, running)
    },
  }
}

async function listening(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + 10_000
  while (performance.now() < deadline && child.exitCode === null) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await sleep(20) // not yet
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`slapd does not listen on ${url}`)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Nobody reads anything but the reader, and people themselves; whoever is nobody sees that there are people, to find out their DNs. */
const configuration = (folder: string, data: string) => `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
moduleload ppolicy
pidfile ${data}/pid
argsfile ${data}/args
TLSCACertificateFile ${folder}/ca.pem
TLSCertificateFile ${folder}/server.pem
TLSCertificateKeyFile ${folder}/server.key
database mdb
suffix "${suffix}"
rootdn "${root.dn}"
rootpw "${root.password}"
directory ${data}
maxsize 33554432
dbnosync
index objectClass,uid,mail,member,uniqueMember,memberUid,entryUUID eq
overlay memberof
overlay refint
refint_attributes member
overlay ppolicy
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=groups,${suffix}" by dn.exact="cn=reader,${suffix}" read by users read by * none
access to * by * read
`

const base = `
dn: ${suffix}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=reader,${suffix}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: reader
userPassword: reads all

dn: ou=people,${suffix}
objectClass: organizationalUnit
ou: people

dn: ou=staff,${suffix}
objectClass: organizationalUnit
ou: staff

dn: ou=groups,${suffix}
objectClass: organizationalUnit
ou: groups
`

/** An authority, the server's certificate by it, and an authority that has nothing to do with it. */
async function certificates(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const authority = async (name: string) =>
    run('openssl', [
      'req',
      '-x509',
      ...key,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.pem`),
    ])
  await Promise.all([authority('ca'), authority('other')])
  await writeFile(at('names'), 'subjectAltName=DNS:ldap.example.org,IP:127.0.0.1\n')
  await run('openssl', ['req', ...key, '-subj', '/CN=ldap.example.org', '-keyout', at('server.key'), '-out', at('server.csr')])
  const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', at('names')]
  await run('openssl', ['x509', '-req', '-in', at('server.csr'), ...signed, '-out', at('server.pem')])
}
