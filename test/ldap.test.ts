import assert from 'node:assert/strict'
import { createServer, type Server, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { BerReader } from 'ldapts'
import { type Context, silent } from 'swarmhub'
import { dummy } from '../plugins/dummy/index.ts'
import type { Entry } from '../plugins/ldap/connection.ts'
import { disabledBy, disablers } from '../plugins/ldap/disabled.ts'
import { dnKey, escapeDnValue, isUnder, parseDn, textOf } from '../plugins/ldap/dn.ts'
import { dn, type LdapOptions, ldap } from '../plugins/ldap/index.ts'
import { identityHub } from './identity-hub.ts'

const people = { base: 'ou=people,dc=example,dc=org' }

const context = (): Context => ({ log: silent, signal: AbortSignal.timeout(60_000), progress() {} })

test('a value in a DN is escaped, and read again as it was', () => {
  const table: [string, string][] = [
    ['alice', 'alice'],
    ['a,b', 'a\\2cb'],
    ['a+b=c', 'a\\2bb\\3dc'],
    ['"q" <r>;\\', '\\22q\\22 \\3cr\\3e\\3b\\5c'],
    ['#616c', '\\23616c'],
    ['a#b', 'a#b'],
    [' a ', '\\20a\\20'],
    ['  a  ', '\\20 a \\20'],
    [' ', '\\20'],
    ['a\0b\nc', 'a\\00b\\0ac'],
    ['\u0085', '\\c2\\85'],
    ['Müller 🦊', 'Müller 🦊'],
    ['*()', '*()'],
    ['', ''],
  ]
  for (const [value, escaped] of table) {
    assert.equal(escapeDnValue(value), escaped)
    const made = textOf(dn`uid=${value},ou=people,dc=example`)
    assert.equal(made, `uid=${escaped},ou=people,dc=example`)
    assert.deepEqual(parseDn(made), [
      [{ type: 'uid', value }],
      [{ type: 'ou', value: 'people' }],
      [{ type: 'dc', value: 'example' }],
    ])
  }
  const staff = dn`ou=A\, B,dc=example`
  assert.equal(textOf(dn`uid=${'x,y'},${staff}`), 'uid=x\\2cy,ou=A\\, B,dc=example')
  assert.throws(() => dn`people`)
  assert.throws(() => dn`uid=${'a'},`)
})

test('a DN is the same in every spelling, and another one is another', () => {
  const one = 'CN=Smith\\, J.+UID=js,OU="R; D" , DC=Example;dc=org'
  for (const same of [
    'cn=smith\\2c j.+uid=js,ou=r\\; d,dc=example,dc=org',
    'uid=JS+cn=Smith\\,  J., ou=R\\3b D,dc=EXAMPLE,dc=org',
  ])
    assert.equal(dnKey(same), dnKey(one))
  for (const other of [
    'cn=smith,uid=js,ou=r\\; d,dc=example,dc=org',
    'cn=smith\\2c j.+uid=js,ou=r\\; d,dc=example',
    'cn=smith\\, j.,uid=js,ou=r\\; d,dc=example,dc=org',
  ])
    assert.notEqual(dnKey(other), dnKey(one))
  assert.deepEqual(parseDn('cn=\\C3\\A9t\\c3\\a9\\20'), [[{ type: 'cn', value: 'été ' }]])
  for (const none of ['people', 'cn=a,', '=a', 'cn=a"b', 'cn=a\\', ',cn=a', 'cn="a']) assert.equal(parseDn(none), undefined, none)
  assert.ok(isUnder('cn=a,OU=Groups,dc=x', 'ou=groups, dc=x'))
  assert.ok(isUnder('ou=groups,dc=x', 'ou=groups,dc=x'))
  assert.ok(!isUnder('cn=a,xou=groups,dc=x', 'ou=groups,dc=x'))
  assert.ok(!isUnder('cn=a\\,ou=groups,dc=x', 'ou=groups,dc=x'))
  assert.ok(!isUnder('dc=x', 'ou=groups,dc=x'))
})

test('an account is disabled when its directory says so, or says it in a way that nobody understands', () => {
  const now = Date.UTC(2026, 0, 1)
  const windows = (ms: number) => String((ms - Date.UTC(1601, 0, 1)) * 10_000)
  const table: [string, string, boolean][] = [
    ['userAccountControl', '512', false],
    ['userAccountControl', '514', true],
    ['userAccountControl', '66050', true],
    ['userAccountControl', 'x', true],
    ['accountExpires', '0', false],
    ['accountExpires', '9223372036854775807', false],
    ['accountExpires', windows(now + 1000), false],
    ['accountExpires', windows(now - 1000), true],
    ['accountExpires', 'never', true],
    ['nsAccountLock', 'TRUE', true],
    ['nsAccountLock', 'false', false],
    ['loginDisabled', 'TRUE', true],
    ['loginDisabled', 'FALSE', false],
    ['shadowExpire', '-1', false],
    ['shadowExpire', String(now / 86_400_000), true],
    ['shadowExpire', String(now / 86_400_000 + 1), false],
    ['shadowExpire', '0', true],
    ['shadowExpire', 'x', true],
    ['pwdAccountLockedTime', '000001010000Z', true],
    ['pwdAccountLockedTime', '20260101000000Z', false],
  ]
  for (const [attribute, value, disabled] of table) {
    const entry: Entry = { dn: 'uid=a', values: () => [], texts: name => (name === attribute ? [value] : []) }
    assert.equal(disabledBy(entry, disablers, now), disabled ? attribute : undefined, `${attribute} ${value}`)
    assert.equal(disabledBy(entry, [], now), undefined)
  }
})

test('options that cannot be meant stop the start, each with its place', () => {
  const refused = (options: object, where: RegExp) =>
    assert.throws(() => ldap({ servers: ['ldaps://a'], users: people, ...options } as LdapOptions), {
      code: 'config',
      message: where,
    })
  refused({ servers: [] }, /ldap\.servers/)
  for (const url of ['https://a', 'ldap://a/dc=x', 'ldap://u:p@a', 'ldaps://', 'a', 'ldapi:///x', 'ldap://a?x'])
    refused({ servers: [url] }, /servers\[0\]/)
  refused({ server: 'x' }, /did you mean "servers"/)
  refused({ users: {} }, /users\.base/)
  refused({ users: { base: 'people' } }, /users\.base/)
  for (const filter of ['(', '(a=b', 'x', '(uid=\\c3\\a9)', '(a=b)(c=d)'])
    refused({ users: { ...people, filter } }, /users\.filter/)
  refused({ users: { ...people, login: 'uid=*' } }, /users\.login/)
  refused({ users: { ...people, dn: 'uid=x,dc=y' } }, /users\.dn/)
  refused({ users: { ...people, attributes: { dn: 'cn' } } }, /users\.attributes/)
  refused({ account: { dn: 'cn=x,dc=y', password: '' } }, /account\.password/)
  refused({ groups: { base: 'dc=x', filter: '(a=b)', by: ['memberOf'] } }, /groups\.filter/)
  refused({ groups: { base: 'dc=x', nested: 'active-directory', by: ['memberOf'] } }, /groups\.nested/)
  refused({ groups: { base: 'dc=x', allowed: ['admins'] } }, /groups\.allowed/)
  refused({ tls: { ca: '/nowhere/ca.pem' } }, /\/nowhere\/ca\.pem/)
  refused({ tls: { rejectUnauthorized: false } }, /rejectUnauthorized/)
  refused({ tls: { cert: '/x' } }, /tls/)
  refused({ timeout: 5 }, /timeout/)
})

/** What answers on a port as no directory should; it is told of each connection. */
async function odd(
  t: TestContext,
  answer: (socket: Socket) => void,
): Promise<{ url: string; server: Server; sockets: Set<Socket>; seen: Buffer[] }> {
  const sockets = new Set<Socket>()
  const seen: Buffer[] = []
  const server = createServer(socket => {
    sockets.add(socket)
    socket
      .on('close', () => sockets.delete(socket))
      .on('error', () => {})
      .on('data', data => seen.push(data))
    answer(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address)
  return { url: `ldap://127.0.0.1:${address.port}`, server, sockets, seen }
}

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex')
/** A message with this id (under 128) and content. */
const message = (id: number, content: Buffer) => Buffer.concat([Buffer.from([0x30, content.length + 3, 2, 1, id]), content])
const done = (tag: number, code = 0) => Buffer.from([tag, 7, 10, 1, code, 4, 0, 4, 0])
const idOf = (data: Buffer) => {
  const reader = new BerReader(data)
  reader.readSequence()
  return reader.readInt() ?? 0
}

const open = async (server: Server) =>
  new Promise<number>((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))))

/** Until the other side has seen that all connections are closed. */
async function allClosed(servers: Server[]): Promise<void> {
  for (const server of servers) while ((await open(server)) > 0) await new Promise(resolve => setTimeout(resolve, 5))
}

const faults: [string, (socket: Socket) => void][] = [
  ['says nothing', () => {}],
  ['closes at once', socket => socket.end()],
  ['resets', socket => socket.once('data', () => socket.resetAndDestroy())],
  ['answers half', socket => socket.on('data', data => socket.write(message(idOf(data), done(0x61)).subarray(0, 6)))],
  ['answers what is no LDAP', socket => socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))],
  [
    'answers garbage within a message',
    socket => socket.on('data', data => socket.write(message(idOf(data), hex('61 05 ff ff ff ff ff')))),
  ],
  ['answers another question', socket => socket.on('data', data => socket.write(message(idOf(data) + 1, done(0x61))))],
  ['promises gigabytes', socket => socket.on('data', () => socket.write(hex('30 84 7f ff ff ff 02 01 02')))],
  ['never ends', socket => socket.once('data', () => flood(socket))],
  ['chatters', socket => socket.on('data', () => socket.write(Buffer.alloc(7 * 100_000, hex('30 05 02 01 63 65 00'))))],
  ['ends in the middle', socket => socket.on('data', data => socket.end(message(idOf(data), done(0x61)).subarray(0, 9)))],
  ['is busy', socket => socket.on('data', data => socket.write(message(idOf(data), done(0x61, 51))))],
]

