import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readdir, readlink } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, type TestContext, test } from 'node:test'
import { type Context, type Identity, normalizeUsername, silent, type User } from 'swarmhub'
import { dn, type LdapOptions, ldap } from '../plugins/ldap/index.ts'
import { identityHub } from './identity-hub.ts'
import { browser, screenshot } from './lab/chromium.ts'
import { noLab } from './lab/lab.ts'
import { type Slapd, slapd, suffix } from './lab/slapd.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { startHub } from './running-hub.ts'

const people = `ou=people,${suffix}`
const groups = `ou=groups,${suffix}`

const person = (rdn: string, uid: string, more = '') => `
dn: ${rdn},${people}
objectClass: inetOrgPerson
objectClass: posixAccount
objectClass: shadowAccount
cn: ${uid} of the tests
sn: Test
uid: ${uid}
userPassword: the word of ${uid}
uidNumber: 1001
gidNumber: 100
homeDirectory: /home/${uid.replace(/\W/g, '')}
${more}`

const group = (name: string, kind: string, ...members: string[]) => `
dn: cn=${name},${groups}
objectClass: ${kind}
cn: ${name}
${kind === 'posixGroup' ? 'gidNumber: 500\n' : ''}${members.join('\n')}
`

const alice = `uid=alice,${people}`
const odd = 'a,b+c=d#e"f;g'

const ldif = [
  person('uid=alice', 'alice', 'mail: alice@example.org'),
  person('uid=kim', 'Kim', 'mail: kim@example.org'),
  person('uid=müller', 'müller'),
  person('uid=a\\,b\\+c\\=d\\#e\\"f\\;g', odd),
  person('cn=dora 1', 'dora1', 'mail: dora@example.org'),
  person('cn=dora 2', 'dora2', 'mail: dora@example.org'),
  person('uid=two', 'two', 'uid: zwei'),
  person('uid=locked', 'locked'),
  person('uid=expired', 'expired', 'shadowExpire: 1'),
  person('uid=later', 'later', 'shadowExpire: 40000'),
  group('researchers', 'groupOfNames', `member: ${alice}`, `member: uid=kim,${people}`),
  group('writers', 'groupOfUniqueNames', `uniqueMember: ${alice}`),
  group('unix', 'posixGroup', 'memberUid: alice'),
  group('outer', 'groupOfNames', `member: cn=researchers,${groups}`),
  group('outermost', 'groupOfNames', `member: cn=outer,${groups}`),
  group('loop-a', 'groupOfNames', `member: ${alice}`, `member: cn=loop-b,${groups}`),
  group('loop-b', 'groupOfNames', `member: cn=loop-a,${groups}`),
  group('admins', 'groupOfNames', `member: uid=kim,${people}`),
  `\ndn: cn=elsewhere,${people}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: elsewhere\nref: ldap://127.0.0.1:1/cn=elsewhere,dc=example,dc=net\n`,
].join('\n')

const word = (uid: string) => `the word of ${uid}`

type Users = LdapOptions['users']

const authenticator = (server: Slapd, { users, ...more }: Partial<LdapOptions> & { users?: Users } = {}) =>
  ldap({
    servers: [server.ldaps],
    tls: { ca: server.ca },
    account: server.account,
    users: { base: people, ...users },
    ...more,
  }).authenticator

const context = (): Context => ({ log: silent, signal: AbortSignal.timeout(60_000), progress() {} })

const signIn = (by: ReturnType<typeof authenticator>, username: string, password: string) =>
  by.check({ username, password }, context())

const asUser = (identity: Identity): User => ({
  id: 'u1',
  name: normalizeUsername(identity.name)!,
  slug: 'u1',
  admin: false,
  groups: identity.groups ?? [],
  attributes: identity.attributes ?? {},
})

