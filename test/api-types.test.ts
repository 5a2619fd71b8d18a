import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'

/** The lines at which the compiler refuses this text. */
async function refusedLines(t: TestContext, text: string): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-types-'))
  t.after(() => rm(folder, { recursive: true }))
  const project = {
    extends: resolve('tsconfig.json'),
    compilerOptions: { rootDir: '/', typeRoots: [resolve('node_modules/@types')] },
    files: ['api.ts'],
    include: [],
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project))
  await writeFile(join(folder, 'api.ts'), text)
  const output = await new Promise<string>(done => {
    execFile(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', folder, '--pretty', 'false'], (_, stdout) =>
      done(stdout),
    )
  })
  return output
    .trim()
    .split('\n')
    .filter(line => /^\S/.test(line))
    .map(line => {
      const [, at] = line.match(/api\.ts\((\d+),\d+\): error TS\d+: /) ?? []
      assert.ok(at, line)
      return Number(at)
    })
}

const expectation = /^ *\/\/ @ts-expect-error: .*$/

test('what the API must refuse is refused by the compiler, each at its line', async t => {
  const text = await readFile('test/api-types.ts', 'utf8')
  const lines = text.split('\n')
  const expected = lines.flatMap((line, index) => (expectation.test(line) ? [index + 2] : []))
  assert.ok(expected.length > 20)
  const bare = lines.map(line => line.replace(expectation, '')).join('\n')
  assert.deepEqual(await refusedLines(t, text), [], 'as it is it compiles')
  assert.deepEqual([...new Set(await refusedLines(t, bare))], expected)
})