function flood(socket: Socket): void {
  const chunk = Buffer.alloc(65_536)
  chunk.set(hex('30 84 7f ff ff ff'))
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once('drain', more)
  }
  more()
}

for (const [what, answer] of faults)
  for (const security of ['plain', 'StartTLS'])
    test(`a server that ${what} (${security}) costs its time and nothing else: no answer is no sign-in, and no connection stays`, async t => {
      const { url, server } = await odd(t, answer)
      const plugin = ldap({
        servers: [url],
        users: people,
        account: { dn: 'cn=reader,dc=example', password: 'x' },
        plaintext: security === 'plain',
        timeout: '300ms',
        deadline: '600ms',
      })
      const { check, refresh } = plugin.authenticator
      const user = { id: '1', name: 'a', slug: 'a', admin: false, groups: [], attributes: { directoryId: '1' } }
      const both = await Promise.allSettled([check({ username: 'alice', password: 'x' }, context()), refresh!(user, context())])
      for (const one of both) assert.equal(one.status === 'rejected' && one.reason.code, 'unavailable')
      await allClosed([server])
    })

test('a silent server costs one sign-in its share of ten seconds; the next ones ask the other server first, and other plugins do not notice', async t => {
  const silentOne = await odd(t, () => {})
  const other = await odd(t, socket => socket.on('data', data => socket.write(message(idOf(data), done(0x61, 49)))))
  const plugin = ldap({
    servers: [silentOne.url, other.url],
    users: { dn: name => dn`uid=${name},dc=example` },
    plaintext: true,
    timeout: '200ms',
  })
  const hub = await identityHub(t, { authenticators: [plugin, dummy()], timeouts: { hook: '10s' } })
  const enter = async (method: string) => {
    const result = await hub.logins.password(method, { username: 'alice', password: 'x' }, '127.0.0.1')
    return result.ok ? 'in' : result.reason
  }
  const waiting = enter('ldap')
  assert.equal(await enter('dummy'), 'in')
  assert.equal(other.seen.length, 0)
  assert.equal(await waiting, 'wrong')
  assert.equal(silentOne.seen.length, 1)
  assert.equal(await plugin.authenticator.check({ username: 'bob', password: 'x' }, context()), null)
  assert.equal(silentOne.seen.length, 1, 'not asked again so soon')
  await allClosed([silentOne.server, other.server])
})

