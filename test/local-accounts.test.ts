import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHubError } from 'swarmhub'
import { createFairQueue } from '../plugins/local/fair-queue.ts'
import { localHub, pathIn, twice } from './local-hub.ts'
import { visitor } from './visitor.ts'

const good = 'a horse, a battery'
const newer = 'a newer horse'

/** A hub whose administrator is ada, signed in. */
async function withAda(t: Parameters<typeof localHub>[0], options?: Parameters<typeof localHub>[1], given = {}) {
  const hub = await localHub(t, options, given)
  const ada = visitor(hub.origin)
  await ada.submit(hub.setupPath(), 'setup', { username: 'ada', ...twice(good) })
  await ada.signIn('ada', good)
  return { ...hub, ada }
}

/** Send the form of the accounts page that does this. */
const act = async (who: ReturnType<typeof visitor>, fields: Record<string, string>) =>
  who.open('/hub/x/local/accounts', { method: 'POST', body: new URLSearchParams({ _xsrf: await who.xsrf(), ...fields }) })

test('sign-up: an invitation makes as many accounts as it says, none of a name that somebody has', async t => {
  const { origin, ada, core, file } = await withAda(t)
  await core.users.create('carol')
  const { text } = await act(ada, { do: 'invite', uses: '2', days: '7' })
  const join = pathIn(text)
  assert.ok(!JSON.stringify(file.data).includes(join.split('code=')[1]!), 'only its hash is kept')
  assert.doesNotMatch((await ada.open('/hub/x/local/accounts')).text, /code=/, 'it is shown once')

  const bob = visitor(origin)
  const asks = (username: string, password = good) => bob.submit(join, 'join', { username, ...twice(password) })
  for (const username of ['ada', 'ADA', 'carol']) assert.equal((await asks(username)).reply.status, 409, username)
  assert.equal((await asks('a/b')).reply.status, 400)
  assert.equal((await asks('bob', 'bob12345')).reply.status, 400)
  assert.equal((await asks('Bob')).path, '/hub/login')
  assert.equal((await bob.signIn('bob', good)).path, '/hub/home')
  assert.equal(core.users.get('bob')?.admin, false)
  await visitor(origin).submit(join, 'join', { username: 'dave', ...twice(good) })
  assert.equal((await visitor(origin).signIn('dave', good)).path, '/hub/home')
  assert.equal((await bob.open(join)).reply.status, 403, 'used up')
  assert.equal((await bob.open('/hub/x/local/signup')).reply.status, 404, 'nobody is asked to ask')
})

test('sign-up: an invitation ends with its time, or when it is withdrawn', async t => {
  const { origin, ada, plugin, file } = await withAda(t)
  const join = pathIn(String(await plugin.commands.invite.run(['--uses', '5', '--for', '1h'])))
  const other = pathIn(String(await plugin.commands.invite.run([])))
  assert.equal((await visitor(origin).open(join)).reply.status, 200)
  await act(ada, { do: 'withdraw', id: file.data.invitations[1]!.id })
  assert.equal((await visitor(origin).open(other)).reply.status, 403)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_001 })
  assert.equal((await visitor(origin).open(join)).reply.status, 403)
  for (const args of [['--uses', '0'], ['--uses', 'x'], ['--for', 'ever'], ['bob'], ['--admin']])
    await assert.rejects(async () => plugin.commands.invite.run(args), { code: 'invalid' }, args.join(' '))
})

test('sign-up: who asks for an account gets in when an administrator has approved it, by name and not before', async t => {
  const { origin, ada, core } = await withAda(t, { signUp: 'approval' })
  const bob = visitor(origin)
  assert.match((await bob.open('/hub/login')).text, /href="\/hub\/x\/local\/signup">Ask for an account/)
  const asked = await bob.submit('/hub/x/local/signup', 'signup', { username: 'Bob', ...twice(good) })
  assert.equal(asked.reply.status, 200)
  assert.match(asked.text, /waits for approval/)
  const refused = await bob.signIn('bob', good)
  assert.equal(refused.reply.status, 403)
  assert.match(refused.text, /waits for approval/)
  assert.doesNotMatch((await bob.signIn('bob', 'a wrong horse')).text, /approval/, 'only its owner learns that')
  assert.equal(core.users.get('bob'), undefined)

  assert.match((await ada.open('/hub/x/local/accounts')).text, /waits for approval/)
  await act(ada, { do: 'approve', username: 'bob' })
  assert.equal((await bob.signIn('bob', good)).path, '/hub/home')
  assert.equal((await bob.open('/hub/x/local/accounts')).reply.status, 403, 'the accounts are for administrators')
  assert.equal((await act(bob, { do: 'reset', username: 'ada' })).reply.status, 403)
  const { entries } = await core.audit.read({ user: 'bob', action: 'account.approve' }, 0, 1)
  assert.equal(entries[0]?.actor?.name, 'ada')
})

