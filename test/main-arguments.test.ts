import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readArguments } from '../core/cli/arguments.ts'

const none = { config: undefined, hub: undefined, front: undefined, api: undefined, supervised: false }

test('our verbs take the options that make sense with them', () => {
  assert.deepEqual(readArguments(['start']), { ...none, verb: 'start', rest: [] })
  assert.deepEqual(readArguments(['--config', 'x.ts', 'check']), { ...none, verb: 'check', rest: [], config: 'x.ts' })
  const apart = readArguments(['front', '--hub', 'http://hub:8081', '--api=0.0.0.0:8001'])
  assert.deepEqual(apart, { ...none, verb: 'front', rest: [], hub: 'http://hub:8081', api: '0.0.0.0:8001' })
})

test('a plugin’s command gets all that follows its verb as it was typed', () => {
  const asked = readArguments(['--config', 'x.ts', 'local', 'invite', 'bob', '--admin', '-h', '--config', 'y', '--', 'x'])
  assert.deepEqual(asked, {
    ...none,
    verb: 'local',
    rest: ['invite', 'bob', '--admin', '-h', '--config', 'y', '--', 'x'],
    config: 'x.ts',
  })
})

test('help and version by any name', () => {
  for (const args of [[], ['--help'], ['-h'], ['help'], ['start', '--help']]) assert.equal(readArguments(args).verb, 'help')
  for (const args of [['--version'], ['-v'], ['version']]) assert.equal(readArguments(args).verb, 'version')
})

test('what makes no sense is refused in a sentence', () => {
  const refused: [string[], RegExp][] = [
    [['start', 'now'], /"start" takes no "now"/],
    [['start', '--hub', 'x'], /"start" takes no --hub/],
    [['check', '--verbose'], /Unknown option '--verbose'/],
    [['check', '--config'], /--config <value>' argument missing/],
    [['local', '--api', 'x', 'invite'], /"local" takes no --api/],
  ]
  for (const [args, message] of refused) {
    assert.throws(() => readArguments(args), { code: 'invalid', message })
    assert.throws(() => readArguments(args), /See "swarmhub help"/)
  }
})