test('a thousand sign-ins at a silent directory: all end in time, few connections at once, none is left', async t => {
  let most = 0
  const { url, server, sockets } = await odd(t, () => void (most = Math.max(most, sockets.size)))
  const { check } = ldap({
    servers: [url],
    users: people,
    plaintext: true,
    timeout: '100ms',
    deadline: '400ms',
    connections: 5,
  }).authenticator
  const ends = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, i) => check({ username: `u${i}`, password: 'x' }, context())),
  )
  const codes = new Set(ends.map(end => (end.status === 'rejected' ? end.reason.code : end.value)))
  assert.deepEqual([...codes].sort(), ['busy', 'unavailable'])
  assert.ok(most <= 10, `${most} at once`)
  await allClosed([server])
})

test('empty passwords, NUL and names that are none: nothing is sent', async t => {
  let connections = 0
  const { url } = await odd(t, () => void connections++)
  for (const users of [people, { dn: (name: string) => dn`uid=${name},dc=example` }]) {
    const { check } = ldap({ servers: [url], users, plaintext: true, timeout: '100ms' }).authenticator
    for (const password of ['', '\0', 'x\0', '\0x', 'x'.repeat(5000)])
      assert.equal(await check({ username: 'alice', password }, context()), null)
    for (const username of ['', ' ', 'a\0b', 'a/b', '..', 'x'.repeat(2000)])
      assert.equal(await check({ username, password: 'x' }, context()), null)
  }
  assert.equal(connections, 0)
})

