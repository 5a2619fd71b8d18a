import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { clientId, issuerOf, listening, openProvider } from './oidc-provider.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

const config = (issuer: string) => `
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'swarmhub'
import { httpProxy, oidc, process } from 'swarmhub/plugins'
let hub
/** A hook that needs the provider's token, and a mount for a group: what they saw is a line of a file. */
const told = {
  name: 'told',
  setup: opened => void (hub = opened),
  hooks: {
    'before:spawn'({ user, profile, draft }) {
      if (user.groups.includes('physics')) draft.env.COURSE = 'physics'
      const state = hub.authState(user.name)
      const seen = { user: user.name, groups: user.groups, profile: profile.name, env: draft.env.COURSE, folder: draft.env.FOLDER }
      appendFileSync(join(hub.folder, 'seen'), JSON.stringify({ ...seen, subject: state?.subject, token: state?.accessToken }) + '\\n')
      throw new Error('seen enough')
    },
  },
}
const folder = {
  name: 'course',
  mount: {
    attach({ user, draft }) {
      if (user.groups.includes('physics')) draft.env.FOLDER = '/srv/physics'
      return []
    },
  },
}
export default defineConfig({
  access: { groups: ['staff', 'physics'], adminGroups: ['bosses'] },
  authState: { keys: ['${'ab'.repeat(32)}'] },
  authenticators: [
    oidc({ issuer: '${issuer}', clientId: '${clientId}', clientSecret: 'the-secret-of-the-client',
      scopes: ['openid', 'profile', 'email', 'groups'], claims: { groups: 'groups' } }),
  ],
  roles: [{ name: 'tutor', scopes: ['list:users'], groups: ['tutors'] }],
  profiles: [{ name: 'small', label: 'Small' }, { name: 'large', label: 'With a GPU', groups: ['physics'] }],
  mounts: [folder],
  plugins: [told],
  spawner: process({ command: ['true'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
})`

test('groups of a provider drive profiles, roles, hooks and mounts of a running hub, and are shown with where they come from; a hook before the start has the provider’s token', async t => {
  const server = createServer()
  await listening(server)
  const hub = await startHub(t, config(issuerOf(server)))
  const there = await openProvider(t, { callbacks: [`${hub.origin}/hub/login/oidc/callback`] }, server)
  const person = (name: string, groups: string[]) => ({ preferred_username: name, name, groups })
  there.people.set('1', person('root', ['staff', 'bosses']))
  there.people.set('2', person('ann', ['physics', 'tutors']))
  there.people.set('3', person('bob', ['staff']))
  await hub.healthy()
  const enter = async (who: string) => {
    const browser = visitor(hub.origin)
    const begin = await browser.ask('/hub/login/oidc')
    const back = await there.approve(new URL(begin.headers.get('location')!), who)
    assert.equal((await browser.open(back.pathname + back.search)).reply.status, 200)
    return browser
  }
  const [ann, bob] = [await enter('2'), await enter('3')]

  assert.match((await ann.open('/hub/spawn')).text, /With a GPU/)
  const lists = async (browser: typeof ann) => {
    const headers = { 'x-xsrftoken': await browser.xsrf(), 'sec-fetch-mode': 'cors' }
    return (await browser.ask('/hub/api/users', { headers })).status
  }
  assert.deepEqual([await lists(ann), await lists(bob)], [200, 403])
  await ann.submit('/hub/spawn', 'spawn', { profile: 'large' })
  const body = new URLSearchParams({ _xsrf: await bob.xsrf(), profile: 'large' })
  const forbidden = await bob.ask('/hub/spawn', { method: 'POST', body })
  assert.ok(forbidden.status >= 400, `a profile of another group: ${forbidden.status}`)
  const seen = async () => {
    const text = await readFile(join(hub.folder, 'data/plugins/told/seen'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line))
  }
  const lines = await seen()
  const of = (name: string) => lines.find(({ user }) => user === name)
  const { token, ...rest } = of('ann')
  assert.deepEqual(
    { ...rest, groups: rest.groups.sort() },
    { user: 'ann', groups: ['physics', 'tutors'], profile: 'large', env: 'physics', folder: '/srv/physics', subject: '2' },
  )
  assert.ok(typeof token === 'string' && token.length > 20)
  assert.ok(!hub.output().includes(token))
  assert.equal(of('bob'), undefined)

  const root = await enter('1')
  const { text } = await root.open('/hub/admin/users/ann')
  assert.match(text, /Signs in by<\/dt>\s*<dd>\s*oidc/)
  assert.match(text, /physics<\/a>\s*<span class="muted">\s*told by oidc/)
  assert.match(text, /tutor<\/th>[\s\S]{0,80}Member of the group tutors/)

  // Out of the group there is out of it here, with all that it gave, at the next sign-in.
  there.people.set('2', person('ann', ['physics']))
  assert.equal(await lists(await enter('2')), 403)
})
