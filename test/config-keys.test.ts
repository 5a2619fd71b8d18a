import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { z } from 'zod'
import { config } from '../core/config/schema.ts'
import * as plugins from '../plugins/index.ts'

const text = await readFile('core/config/README.md', 'utf8')

/** The cells of each line of the table under this heading. */
function rows(heading: string): string[][] {
  const part = text.slice(text.indexOf(`\n## ${heading}\n`)).split('\n## ')[1] ?? ''
  const lines = part.split('\n').filter(line => line.startsWith('| '))
  return lines.slice(1).map(line => line.slice(2, -1).split(' | '))
}

const named = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)

/** Every key of a schema by its whole name: `a.b`, `list[].c`, `byName{}.d`. */
function keys(schema: z.core.$ZodType, path = ''): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  const here = path === '' ? [] : [path]
  switch (def.type) {
    case 'object':
      return [...here, ...Object.entries(def.shape).flatMap(([key, inner]) => keys(inner, path === '' ? key : `${path}.${key}`))]
    case 'array':
      return [...here, ...keys(def.element, `${path}[]`).filter(key => key !== `${path}[]`)]
    case 'record':
      return [...here, ...keys(def.valueType, `${path}{}`).filter(key => key !== `${path}{}`)]
    case 'union':
      return def.options.flatMap(option => keys(option, path))
    case 'pipe':
      return keys(def.in, path)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
      return keys(def.innerType, path)
    default:
      return here
  }
}

const known = [...new Set(keys(config))]

/** What a profile has from `image` on is told once: overrides and the options of choices have the same keys. */
const told = (key: string) =>
  key
    .replace(/^overrides\[\]\.(?!users$|groups$|profiles$)/, 'profiles[].')
    .replace(/^profiles\[\]\.choices\[\]\.options\[\]\./, 'profiles[].')
    .replace(/^(profiles\[\]\.(?:healthCheck|ulimits))\b.*/, '$1')

test('the table of settings has each key that the config knows, and no other', () => {
  const here = rows('All keys').flatMap(([cell]) => named(cell))
  const deeper = (key: string, other: string) => other.startsWith(key) && /^(\.|\[\]\.|\{\}\.)/.test(other.slice(key.length))
  const leaves = known.filter(key => !known.some(other => deeper(key, other)))
  const none: string[] = []
  assert.deepEqual(
    here.filter(key => !known.includes(key)),
    none,
    'named, but not known',
  )
  assert.deepEqual(
    [...new Set(leaves.map(told))].filter(key => !here.includes(key)),
    none,
    'known, but not named',
  )
  assert.deepEqual(
    here.filter((key, index) => here.indexOf(key) < index),
    none,
    'named twice',
  )
  for (const row of rows('All keys')) assert.ok(row.length === 3 && row[1] && row[2], `${row[0]} has a default and a line`)
})

test('what JupyterHub’s options are called here is a key of the config, or an option of a plugin', () => {
  const twins = rows('JupyterHub’s names'.replace('’', "'"))
  assert.ok(twins.length > 90, String(twins.length))
  for (const [theirs, ours, why] of twins) {
    const names = named(ours)
    assert.ok(names.length > 0 || (ours === '–' && why), `${theirs} has a twin, or the reason why not`)
    for (const name of names) assert.ok(known.includes(name) || isOption(name), `${theirs}: there is no ${name}`)
  }
})

/** `httpProxy.port`: does the plugin's schema know this key? It says so of every key that it does not. */
function isOption(name: string): boolean {
  const [plugin = '', key = ''] = name.split('.')
  const make = new Map<string, unknown>(Object.entries(plugins)).get(plugin)
  if (typeof make !== 'function') return false
  try {
    make({ [key]: Symbol('no value of any option') })
    return true
  } catch (error) {
    return !String(error).includes('unknown key')
  }
}
