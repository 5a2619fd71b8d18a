import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError, parseOptions } from 'swarmhub'
import { z } from 'zod'
import { nearest } from '../core/config/nearest.ts'

test('a misspelt word is told only when a right one is near', () => {
  const words = ['memory', 'memoryGuarantee', 'cpus', 'before:spawn']
  assert.equal(nearest('memmory', words), 'memory')
  assert.equal(nearest('mmeory', words), 'memory')
  assert.equal(nearest('MEMORY', words), 'memory')
  assert.equal(nearest('memoryguarante', words), 'memoryGuarantee')
  assert.equal(nearest('beforespawn', words), 'before:spawn')
  assert.equal(nearest('cpu', words), 'cpus')
  assert.equal(nearest('c', words), undefined)
  assert.equal(nearest('disk', words), undefined)
  assert.equal(nearest('memory', []), undefined)
})

/** What parseOptions says of these options. */
function told(schema: z.ZodType, options: unknown): string[] {
  try {
    parseOptions('x', schema, options)
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'config')
    return error.message.split('\n')
  }
  return []
}

test('right options come out with their defaults, also when none are given', () => {
  const schema = z.strictObject({ a: z.number().default(1) })
  assert.deepEqual(parseOptions('x', schema, undefined), { a: 1 })
  assert.deepEqual(parseOptions('x', schema, { a: 2 }), { a: 2 })
})

test('right keys are found through every kind of schema', () => {
  const inner = z.strictObject({ server: z.string().optional() })
  const schema = z.strictObject({
    optional: inner.optional(),
    defaulted: inner.prefault({}),
    list: z.array(inner),
    tuple: z.tuple([z.string(), inner]),
    record: z.record(z.string(), inner),
    pipe: inner.transform(value => value.server),
    both: z.intersection(inner, z.looseObject({})),
    lazy: z.lazy(() => inner),
    either: z.union([z.string(), inner]),
    frozen: inner.readonly().nullable(),
  })
  const wrong = { sevrer: '' }
  const options = {
    optional: wrong,
    defaulted: wrong,
    list: [{}, wrong],
    tuple: ['', wrong],
    record: { a: wrong },
    pipe: wrong,
    both: {},
    lazy: wrong,
    either: wrong,
    frozen: wrong,
  }
  const message = 'unknown key, did you mean "server"?'
  assert.deepEqual(
    told(schema, options),
    ['optional', 'defaulted', 'list[1]', 'tuple[1]', 'record.a', 'pipe', 'lazy', 'either', 'frozen'].map(
      path => `x.${path}.sevrer: ${message}`,
    ),
  )
})

test('of a union the option that was meant is told, or what would be right', () => {
  const schema = z.strictObject({
    value: z.union([
      z.string(),
      z.custom<() => string>(value => typeof value === 'function', { error: 'expected a function' }),
      z.strictObject({ kind: z.literal('a'), host: z.string() }),
      z.strictObject({ kind: z.literal('b'), port: z.number(), path: z.string() }),
    ]),
  })
  assert.deepEqual(told(schema, { value: 5 }), ['x.value: expected a string or a function or an object, this is a number'])
  assert.deepEqual(told(schema, {}), ['x.value: is missing, expected a string or a function or an object'])
  assert.deepEqual(told(schema, { value: { kind: 'b', prot: 1, path: '' } }), [
    'x.value.port: is missing, expected a number',
    'x.value.prot: unknown key, did you mean "port"?',
  ])
})

test('messages name types and bounds, never values', () => {
  const schema = z.strictObject({
    int: z.int(),
    number: z.number().positive().max(10),
    string: z.string().min(3),
    start: z.string().startsWith('/'),
    url: z.url(),
    pattern: z.string().regex(/^[ab]$/),
    one: z.literal('one'),
    list: z.array(z.string()).max(1),
    flag: z.boolean(),
    not: z.number(),
    later: z.string(),
    even: z.number().multipleOf(2),
    none: z.string(),
  })
  const secret = 'hunter2'
  assert.deepEqual(
    told(schema, {
      int: secret,
      number: -7,
      string: 'h2',
      start: secret,
      url: secret,
      pattern: secret,
      one: secret,
      list: [secret, secret],
      flag: secret,
      not: Number.NaN,
      later: Promise.resolve(secret),
      even: 7,
      none: null,
    }),
    [
      'x.int: expected a number, this is a string',
      'x.number: expected more than 0',
      'x.string: expected at least 3 characters',
      'x.start: expected a string that starts with "/"',
      'x.url: expected a URL, such as "https://hub.example.org"',
      'x.pattern: expected a string that matches /^[ab]$/',
      'x.one: expected "one"',
      'x.list: expected at most 1 entry',
      'x.flag: expected true or false, this is a string',
      'x.not: expected a number, this is not a number',
      'x.later: expected a string, this is a promise: put "await" before it',
      'x.even: expected a multiple of 2',
      'x.none: expected a string, this is null',
    ],
  )
})
