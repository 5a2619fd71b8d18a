import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

/** How many things there are that JupyterHub's clients fail at silently. */
const count = 55

/** Those that cannot apply to this hub: by number, why. */
const argued = new Map<number, string>([])

test('each of the traps has a test whose title begins with its number, or a reason why it cannot have one', async () => {
  const found = new Set(argued.keys())
  for (const file of await readdir('test')) {
    if (!file.endsWith('.test.ts')) continue
    const text = await readFile(`test/${file}`, 'utf8')
    for (const [, number] of text.matchAll(/^test\('trap (\d\d): \S/gm)) found.add(Number(number))
  }
  const all = Array.from({ length: count }, (_, i) => i + 1)
  assert.deepEqual(
    [...found].sort((a, b) => a - b),
    all,
  )
})
