import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { swarm } from '../plugins/swarm/index.ts'
import { run } from './lab/command.ts'
import { docker } from './lab/docker.ts'
import { dataRoot, startEngine } from './lab/engine.ts'
import { endGroup } from './lab/group.ts'
import { lab, noLab } from './lab/lab.ts'
import { site } from './lab/site.ts'
import { fakeHub } from './roles/hub.ts'
import { fakeContext } from './roles/spawn.ts'
import { freePort } from './running-hub.ts'
import { tap } from './swarm-engine.ts'
import { onSwarm } from './swarm-lab.ts'

/** An authority with a certificate for the engine and one for its clients, and another authority with one for clients. */
async function certificates(t: TestContext): Promise<(name: string) => string> {
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-tls-'))
  t.after(() => rm(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await writeFile(at('names'), 'subjectAltName=IP:127.0.0.1\n')
  for (const ca of ['ca', 'other']) {
    const files = ['-keyout', at(`${ca}.key`), '-out', at(`${ca}.pem`)]
    await run('openssl', ['req', '-x509', ...key, '-days', '2', '-subj', `/CN=${ca}`, ...files])
  }
  for (const [name, ca] of [
    ['engine', 'ca'],
    ['client', 'ca'],
    ['stranger', 'other'],
  ] as const) {
    await run('openssl', ['req', ...key, '-subj', `/CN=${name}`, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`)])
    const signed = ['-CA', at(`${ca}.pem`), '-CAkey', at(`${ca}.key`), '-CAcreateserial', '-days', '2', '-extfile', at('names')]
    await run('openssl', ['x509', '-req', '-in', at(`${name}.csr`), ...signed, '-out', at(`${name}.pem`)])
  }
  return at
}

test('an engine over TCP with TLS: by a certificate of its authority, and for nobody else; a dead manager before it is passed over', {
  skip: noLab,
}, async t => {
  const at = await certificates(t)
  const here = await site()
  const [port, raft] = [await freePort(), await freePort()]
  const secure = ['--tlsverify', '--tlscacert', at('ca.pem'), '--tlscert', at('engine.pem'), '--tlskey', at('engine.key')]
  const plain = ['--bridge=none', '--iptables=false', '--ip-forward=false']
  t.after(async () => {
    await endGroup(`${here.name}/tls`)
    await rm(dataRoot(here, 'tls'), { recursive: true, force: true })
    for (const part of ['', '.sock', '.log']) await rm(join(here.run, `tls${part}`), { recursive: true, force: true })
  })
  const engine = await startEngine(here, { name: 'tls', flags: [...plain, '-H', `tcp://127.0.0.1:${port}`, ...secure] })
  await docker(engine, 'swarm', 'init', '--advertise-addr', '127.0.0.1', '--listen-addr', `127.0.0.1:${raft}`)

  const over = (ca: string, own?: string) => ({
    host: '127.0.0.1',
    port,
    ...(own !== undefined && { tls: { ca: at(`${ca}.pem`), cert: at(`${own}.pem`), key: at(`${own}.key`) } }),
  })
  assert.equal(await swarm.answers({ docker: over('ca', 'client') }), true)
  assert.equal(await swarm.answers({ docker: over('other', 'client') }), false, 'an engine of another authority')
  assert.equal(await swarm.answers({ docker: over('ca', 'stranger') }), false, 'a client of another authority')
  assert.equal(await swarm.answers({ docker: over('ca') }), false, 'without TLS')

  const dead = { host: '127.0.0.1', port: await freePort() }
  const plugin = swarm({ docker: [dead, over('ca', 'client')] })
  await plugin.setup(fakeHub(t))
  await plugin.health(AbortSignal.timeout(5000))
  assert.deepEqual(await plugin.spawner.list(fakeContext()), [])
})

test('a creation whose answer is lost with its manager is settled by reading at the next: one service', {
  skip: noLab,
}, async t => {
  const { nodes } = await lab()
  const [{ socket }] = nodes as [(typeof nodes)[0]]
  const fault = { down: false, armed: false }
  const first = await tap(t, socket, (asked, reply) => {
    if (fault.down) return Boolean(reply.destroy())
    if (!fault.armed || !asked.url?.includes('/services/create')) return false
    fault.down = true
    const { method, url, headers } = asked
    const sent = request({ socketPath: socket, method: method ?? '', path: url, headers }, got =>
      got.resume().on('end', () => reply.destroy()),
    )
    asked.pipe(sent)
    return true
  })
  const second = await tap(t, socket)
  const { spawner, start, until, images } = await onSwarm(t, { docker: [first.socket, second.socket] })
  fault.armed = true
  const { handle } = await start({ image: images.silent })
  assert.ok(fault.down)
  assert.ok(!second.calls.includes('POST /services/create'), 'not sent again')
  await until(handle, 'running')
  assert.equal((await spawner.list(fakeContext())).length, 1)
})