/** Sockets of this process that are open to a server. */
async function connectionsTo(...urls: string[]): Promise<number> {
  const ports = new Set(urls.map(url => Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0')))
  const inodes = readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(fields => ports.has(fields[2]?.split(':')[1] ?? ''))
    .map(fields => `socket:[${fields[9]}]`)
  const fds = await Promise.all((await readdir('/proc/self/fd')).map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return fds.filter(fd => inodes.includes(fd)).length
}

const lab = (name: string, run: (t: TestContext) => Promise<void>) => test(`ldap: ${name}`, { skip: noLab }, run)

if (!noLab) {
  const known = { username: 'kim', password: word('Kim') }
  const ways: [string, (server: Slapd) => Partial<LdapOptions> & { users?: Users }][] = [
    ['search by an account, over ldaps', () => ({})],
    ['search as nobody, over StartTLS', server => ({ servers: [server.ldap], account: undefined })],
    [
      'direct bind, over StartTLS',
      server => ({ servers: [server.ldap], account: undefined, users: { dn: name => dn`uid=${name},${dnOfPeople}` } }),
    ],
    ['direct bind with an account', () => ({ users: { base: people, dn: name => dn`uid=${name},${dnOfPeople}` } })],
  ]
  const dnOfPeople = dn`ou=people,dc=example,dc=org`
  const closers: (() => unknown)[] = []
  after(() => Promise.all(closers.map(close => close())))
  let started: Promise<Slapd> | undefined
  for (const [way, options] of ways)
    testAuthenticator(`ldap: ${way}`, 'password', async () => {
      started ??= slapd({ after: close => void closers.push(close) }, ldif)
      const server = await started
      return { authenticator: authenticator(server, options(server)), known, wrong: 'something else', stranger: 'nobody' }
    })
}

lab('name, id and attributes are as the directory has them, whatever was typed', async t => {
  const server = await slapd(t, ldif)
  const by = authenticator(server, { users: { base: people, login: ['uid', 'mail'] } })
  const kim = await signIn(by, 'kim', word('Kim'))
  assert.ok(kim)
  const { directoryId, ...attributes } = kim.attributes!
  assert.equal(kim.name, 'Kim')
  assert.match(kim.id!, /^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  assert.equal(directoryId, kim.id)
  assert.deepEqual(attributes, {
    fullName: 'Kim of the tests',
    mail: 'kim@example.org',
    uid: 1001,
    gid: 100,
    home: '/home/Kim',
    dn: `uid=kim,${people}`,
  })
  assert.equal(kim.groups, undefined)
  assert.equal(kim.admin, undefined)
  for (const spelling of ['KIM', ' kim ', '\u212aim', 'ｋｉｍ', 'kim@example.org', 'KIM@EXAMPLE.ORG'])
    assert.deepEqual(await signIn(by, spelling, word('Kim')), kim, spelling)
  const composed = await signIn(by, 'müller', word('müller'))
  assert.ok(composed)
  for (const spelling of ['mu\u0308ller', 'MÜLLER', 'MU\u0308LLER'])
    assert.deepEqual(await signIn(by, spelling, word('müller')), composed)
  assert.equal(await connectionsTo(server.ldap, server.ldaps), 0)
})

lab('exactly one entry, with exactly one name, not disabled, and of this directory', async t => {
  const server = await slapd(t, ldif)
  await server.modify(
    `dn: uid=locked,${people}\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n`,
  )
  const by = authenticator(server, {
    users: { base: people, login: ['uid', 'mail'], disabledBy: ['shadowExpire', 'pwdAccountLockedTime'] },
  })
  assert.equal(await signIn(by, 'dora@example.org', word('dora1')), null)
  assert.ok(await signIn(by, 'dora1', word('dora1')))
  assert.ok(await signIn(by, 'later', word('later')))
  assert.equal(await signIn(by, 'elsewhere', 'any'), null)
  await assert.rejects(signIn(by, 'two', word('two')), { code: 'denied', message: /more than one uid/ })
  await assert.rejects(signIn(by, 'expired', word('expired')), { code: 'denied', message: /shadowExpire/ })
  assert.equal(await signIn(by, 'expired', 'wrong'), null)
  await assert.rejects(signIn(by, 'locked', word('locked')), { code: 'denied', message: /pwdAccountLockedTime/ })
  const filtered = authenticator(server, { users: { base: people, filter: '(&(objectClass=person)(!(uid=alice)))' } })
  assert.equal(await signIn(filtered, 'alice', word('alice')), null)
  assert.ok(await signIn(filtered, 'kim', word('Kim')))
  const direct = authenticator(server, { users: { base: people, dn: name => dn`cn=${name},ou=people,dc=example,dc=org` } })
  assert.equal(await signIn(direct, 'elsewhere', 'any'), null)
})

lab('nothing that is typed becomes part of a filter or a DN', async t => {
  const server = await slapd(t, ldif)
  const searching = authenticator(server)
  const direct = authenticator(server, {
    users: {
      base: people,
      dn: [name => dn`cn=${name},ou=staff,dc=example,dc=org`, name => dn`uid=${name},ou=people,dc=example,dc=org`],
    },
  })
  for (const by of [searching, direct]) {
    assert.equal((await signIn(by, odd, word(odd)))?.name, odd)
    for (const name of [
      '*',
      'al*',
      'alice)(uid=*',
      '*)(|(uid=*',
      'alice)(&',
      'al\\69ce',
      '\\2a',
      'alice\\',
      'alice,ou=people',
      `alice,${people}`,
      'alice+sn=Test',
      '#616c696365',
      '"alice"',
      '=alice',
      'uid=alice',
      '(alice)',
      'alice#',
    ])
      assert.equal(await signIn(by, name, word('alice')), null, name)
    for (const password of ['', '\0', `${word('alice')}\0`, '\0x', '*', 'x'.repeat(5000)])
      assert.equal(await signIn(by, 'alice', password), null)
  }
})

lab('groups of all four kinds, nested ones without end, and who is an admin', async t => {
  const server = await slapd(t, ldif)
  const found = async (options: Partial<NonNullable<LdapOptions['groups']>>, name = 'alice') => {
    const by = authenticator(server, { groups: { base: groups, ...options } })
    const identity = await signIn(by, name, word(name === 'kim' ? 'Kim' : name))
    assert.deepEqual((await by.refresh!(asUser(identity!), context()))?.groups?.sort(), identity?.groups?.sort())
    return identity?.groups?.sort().join(' ')
  }
  assert.equal(await found({ by: ['member'] }), 'loop-a researchers')
  assert.equal(await found({ by: ['uniqueMember'] }), 'writers')
  assert.equal(await found({ by: ['memberUid'] }), 'unix')
  assert.equal(await found({ by: ['memberOf'] }), 'loop-a researchers')
  assert.equal(await found({}), 'loop-a researchers unix writers')
  const all = 'loop-a loop-b outer outermost researchers'
  assert.equal(await found({ by: ['member'], nested: 'recursive' }), all)
  assert.equal(await found({ by: ['memberOf'], nested: 'recursive' }), all)
  assert.equal(
    await found({ by: ['member', 'memberOf', 'memberUid', 'uniqueMember'], nested: 'recursive' }),
    `${all} unix writers`,
  )
  assert.equal(await found({ filter: '(!(cn=loop-a))' }), 'researchers unix writers')
  assert.equal(await found({ base: `cn=unix,${groups}` }), 'unix')
  assert.equal(await found({ map: { [`CN=Researchers, ${groups}`]: 'science', [`cn=writers,${groups}`]: 'science' } }), 'science')
  await assert.rejects(found({ by: ['member'], nested: 'recursive', depth: 2 }), { code: 'unavailable', message: /no end/ })

  const decided = authenticator(server, {
    groups: { base: groups, allowed: [`cn=researchers,${groups}`], admins: [`cn=ADMINS,${groups.toUpperCase()}`] },
  })
  assert.equal((await signIn(decided, 'alice', word('alice')))?.admin, false)
  assert.equal((await signIn(decided, 'kim', word('Kim')))?.admin, true)
  await assert.rejects(signIn(decided, 'later', word('later')), { code: 'denied', message: /none of the groups/ })
  assert.equal(await signIn(decided, 'later', 'wrong'), null)
  const later = await signIn(authenticator(server), 'later', word('later'))
  assert.ok(later)
  assert.equal(await decided.refresh!(asUser(later), context()), null)
  const asNobody = authenticator(server, { account: undefined, groups: { base: groups } })
  await assert.rejects(signIn(asNobody, 'alice', word('alice')), { code: 'unavailable' })
})

lab('a certificate that is not verified, and a server without TLS, get nothing', async t => {
  const server = await slapd(t, ldif)
  const refused = { code: 'unavailable' }
  for (const url of [server.ldap, server.ldaps]) {
    await assert.rejects(signIn(authenticator(server, { servers: [url], tls: {} }), 'kim', word('Kim')), refused)
    await assert.rejects(
      signIn(authenticator(server, { servers: [url], tls: { ca: server.otherCa } }), 'kim', word('Kim')),
      refused,
    )
    await assert.rejects(
      signIn(
        authenticator(server, { servers: [url], tls: { ca: server.ca, servername: 'other.example.org' } }),
        'kim',
        word('Kim'),
      ),
      refused,
    )
    const byName = { servers: [url.replace('127.0.0.1', 'localhost')] }
    await assert.rejects(signIn(authenticator(server, byName), 'kim', word('Kim')), refused)
    assert.ok(
      await signIn(
        authenticator(server, { servers: [url], tls: { ca: readFileSync(server.ca, 'utf8'), servername: 'ldap.example.org' } }),
        'kim',
        word('Kim'),
      ),
    )
  }
  assert.ok(await signIn(authenticator(server, { servers: [server.ldap], tls: {}, plaintext: true }), 'kim', word('Kim')))
  assert.equal(await connectionsTo(server.ldap, server.ldaps), 0)
})

lab('when one server dies the other one answers; when both are gone nobody gets in and nobody is sent away', async t => {
  const server = await slapd(t, ldif)
  const replica = await server.replica()
  const by = authenticator(server, { servers: [server.ldaps, replica.ldap] })
  const kim = await signIn(by, 'kim', word('Kim'))
  await server.stop()
  assert.deepEqual(await signIn(by, 'kim', word('Kim')), kim)
  assert.equal(await signIn(by, 'kim', 'wrong'), null)
  assert.deepEqual(await by.refresh!(asUser(kim!), context()), kim)
  await replica.stop()
  await assert.rejects(signIn(by, 'kim', word('Kim')), { code: 'unavailable' })
  await assert.rejects(by.refresh!(asUser(kim!), context()), { code: 'unavailable' })
  assert.equal(await connectionsTo(server.ldaps, replica.ldap), 0)
})

lab('asked again, it is by the id of the directory alone: a name may be another one here, or somebody else’s by now', async t => {
  const server = await slapd(t, ldif)
  const by = authenticator(server)
  const kim = await signIn(by, 'kim', word('Kim'))
  assert.ok(kim)
  for (const name of ['ldap-kim', 'alice']) assert.deepEqual(await by.refresh!({ ...asUser(kim), name }, context()), kim, name)
  assert.equal(await by.refresh!({ ...asUser(kim), attributes: {} }, context()), null)
})

lab('a refused account is an outage, not a wrong password and not a lost user', async t => {
  const server = await slapd(t, ldif)
  const kim = await signIn(authenticator(server), 'kim', word('Kim'))
  const broken = authenticator(server, { account: { ...server.account, password: 'outdated' } })
  const lost = authenticator(server, { users: { base: `ou=gone,${suffix}` } })
  for (const by of [broken, lost]) {
    await assert.rejects(signIn(by, 'kim', word('Kim')), { code: 'unavailable' })
    await assert.rejects(by.refresh!(asUser(kim!), context()), { code: 'unavailable' })
  }
  const wrongId = authenticator(server, { users: { base: people, id: 'objectGUID' } })
  await assert.rejects(signIn(wrongId, 'kim', word('Kim')), { code: 'unavailable', message: /objectGUID/ })
})

lab('in a hub: one account from every spelling, kept through a rename, ended with the entry', async t => {
  const server = await slapd(t, ldif)
  const plugin = ldap({
    servers: [server.ldaps],
    tls: { ca: server.ca },
    account: server.account,
    users: { base: people, login: ['uid', 'mail'] },
    groups: { base: groups },
  })
  const hub = await identityHub(t, {
    authenticators: [plugin],
    access: { groups: ['researchers', 'staff'] },
    timeouts: { refresh: '1ms', hook: '20s' },
  })
  const enter = async (username: string, password = word('Kim')) => {
    const result = await hub.logins.password('ldap', { username, password }, '127.0.0.1')
    return result.ok ? result.user.id : result.reason
  }
  const id = await enter('kim')
  for (const spelling of ['Kim', 'KIM', 'kim ', 'ｋｉｍ', '\u212aim', 'kim@example.org'])
    assert.equal(await enter(spelling), id, spelling)
  assert.equal(hub.users.count, 1)
  const kim = () => hub.users.byId(id)!
  assert.deepEqual(hub.users.groups.of(id), ['researchers', 'admins'])
  assert.equal(await enter('later', word('later')), 'denied')

  // By hand, beside what the directory says.
  await hub.users.groups.create(['staff'], [id])
  await server.modify(`dn: cn=researchers,${groups}\nchangetype: modify\ndelete: member\nmember: uid=kim,${people}\n`)
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), true)
  assert.deepEqual(hub.users.groups.of(id), ['admins', 'staff'])

  await server.modify(
    `dn: uid=kim,${people}\nchangetype: modrdn\nnewrdn: uid=kimberly\ndeleteoldrdn: 0\n\ndn: uid=kimberly,${people}\nchangetype: modify\ndelete: uid\nuid: Kim\n`,
  )
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), true)
  assert.equal(await enter('kimberly'), id)
  assert.equal(kim().name, 'kim')
  assert.equal(await enter('kim'), 'wrong')

  await server.modify(`dn: uid=kimberly,${people}\nchangetype: modify\nadd: shadowExpire\nshadowExpire: 1\n`)
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), false)
  await server.modify(`dn: uid=kimberly,${people}\nchangetype: modify\ndelete: shadowExpire\n`)
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), true)
  await server.modify(`dn: uid=kimberly,${people}\nchangetype: delete\n`)
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), false)
  await server.stop()
  assert.equal(await hub.logins.refresh(kim(), 'ldap'), true)
})

