import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../core/config/load.ts'
import { child, folder, head, refusal, setEnv } from './written-config.ts'

test('a syntax error is told with its place', async t => {
  assert.equal(
    await refusal(t, `export default defineConfig({ spawner: 'ü' swarm() })`),
    'hub.config.ts:3:44 Expected "}" but found "swarm"',
  )
})

test('a file beside the config is named in errors too', async t => {
  const cwd = await folder(t, { 'hub.config.ts': `import './deep/more.ts'\nexport default 1`, 'deep/more.ts': '\n  const a = ;' })
  await assert.rejects(loadConfig({ cwd }), { message: 'deep/more.ts:2:13 Unexpected ";"' })
})

test('a config that throws is told with the place of the throw', async t => {
  assert.equal(await refusal(t, `const n = 1\n  throw new Error('no luck')`), 'hub.config.ts:4:9 no luck')
  assert.equal(
    await refusal(
      t,
      `const rows: string[] | undefined = undefined\nexport default defineConfig(() => {\n  return rows!.map(row => row)\n})`,
    ),
    `hub.config.ts:5:16 TypeError: Cannot read properties of undefined (reading 'map')`,
  )
  assert.equal(
    await refusal(t, `export default defineConfig(async () => {\n  await null\n  throw new RangeError('too far')\n})`),
    'hub.config.ts:5:9 RangeError: too far',
  )
  assert.equal(await refusal(t, `throw 'a text'`), 'hub.config.ts:1:1 throws a text')
})

test('what a config starts and does not wait for is told with its place too', async t => {
  const wait = 'await new Promise(done => setTimeout(done, 1000))'
  const cwd = await folder(t, {
    'a/hub.config.ts': `process.nextTick(() => {\n  throw new Error('late')\n})\n${wait}`,
    'b/hub.config.ts': `const lost = Promise.reject(new Error('lost'))\n${wait}\nexport default typeof lost`,
  })
  assert.deepEqual(await child(join(cwd, 'a')), { code: 1, stdout: '', stderr: 'hub.config.ts:2:9 late\n' })
  assert.deepEqual(await child(join(cwd, 'b')), { code: 1, stdout: '', stderr: 'hub.config.ts:1:29 lost\n' })
})

test('a plugin that throws is told with its place in the config', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `${head}import { strict } from 'strict'
export default defineConfig({
  ...rest,
  plugins: [
    strict(),
  ],
})`,
    'node_modules/strict/package.json': '{ "type": "module", "exports": "./index.js" }',
    'node_modules/strict/index.js': 'export function strict() { throw new Error("not today") }',
  })
  await assert.rejects(loadConfig({ cwd }), { message: 'hub.config.ts:7:5 plugins[0]: not today' })
})

test('a config that never settles is told with the place where it waits', async t => {
  assert.equal(
    await refusal(t, `const a = await 1\nexport default await new Promise(() => {})`, { limit: 200 }),
    'hub.config.ts:3:11 is still waiting after 0.2 s: what is awaited here never settles',
  )
  assert.equal(
    await refusal(t, `export default defineConfig(async () => {\n  const a = await new Promise(() => {})\n  return rest\n})`, {
      limit: 200,
    }),
    'hub.config.ts:4:13 is still waiting after 0.2 s: what is awaited here never settles',
  )
})

test('a config that waits with nothing left to do does not end the process silently', async t => {
  const cwd = await folder(t, { 'hub.config.ts': 'await new Promise(() => {})\nexport default 1' })
  assert.deepEqual(await child(cwd, { limit: 200 }), {
    code: 1,
    stdout: '',
    stderr: 'hub.config.ts:1:1 is still waiting after 0.2 s: what is awaited here never settles\n',
  })
})

test('a config with an endless loop ends the process with a message', async t => {
  const cwd = await folder(t, { 'hub.config.ts': 'let n = 0\nwhile (true) n++\nexport default n' })
  assert.deepEqual(await child(cwd, { limit: 200 }), {
    code: 'SIGKILL',
    stdout: '',
    stderr: `${join(cwd, 'hub.config.ts')} is still busy after 0.2 s: it has a loop that never ends\n`,
  })
})

