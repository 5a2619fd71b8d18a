import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientId, escapeSegment, isServerName, normalizeUsername, serverName, serverPath, slug } from '../core/names.ts'

const odd = [
  'bob@x.org',
  'first.last',
  'a+b',
  'Alice',
  'x'.repeat(200),
  '__proto__',
  'constructor',
  'é',
  '名前',
  '1st',
  '-',
  'a b',
  'a_b',
  'a--b',
  'a-',
  '😀',
]

test('a safe name stays as it is', () => {
  for (const name of ['alice', 'a', 'a-b-c', 'student01', 'x'.repeat(32)]) assert.equal(slug(name), name)
})

test('a slug is at most 32 characters of a-z, 0-9 and "-", starts with a letter, and never holds three dashes in a row', () => {
  for (const name of odd) assert.match(slug(name), /^(?!.*---)[a-z][a-z0-9-]{0,30}[a-z0-9]$/, name)
})

test('names that look alike get different slugs', () => {
  const alike = ['a-b', 'a_b', 'a.b', 'a@b', 'a--b', 'a b', 'A-B', 'a-b ', 'a+b', 'ab']
  assert.equal(new Set(alike.map(name => slug(name))).size, alike.length)
  const long = ['anna.smith@student.example-university.org', 'joanna.smith@student.example-university.org']
  assert.notEqual(slug(long[0]!), slug(long[1]!))
  assert.notEqual(slug(`${'x'.repeat(190)}1`), slug(`${'x'.repeat(190)}2`))
})

test('no two pairs of user and server share a service name, also where naive joining would', () => {
  const pairs: [string, string][] = [
    ['a-b', 'c'],
    ['a', 'b-c'],
    ['a-b', ''],
    ['a', 'b'],
    ['a', 'b--c'],
    ['a--b', 'c'],
    ['a', ''],
    ['a---b', ''],
    ...odd.flatMap(name => [[name, ''] as [string, string], ['u', name] as [string, string], [name, name] as [string, string]]),
  ]
  const names = pairs.map(([user, server]) => serverName(slug(user), server))
  assert.equal(new Set(names).size, pairs.length)
  for (const name of names) assert.match(name, /^[a-z][a-z0-9-]{0,59}$/)
})

test('a hundred thousand random pairs share no service name', () => {
  const letters = 'ab-.@A'
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return Math.floor((seed / 2147483648) * below)
  }
  const word = () => Array.from({ length: 1 + random(4) }, () => letters[random(letters.length)]).join('')
  const seen = new Map<string, string>()
  for (let i = 0; i < 100_000; i++) {
    const [user, server] = [word(), random(4) === 0 ? '' : word()]
    const name = serverName(slug(user), server)
    const pair = JSON.stringify([user, server])
    assert.equal(seen.get(name) ?? pair, pair)
    seen.set(name, pair)
  }
})

test('paths and client ids are escaped as JupyterHub escapes them', () => {
  assert.equal(serverPath('/', 'bob@x.org', ''), '/user/bob@x.org/')
  assert.equal(serverPath('/hubs/a/', 'a b', "it's (new)!"), '/hubs/a/user/a%20b/it%27s%20%28new%29%21/')
  assert.equal(escapeSegment('é~_-.'), '%C3%A9~_-.')
  assert.equal(clientId('bob@x.org', ''), 'jupyterhub-user-bob%40x.org')
  assert.equal(clientId('a', 'b c'), 'jupyterhub-user-a-b%20c')
})

test('every spelling of a name gives the same one', () => {
  for (const typed of ['Alice', 'ALICE', ' alice ', 'ａｌｉｃｅ']) assert.equal(normalizeUsername(typed), 'alice')
  assert.equal(normalizeUsername('\u212Aarl'), 'karl')
  assert.equal(normalizeUsername('Jose\u0301'), normalizeUsername('jos\u00e9'))
})

test('what can be nobody’s name is refused', () => {
  for (const typed of [
    '',
    ' ',
    '.',
    '..',
    'a/b',
    'a\\b',
    'a\0b',
    'a\nb',
    'a\u200bb',
    'a\u202eb',
    '\ud800',
    'x'.repeat(256),
    'x'.repeat(1e6),
  ]) {
    assert.equal(normalizeUsername(typed), undefined, JSON.stringify(typed.slice(0, 20)))
  }
})

test('a server name is anything that one path segment can carry', () => {
  for (const name of ['', 'lab', 'Lab 2', 'a.b', '__proto__', 'é']) assert.equal(isServerName(name), true, name)
  for (const name of ['a/b', '..', '.', ' a', 'a ', 'a\nb', 'x'.repeat(256)]) assert.equal(isServerName(name), false, name)
})
