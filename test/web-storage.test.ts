import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { HubError, type Plugin, type Storage } from 'swarmhub'
import { createWeb } from '../core/web/web.ts'
import { apiHub, type Given } from './api-hub.ts'

/** A mount that keeps what the test says, and measures when it is let. */
function shelf(kept: Storage[], measure: () => Promise<void> = async () => {}) {
  const erased: string[] = []
  const plugin = {
    name: 'homes',
    mount: {
      attach: () => [],
      async *inventory() {
        for (const { used, ...known } of kept) yield known
        await measure()
        yield* kept
      },
      async erase({ id }: Pick<Storage, 'id'>) {
        if (id === 'home-busy') throw new HubError('conflict', 'busy has a server. Stop it first.')
        erased.push(id)
        kept.splice(
          kept.findIndex(one => one.id === id),
          1,
        )
      },
    },
  } satisfies Plugin
  return { plugin, erased }
}

const home = (owner: string, used?: number): Storage => {
  return { id: `home-${owner}`, owner, where: `node1:${owner}`, ...(used !== undefined && { used }), lastUse: new Date() }
}

/** A hub with the users root (an admin), alice, bob and busy, of whom alice and bob are in the class that tina teaches. */
async function storageHub(t: TestContext, plugin: Plugin & Required<Pick<Plugin, 'mount'>>, scopes: string[] = []) {
  const roles: Given['roles'] = [{ name: 'teacher', scopes: ['admin-ui', ...scopes], users: ['tina'] }]
  const hub = await apiHub(t, { mounts: [plugin], roles })
  for (const name of ['root', 'tina', 'alice', 'bob', 'busy']) await hub.person(name, { admin: name === 'root' })
  for (const name of ['alice', 'bob']) await hub.core.users.groups.set(hub.core.users.get(name)!.id, ['class'])
  const app = createWeb(hub.core)
  const browse = async (name: string) => {
    const { Cookie, xsrf } = await hub.browser(name)
    const ask = async (path: string, init: RequestInit = {}) => {
      const reply = await app.request(`/hub/admin/${path}`, { ...init, headers: { Cookie, Host: 'hub.test' } })
      return { status: reply.status, text: await reply.text() }
    }
    return {
      get: ask,
      post: (path: string, fields: Record<string, string>) =>
        ask(path, { method: 'POST', body: new URLSearchParams({ ...fields, _xsrf: xsrf }) }),
    }
  }
  const trail = async () => {
    await hub.core.audit.flush()
    return (await hub.core.audit.read({ action: 'storage.erase' }, 0, 10)).entries
  }
  return { ...hub, browse, trail }
}