lab('`swarmhub ldap test` tells each step and no secret', async t => {
  const server = await slapd(t, ldif)
  const options = {
    tls: { ca: server.ca },
    account: server.account,
    users: { base: people, attributes: { mail: 'mail', password: 'userPassword' } },
  }
  const told = (more: Partial<LdapOptions>, user = 'KIM') =>
    ldap({ ...options, servers: ['ldaps://127.0.0.1:1', server.ldap], groups: { base: groups }, ...more }).commands.test.run(
      ['--user', user],
      context(),
    )
  const text = await told({})
  for (const line of [
    /^ldaps:\/\/127.0.0.1:1: .*ECONNREFUSED/m,
    /^ldap:.*: connected, encrypted, certificate verified$/m,
    /^bind as cn=reader,.*: accepted$/m,
    /^search ou=people,.* for \(\|\(uid=kim\)\): uid=kim,ou=people/m,
    /^group cn=researchers,/m,
    /^name here: kim$/m,
    /^attribute mail: "kim@example.org"$/m,
    /^groups here: researchers, admins$/m,
  ])
    assert.match(text, line)
  assert.doesNotMatch(text, /reads all|the word/)
  assert.match(await told({}, 'nobody'), /Nobody may sign in as "nobody"/)
  assert.match(await told({}, 'elsewhere'), /1 referrals not followed[\s\S]*Nobody may/)
  assert.match(
    await told({ account: { ...server.account, password: 'x' } }),
    /refused[\s\S]*Failed: The directory does not answer/,
  )
  assert.match(
    await told({ account: undefined, users: { dn: name => dn`uid=${name},dc=example,dc=org` } }),
    /Only the connection is tried/,
  )
  await assert.rejects(async () => told({}, ''), { code: 'invalid', message: /--user NAME/ })
  const { health } = ldap({ ...options, servers: [server.ldaps] })
  await health(AbortSignal.timeout(5000))
  await server.stop()
  await assert.rejects(health(AbortSignal.timeout(5000)), { code: 'unavailable', message: /ECONNREFUSED/ })
})

