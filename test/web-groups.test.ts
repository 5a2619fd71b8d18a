import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createWeb } from '../core/web/web.ts'
import { apiHub, type Given } from './api-hub.ts'

/** The pages of a whole hub, and browsers that are signed in to it: the administrator root, and alice. */
async function groupsHub(t: TestContext, given: Given = {}) {
  const hub = await apiHub(t, given)
  for (const [name, admin] of [
    ['root', true],
    ['alice', false],
    ['bob', false],
  ] as const)
    await hub.person(name, { admin })
  const app = createWeb(hub.core)
  const browse = async (name: string) => {
    const { Cookie, xsrf } = await hub.browser(name)
    const headers = { Cookie, Host: 'hub.test' }
    const read = async (reply: Response) => ({
      status: reply.status,
      location: reply.headers.get('location'),
      text: await reply.text(),
    })
    return {
      get: async (path: string) => read(await app.request(`/hub/admin${path && `/${path}`}`, { headers })),
      post: async (path: string, fields: Record<string, string> | [string, string][] = {}, _xsrf = xsrf) => {
        const body = new URLSearchParams([...(Array.isArray(fields) ? fields : Object.entries(fields)), ['_xsrf', _xsrf]])
        return read(await app.request(`/hub/admin/${path}`, { method: 'POST', headers, body }))
      },
    }
  }
  const members = (group: string) => hub.core.users.groups.get(group)?.users.map(id => hub.core.users.byId(id)?.name)
  return { ...hub, browse, members, groups: hub.core.users.groups, root: await browse('root'), alice: await browse('alice') }
}

test('web groups: the pages are for who holds admin-ui, and show the groups that they may see', async t => {
  const { alice, root, groups, browse, person } = await groupsHub(t, {
    roles: [
      { name: 'tutor', scopes: ['admin-ui', 'groups!group=class'], users: ['tutor'] },
      { name: 'lister', scopes: ['admin-ui', 'list:groups!group=class'], users: ['lister'] },
    ],
  })
  await groups.create(['class', 'other'])
  for (const path of ['groups', 'groups/class', 'groups/none']) assert.equal((await alice.get(path)).status, 403, path)
  assert.match((await root.get('')).text, /Users and servers/)
  assert.match((await root.get('')).text, /href="\/hub\/admin\/groups"/)
  const all = await root.get('groups')
  assert.match(all.text, /href="\/hub\/admin\/groups\/class"/)
  assert.match(all.text, /href="\/hub\/admin\/groups\/other"/)

  await person('tutor')
  const tutor = await browse('tutor')
  const some = await tutor.get('groups')
  assert.match(some.text, /href="\/hub\/admin\/groups\/class"/)
  assert.doesNotMatch(some.text, /other|Add a group/)
  assert.equal((await tutor.get('groups/class')).status, 200)
  assert.doesNotMatch((await tutor.get('groups/class')).text, /Delete the group/)
  assert.equal((await tutor.get('groups/other')).status, 404)
  assert.equal((await tutor.get('groups/none')).status, 404)
  for (const action of ['add', 'remove', 'properties', 'delete'])
    assert.ok([403, 404].includes((await tutor.post(`groups/other/${action}`, { names: 'alice' })).status), action)
  assert.equal((await tutor.post('groups', { name: 'new' })).status, 403)
  assert.equal((await tutor.post('groups/class/delete', { confirm: 'class' })).status, 403)
  assert.ok(groups.get('class') && groups.get('other'))
  const lister = await browse('lister')
  assert.doesNotMatch((await lister.get('groups')).text, /href="\/hub\/admin\/groups\/class"/)
})

test('web groups: one is made with its members, listed with their count, found, and deleted by its name typed', async t => {
  const { root, members, groups } = await groupsHub(t)
  const name = 'a <b>/ü'
  const place = '/hub/admin/groups/a%20%3Cb%3E%2F%C3%BC'
  const made = await root.post('groups', { name: ` ${name} `, names: 'alice\r\n\n bob \nalice' })
  assert.deepEqual([made.status, made.location], [303, place])
  assert.deepEqual(members(name), ['alice', 'bob'])
  await groups.create(Array.from({ length: 60 }, (_, i) => `g${i}`))
  assert.match((await root.get('groups')).text, /61 groups/)
  assert.match((await root.get('groups?page=2')).text, /Page 2 of 2/)
  const found = await root.get('groups?q=%3CB%3E')
  assert.match(found.text, /1 group</)
  assert.match(found.text, /a &lt;b&gt;\/ü<\/a><\/th><td data-label="Members">2</)
  assert.equal((await root.post('groups/a%20%3Cb%3E%2F%C3%BC/delete', { confirm: 'a' })).status, 400)
  assert.ok(groups.get(name))
  const gone = await root.post('groups/a%20%3Cb%3E%2F%C3%BC/delete', { confirm: name })
  assert.deepEqual([gone.status, gone.location, groups.get(name)], [303, '/hub/admin/groups', undefined])
})