test('a config without a default export says what to write', async t => {
  const message = 'there is no default export: write "export default defineConfig({ … })"'
  assert.equal(await refusal(t, `export const config = defineConfig(rest)`), `hub.config.ts:1:1 ${message}`)
  const cwd = await folder(t, { 'hub.config.ts': '' })
  await assert.rejects(loadConfig({ cwd }), { message: `hub.config.ts:1:1 ${message}` })
})

test('a default export that is no config says so', async t => {
  assert.equal(await refusal(t, `export default 'swarm'`), 'hub.config.ts:3:16 expected an object, this is a string')
  assert.equal(await refusal(t, `export default defineConfig(() => {})`), 'hub.config.ts:3:16 is missing, expected an object')
})

test('all missing secrets are told, each with its place', async t => {
  setEnv(t, { THERE: 'Sign in here', LOST_FILE: '/nowhere/secret' })
  assert.equal(
    await refusal(
      t,
      `const secret = env('FIRST')
export default defineConfig(({ env: e }) => ({
  ...rest,
  authenticators: [ask({ label: env('THERE'), secret: e('SECOND') })],
  branding: { name: \`the \${env('THIRD')}\`, logo: secret, more: env('LOST') },
}))`,
    ),
    [
      'hub.config.ts:3:16 branding.logo: FIRST is not set. Set FIRST, or FIRST_FILE to the path of a file that holds it.',
      'hub.config.ts:6:55 authenticators[0].secret: SECOND is not set. Set SECOND, or SECOND_FILE to the path of a file that holds it.',
      'hub.config.ts:7:28 branding.name: THIRD is not set. Set THIRD, or THIRD_FILE to the path of a file that holds it.',
      `hub.config.ts:7:64 branding.more: LOST_FILE names a file that cannot be read: ENOENT: no such file or directory, open '/nowhere/secret'`,
    ].join('\n'),
  )
})

test('no message holds a secret', async t => {
  setEnv(t, { PASSWORD: 'hunter2-hunter2', NUMBER: '123456' })
  const told = [
    await refusal(t, `JSON.parse(env('PASSWORD'))`),
    await refusal(t, `throw new Error(\`cannot use \${env('PASSWORD')}\`)`),
    await refusal(
      t,
      `swarm({ memory: env('PASSWORD'), level: env('PASSWORD'), every: env('NUMBER'), labels: { a: Number(env('NUMBER')) } })`,
    ),
    await refusal(
      t,
      `export default defineConfig({ ...rest, url: env('PASSWORD'), access: env('PASSWORD'), log: { level: env('NUMBER') } })`,
    ),
  ].join('\n')
  assert.equal(
    told,
    `hub.config.ts:3:6 SyntaxError: Unexpected token 'h', "***" is not valid JSON
hub.config.ts:3:7 cannot use ***
hub.config.ts:3:9 swarm.memory: expected a size such as "512M" or "4G", or a whole number of bytes
hub.config.ts:3:34 swarm.level: expected one of "low", "high"
hub.config.ts:3:58 swarm.every: expected a duration such as "30s", "5m", "1h" or "14d"
hub.config.ts:3:90 swarm.labels.a: expected a string, this is a number
hub.config.ts:3:40 url: expected a URL, such as "https://hub.example.org"
hub.config.ts:3:62 access: expected an object, this is a string
hub.config.ts:3:94 log.level: expected one of "debug", "info", "warn", "error"`,
  )
})

