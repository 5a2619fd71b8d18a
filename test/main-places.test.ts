import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { newToken, openPlaces, placesOf, readAddress, routeApi, sharedToken } from '../core/cli/places.ts'

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'swarmhub-places-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('the sockets are in the data folder, for its owner only', async t => {
  const data = join(folderFor(t), 'data')
  const places = await openPlaces(data)
  assert.deepEqual(places, placesOf(data))
  assert.equal(places.control, join(data, 'run', 'control.sock'))
  assert.equal(statSync(places.folder).mode & 0o777, 0o700)
})

test('where their paths would be too long for sockets they are in a folder whose name any terminal can work out', async t => {
  const data = join(folderFor(t), 'd'.repeat(100))
  const places = await openPlaces(data)
  t.after(() => rmSync(places.folder, { recursive: true, force: true }))
  assert.ok(Buffer.byteLength(places.control) < 108, places.control)
  assert.deepEqual(placesOf(data), places)
  assert.notEqual(placesOf(`${data}x`).folder, places.folder)
  assert.equal(statSync(places.folder).mode & 0o777, 0o700)
})

test('a run folder that is open to others is not used', async t => {
  const data = join(folderFor(t), 'data')
  mkdirSync(join(data, 'run'), { recursive: true })
  await assert.rejects(openPlaces(data), { code: 'config', message: /not a folder of this user alone/ })
})

test('the route API’s secret is new for each start, and the same for a front and a hub that are apart', async t => {
  const places = await openPlaces(join(folderFor(t), 'data'))
  const first = await newToken(places)
  assert.match(first, /^[\w-]{43}$/)
  assert.equal(await sharedToken(places), first)
  assert.notEqual(await newToken(places), first)
  assert.equal(statSync(places.token).mode & 0o777, 0o600)
  assert.equal((await routeApi(undefined, places)).token, readFileSync(places.token, 'utf8'))
})

test('on a network the secret has to be given', async t => {
  const places = await openPlaces(join(folderFor(t), 'data'))
  await assert.rejects(routeApi('http://front:8001', places), { code: 'config', message: /SWARMHUB_ROUTE_TOKEN is not set/ })
  process.env.SWARMHUB_ROUTE_TOKEN = 'the-secret'
  t.after(() => delete process.env.SWARMHUB_ROUTE_TOKEN)
  assert.deepEqual(await routeApi('http://front:8001', places), { at: { host: 'front', port: 8001 }, token: 'the-secret' })
})

test('addresses', () => {
  assert.deepEqual(readAddress('http://hub:8081'), { host: 'hub', port: 8081 })
  assert.deepEqual(readAddress('http://10.0.0.2:8081/'), { host: '10.0.0.2', port: 8081 })
  assert.deepEqual(readAddress('0.0.0.0:8001'), { host: '0.0.0.0', port: 8001 })
  assert.deepEqual(readAddress('[::1]:8001'), { host: '::1', port: 8001 })
  assert.deepEqual(readAddress('/run/hub.sock'), { socket: '/run/hub.sock' })
  for (const text of ['', 'hub', 'https://hub:1', 'http://hub:8081/path', 'hub:99999', 'hub:', 'a b:1'])
    assert.throws(() => readAddress(text), { code: 'invalid' }, text)
})
