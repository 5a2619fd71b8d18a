import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check } from '../core/config/check.ts'
import type { Config, Settings } from '../core/config/schema.ts'
import { isHubError } from '../core/errors.ts'
import type { Plugin, User } from '../core/plugin.ts'
import { compose, offersOf, profilesFor, stillValid } from '../core/servers/profiles.ts'
import { draftOf } from '../core/servers/spec.ts'

const part = { name: 'part', authenticator: { kind: 'password', label: 'x', check: async () => null } }
const running = { name: 'run', spawner: { start() {}, poll() {}, stop() {}, list() {} } }
const proxying = { name: 'proxy', proxy: { add() {}, remove() {}, list() {} } }
const mounting = (name: string) => ({ name, mount: { attach: () => [] } }) satisfies Plugin
const joining = (name: string) => ({ name, network: { join: () => [] } }) satisfies Plugin

function checked(given: Pick<Config, 'profiles' | 'overrides'>) {
  return check({ authenticators: [part], access: { everyone: true }, spawner: running, proxy: proxying, ...given }, '/srv')
}

function offer(given: Pick<Config, 'profiles' | 'overrides'>): Settings {
  const result = checked(given)
  assert.ok('settings' in result, JSON.stringify(result))
  return result.settings
}

const user = (name: string, groups: string[] = [], attributes = {}): User => {
  return { id: `id-${name}`, name, slug: name, admin: false, groups, attributes }
}

const refused = (run: () => unknown, code: string, words: RegExp) =>
  assert.throws(run, error => {
    assert.ok(isHubError(error), String(error))
    assert.equal(error.code, code)
    assert.match(error.message, words)
    return true
  })

const scratch = mounting('scratch')
const data = mounting('data')
const fast = joining('fast')

const settings = offer({
  profiles: [
    {
      name: 'lab',
      label: 'Lab',
      image: 'lab:1',
      memory: '1G',
      env: { A: 'profile', B: 'profile', WHO: user => user.name },
      placement: { constraints: ['node.role==worker'] },
      mounts: [data],
      choices: [
        {
          name: 'size',
          label: 'Size',
          default: 'small',
          options: [
            { name: 'large', label: 'Large', memory: '8G', groups: ['staff'], networks: [fast] },
            { name: 'small', label: 'Small', description: 'For most', env: { B: 'small' } },
            {
              name: 'gpu',
              label: 'GPU',
              resources: { gpu: 1 },
              placement: { constraints: ['node.labels.gpu==true'] },
              mounts: [scratch],
            },
          ],
        },
        { name: 'dataset', label: 'Data set', pattern: /[a-z]{1,5}/, env: 'DATASET' },
      ],
    },
    { name: 'teacher', label: 'Teacher', groups: ['teachers'], memory: user => (user.name === 'ann' ? '4G' : -1) },
  ],
  overrides: [
    { groups: ['staff'], profiles: ['lab'], memory: '2G', env: { A: 'staff' } },
    { users: ['ann'], cpus: 3, runAs: user => `${user.attributes.uid}:100` },
  ],
})

const ann = user('ann', ['teachers', 'staff'], { uid: 1234 })
const bob = user('bob')

test('profiles: a choice changes what its option says, over the overrides, which go over the profile', () => {
  const { profile, choices } = compose(settings, ann, 'lab', { size: 'gpu', dataset: 'abc' })
  assert.deepEqual(choices, { size: 'gpu', dataset: 'abc' })
  assert.deepEqual(profile.env, { A: 'staff', B: 'profile', WHO: 'ann', DATASET: 'abc' })
  assert.equal(profile.memory, 2 * 2 ** 30)
  assert.equal(profile.cpus, 3)
  assert.equal(profile.runAs, '1234:100')
  assert.deepEqual(profile.resources, { gpu: 1 })
  assert.deepEqual(profile.placement?.constraints, ['node.role==worker', 'node.labels.gpu==true'])
  assert.deepEqual(profile.mounts, [data, scratch])
  assert.equal(compose(settings, ann, 'lab', { size: 'large' }).profile.memory, 8 * 2 ** 30)
  assert.deepEqual(compose(settings, ann, 'lab', { size: 'large' }).profile.networks, [fast])
})