test('an unknown key is told with its path, its place and the nearest right one, at any depth', async t => {
  assert.equal(
    await refusal(
      t,
      `export default defineConfig({
  ...rest,
  spawner: swarm({
    memmory: '4G',
  }),
})`,
    ),
    'hub.config.ts:6:5 spawner.memmory: unknown key, did you mean "memory"?',
  )
  assert.equal(
    await refusal(
      t,
      `const storage = { path: '/exports', optoins: 1 }
export default defineConfig({
  ...rest,
  mounts: [
    nfs({ target: '/a', path: '/a' }),
    nfs({ target: '/b', ...storage, options: { version: 4, hosts: [{ host: 'a' }, { 'hosst': 'b', prot: 1 }] } }),
  ],
})`,
    ),
    [
      'hub.config.ts:3:37 mounts[1].optoins: unknown key, did you mean "options"?',
      'hub.config.ts:8:83 mounts[1].options.hosts[1].host: is missing, expected a string',
      'hub.config.ts:8:85 mounts[1].options.hosts[1].hosst: unknown key, did you mean "host"?',
      'hub.config.ts:8:99 mounts[1].options.hosts[1].prot: unknown key, did you mean "port"?',
    ].join('\n'),
  )
})

test('every key of the core is checked, and all that is wrong is told in the order of the file', async t => {
  assert.equal(
    await refusal(
      t,
      `export default defineConfig(({ env }) => {
  const plugins = [{ name: 'a' }]
  return {
    ...rest,
    profilse: [],
    timeouts: { strat: '5m', stop: 60, hook: '5' },
    profiles: [{ name: 'Big', label: '', memory: '4 GB', placement: { constraint: [] }, env: { 'A-B': 'c' } }],
    limits: { namedServers: -1, starts: 1.5 },
    plugins,
    xyz: true,
    log: { level: 'debg' },
  }
})`,
    ),
    [
      'hub.config.ts:7:5 profilse: unknown key, did you mean "profiles"?',
      'hub.config.ts:8:17 timeouts.strat: unknown key, did you mean "start"?',
      'hub.config.ts:8:30 timeouts.stop: expected a duration such as "30s", "5m", "1h" or "14d"',
      'hub.config.ts:8:40 timeouts.hook: expected a duration such as "30s", "5m", "1h" or "14d"',
      'hub.config.ts:9:18 profiles[0].name: expected at most 32 characters of a-z, 0-9 and "-", starting with a letter',
      'hub.config.ts:9:31 profiles[0].label: must not be empty',
      'hub.config.ts:9:42 profiles[0].memory: expected a size such as "512M" or "4G", or a whole number of bytes',
      'hub.config.ts:9:71 profiles[0].placement.constraint: unknown key, did you mean "constraints"?',
      'hub.config.ts:9:96 profiles[0].env.A-B: expected the name of an environment variable',
      'hub.config.ts:10:15 limits.namedServers: expected at least 0',
      'hub.config.ts:10:33 limits.starts: expected a whole number, this is a number with a fraction',
      'hub.config.ts:12:5 xyz: unknown key, the keys here are url, base, access, roles, scopes, signIn, groups, authenticators, networks, mounts, spawner, proxy, profiles, overrides, servers, optionsForm, landing, userRedirect, services, branding, headers, limits, timeouts, authState, tokens, cookies, api, activity, extraRoutes, hub, data, plugins, audit, log',
      'hub.config.ts:13:12 log.level: expected one of "debug", "info", "warn", "error", did you mean "debug"?',
    ].join('\n'),
  )
})

test('a call outside of the config is named by its place in the config, or by the factory', async t => {
  const call = `nfs({ target: '/a', path: 5 })`
  const message = 'path: expected a string or a function, this is a number'
  for (const [text, at] of [
    [`const home = ${call}\nexport default defineConfig({ ...rest, mounts: [home] })`, '3:34 mounts[0].'],
    [`const home = ${call}\nexport default defineConfig(rest)`, '3:34 nfs.'],
    [`const home = () => ${call}\nexport default defineConfig({ ...rest, mounts: [...[], home()] })`, '3:40 mounts[0].'],
    [`const home: object[] = ${call} ? [] : []\nexport default defineConfig({ ...rest, mounts: [...home] })`, '3:44 nfs.'],
    [`export default defineConfig({ ...rest, mounts: ['/a'].map(target => ${call}).filter(Boolean) })`, '3:89 mounts.'],
    [`const all = { ...rest, mounts: [1 > 0 ? ${call} : null] }\nexport default all`, '3:61 mounts[0].'],
  ] as const) {
    assert.equal(await refusal(t, text), `hub.config.ts:${at}${message}`)
  }
})

