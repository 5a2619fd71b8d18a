import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHubError } from 'swarmhub'
import { dummy } from '../plugins/dummy/index.ts'
import { testAuthenticator } from './roles/authenticator.ts'
import { fakeHub } from './roles/hub.ts'

testAuthenticator('dummy', 'password', () => ({
  authenticator: dummy().authenticator,
  known: { username: 'alice', password: 'anything' },
}))

testAuthenticator('dummy with a password', 'password', () => ({
  authenticator: dummy({ password: 'the shared one' }).authenticator,
  known: { username: 'kim', password: 'the shared one' },
  wrong: 'another one',
}))

test('dummy: runs on a public address only when config and environment both say so', t => {
  const before = process.env.SWARMHUB_ALLOW_DUMMY
  t.after(() => {
    if (before === undefined) delete process.env.SWARMHUB_ALLOW_DUMMY
    else process.env.SWARMHUB_ALLOW_DUMMY = before
  })
  const starts = (allowPublic: boolean, environment: string, isPublic = true) => {
    process.env.SWARMHUB_ALLOW_DUMMY = environment
    try {
      dummy({ allowPublic }).setup(fakeHub(t, { isPublic }))
      return true
    } catch (error) {
      assert.ok(isHubError(error) && error.code === 'config', String(error))
      return false
    }
  }
  assert.equal(starts(false, ''), false)
  assert.equal(starts(true, ''), false)
  assert.equal(starts(false, '1'), false)
  assert.equal(starts(true, 'yes'), false)
  assert.equal(starts(true, '1'), true)
  assert.equal(starts(false, '', false), true)
})

test('dummy: an empty shared password and an unknown option are refused', () => {
  assert.throws(() => dummy({ password: '' }), { code: 'config' })
  assert.throws(() => dummy(JSON.parse('{"pasword":"x"}')), { code: 'config' })
})
