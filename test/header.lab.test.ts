import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { command } from './hostile.ts'
import { run } from './lab/command.ts'
import { installed } from './lab/debian.ts'
import { nginx } from './lab/nginx.ts'
import { startHub } from './running-hub.ts'
import { visitor } from './visitor.ts'

/*
 * nginx asks for a password and says who gave it; it speaks to the front from 127.0.0.2, everybody else on this machine does
 * from 127.0.0.1.
 */

const config = `
import { defineConfig } from 'swarmhub'
import { header, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [header({ from: ['127.0.0.2'], attributes: { mail: 'Remote-Email' }, env: { EMAIL: 'mail' } })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ command: ${JSON.stringify(command)}, grace: '1s' }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1', trustedProxies: ['127.0.0.2'] }),
  hub: { port: $HUB_PORT },
  timeouts: { grace: '5s', poll: '1s', slow: '5s' },
})
`

/** The directives of the man page, with a password in place of a single sign-on. */
const directives = (front: string, passwords: string) => `
    location / {
      auth_basic "Everybody";
      auth_basic_user_file ${passwords};
      proxy_bind 127.0.0.2;
      proxy_set_header Authorization "";
      proxy_set_header Remote-User $remote_user;
      proxy_set_header Remote-Email $remote_user@example.org;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_http_version 1.1;
      proxy_pass ${front};
    }
`

const basic = (name: string) => ({ authorization: `Basic ${Buffer.from(`${name}:secret`).toString('base64')}` })

/** A browser behind nginx, which follows redirects. */
function behind(origin: string, headers: Record<string, string>) {
  const browser = visitor(origin)
  const open = async (path: string) => {
    for (let to = path, hop = 0; ; hop++) {
      const reply = await browser.ask(to, { headers })
      const location = reply.headers.get('location')
      if (location === null || hop > 15) return { reply, path: to, text: await reply.text() }
      const next = new URL(location, new URL(to, origin))
      assert.equal(next.origin, origin)
      to = next.pathname + next.search
    }
  }
  return { ...browser, open }
}

test('behind nginx: who gave it a password is in, with what it says in the server’s environment; a forged header is nothing', async t => {
  await installed('nginx-light', 'openssl')
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-passwords-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const hash = (await run('openssl', ['passwd', '-apr1', 'secret'])).trim()
  await writeFile(join(folder, 'passwords'), ['alice', 'bob'].map(name => `${name}:${hash}\n`).join(''), { mode: 0o644 })
  await run('chmod', ['755', folder])
  const hub = await startHub(t, config)
  await hub.printed(/swarmhub is at/)
  const origin = await nginx(t, directives(hub.origin, join(folder, 'passwords')))

  assert.equal((await visitor(origin).ask('/hub/home', { headers: { 'Remote-User': 'root' } })).status, 401, 'nginx asks first')
  const forged = { 'Remote-User': 'root', remote_user: 'root', 'X-Forwarded-For': '127.0.0.2' }
  const alice = behind(origin, { ...basic('alice'), ...forged })
  const home = await alice.open('/hub/home')
  assert.match(home.text, />\s*alice\s*</)
  assert.ok(!home.text.includes('root'))

  // Straight to the front, and to the hub, past nginx.
  const hubPort = /address=http:\/\/127\.0\.0\.1:(\d+)|"address":"http:\/\/[^:]*:(\d+)"/.exec(hub.output())
  for (const past of [hub.origin, `http://127.0.0.1:${hubPort?.[1] ?? hubPort?.[2]}`]) {
    const reply = await behind(past, forged).open('/hub/home')
    assert.equal(reply.reply.status, 403, past)
    assert.match(reply.text, /Nothing in front of this hub says who you are/)
  }
  // From nginx’s own address the word counts: what it passes on, it has said. Twice, it has said nothing.
  const raw = (headers: Record<string, string | string[]>) =>
    new Promise<number>((resolve, reject) => {
      const asked = request(
        `${hub.origin}/hub/login/header`,
        { localAddress: '127.0.0.2', headers, agent: false },
        async answer => {
          await text(answer)
          resolve(answer.statusCode!)
        },
      )
      asked.once('error', reject).end()
    })
  assert.equal(await raw({ 'Remote-User': 'carol' }), 302)
  assert.equal(await raw({ 'Remote-User': ['carol', 'root'] }), 403)
  assert.equal(await raw({ Remote_User: 'root' }), 403)

  await alice.open('/hub/spawn')
  let env = ''
  for (let tries = 0; tries < 600 && !env.startsWith('{'); tries++) {
    await new Promise(resolve => setTimeout(resolve, 25))
    env = (await alice.open('/user/alice/env')).text
  }
  assert.equal((JSON.parse(env) as Record<string, string>).EMAIL, 'alice@example.org')
  const seen = JSON.parse((await alice.open('/user/alice/seen')).text) as { headers: Record<string, string> }
  assert.deepEqual([seen.headers['remote-user'], seen.headers.remote_user], ['alice', undefined])
  const past = await behind(hub.origin, { ...forged, cookie: alice.cookieFor('/user/alice/') }).open('/user/alice/seen')
  assert.equal((JSON.parse(past.text) as { headers: Record<string, string> }).headers['remote-user'], undefined)

  // The same browser, another person.
  const bob = await alice.ask('/hub/home', { headers: { ...basic('bob'), ...forged } })
  assert.match(bob.headers.get('location') ?? '', /\/hub\/login/)
})