test('profiles: what is not chosen is the default; nothing of one start is left in the next', () => {
  const before = structuredClone(profilesFor(settings, bob).map(({ mounts, choices, ...plain }) => plain))
  const { profile, choices } = compose(settings, bob, undefined, {})
  assert.deepEqual(choices, { size: 'small', dataset: '' })
  assert.deepEqual(profile.env, { A: 'profile', B: 'small', WHO: 'bob' })
  assert.equal(profile.memory, 2 ** 30)
  assert.equal(profile.cpus, undefined)
  compose(settings, ann, 'lab', { size: 'gpu', dataset: 'abc' })
  assert.deepEqual(
    profilesFor(settings, bob).map(({ mounts, choices, ...plain }) => plain),
    before,
  )
})

test('profiles: what is on no list, or not for this user, is refused', () => {
  refused(() => compose(settings, bob, 'teacher', {}), 'denied', /not for you/)
  refused(() => compose(settings, bob, 'laboratory', {}), 'invalid', /no profile "laboratory"\. Yours: lab/)
  refused(() => compose(settings, bob, 'lab', { size: 'large' }), 'invalid', /"Size" has no option "large"/)
  refused(() => compose(settings, bob, 'lab', { size: '' }), 'invalid', /no option/)
  refused(() => compose(settings, bob, 'lab', { image: 'evil' }), 'invalid', /no choice "image"/)
  refused(() => compose(settings, bob, 'lab', JSON.parse('{"__proto__": "x"}')), 'invalid', /no choice "__proto__"/)
  refused(() => compose(settings, bob, 'lab', { size: 'constructor' }), 'invalid', /no option/)
  refused(() => compose(settings, bob, '__proto__', {}), 'invalid', /no profile/)
  for (const text of ['abcdef', 'ab c', 'ABC', 'abc\n', 'a;id', 'x'.repeat(300)])
    refused(() => compose(settings, bob, 'lab', { dataset: text }), 'invalid', /does not take this text/)
})

test('profiles: a function that gives nothing usable stops that start and says which; the list goes on without it', () => {
  refused(
    () => compose(settings, user('tom', ['teachers']), 'teacher', {}),
    'failed',
    /"teacher" does not work for tom: memory: expected a size/,
  )
  const none = user('ann', ['staff'], { uid: 'a b' })
  refused(
    () => compose(settings, none, 'lab', {}),
    'failed',
    /"lab" does not work for ann: runAs: is missing|ann: runAs: expected a user/,
  )
})

test('profiles: each user sees the profiles and options that are for them', () => {
  const [lab, ...more] = profilesFor(settings, bob)
  assert.deepEqual(more, [])
  const [size, dataset] = lab!.choices!
  assert.deepEqual(
    size?.options?.map(({ name }) => name),
    ['small', 'gpu'],
  )
  assert.equal(size?.default, 'small')
  assert.equal(dataset?.pattern?.source, '[a-z]{1,5}')
  assert.deepEqual(
    profilesFor(settings, ann).map(({ name, memory }) => [name, memory]),
    [
      ['lab', 2 * 2 ** 30],
      ['teacher', 4 * 2 ** 30],
    ],
  )
})

test('profiles: of the last choices those stay that could be made today', () => {
  assert.deepEqual(stillValid(settings, bob, 'lab', { size: 'large', dataset: 'abc', gone: 'x' }), { dataset: 'abc' })
})

test('profiles: everything of a profile arrives in the draft, and a hook that changes the draft changes nothing else', () => {
  const whole = offer({
    profiles: [
      {
        name: 'all',
        label: 'All',
        image: 'i',
        command: ['c'],
        cpus: 2,
        cpuGuarantee: 1,
        memory: '2G',
        memoryGuarantee: '1G',
        resources: { gpu: 2 },
        shm: '256M',
        pids: 100,
        ulimits: { nofile: { soft: 1, hard: 2 }, core: 0 },
        placement: { constraints: ['node.role==worker'], spread: ['node.labels.rack'], platforms: ['linux/amd64'] },
        log: { driver: 'local' },
        configs: [{ name: 'c1', target: '/etc/c1' }],
        secrets: [{ name: 's1', mode: 0o400, uid: 1000 }],
        runAs: '1000:100',
        supplementaryGroups: ['2000'],
        workdir: '/w',
        stopGrace: '30s',
        healthCheck: { command: ['true'], every: '1s' },
        restart: { attempts: 2 },
      },
    ],
  })
  const { profile, choices } = compose(whole, bob, 'all', {})
  const hub = { id: 'h', base: '/', url: undefined, address: 'http://hub:8081' }
  const servers = { port: 8888, debug: false, userConfig: true, oauthScopes: [] }
  const { draft } = draftOf({ hub, user: bob, server: '', profile, choices, generation: 'g', token: 't', servers })
  const { name, label, groups, secrets, env, ...expected } = profile
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(draft[key as keyof typeof draft], value, key)
  assert.deepEqual(draft.secretFiles, [{ name: 's1', mode: 0o400, uid: 1000, gid: 0 }])
  assert.deepEqual(draft.healthCheck, { command: ['true'], every: 1000, deadline: 10_000, retries: 3, startPeriod: 300_000 })
  draft.command!.push('more')
  assert.deepEqual(compose(whole, bob, 'all', {}).profile.command, ['c'])
})

