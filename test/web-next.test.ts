import assert from 'node:assert/strict'
import { test } from 'node:test'
import { safeNext } from '../core/web/next.ts'

const host = 'hub.test:8000'

const elsewhere = [
  '//evil',
  '///evil',
  '////evil',
  '\\\\evil',
  'http:evil',
  'http:/evil',
  'https://evil',
  'ftp://evil',
  'ftp://hub.test:8000/',
  'http://hub.test:8000@evil/',
  'http://hub.test:8000.evil/',
  'http://user@hub.test:8000/',
  'http://evil/hub.test:8000/',
  'http://hub.test/',
  '/\t/evil',
  '/\n/evil',
  '/a\r\nSet-Cookie: x=1',
  'javascript:alert(1)',
  'data:text/html,x',
  'relative/x',
  '?only=query',
  '',
  ' //evil',
  '/\ud800',
  '//',
  `/${'/'.repeat(8192)}`,
  `/${'a'.repeat(20_000)}`,
]
for (const next of elsewhere)
  test(`next is dropped: ${JSON.stringify(next).slice(0, 40)}`, () => assert.equal(safeNext(next, host), undefined))

const here: [string, string][] = [
  ['/has?repo=https://host.git', '/has?repo=https://host.git'],
  ['/a#b', '/a#b'],
  ['/user/alice/lab?a=1&b=2', '/user/alice/lab?a=1&b=2'],
  ['/\\evil', '/%5Cevil'],
  ['/%09/evil', '/%09/evil'],
  ['/%0d%0aX:1', '/%0d%0aX:1'],
  ['http://hub.test:8000/x?y#z', '/x?y#z'],
  ['https://hub.test:8000/x', '/x'],
  ['//hub.test:8000/x', '/x'],
  ['http://hub.test:8000//evil/', '/evil/'],
  ['//hub.test:8000////evil/', '/evil/'],
  ['///hub.test:8000/x', '/x'],
  ['/user/bob@x.org/é a', '/user/bob@x.org/%C3%A9%20a'],
  ['/hub/"><img src=x onerror=1>', '/hub/"><img%20src=x%20onerror=1>'],
]
for (const [next, path] of here)
  test(`next stays on the host: ${next}`, () => {
    assert.equal(safeNext(next, host), path)
    const url = new URL(path, 'https://here.test')
    assert.equal(url.host, 'here.test')
  })

test('without a known host only paths are followed', () => {
  assert.equal(safeNext('/x', undefined), '/x')
  assert.equal(safeNext('http://undefined/x', undefined), undefined)
  assert.equal(safeNext('//[/x', '['), undefined)
})
