import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import type { PasswordAuthenticator } from 'swarmhub'
import { testAuthenticator } from './roles/authenticator.ts'
import { serveHttp } from './roles/loopback.ts'

/** The block of code in the README that defines this function. */
async function example(name: string): Promise<string> {
  const readme = await readFile('README.md', 'utf8')
  const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  const found = blocks.filter(code => code.includes(`export function ${name}(`))
  assert.equal(found.length, 1, `README.md has one example ${name}`)
  return found[0]!
}

/** A folder inside the package, where `swarmhub` is what a plugin writer has. */
async function folder(t: Pick<TestContext, 'after'>): Promise<string> {
  const path = join(process.cwd(), 'dist', `readme-${randomUUID()}`)
  await mkdir(path, { recursive: true })
  t.after(() => rm(path, { recursive: true }))
  return path
}

testAuthenticator('the authenticator in the README', 'password', async t => {
  const { code } = await transform(await example('webPassword'), { loader: 'ts', format: 'esm' })
  const file = join(await folder(t), 'plugin.js')
  await writeFile(file, code)
  const { webPassword } = (await import(pathToFileURL(file).href)) as {
    webPassword(options: { url: string }): { authenticator: PasswordAuthenticator }
  }
  const known = { username: 'alice', password: 'opens sesame' }
  const authorization = `Basic ${Buffer.from(`${known.username}:${known.password}`).toString('base64')}`
  const { target } = await serveHttp(t, (req, res) =>
    res.writeHead(req.headers.authorization === authorization ? 200 : 401).end(),
  )
  return { authenticator: webPassword({ url: target }).authenticator, known, wrong: 'opens', stranger: 'mallory' }
})

test('the plugins in the README are sound in their types, and an authenticator takes no more than 25 lines', async t => {
  const path = await folder(t)
  const names = ['course', 'webPassword']
  for (const name of names) await writeFile(join(path, `${name}.ts`), await example(name))
  const config = {
    extends: '../../tsconfig.json',
    files: names.map(name => `${name}.ts`),
    include: [],
    compilerOptions: { noEmit: true },
  }
  await writeFile(join(path, 'tsconfig.json'), JSON.stringify(config))
  await promisify(execFile)('node_modules/.bin/tsc', ['-p', path]).catch(error => assert.fail(error.stdout || error))
  assert.ok((await example('webPassword')).trimEnd().split('\n').length <= 25)
})