test('a plugin in a file beside the config is told at the options that were given to it', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `${head}import { greet } from './greet.ts'\nexport default defineConfig({ ...rest, plugins: [greet({ wrods: 'hi' })] })`,
    'greet.ts': `import { parseOptions } from 'swarmhub'
import { z } from 'zod'
export function greet(given: unknown) {
  const { words } = parseOptions('greet', z.strictObject({ words: z.string() }), given)
  return { name: 'greet', health: () => words }
}`,
  })
  await assert.rejects(loadConfig({ cwd }), {
    message:
      'hub.config.ts:4:56 plugins[0].words: is missing, expected a string\nhub.config.ts:4:58 plugins[0].wrods: unknown key, did you mean "words"?',
  })
})

test('a role that is not filled by such a plugin says what is there instead', async t => {
  assert.equal(
    await refusal(
      t,
      `const { spawner, ...some } = rest
export default defineConfig({
  ...some,
  authenticators: [ask(), 'local', ask],
  networks: [nfs({ target: '/a', path: '/a' })],
  mounts: [{ attach() {} }],
  plugins: [null],
})`,
    ),
    [
      'hub.config.ts:4:16 spawner: is missing, expected a plugin that is a spawner',
      'hub.config.ts:6:27 authenticators[1]: expected a plugin that is an authenticator, this is a string',
      'hub.config.ts:6:36 authenticators[2]: expected a plugin that is an authenticator, this is a function: call it',
      'hub.config.ts:7:14 networks[0]: expected a plugin that is a network, "nfs" is none',
      'hub.config.ts:8:12 mounts[0]: expected a plugin that is a mount, this is an object without a name',
      'hub.config.ts:9:13 plugins[0]: expected a plugin, such as idleCuller(), this is null',
    ].join('\n'),
  )
  assert.equal(
    await refusal(t, `export default defineConfig({ ...rest, authenticators: [], spawner: undefined })`),
    [
      'hub.config.ts:3:40 authenticators: expected at least one authenticator, such as local()',
      'hub.config.ts:3:60 spawner: is missing, expected a plugin that is a spawner',
    ].join('\n'),
  )
})

test('a plugin with an unknown hook, an unknown key, or a part that cannot work is refused', async t => {
  assert.equal(
    await refusal(
      t,
      `const greet = () => ({
  name: 'greet',
  hooks: { 'befor:spawn': () => {}, 'after:stop': true },
  setpu() {},
})
export default defineConfig({
  ...rest,
  plugins: [
    greet(),
    { name: 'Bad Name', jobs: { tidy: { evry: 1, run() {} } }, web: {}, network: { jion() {} }, commands: { go: {} } },
    { name: 'who', authenticator: { kind: 'pasword' } },
  ],
})`,
    ),
    [
      'hub.config.ts:5:12 plugins[0].hooks["befor:spawn"]: unknown hook, did you mean "before:spawn"?',
      'hub.config.ts:5:37 plugins[0].hooks["after:stop"]: expected a function',
      'hub.config.ts:6:3 plugins[0].setpu: unknown key, did you mean "setup"?',
      'hub.config.ts:12:7 plugins[1].name: expected a name of a-z, 0-9 and "-" that starts with a letter',
      'hub.config.ts:12:33 plugins[1].jobs.tidy.every: is missing, expected a number',
      'hub.config.ts:12:41 plugins[1].jobs.tidy.evry: unknown key, did you mean "every"?',
      'hub.config.ts:12:64 plugins[1].web: expected a Hono app',
      'hub.config.ts:12:73 plugins[1].network.join: expected a function',
      'hub.config.ts:12:109 plugins[1].commands.go.summary: is missing, expected a string',
      'hub.config.ts:12:109 plugins[1].commands.go.run: expected a function',
      'hub.config.ts:13:37 plugins[2].authenticator.kind: expected one of "password", "redirect", "request"',
    ].join('\n'),
  )
})

