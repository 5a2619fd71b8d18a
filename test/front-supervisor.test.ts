import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HubChild, Request } from '../core/cli/hub-child.ts'
import { type SupervisorOptions, superviseHub } from '../core/cli/supervisor.ts'
import { HubError } from '../core/errors.ts'
import { silent } from '../core/log.ts'

const meet = { socket: '/s', routeApi: { at: { socket: '/r' }, token: 't' } }

/** Hubs that do as `behave` says, and a story of what happened to them. */
function family(
  t: TestContext,
  behave: (number: number, what: Request['do']) => void | Promise<void> = () => {},
  leaves = false,
) {
  const story: string[] = []
  const children: { die(how: string): void; leave(how: { proxy: boolean }): void }[] = []
  const fork = (): HubChild => {
    const number = children.length + 1
    let die: (how: string) => void = () => {}
    const ended = new Promise<string>(resolve => {
      die = resolve
    })
    void ended.then(how => story.push(`${number} ends: ${how}`))
    let leave: (how: { proxy: boolean }) => void = () => {}
    const leaves = new Promise<{ proxy: boolean }>(resolve => {
      leave = resolve
    })
    children.push({ die, leave })
    story.push(`${number} is born`)
    return {
      ended,
      leaves,
      async ask(request) {
        const of = request.do === 'check' && request.config !== undefined ? ` ${request.config}` : ''
        story.push(`${number} ${request.do}${of}`)
        await behave(number, request.do)
        if (request.do === 'check') return request.config ?? `config ${number}`
        return request.do === 'command' ? `${number} says ${request.args.join(' ')}` : ''
      },
      async stop() {
        if (!story.includes('deaf')) die('exit code 0')
        await ended
      },
      kill: () => die('SIGKILL'),
    }
  }
  const options: SupervisorOptions = {
    fork,
    meet,
    end: () => void story.push('the front is to end'),
    grace: 1000,
    leaves,
    log: silent,
  }
  const supervisor = superviseHub(options)
  t.after(() => supervisor.close())
  return { supervisor, story, children }
}

async function until(story: string[], line: string): Promise<void> {
  while (!story.includes(line)) await sleep(10)
}

test('a hub that is ended for good is told so first, where the config has it stop servers; one that is replaced is not', async t => {
  for (const leaves of [true, false]) {
    const { supervisor, story } = family(t, undefined, leaves)
    await supervisor.prepare()
    await supervisor.start()
    await supervisor.restart()
    assert.ok(!story.includes('1 leave'))
    await supervisor.close()
    assert.equal(story.includes('2 leave'), leaves)
  }
})

test('a hub is checked before it is started, and ended in good order', async t => {
  const { supervisor, story } = family(t)
  await supervisor.prepare()
  assert.deepEqual(story, ['1 is born', '1 check'])
  await supervisor.start()
  assert.equal(await supervisor.close(), true)
  assert.deepEqual(story, ['1 is born', '1 check', '1 start', '1 ends: exit code 0'])
})

test('a config that is bad at the first start is an error, and no process is left', async t => {
  const { supervisor, story } = family(t, () => {
    throw new HubError('config', 'hub.config.ts:1:1 wrong')
  })
  await assert.rejects(supervisor.prepare(), { code: 'config', message: 'hub.config.ts:1:1 wrong' })
  assert.deepEqual(story, ['1 is born', '1 check', '1 ends: exit code 0'])
})

test('a hub that dies is started again with the config that it had, as often as it takes', async t => {
  const { supervisor, story, children } = family(t, (number, what) => {
    if (number === 2 && what === 'check') throw new HubError('config', 'being edited')
    if (number === 3 && what === 'start') throw new HubError('conflict', 'locked')
  })
  await supervisor.prepare()
  await supervisor.start()
  children[0]?.die('SIGKILL')
  await until(story, '4 start')
  assert.deepEqual(story.slice(3), [
    '1 ends: SIGKILL',
    ...['2 is born', '2 check config 1', '2 ends: exit code 0'],
    ...['3 is born', '3 check config 1', '3 start', '3 ends: exit code 0'],
    ...['4 is born', '4 check config 1', '4 start'],
  ])
})

