import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Context, silent } from 'swarmhub'
import { nobody } from '../plugins/null/index.ts'
import { sharedPassword } from '../plugins/shared-password/index.ts'
import { identityHub } from './identity-hub.ts'
import { localHub } from './local-hub.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { visitor } from './visitor.ts'

const ofClass = 'a class of horses'
const ofAdmins = 'only those who keep the stable know this'
const options = {
  password: ofClass,
  groups: { physics: 'a physical horse', chemistry: 'a chemical horse' },
  admins: { users: ['Ann'], password: ofAdmins },
}

testAuthenticator('shared-password', 'password', () => ({
  authenticator: sharedPassword({ password: ofClass, admins: { users: ['ann'], password: ofAdmins } }).authenticator,
  known: { username: 'bob', password: ofClass },
  wrong: 'a class of cows',
}))

testAuthenticator('shared-password, an administrator', 'password', () => ({
  authenticator: sharedPassword({ admins: { users: ['ann'], password: ofAdmins } }).authenticator,
  known: { username: 'ann', password: ofAdmins },
  wrong: ofClass,
  stranger: 'bob',
}))

testAuthenticator('null', 'none', () => nobody())

test('shared-password: administrators by their own password only, and that opens no other name', async () => {
  const { authenticator } = sharedPassword(options)
  const ctx: Context = { log: silent, signal: AbortSignal.timeout(10_000), progress() {} }
  const is = (username: string, password: string) => authenticator.check({ username, password }, ctx)
  assert.equal((await is('ANN', ofAdmins))?.admin, true)
  for (const password of [ofClass, ...Object.values(options.groups), '']) assert.equal(await is('ann', password), null)
  assert.equal(await is('bob', ofAdmins), null)
  assert.deepEqual((await is('bob', options.groups.physics))?.groups, ['physics'])
  const bob = await is('bob', ofClass)
  assert.equal(bob?.groups, undefined)
  assert.equal(bob?.admin, undefined)
  const none = sharedPassword({ groups: options.groups }).authenticator
  assert.equal(await none.check({ username: 'bob', password: '' }, ctx), null)
})

test('shared-password: a name belongs to the password by which it was used first', async t => {
  const { logins, users } = await identityHub(t, { authenticators: [sharedPassword(options)] })
  const enter = async (username: string, password: string) => {
    const result = await logins.password('shared-password', { username, password }, '192.0.2.1')
    return result.ok || result.reason
  }
  assert.equal(await enter('carl', options.groups.physics), true)
  assert.deepEqual(users.groups.of(users.get('carl')!.id), ['physics'])
  for (const other of [options.groups.chemistry, ofClass]) assert.equal(await enter('carl', other), 'denied')
  assert.equal(await enter('carl', options.groups.physics), true)
})

test('shared-password: short ones, the same ones and none at all do not start', () => {
  for (const wrong of [
    {},
    { password: 'seven77' },
    { groups: { physics: 'short' } },
    { password: ofClass, groups: { physics: ofClass } },
    { admins: { users: ['ann'], password: 'x'.repeat(31) } },
    { admins: { users: [], password: ofAdmins } },
    { admins: { users: ['a/b'], password: ofAdmins } },
    { password: ofAdmins, admins: { users: ['ann'], password: ofAdmins } },
  ])
    assert.throws(() => sharedPassword(wrong), { code: 'config' }, JSON.stringify(wrong))
})

test('null: the sign-in page has no form, and a form that is sent lets nobody in', async t => {
  const { core, origin } = await localHub(t)
  const method = { plugin: nobody(), kind: 'none' as const, label: nobody().authenticator.label }
  Object.assign(core.logins, { methods: [method] })
  const who = visitor(origin)
  const { text } = await who.open('/hub/login')
  assert.match(text, /Nobody signs in here/)
  assert.doesNotMatch(text, /<form/)
  for (const method of ['null', 'local', '']) {
    const body = new URLSearchParams({ username: 'ada', password: 'a horse, a battery', method })
    const reply = await who.ask('/hub/login', { method: 'POST', body })
    assert.equal(reply.status, 404, method)
  }
  const { logins } = await identityHub(t, { authenticators: [nobody()] })
  await assert.rejects(logins.password('null', { username: 'a', password: 'b' }, '192.0.2.1'), { code: 'missing' })
})
