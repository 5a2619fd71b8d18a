import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { lock } from '../core/store/lock.ts'

const folderFor = async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-lock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Another process that takes the lock: resolves once it has it. */
async function holder(t: TestContext, folder: string) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./store-holder.js', import.meta.url)), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const [line] = await once(child.stdout.setEncoding('utf8'), 'data')
  return { child, line: String(line).trim() }
}

test('two hubs never share a data folder; who is second learns the holder’s pid', async t => {
  const folder = await folderFor(t)
  const release = await lock(folder)
  await assert.rejects(lock(folder), { code: 'conflict', message: new RegExp(`pid ${process.pid} on .*${folder}`) })
  await release()
  await release()
  await (await lock(folder))()
  assert.deepEqual(await readdir(folder), [])
})

test('of many that come at the same time one at most gets in at a time, and all of them in turn', async t => {
  const folder = await folderFor(t)
  let inside = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const release = await lock(folder, { wait: 30_000 })
      most = Math.max(most, ++inside)
      await new Promise(resolve => setTimeout(resolve, 5))
      inside--
      await release()
    }),
  )
  assert.equal(most, 1)
})

test('a lock ends with its process, however that ends; what it left behind is cleared away', async t => {
  const folder = await folderFor(t)
  const { child, line } = await holder(t, folder)
  assert.equal(line, 'held')
  await assert.rejects(lock(folder), { code: 'conflict', message: new RegExp(`pid ${child.pid} `) })
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal((await readdir(folder)).length, 1)
  const release = await lock(folder)
  assert.equal((await readdir(folder)).length, 1)
  await release()
})

test('a process that is stopped still holds its lock', async t => {
  const folder = await folderFor(t)
  const { child } = await holder(t, folder)
  child.kill('SIGSTOP')
  await assert.rejects(lock(folder), { code: 'conflict' })
})

test('files that look like locks, of pids that are others’ now, keep nobody out', async t => {
  const folder = await folderFor(t)
  for (const name of [
    `lock.somewhere.${process.pid}.0123abcd`,
    'lock.somewhere.1.0123abcd',
    'lock',
    'lock.x',
    'new.lock.a.1.0123abcd',
  ])
    await writeFile(join(folder, name), String(process.pid))
  await (await lock(folder))()
})

test('who waits gets the folder when it is let go of; a signal ends the waiting', async t => {
  const folder = await folderFor(t)
  const release = await lock(folder)
  const next = lock(folder, { wait: 20_000 })
  const control = new AbortController()
  const given = lock(folder, { wait: 20_000, signal: control.signal })
  control.abort(new Error('enough'))
  await assert.rejects(given, error => (error as Error).name === 'AbortError' || (error as Error).message === 'enough')
  await release()
  await (await next)()
})

test('a data folder may have a path longer than a socket’s', async t => {
  const folder = join(await folderFor(t), 'a'.repeat(100), 'b'.repeat(100))
  await mkdir(folder, { recursive: true })
  const release = await lock(folder)
  await assert.rejects(lock(folder), { code: 'conflict' })
  await release()
})