test('web groups: what cannot be is said beside what was typed, and nothing is changed', async t => {
  const { root, groups, members } = await groupsHub(t)
  await groups.create(['class'])
  const twice = await root.post('groups', { name: 'class', names: 'alice' })
  assert.equal(twice.status, 400)
  assert.match(twice.text, /There is a group class already/)
  assert.match(twice.text, /value="class"/)
  assert.match(twice.text, />alice<\/textarea>/)
  assert.match((await root.post('groups', { name: 'new', names: 'alice\n<x>' })).text, /no user “&lt;x&gt;”/)
  assert.equal(groups.get('new'), undefined)
  assert.equal((await root.post('groups/class/add', { names: 'alice\nnobody' })).status, 400)
  assert.deepEqual(members('class'), [])
  assert.equal((await root.post('groups/class/add', { names: 'alice' }, 'forged')).status, 403)
  assert.deepEqual(members('class'), [])
})

test('web groups: members come and go by name', async t => {
  const { root, members, groups } = await groupsHub(t)
  await groups.create(['class'])
  assert.equal((await root.post('groups/class/add', { names: 'alice\nbob' })).status, 303)
  const page = await root.get('groups/class')
  assert.match(page.text, /2 members/)
  assert.match(page.text, /aria-label="Remove alice"/)
  assert.match((await root.get('groups/class?q=BO')).text, /1 member</)
  assert.equal((await root.post('groups/class/remove', { user: 'alice', q: 'a' })).location, '/hub/admin/groups/class?q=a')
  assert.deepEqual(members('class'), ['bob'])
  assert.equal((await root.post('groups/class/remove', { user: 'nobody' })).status, 400)
})

test('web groups: properties are rows of name and value; every value comes back as it was', async t => {
  const { root, groups } = await groupsHub(t)
  await groups.create(['class'])
  const values = { text: 'plain', number: 5, digits: '5', list: [1, 'a'], none: null, yes: true, quoted: '"q"', 'a b': '' }
  await groups.setProperties('class', values)
  const rows = (text: string) =>
    [...text.matchAll(/name="(key|value)" value="([^"]*)"/g)].map(
      ([, name, value]) => [name!, value!.replaceAll('&quot;', '"').replaceAll('&amp;', '&')] as [string, string],
    )
  const sent = rows((await root.get('groups/class')).text)
  assert.equal(sent.length, 2 * (Object.keys(values).length + 2))
  assert.equal((await root.post('groups/class/properties', sent)).status, 303)
  assert.deepEqual(groups.get('class')?.properties, values)
  const twice: [string, string][] = [
    ['key', 'a'],
    ['value', '1'],
    ['key', 'a'],
    ['value', '2'],
  ]
  assert.equal((await root.post('groups/class/properties', twice)).status, 400)
  assert.deepEqual(groups.get('class')?.properties, values)
  await root.post('groups/class/properties', twice.slice(0, 2))
  assert.deepEqual(groups.get('class')?.properties, { a: 1 })
})

test('web groups: a page gives by a membership no more than its visitor has', async t => {
  const { browse, members, root, person } = await groupsHub(t, {
    roles: [
      { name: 'clerk', scopes: ['admin-ui', 'admin:groups'], users: ['clerk'] },
      { name: 'operator', scopes: ['admin:servers'], groups: ['operators'] },
      { name: 'admin', groups: ['wheel'] },
    ],
  })
  await person('clerk')
  const clerk = await browse('clerk')
  assert.match((await root.get('groups/operators')).text, /roles operator/)
  for (const group of ['operators', 'wheel']) {
    assert.equal((await clerk.post(`groups/${group}/add`, { names: 'clerk' })).status, 403, group)
    assert.deepEqual(members(group), [])
  }
  assert.equal((await clerk.post('groups/wheel/delete', { confirm: 'wheel' })).status, 403)
  assert.equal((await root.post('groups/wheel/add', { names: 'clerk' })).status, 303)
  assert.equal((await clerk.post('groups', { name: 'mine', names: 'clerk' })).status, 303)
})

test('web groups: each member is shown with who put them there', async t => {
  const { root, groups, core } = await groupsHub(t)
  const idOf = (name: string) => core.users.get(name)!.id
  await groups.create(['class'], [idOf('alice')])
  await groups.tell(idOf('bob'), ['class'], 'ldap')
  const { text } = await root.get('groups/class')
  assert.match(text, /alice<\/th><td data-label="Source">by hand</)
  assert.match(text, /bob<\/th><td data-label="Source">ldap</)
})
