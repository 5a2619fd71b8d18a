import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attackedHub } from './hostile.ts'
import { ask } from './roles/loopback.ts'

test('explore', async t => {
  const hub = await attackedHub(t)
  const mallory = await hub.notebook('mallory')
  console.log(mallory.env)
  const seen = await ask(hub.port, '/user/mallory/seen', { headers: { cookie: 'jupyterhub-hub-login=x; a=b', 'x-forwarded-for': '1.2.3.4' } })
  console.log(seen.body)
  console.log(await hub.token('root'))
  const token = await hub.token('mallory')
  console.log(await hub.api(token, 'GET', '/user'))
  for (const body of [{expires_in: 1e12}, {expires_in: 1e15}, {scopes: Array(1000).fill('read:users!user=mallory')}])
    console.log(await hub.api(token, 'POST', '/users/mallory/tokens', body).then(({status, json}) => [status, JSON.stringify(json).slice(0, 200)]))
  console.log(await hub.api(token, 'POST', '/users/mallory/servers/x', '['.repeat(100000) + ']'.repeat(100000)))
  console.log(await hub.api(token, 'POST', '/users/mallory/servers/x', '{"a":'.repeat(100000) + '1' + '}'.repeat(100000)))
  // named servers race
  const starts = await Promise.all(Array.from({ length: 20 }, (_, i) => hub.api(token, 'POST', `/users/mallory/servers/s${i}`)))
  console.log(starts.map(({ status }) => status).join(' '))
  const puts = await Promise.all(Array.from({ length: 20 }, (_, i) => hub.api(token, 'PUT', `/users/mallory/servers/p${i}`, {})))
  console.log(puts.map(({ status }) => status).join(' '))
  console.log(await hub.api(token, 'PUT', '/users/mallory/servers/__proto__', {}))
  console.log(Object.keys((await hub.api(token, 'GET', '/users/mallory?include_stopped_servers')).json.servers))
  console.log(hub.output())
})