test('restart: the old hub ends only after the new one has checked its config, and before that one takes over', async t => {
  const { supervisor, story } = family(t)
  await supervisor.prepare()
  await supervisor.start()
  await supervisor.restart()
  assert.deepEqual(story.slice(3), ['2 is born', '2 check', '1 ends: exit code 0', '2 start'])
  assert.equal(await supervisor.command('p', 'v', ['hello']), '2 says hello')
})

test('restart with a bad config changes nothing and says what is wrong', async t => {
  const { supervisor, story } = family(t, number => {
    if (number === 2) throw new HubError('config', 'hub.config.ts:3:7 wrong')
  })
  await supervisor.prepare()
  await supervisor.start()
  await assert.rejects(supervisor.restart(), { code: 'config', message: 'hub.config.ts:3:7 wrong' })
  assert.deepEqual(story.slice(3), ['2 is born', '2 check', '2 ends: exit code 0'])
  assert.equal(await supervisor.command('p', 'v', ['hello']), '1 says hello')
})

test('a new hub that cannot start after the old one has ended is an error, and the former config comes back', async t => {
  const { supervisor, story } = family(t, (number, what) => {
    if (number === 2 && what === 'start') throw new HubError('failed', 'its port is taken')
  })
  await supervisor.prepare()
  await supervisor.start()
  await assert.rejects(supervisor.restart(), { message: 'its port is taken' })
  await until(story, '3 start')
  assert.ok(story.includes('3 check config 1'))
  await supervisor.restart()
  assert.deepEqual(story.slice(-4), ['4 is born', '4 check', '3 ends: exit code 0', '4 start'])
})

test('restart while no hub can be started: the new one takes over, and the tries end', async t => {
  const { supervisor, story, children } = family(t, (number, what) => {
    if (number > 1 && number < 4 && what === 'start') throw new HubError('failed', 'no')
  })
  await supervisor.prepare()
  await supervisor.start()
  children[0]?.die('SIGKILL')
  await until(story, '3 ends: exit code 0')
  await supervisor.restart()
  const last = children.length
  assert.equal(story.at(-1), `${last} start`)
  assert.equal(await supervisor.command('p', 'v', ['hello']), `${last} says hello`)
})

test('two restarts at once: the second one is told to wait', async t => {
  const { supervisor } = family(t)
  await supervisor.prepare()
  await supervisor.start()
  const first = supervisor.restart()
  await assert.rejects(supervisor.restart(), { code: 'busy' })
  await first
})

test('what dies while everything is ended is not started again', async t => {
  const { supervisor, story, children } = family(t)
  await supervisor.prepare()
  await supervisor.start()
  children[0]?.die('SIGKILL')
  await supervisor.close()
  assert.deepEqual(story.slice(3), ['1 ends: SIGKILL'])
  await assert.rejects(supervisor.restart(), { code: 'busy', message: 'The hub is being ended.' })
})

test('a hub that was asked to end over its API is not started again; its front goes on, or ends with it', async t => {
  const { supervisor, story, children } = family(t)
  await supervisor.prepare()
  await supervisor.start()
  children[0]?.leave({ proxy: false })
  await until(story, '1 ends: exit code 0')
  await assert.rejects(supervisor.command('p', 'v', []), { code: 'unavailable' })
  await supervisor.restart()
  assert.deepEqual(story.slice(3), ['1 ends: exit code 0', '2 is born', '2 check', '2 start'])
  children[1]?.leave({ proxy: true })
  await until(story, 'the front is to end')
  assert.equal(story.at(-1), 'the front is to end')
})

test('a hub that had to be killed has not ended well', async t => {
  const { supervisor, story } = family(t)
  story.push('deaf')
  await supervisor.prepare()
  await supervisor.start()
  const closing = supervisor.close()
  supervisor.kill()
  assert.equal(await closing, false)
})