test('two plugins of one name are refused', async t => {
  assert.equal(
    await refusal(
      t,
      `export default defineConfig({
  ...rest,
  mounts: [nfs({ target: '/a', path: '/a' }), nfs({ target: '/b', path: '/b' })],
})`,
    ),
    'hub.config.ts:5:47 mounts[1]: there is another plugin named "nfs" at mounts[0]; give one of them another name',
  )
})

test('contradictions are refused', async t => {
  assert.equal(
    await refusal(
      t,
      `export default defineConfig({
  ...rest,
  url: 'https://hub.example.org/a?b=c',
  access: { users: ['Ann', 'bob', 'a/b'], admins: ['cy'], blocked: ['ann', 'cy'] },
  profiles: [
    { name: 'a', label: 'A', memory: '1G', memoryGuarantee: '2G' },
    { name: 'a', label: 'B', cpus: 1, cpuGuarantee: 1.5 },
  ],
  branding: { logo: 'none.svg' },
})`,
    ).then(text => text.replace(/ \/\S+\/none/, ' …/none')),
    [
      'hub.config.ts:5:3 url: has a query: write the address that people open, such as "https://hub.example.org/"',
      'hub.config.ts:6:21 access.users[0]: "ann" is in access.blocked too: leave out one of them',
      `hub.config.ts:6:35 access.users[2]: can be nobody's name`,
      'hub.config.ts:6:52 access.admins[0]: "cy" is in access.blocked too: leave out one of them',
      'hub.config.ts:8:44 profiles[0].memoryGuarantee: is more than memory, the limit',
      'hub.config.ts:9:7 profiles[1].name: there is another profile named "a" at profiles[0]',
      'hub.config.ts:9:39 profiles[1].cpuGuarantee: is more than cpus, the limit',
      'hub.config.ts:11:15 branding.logo: there is no file …/none.svg',
    ].join('\n'),
  )
})

test('an import that cannot work is told with its place', async t => {
  const cwd = await folder(t, {
    'hub.config.ts': `import 'no-such-package'\nimport x from '@scope/none/sub'\nimport y from 'swarmhub/plugins/dumy'\nimport z from 'swarmhub/core'\nimport w from './none.ts'\nexport default [x, y, z, w]`,
    'names/hub.config.ts': `import { defineConfg as define } from 'swarmhub'\nimport { dumy } from 'swarmhub/plugins/dummy'\nexport default define(dumy)`,
    'broken/hub.config.ts': `import * as fs from 'node:fs'\nimport { a } from 'broken'\nexport default a(fs)`,
    'broken/node_modules/broken/package.json': '{ "type": "module", "exports": "./index.js" }',
    'broken/node_modules/broken/index.js': 'export const a = 1; throw new Error("not here")',
  })
  await assert.rejects(loadConfig({ cwd }), {
    message: [
      'hub.config.ts:1:8 cannot find the package "no-such-package". Install it beside the config: npm install no-such-package',
      'hub.config.ts:2:15 cannot find the package "@scope/none". Install it beside the config: npm install @scope/none',
      'hub.config.ts:3:15 there is no "swarmhub/plugins/dumy", did you mean "swarmhub/plugins/dummy"?',
      'hub.config.ts:4:15 there is no "swarmhub/core", import from "swarmhub", "swarmhub/plugins" or "swarmhub/plugins/<name>"',
      'hub.config.ts:5:15 Could not resolve "./none.ts"',
    ].join('\n'),
  })
  await assert.rejects(loadConfig({ cwd: join(cwd, 'names') }), {
    message: [
      'hub.config.ts:1:10 "swarmhub" has no export "defineConfg", did you mean "defineConfig"?',
      'hub.config.ts:2:10 "swarmhub/plugins/dummy" has no export "dumy", did you mean "dummy"?',
    ].join('\n'),
  })
  await assert.rejects(loadConfig({ cwd: join(cwd, 'broken') }), {
    message: 'hub.config.ts:2:10 "broken" cannot be imported: not here',
  })
})

test('everybody and only some contradict each other', async t => {
  assert.equal(
    await refusal(t, `export default defineConfig({ ...rest, access: { everyone: true, groups: ['students'], users: [] } })`),
    'hub.config.ts:3:66 access.groups: contradicts access.everyone: leave out one of them',
  )
})
