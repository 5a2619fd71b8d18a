import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const config = `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true },
  spawner: process({ install: false }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
})
`

test('a state file that cannot be right: the hub refuses to start, names file and reason, and leaves the file as it is', async t => {
  const hub = await startHub(t, config)
  await hub.healthy()
  await visitor(hub.origin).signIn('alice', 'a good password')
  assert.equal(await hub.end(), 0)
  const users = join(hub.folder, 'data/users')
  const ofAlice = join(users, (await readdir(users))[0]!)
  const whole = await readFile(ofAlice, 'utf8')
  assert.equal((await stat(ofAlice)).mode & 0o777, 0o600)

  for (const file of [ofAlice, join(hub.folder, 'data/hub.json')]) {
    const good = await readFile(file, 'utf8')
    const bad = {
      truncated: good.slice(0, good.length / 2),
      empty: '',
      null: 'null',
      list: '[]',
      newer: JSON.stringify({ ...JSON.parse(good), version: 99 }),
    }
    for (const [what, text] of Object.entries(bad)) {
      await t.test(`${what} ${file === ofAlice ? 'user' : 'hub'} file`, async () => {
        await writeFile(file, text)
        const { code, output } = await hub.run('start')
        assert.notEqual(code, 0)
        assert.ok(output.includes(file), output)
        assert.match(output, what === 'newer' ? /newer|version/i : /./)
        assert.doesNotMatch(output, /^\s+at /m, 'no stack')
        assert.equal(await readFile(file, 'utf8'), text)
        await writeFile(file, good)
      })
    }
  }
  assert.equal(await readFile(ofAlice, 'utf8'), whole)
})