test('without StartTLS nothing but the question for it is sent', async t => {
  const answers: [string, Buffer][] = [
    ['does not know it', done(0x78, 2)],
    ['says yes, and speaks no TLS', Buffer.concat([done(0x78)])],
  ]
  for (const [what, answer] of answers) {
    const { url, seen, server } = await odd(t, socket =>
      socket.on('data', data => data[0] === 0x30 && socket.write(message(idOf(data), answer))),
    )
    const { check } = ldap({
      servers: [url],
      users: people,
      account: { dn: 'cn=reader,dc=example', password: 'the secret' },
      timeout: '300ms',
    }).authenticator
    await assert.rejects(check({ username: 'alice', password: 'the password' }, context()), { code: 'unavailable' }, what)
    assert.doesNotMatch(Buffer.concat(seen).toString('latin1'), /the secret|the password|alice|reader/)
    await allClosed([server])
  }
})

test('who goes away ends the question', async t => {
  const { url, server } = await odd(t, () => {})
  const { check } = ldap({ servers: [url], users: people, plaintext: true }).authenticator
  const control = new AbortController()
  const asked = check({ username: 'alice', password: 'x' }, { ...context(), signal: control.signal })
  control.abort(new Error('gone'))
  await assert.rejects(asked, /gone/)
  await allClosed([server])
})

test('what the directory says wins over what a server of another kind of entry would: its own DN, its rule for nested groups', async t => {
  const searches: string[] = []
  const { url } = await odd(t, socket =>
    socket.on('data', data => {
      const id = idOf(data)
      const tag = data[5] === undefined ? 0 : data[data[1]! > 127 ? 2 + (data[1]! & 127) + 3 : 5]!
      if (tag === 0x60) return socket.write(message(id, done(0x61)))
      if (tag !== 0x63) return
      searches.push(data.toString('latin1'))
      const text = (value: string) => Buffer.from([4, value.length, ...Buffer.from(value)])
      const sequence = (of: number, ...parts: Buffer[]) => {
        const content = Buffer.concat(parts)
        return Buffer.concat([Buffer.from([of, content.length]), content])
      }
      const attribute = (name: string, value: string) => sequence(0x30, text(name), sequence(0x31, text(value)))
      const entry = sequence(0x64, text('cn=a,dc=x'), sequence(0x30, attribute('uid', 'a'), attribute('objectGUID', '\x01\x7f')))
      if (searches.length === 1) socket.write(message(id, entry))
      socket.write(message(id, done(0x65)))
    }),
  )
  const { check } = ldap({
    servers: [url],
    users: { ...people, id: 'objectGUID' },
    groups: { base: 'dc=x', nested: 'active-directory', by: ['member'] },
    plaintext: true,
    timeout: '1s',
  }).authenticator
  const identity = await check({ username: 'a', password: 'x' }, context())
  assert.equal(identity?.id, '0x017f')
  assert.deepEqual(identity?.groups, [])
  assert.match(searches[1]!, /1\.2\.840\.113556\.1\.4\.1941.*member.*cn=a,dc=x/s)
})

test('a server that sends without end is cut off, long before its time is over', async t => {
  const { url, server } = await odd(t, socket => void socket.once('data', () => flood(socket)))
  const { check } = ldap({ servers: [url], users: people, plaintext: true, timeout: '50s', deadline: '50s' }).authenticator
  const lines: string[] = []
  const log = { ...silent, warn: (_: string, data?: object) => void lines.push(JSON.stringify(data)) }
  await assert.rejects(check({ username: 'alice', password: 'x' }, { ...context(), log }), { code: 'unavailable' })
  assert.match(lines.join(), /sends more than 4194304 bytes/)
  await allClosed([server])
})