test('the page tells who keeps what where, the largest first, and whose owner is gone', async t => {
  const { plugin } = shelf([home('alice', 5_000), home('bob', 3 * 2 ** 30), home('ghost')])
  const { browse } = await storageHub(t, plugin)
  const { status, text } = await (await browse('root')).get('storage')
  assert.equal(status, 200)
  assert.ok(text.indexOf('3.0 GB') < text.indexOf('4.9 KB') && text.indexOf('4.9 KB') < text.indexOf('Not measured'))
  assert.match(text, /row">bob<.*row">alice<.*row">ghost \(deleted\)</s)
  assert.match(text, /node1:alice.*Just now/s)
  assert.match(text, /aria-current="page">Storage</)
  const found = (await (await browse('root')).get('storage?q=ALI')).text
  assert.match(found, /alice/)
  assert.doesNotMatch(found, /bob/)
})

test('the page does not wait for sizes that take long, and has them later', async t => {
  let let_: () => void = () => {}
  const measured = new Promise<void>(resolve => (let_ = resolve))
  const { plugin } = shelf([home('alice', 5_000)], () => measured)
  const { browse } = await storageHub(t, plugin)
  const root = await browse('root')
  const early = (await root.get('storage')).text
  assert.match(early, /alice.*Not measured/s)
  assert.match(early, /More is being measured/)
  let_()
  const late = (await root.get('storage')).text
  assert.match(late, /4\.9 KB/)
  assert.doesNotMatch(late, /More is being measured/)
})

test('a plugin that fails is named, and what it told before stays', async t => {
  const { plugin } = shelf([home('alice')], async () => {
    throw new Error('broken')
  })
  const { browse } = await storageHub(t, plugin)
  const { text } = await (await browse('root')).get('storage')
  assert.match(text, /node1:alice/)
  assert.match(text, /What homes keeps is not known as a whole/)
})

test('nothing is erased but by its name typed exactly; then it is gone, and in the trail', async t => {
  const { plugin, erased } = shelf([home('alice', 5_000), home('busy')])
  const { browse, trail } = await storageHub(t, plugin)
  const root = await browse('root')
  const form = (await root.get('storage?plugin=homes&id=home-alice')).text
  assert.match(form, /Erase what alice keeps/)
  const of = (id: string, confirm: string) => root.post('storage/erase', { plugin: 'homes', id, confirm })
  for (const confirm of ['', 'alice', 'HOME-ALICE', 'home-alice '])
    assert.equal((await of('home-alice', confirm)).status, 400, confirm)
  assert.deepEqual([erased, await trail()], [[], []])
  assert.equal((await of('home-alice', 'home-alice')).status, 303)
  assert.deepEqual(erased, ['home-alice'])
  assert.doesNotMatch((await root.get('storage')).text, /home-alice/)
  const busy = await of('home-busy', 'home-busy')
  assert.equal(busy.status, 400)
  assert.match(busy.text, /It was not erased\. busy has a server/)
  const lines = (await trail()).map(({ actor, target, result, details }) => [actor?.name, target.user, result, details.id])
  assert.deepEqual(lines, [
    ['root', 'busy', 'failed', 'home-busy'],
    ['root', 'alice', 'success', 'home-alice'],
  ])
  assert.equal((await of('home-alice', 'home-alice')).status, 404, 'twice')
  assert.equal((await root.post('storage/erase', { plugin: '__proto__', id: 'x', confirm: 'x' })).status, 404)
})

test('who has a right over some sees and erases theirs alone, and never an admin’s or nobody’s', async t => {
  const { plugin, erased } = shelf(['alice', 'bob', 'busy', 'root', 'ghost'].map(name => home(name)))
  const { browse } = await storageHub(t, plugin, ['admin:users!group=class'])
  const tina = await browse('tina')
  const { text } = await tina.get('storage')
  assert.match(text, /home-alice/)
  assert.match(text, /node1:bob/)
  for (const hidden of ['busy', 'ghost', 'root']) assert.doesNotMatch(text, new RegExp(`node1:${hidden}`), hidden)
  const erase = (id: string) => tina.post('storage/erase', { plugin: 'homes', id, confirm: id })
  assert.equal((await erase('home-alice')).status, 303)
  for (const name of ['busy', 'root', 'ghost']) assert.equal((await erase(`home-${name}`)).status, 404, name)
  assert.deepEqual(erased, ['home-alice'])
  assert.equal((await (await browse('alice')).get('storage')).status, 403)
})

test('over all users, but no admin: an admin’s and nobody’s stay', async t => {
  const { plugin, erased } = shelf(['root', 'ghost'].map(name => home(name)))
  const { browse } = await storageHub(t, plugin, ['admin:users'])
  const tina = await browse('tina')
  const { text } = await tina.get('storage')
  assert.match(text, /node1:ghost/)
  assert.doesNotMatch(text, /Erase…/)
  for (const name of ['root', 'ghost'])
    assert.equal((await tina.post('storage/erase', { plugin: 'homes', id: `home-${name}`, confirm: `home-${name}` })).status, 403)
  assert.deepEqual(erased, [])
})
