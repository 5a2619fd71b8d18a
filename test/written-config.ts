import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type LoadedConfig, type LoadOptions, loadConfig } from '../core/config/load.ts'
import { HubError } from '../core/errors.ts'

/** Plugins for configs: each as a plugin writer would make it, in a file beside the config. */
const parts = `
import { parseOptions, size, duration } from 'swarmhub'
import { z } from 'zod'
const name = z.string().default('nfs')
const swarmOptions = z.strictObject({ memory: size().optional(), labels: z.record(z.string(), z.string()).optional(), every: duration().optional(), level: z.enum(['low', 'high']).optional() })
export const ask = (given = {}) => {
  const { label } = parseOptions('ask', z.strictObject({ label: z.string().default('Sign in'), secret: z.string().optional(), servers: z.array(z.string()).optional() }), given)
  return { name: 'ask', authenticator: { kind: 'password', label, check: async () => null } }
}
export const nfs = given => {
  const options = parseOptions('nfs', z.strictObject({ name, target: z.string(), path: z.union([z.string(), z.custom(v => typeof v === 'function', { error: 'expected a function' })]), options: z.strictObject({ version: z.int(), hosts: z.array(z.strictObject({ host: z.string(), port: z.int().optional() })).optional() }).optional() }), given)
  return { name: options.name, mount: { attach: () => [] } }
}
export const swarm = given => {
  parseOptions('swarm', swarmOptions, given)
  return { name: 'swarm', spawner: { start() {}, poll() {}, stop() {}, list() {} } }
}
export const proxy = () => ({ name: 'proxy', proxy: { add() {}, remove() {}, list() {} } })
export const rest = { authenticators: [ask()], spawner: swarm(), proxy: proxy(), access: { users: ['ann'] } }
`

/** A folder with these files, and parts.ts. */
export async function folder(t: TestContext, files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'swarmhub-config-'))
  t.after(() => chmod(path, 0o755).then(() => rm(path, { recursive: true })))
  for (const [name, text] of Object.entries({ 'parts.ts': parts, ...files })) {
    await mkdir(dirname(join(path, name)), { recursive: true })
    await writeFile(join(path, name), text)
  }
  return path
}

export const head = `import { defineConfig, env } from 'swarmhub'\nimport { ask, nfs, proxy, rest, swarm } from './parts.ts'\n`

/** Load this text as a config; it begins at line 3, after the imports. */
export async function load(t: TestContext, text: string, options: LoadOptions = {}): Promise<LoadedConfig> {
  return loadConfig({ cwd: await folder(t, { 'hub.config.ts': head + text }), ...options })
}

/** What is wrong with this text as a config. */
export async function refusal(t: TestContext, text: string, options: LoadOptions = {}): Promise<string> {
  const error = await load(t, text, options).then(
    () => assert.fail('it loaded'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof HubError, String(error))
  assert.equal(error.code, 'config')
  return error.message
}

export function setEnv(t: TestContext, values: Record<string, string>) {
  for (const [name, value] of Object.entries(values)) {
    process.env[name] = value
    t.after(() => delete process.env[name])
  }
}

/** Load the config of this folder in a process of its own. */
export function child(cwd: string, options: { limit?: number; under?: string[] } = {}) {
  const script = fileURLToPath(new URL('../test/config-child.js', import.meta.resolve('swarmhub')))
  const [command = '', ...args] = [...(options.under ?? []), process.execPath, script, String(options.limit ?? '')]
  return new Promise<{ code: unknown; stdout: string; stderr: string }>(resolve => {
    execFile(command, args, { cwd, timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
    )
  })
}
