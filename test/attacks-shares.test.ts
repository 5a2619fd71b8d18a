import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { attackedHub, config } from './hostile.ts'
import { authorizeAddress, codeFor, exchange, tokenFor } from './notebook-login.ts'
import { until } from './roles/loopback.ts'

/*
 * Shares, on a hub as it runs: whoever is let into a server tries to get into others, to stay when they are let in no longer, and
 * to lead others away by an invitation.
 */

const sharingHub = (t: TestContext) =>
  attackedHub(t, config(`roles: [{ name: 'user', scopes: ['self', 'shares!user', 'read:users:name', 'read:groups:name'] }],`))

test('a share is of one owner’s server, not of whoever has the name next; who is let in no longer is out at once (GHSA-mj6q)', async t => {
  const hub = await sharingHub(t)
  const root = await hub.token('root')
  const { env } = await hub.notebook('alice')
  const alice = await hub.token('alice')
  const bob = await hub.enter('bob')
  const token = await hub.token('bob')
  assert.equal((await hub.api(alice, 'POST', '/shares/alice/', { user: 'bob' })).status, 200)
  const { accept_url: link } = (await hub.api(alice, 'POST', '/share-codes/alice/', {})).json
  const visit = await tokenFor(bob, env)
  const named = await hub.token('bob', ['access:servers!server=alice/'])
  const late = (await codeFor(bob, env)).get('code')!
  await hub.api(alice, 'DELETE', '/users/alice/server')
  await until(async () => (await hub.api(root, 'GET', '/users/alice')).json.server === null)
  assert.equal((await hub.api(root, 'PATCH', '/users/alice', { name: 'former' })).status, 200)
  const next = await hub.notebook('alice')

  const check = async (when: string) => {
    assert.equal((await bob.ask(authorizeAddress(next.env))).status, 403, when)
    for (const one of [token, visit, named]) {
      const { status, json } = await hub.api(one, 'GET', '/user')
      assert.doesNotMatch(JSON.stringify(json.scopes ?? []), /=alice/, when)
      assert.ok(one !== visit || status === 403 || json.name === 'bob', when)
      assert.ok([403, 404].includes((await hub.api(one, 'GET', '/users/alice/server')).status), when)
    }
    assert.notEqual((await exchange(next.env, late)).status, 200, when)
    // It is the former's still.
    assert.ok((await hub.api(token, 'GET', '/user')).json.scopes.includes('access:servers!server=former/'), when)
    assert.equal((await bob.open('/hub/user/former/lab')).reply.status, 424, when)
  }
  await check('at once')
  await hub.killHub()
  await check('after a kill')
  await hub.api(root, 'DELETE', '/users/alice/server')
  await until(async () => (await hub.api(root, 'GET', '/users/alice')).json.server === null)
  assert.equal((await bob.ask('/hub/user/alice/lab')).status, 404, 'as if there were none')
  assert.match((await bob.open(link)).text, /Invitation from former/, 'the link, too, is to the server that it was made for')

  // Taken back: out at the next request, and after a kill.
  assert.equal((await hub.api(alice, 'DELETE', '/shares/former/')).status, 204)
  for (const when of ['at once', 'after a kill']) {
    if (when !== 'at once') await hub.killHub()
    assert.equal((await bob.ask('/hub/user/former/lab')).status, 404, when)
    assert.ok(!(await hub.api(token, 'GET', '/user')).json.scopes.includes('access:servers!server=former/'), when)
  }
})

test('an invitation leads to its server or to a page of this host, whatever next says, and says nothing of it as markup', async t => {
  const hub = await sharingHub(t)
  const host = new URL(hub.origin).host
  const alice = await hub.token('alice')
  const { accept_url: link } = (await hub.api(alice, 'POST', '/share-codes/alice/', {})).json
  const bob = await hub.enter('bob')
  const evil = [
    ...['//evil', '///evil', '/\\evil', '\\\\evil', 'http:evil', 'https://evil', 'ftp://evil', `http://${host}//evil/`],
    ...[`//${host}////evil/`, `http://${host}@evil/`, `http://${host}.evil/`, `http://evil/${host}/`, '/%09/evil', '/\t/evil'],
    ...['/%0d%0aX:1', 'javascript:alert(1)', 'relative/x', '/'.repeat(8000), '/hub/"><img src=x onerror=1>'],
  ]
  const accept = async (query: string, fields: Record<string, string>) => {
    const code = new URL(link, hub.origin).searchParams.get('code')!
    const body = new URLSearchParams({ _xsrf: await bob.xsrf(), code, ...fields })
    return bob.ask(`/hub/accept-share${query}`, { method: 'POST', body })
  }
  for (const next of evil) {
    const query = `next=${encodeURIComponent(next)}`
    const shown = await bob.open(`${link}&${query}`)
    assert.equal(shown.reply.status, 200, next.slice(0, 80))
    assert.doesNotMatch(shown.text, /<img src=x|href="javascript|value="(?!\/(?![/\\]))[^"]*evil/, next.slice(0, 80))
    for (const answer of [await accept('', { next }), await accept(`?${query}`, {})]) {
      assert.equal(answer.status, 303, next.slice(0, 80))
      const location = answer.headers.get('location')!
      assert.match(location, /^\/(?![/\\])[\x21-\x7e]*$/, next.slice(0, 80))
      assert.equal(new URL(location, hub.origin).origin, hub.origin, next.slice(0, 80))
    }
  }
  assert.equal((await accept('', { next: '/has?repo=https://host.git' })).headers.get('location'), '/has?repo=https://host.git')
  assert.equal((await accept('', {})).headers.get('location'), '/user/alice/')
})