test('sign-up: a stranger who asks first does not keep the administrator from setting up the hub', async t => {
  const { origin, setupPath, file } = await localHub(t, { signUp: 'approval' })
  const eve = visitor(origin)
  assert.equal((await eve.submit('/hub/x/local/signup', 'signup', { username: 'eve', ...twice(good) })).reply.status, 503)
  assert.equal(file.data.accounts.length, 0)
  assert.equal((await visitor(origin).open(setupPath())).reply.status, 200)
})

test('accounts: an administrator hands out a link for a new password, takes a second factor away, removes an account', async t => {
  const { origin, ada, plugin, file } = await withAda(t)
  const bob = visitor(origin)
  await bob.open(pathIn(String(await plugin.commands.add.run(['bob']))))
  const link = pathIn((await act(ada, { do: 'reset', username: 'bob' })).text)
  await bob.submit(link, 'link', twice(good))
  await bob.signIn('bob', good)
  assert.equal((await bob.open('/hub/home')).reply.status, 200)
  assert.equal((await act(ada, { do: 'remove', username: 'ada' })).reply.status, 409, 'not their own')
  assert.equal((await act(ada, { do: 'constructor', username: 'bob' })).reply.status, 400)
  await act(ada, { do: 'remove', username: 'bob' })
  assert.match((await bob.open('/hub/home')).path, /^\/hub\/login/)
  assert.deepEqual(
    file.data.accounts.map(({ name }) => name),
    ['ada'],
  )
})

test('accounts: guesses at the present password wait, as on the sign-in page', async t => {
  const { ada } = await withAda(t)
  const change = (current: string) => ada.submit('/hub/x/local/password', 'password', { current, ...twice(newer) })
  const statuses: number[] = []
  for (let n = 0; n < 8; n++) statuses.push((await change('a wrong guess')).reply.status)
  assert.deepEqual(statuses, [403, 403, 403, 403, 403, 403, 429, 429])
  const refused = await change(good)
  assert.equal(refused.reply.status, 429, 'not even the right one is looked at')
  assert.ok(Number(refused.reply.headers.get('retry-after')) > 0)
  assert.match(refused.text, /role="alert">There were too many failed tries/)
})

test('accounts: passwords that are made of the name, of a run, or are everybody’s are refused; the length is an option', async t => {
  const { plugin, origin } = await withAda(t, { shortest: 12 })
  const link = pathIn(String(await plugin.commands.add.run(['charlotte@example.org'])))
  const who = visitor(origin)
  const status = async (password: string) => (await who.submit(link, 'link', twice(password))).reply.status
  for (const password of [
    'shorter1234',
    'charlotte1234',
    'Charlotte-2026',
    'ettolrahc!!!!!',
    'charlottecharlotte',
    'charlotte@example.org',
    'abcdefghijkl',
    'abababababab',
    'qwerty123456',
  ])
    assert.equal(await status(password), 400, password)
  assert.equal(await status('charlotte likes a horse'), 200)
})

/** Work that ends when it is told to. */
function held(queue: ReturnType<typeof createFairQueue>) {
  const begun: string[] = []
  const ends: (() => void)[] = []
  const add = (from: string, name = from) => {
    const done = queue(from, () => {
      begun.push(name)
      return new Promise<void>(resolve => ends.push(resolve))
    })
    return done.then(
      () => 'done',
      error => (isHubError(error) ? error.code : String(error)),
    )
  }
  const turn = async () => {
    ends.shift()?.()
    await new Promise(setImmediate)
  }
  return { begun, add, turn }
}

test('fair queue: one who asks very often is only in their own way', async () => {
  const { begun, add, turn } = held(createFairQueue({ atOnce: 1, waiting: 4, patience: 1000 }, () => 0))
  const flood = Array.from({ length: 8 }, (_, n) => add('flood', `flood ${n}`))
  await turn()
  const alice = add('alice')
  const bob = add('bob')
  for (let n = 0; n < 8; n++) await turn()
  assert.deepEqual(await Promise.all([alice, bob]), ['done', 'done'])
  assert.equal(begun.indexOf('alice') < 4 && begun.indexOf('bob') < 5, true, begun.join(', '))
  const outcomes = await Promise.all(flood)
  assert.ok(outcomes.includes('busy') && outcomes.includes('done'))
})

test('fair queue: all places are taken by many: who comes last is told to come back', async () => {
  const { add, turn } = held(createFairQueue({ atOnce: 1, waiting: 3, patience: 1000 }, () => 0))
  const all = ['a', 'b', 'c', 'd', 'e'].map(from => add(from))
  for (let n = 0; n < 5; n++) await turn()
  assert.deepEqual(await Promise.all(all), ['done', 'done', 'done', 'done', 'busy'])
})

test('fair queue: who has waited too long is told to come back, and the next one has the turn', async () => {
  let now = 0
  const { add, turn } = held(createFairQueue({ atOnce: 1, waiting: 10, patience: 1000 }, () => now))
  const [first, late] = [add('a'), add('a')]
  now = 900
  const next = add('b')
  now = 1001
  for (let n = 0; n < 3; n++) await turn()
  assert.deepEqual(await Promise.all([first, late, next]), ['done', 'busy', 'done'])
})