test('profiles: what cannot be meant stops the start of the hub, by its place', () => {
  const option = { name: 'a', label: 'A' }
  const list = { name: 'size', label: 'Size', options: [option, { ...option, label: 'B' }], default: 'c' }
  const result = checked({
    profiles: [
      {
        name: 'lab',
        label: 'Lab',
        choices: [list, { ...list, options: [option] }, { name: 'profile', label: 'P', options: [option] }],
      },
      { name: 'two', label: 'Two', mounts: [mounting('same')], networks: [fast] },
    ],
    overrides: [{ profiles: ['labb'], memory: '1G', memoryGuarantee: '2G' }, { mounts: [mounting('same')] }],
  })
  assert.ok('issues' in result)
  // A shape that is wrong hides what only the whole can tell.
  assert.deepEqual(
    result.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    [
      'profiles.0.choices.2.name: a choice cannot be named "profile": clients send the profile under this name',
      'overrides.1.mounts.0: there is another plugin named "same" at profiles[1].mounts[0]; give one of them another name',
    ],
  )
  const whole = checked({
    profiles: [{ name: 'lab', label: 'Lab', choices: [list, { ...list, options: [option] }] }],
    overrides: [{ profiles: ['labb'], memory: '1G', memoryGuarantee: '2G' }],
  })
  assert.ok('issues' in whole)
  assert.deepEqual(
    whole.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    [
      'profiles.0.choices.0.options.1.name: there is another option named "a" at profiles[0].choices[0].options[0]',
      'profiles.0.choices.0.default: there is no option "c", there are a, a',
      'profiles.0.choices.1.name: there is another choice named "size" at profiles[0].choices[0]',
      'profiles.0.choices.1.default: there is no option "c", there are a',
      'overrides.0.memoryGuarantee: is more than memory, the limit',
      'overrides.0.profiles.0: there is no profile "labb", did you mean "lab"?',
    ],
  )
})

test('profiles: plugins that stand in profiles, options and overrides are plugins of the hub', () => {
  const inOption = mounting('in-option')
  const result = checked({
    profiles: [
      {
        name: 'lab',
        label: 'Lab',
        networks: [fast],
        choices: [{ name: 'size', label: 'Size', options: [{ name: 'a', label: 'A', mounts: [inOption] }] }],
      },
    ],
    overrides: [{ mounts: [data] }],
  })
  assert.ok('plugins' in result)
  assert.deepEqual(result.warnings, [])
  assert.deepEqual(
    result.plugins.map(({ name }) => name),
    ['part', 'run', 'proxy', 'fast', 'in-option', 'data'],
  )
})

test('what may be started is told with every image of a profile, an option and an override, and where it may run then', () => {
  const found = [
    ...offersOf(
      offer({
        profiles: [
          {
            name: 'a',
            label: 'A',
            image: 'x:1',
            placement: { constraints: ['node.role==worker'] },
            choices: [
              {
                name: 'size',
                label: 'Size',
                options: [
                  { name: 'small', label: 'Small', memory: '1G' },
                  { name: 'gpu', label: 'GPU', image: 'x:gpu', placement: { constraints: ['node.labels.gpu==true'] } },
                ],
              },
            ],
          },
          { name: 'b', label: 'B' },
        ],
        overrides: [{ groups: ['early'], profiles: ['a'], image: 'x:2' }],
      }),
    ),
  ].map(({ profile, image, placement }) => [profile, image, placement?.constraints?.join()])
  assert.deepEqual(found, [
    ['a', 'x:1', 'node.role==worker'],
    ['a', 'x:gpu', 'node.role==worker,node.labels.gpu==true'],
    ['a', 'x:2', 'node.role==worker'],
    ['a', 'x:gpu', 'node.role==worker,node.labels.gpu==true'],
    ['b', undefined, undefined],
  ])
})