lab('what somebody on the way puts in front of TLS does not become an answer within it', async t => {
  const server = await slapd(t, ldif)
  const port = Number(new URL(server.ldap).port)
  for (const id of [2, 3]) {
    // The beginning of "this bind is fine", long enough to swallow the true refusal that follows.
    const forged = Buffer.from([0x30, 12 + 14, 2, 1, id, 0x61, 7, 10, 1, 0, 4, 0, 4, 0])
    const proxy = createServer(client => {
      const upstream = connect(port, '127.0.0.1')
      upstream.once('data', reply => {
        client.write(Buffer.concat([reply, forged]))
        upstream.on('data', data => client.write(data))
      })
      client.on('data', data => upstream.write(data)).on('close', () => upstream.destroy())
      for (const socket of [client, upstream]) socket.on('error', () => {})
      upstream.on('close', () => client.destroy())
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    t.after(() => proxy.close())
    const url = `ldap://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const by = authenticator(server, {
      servers: [url],
      account: undefined,
      users: { dn: name => dn`uid=${name},ou=people,dc=example,dc=org` },
      timeout: '1s',
    })
    for (const password of ['wrong', 'wrong again']) {
      const answer = await signIn(by, 'alice', password).catch(error => error.code)
      assert.ok(answer === null || answer === 'unavailable', JSON.stringify(answer))
    }
  }
})

lab('a browser signs in by it, and the admin sees where the groups come from', async t => {
  const server = await slapd(t, ldif)
  const hub = await startHub(
    t,
    `
import { defineConfig, env } from 'swarmhub'
import { httpProxy, ldap, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [ldap({
    servers: ['${server.ldap}'],
    tls: { ca: '${server.ca}' },
    account: { dn: '${server.account.dn}', password: env('LDAP_PASSWORD') },
    users: { base: '${people}' },
    groups: { base: '${groups}', admins: ['cn=admins,${groups}'] },
    label: 'Sign in with your work account',
  })],
  access: { groups: ['researchers'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
})
`,
    { LDAP_PASSWORD: server.account.password },
  )
  await hub.healthy()
  const { page } = await browser(t)
  await page.goto(`${hub.origin}/hub/login`)
  await page.getByLabel('User name').fill('KIM')
  await page.getByLabel('Password').fill('wrong')
  await page.getByRole('button', { name: 'Sign in with your work account' }).click()
  await page.getByText('Wrong user name or password.').waitFor()
  await page.getByLabel('User name').fill('KIM')
  await page.getByLabel('Password').fill(word('Kim'))
  await page.getByRole('button', { name: 'Sign in with your work account' }).click()
  await page.waitForURL(url => !url.pathname.includes('login'))
  await page.goto(`${hub.origin}/hub/admin/groups/admins`)
  await page.getByRole('row', { name: 'kim ldap Remove' }).waitFor()
  await screenshot(page, 'ldap-group')
  const tried = await hub.run('ldap', 'test', '--user', 'alice')
  assert.equal(tried.code, 0)
  assert.match(tried.output, /name here: alice/)
  assert.doesNotMatch(hub.output() + tried.output, /reads all|the word of/)
})
