import { test } from 'node:test'
import { attackedHub } from './hostile.ts'
import { ask } from './roles/loopback.ts'

test('explore', async t => {
  const hub = await attackedHub(t)
  const mallory = await hub.notebook('mallory')
  const token = await hub.token('mallory')
  for (const body of [{expires_in: 1e12}, {expires_in: 1e15}, {scopes: Array(1000).fill('read:users!user=mallory')}])
    console.log(await hub.api(token, 'POST', '/users/mallory/tokens', body).then(({status, json}) => [status, JSON.stringify(json).slice(0, 200)]))
  console.log(await hub.api(token, 'POST', '/users/mallory/servers/x', '{"a":'.repeat(100000) + '1' + '}'.repeat(100000)))
  const big = { scopes: Array.from({ length: 1000 }, (_, i) => `servers!server=mallory/x${i}`) }
  let t0 = performance.now()
  const made = await hub.api(token, 'POST', '/users/mallory/tokens', big)
  console.log(made.status, performance.now() - t0)
  t0 = performance.now()
  for (let i = 0; i < 20; i++) await hub.api(made.json.token, 'GET', '/user')
  console.log('wide token', (performance.now() - t0)/20)
  // named servers race
  const puts0 = Array.from({ length: 20 }, (_, i) => hub.api(token, 'PUT', `/users/mallory/servers/p${i}`, {}))
  const starts = await Promise.all(Array.from({ length: 20 }, (_, i) => hub.api(token, 'POST', `/users/mallory/servers/s${i}`)))
  console.log(starts.map(({ status }) => status).join(' '))
  console.log((await Promise.all(puts0)).map(({ status }) => status).join(' '))
  console.log(Object.keys((await hub.api(token, 'GET', '/users/mallory?include_stopped_servers')).json.servers))
  t0 = performance.now()
  let i = 0
  for (; i < 1100; i++) { const { status } = await hub.api(token, 'POST', '/users/mallory/tokens', {}); if (status !== 201) { console.log(status); break } }
  console.log(i, performance.now() - t0)
  t0 = performance.now()
  for (let j = 0; j < 20; j++) await hub.api(token, 'DELETE', `/users/mallory/tokens/a${10 + j}`)
  console.log('per write', (performance.now() - t0) / 20)
  // client id
  for (const id of ['jupyterhub-user-' + '-'.repeat(1900), 'jupyterhub-user-' + '%20-'.repeat(480)]) {
    t0 = performance.now()
    for (let j = 0; j < 20; j++) await fetch(hub.origin + '/hub/api/oauth2/token', { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', code: 'x', client_id: id }) }).then(r => r.text())
    console.log('client id', (performance.now() - t0) / 20)
  }
  t0 = performance.now()
  for (let j = 0; j < 20; j++) await fetch(hub.origin + '/hub/api/oauth2/token', { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', code: 'x', client_id: 'y' }) }).then(r => r.text())
  console.log('base', (performance.now() - t0) / 20)
})
