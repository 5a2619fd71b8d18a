import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { browser } from './lab/chromium.ts'
import { noLab } from './lab/lab.ts'
import { ask, until } from './roles/loopback.ts'
import { freePort, startHub } from './running-hub.ts'
import { trapHub } from './trap-hub.ts'
import { visitor } from './visitor.ts'

/*
 * The programs that talk to a JupyterHub, each by the requests that it makes, in Python with the packages that it uses.
 */

const its = trapHub(`
  roles: [
    // As nbgrader’s own example of a config has it.
    { name: 'server', scopes: ['inherit'] },
    { name: 'instructor', scopes: ['admin:groups', 'list:services', 'read:services', 'read:users:groups'], groups: ['formgrade-physics'] },
  ],
  services: [
    { name: 'script', token: 'the-token-of-the-admin-script', scopes: ['admin:users', 'admin:servers'] },
    { name: 'culler', token: 'the-token-of-the-culler', scopes: ['list:users', 'read:users:activity', 'read:servers', 'delete:servers', 'admin:users'] },
    { name: 'launcher', token: 'the-token-of-the-launcher', scopes: ['admin:users', 'admin:servers'] },
    { name: 'monitor', token: 'the-token-of-the-monitor', scopes: ['read:metrics'] },
    { name: 'physics', url: 'http://127.0.0.1:1', access: { groups: ['formgrade-physics'] }, token: 'the-token-of-the-course' },
  ],
`)

// biome-ignore lint/suspicious/noExplicitAny: tests read it with what they expect in mind, and fail where it is not there
type Json = any

/** Run a script; what it prints last is JSON. It finds `api`, `token` and the like as variables. */
async function python(script: string, variables: Record<string, string>): Promise<Json> {
  const head = `import json, os, requests
from urllib.parse import quote
globals().update(json.loads(os.environ['VARIABLES']))
`
  const child = spawn('/usr/bin/python3', ['-c', head + script], {
    env: { PATH: process.env.PATH, VARIABLES: JSON.stringify(variables) },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  const printed = await text(child.stdout)
  assert.notEqual(printed, '', 'the script has failed, see above')
  return JSON.parse(printed.trim().split('\n').at(-1)!)
}

const api = () => ({ api: `${its().origin}/hub/api`, hub: `${its().origin}/hub/` })

test('an administrator’s script pages through 1000 users by `next`, by offset, and with the plain list', {
  skip: noLab,
}, async () => {
  const token = 'the-token-of-the-admin-script'
  const result = await python(
    `
s = requests.Session()
s.headers['Authorization'] = f'token {token}'
names = [f'student-{i:04}' for i in range(1000)]
r = s.post(f'{api}/users', json={'usernames': names})
r.raise_for_status()
made = [u['name'] for u in r.json()]

def by_next(**params):
    url, found, pages, total = f'{api}/users', [], 0, None
    while url:
        r = s.get(url, params=params, headers={'Accept': 'application/jupyterhub-pagination+json'})
        r.raise_for_status()
        assert r.headers['Content-Type'].startswith('application/json')
        body = r.json()
        found += [u['name'] for u in body['items']]
        page = body['_pagination']
        total = page['total']
        url = page['next'] and page['next']['url']
        params = {}
        pages += 1
    return found, pages, total

def by_offset(limit):
    found, offset, pages = [], 0, 0
    while True:
        r = s.get(f'{api}/users', params={'offset': offset, 'limit': limit, 'name_filter': 'student-'})
        r.raise_for_status()
        page = r.json()
        if not page:
            return found, pages
        found += [u['name'] for u in page]
        offset += len(page)
        pages += 1

usual = by_next(name_filter='student-')
large = by_next(name_filter='student-', limit=200)
backwards = by_next(name_filter='student-', limit=1000, sort='-name')
plain = by_offset(150)
silent = s.get(f'{api}/users', params={'name_filter': 'student-'}).json()
print(json.dumps({
    'made': made == names,
    'usual': [usual[0] == names, usual[1:]],
    'large': [large[0] == names, large[1:]],
    'backwards': [backwards[0] == names[::-1], backwards[1:]],
    'plain': [plain[0] == names, plain[1]],
    'silent': len(silent),
}))
`,
    { ...api(), token },
  )
  assert.deepEqual(result, {
    made: true,
    usual: [true, [20, 1000]],
    large: [true, [5, 1000]],
    backwards: [true, [5, 1000]],
    plain: [true, 7],
    silent: 200,
  })
})

test('the idle culler: version, pages by state, times of any form, servers stopped without a body, users by their bare name', {
  skip: noLab,
}, async () => {
  const hub = its()
  const name = 'idle@x.org'
  await hub.run(name)
  await hub.run(name, 'other')
  await hub.run('busy')
  const result = await python(
    `
from datetime import datetime, timezone
import dateutil.parser
from packaging.version import Version
auth = {'Authorization': f'token {token}'}
version = requests.get(f'{api}/', headers=auth).json()['version']
assert Version(version) >= Version('1.3.0')

def paged(state):
    url = f'{api}/users?state={state}&limit=1'
    while url:
        r = requests.get(url, headers={**auth, 'Accept': 'application/jupyterhub-pagination+json'})
        r.raise_for_status()
        body = r.json()
        yield from body['items']
        url = body['_pagination']['next'] and body['_pagination']['next']['url']

now, seen, statuses = datetime.now(timezone.utc), [], []
# A list by state gets shorter while it is worked on, so all of it is read first.
for user in list(paged('ready')):
    for key in ('name', 'admin', 'created', 'last_activity', 'servers'):
        assert key in user, key
    for name, server in user['servers'].items():
        for key in ('name', 'pending', 'ready', 'url', 'started', 'last_activity'):
            assert key in server, key
        assert server['ready'] and not server['pending']
        age = now - dateutil.parser.parse(server['started'])
        idle = now - dateutil.parser.parse(server['last_activity'])
        assert abs(age.total_seconds()) < 120 and abs(idle.total_seconds()) < 120
        seen.append(user['name'] + '/' + name)
        if user['name'].startswith('idle'):
            end = f'servers/{quote(name)}' if name else 'server'
            statuses.append(requests.delete(f"{api}/users/{quote(user['name'])}/{end}", headers=auth).status_code)
inactive = [u['name'] for u in paged('inactive')]
statuses.append(requests.delete(f'{api}/users/idle@x.org', headers=auth).status_code)
print(json.dumps({'seen': sorted(seen), 'statuses': statuses, 'inactive': 'idle@x.org' in inactive and 'busy' not in inactive}))
`,
    { ...api(), token: 'the-token-of-the-culler' },
  )
  assert.deepEqual(result.seen, ['busy/', `${name}/`, `${name}/other`])
  assert.ok(
    result.statuses.every((status: number) => [202, 204].includes(status)),
    result.statuses.join(),
  )
  assert.equal(result.inactive, true)
  assert.equal((await hub.api(await hub.token('root'), 'GET', `/users/${name}`)).status, 404)
})

test('nbgrader in a server whose token inherits: groups, members and services, every answer JSON', { skip: noLab }, async () => {
  const hub = its()
  const root = await hub.token('root')
  await hub.token('student')
  await hub.token('teacher')
  assert.equal((await hub.api(root, 'POST', '/groups/formgrade-physics/users', { users: ['teacher'] })).status, 200)
  const { env } = await hub.run('teacher')
  const result = await python(
    `
headers = {'Authorization': f"token {env['JUPYTERHUB_API_TOKEN']}"}
def call(method, path, data=None):
    r = requests.request(method, env['JUPYTERHUB_API_URL'] + path, headers=headers, data=json.dumps(data) if data is not None else None)
    r.raise_for_status()
    return r.json()
user = env['JUPYTERHUB_USER']
groups = call('GET', f'/users/{user}')['groups']
before = [g['name'] for g in call('GET', '/groups')]
if 'nbgrader-physics' not in before:
    call('POST', '/groups/nbgrader-physics')
added = call('POST', '/groups/nbgrader-physics/users', {'users': ['student']})['users']
again = call('POST', '/groups/nbgrader-physics/users', {'users': ['student']})['users']
students = [g['users'] for g in call('GET', '/groups') if g['name'] == 'nbgrader-physics'][0]
removed = call('DELETE', '/groups/nbgrader-physics/users', {'users': ['student']})['users']
services = call('GET', '/services')
print(json.dumps([groups, added, again, students, removed, services['physics']['prefix']]))
`,
    { env: env as never },
  )
  assert.deepEqual(result, [['formgrade-physics'], ['student'], ['student'], ['student'], [], '/services/physics/'])
})

test('a BinderHub-like launcher: a user by an empty body, a start by options, polled until it is there, and removed', {
  skip: noLab,
}, async () => {
  const result = await python(
    `
import time
auth = {'Authorization': f'token {token}'}
made = requests.post(f'{api}/users/binder-abc', headers=auth, data='')
again = requests.post(f'{api}/users/binder-abc', headers=auth, data='').status_code
started = requests.post(f'{api}/users/binder-abc/server', headers=auth, data=json.dumps({'profile': 'plain'}))
for i in range(200):
    user = requests.get(f'{api}/users/binder-abc', headers=auth).json()
    if user['server']:
        break
    assert user['pending'], user
    time.sleep(0.05)
body = requests.get(origin + user['server']).text
refused = requests.post(f'{api}/users/binder-abc/servers/x', headers=auth, data=json.dumps({'image': 'evil/x', 'token': 'x'})).status_code
stopped = requests.delete(f'{api}/users/binder-abc/server', headers=auth).status_code
removed = requests.delete(f'{api}/users/binder-abc', headers=auth).status_code
print(json.dumps([made.status_code, again, started.status_code in (201, 202), started.text, user['server'], body[:22], refused, stopped, removed]))
`,
    { ...api(), origin: its().origin, token: 'the-token-of-the-launcher' },
  )
  // Which image, users choose from the admin's list alone: a launcher starts profiles.
  assert.deepEqual(result, [201, 409, true, '', '/user/binder-abc/', 'notebook of binder-abc', 400, 204, 204])
})

test('a load tester: the form with the _xsrf of its cookie, then the API by cookie, with _xsrf as header or in the address', {
  skip: noLab,
}, async () => {
  const result = await python(
    `
import time
s = requests.Session()
xsrf = s.get(f'{hub}login').cookies['_xsrf']
login = s.post(f'{hub}login?next=', data={'_xsrf': xsrf, 'username': 'loader', 'password': 'the shared password of all'}, allow_redirects=False)
assert login.status_code == 302, login.status_code
xsrf = [c for c in s.cookies if c.name == '_xsrf'][-1].value
start = s.post(f'{api}/users/loader/server', headers={'X-XSRFToken': xsrf}).status_code
for i in range(200):
    user = s.get(f'{api}/users/loader', params={'_xsrf': xsrf}).json()
    if user['server']: break
    time.sleep(0.05)
named = s.post(f'{api}/users/loader/servers/', params={'_xsrf': xsrf}).status_code
without = s.post(f'{api}/users/loader/server').status_code
stop = s.delete(f'{api}/users/loader/server', params={'_xsrf': xsrf}).status_code
out = s.get(f'{hub}logout').url
gone = s.get(f'{api}/user').status_code
print(json.dumps([start in (201, 202), user['server'], named, without, stop, out.endswith('/hub/login'), gone]))
`,
    api(),
  )
  assert.deepEqual(result, [true, '/user/loader/', 400, 403, 204, true, 403])
})

test('JupyterHub’s own admin page: its list, its starts and stops by the empty server name, groups', {
  skip: noLab,
}, async () => {
  const result = await python(
    `
s = requests.Session()
xsrf = s.get(f'{hub}login').cookies['_xsrf']
s.post(f'{hub}login', data={'_xsrf': xsrf, 'username': 'root', 'password': 'the shared password of all'})
xsrf = [c for c in s.cookies if c.name == '_xsrf'][-1].value
s.headers.update({'Content-Type': 'application/json', 'Accept': 'application/jupyterhub-pagination+json', 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Site': 'same-origin'})
def call(method, path, data=None):
    mark = '&' if '?' in path else '?'
    return s.request(method, f'{api}/{path}{mark}_xsrf={xsrf}', data=json.dumps(data) if data is not None else None)
assert call('POST', 'users', {'usernames': ['paged'], 'admin': False}).status_code == 201
page = call('GET', 'users?include_stopped_servers=1&offset=0&limit=50&name_filter=paged&sort=-name&state=').status_code
users = call('GET', 'users?include_stopped_servers=1&offset=0&limit=50&name_filter=paged&sort=id').json()
start = call('POST', 'users/paged/servers/').status_code
stop = call('DELETE', 'users/paged/servers/').status_code
named = call('POST', 'users/paged/servers/x').status_code
remove = call('DELETE', 'users/paged/servers/x', {'remove': True}).status_code
edit = call('PATCH', 'users/paged', {'name': 'paged2', 'admin': True}).json()
groups = call('GET', 'groups?offset=0&limit=50').json()
print(json.dumps([users['_pagination']['total'], users['items'][0]['name'], start in (201, 202), stop in (202, 204), named in (201, 202), remove in (202, 204), [edit['name'], edit['admin']], list(groups)]))
`,
    api(),
  )
  assert.deepEqual(result, [1, 'paged', true, true, true, true, ['paged2', true], ['items', '_pagination']])
})

test('code in a notebook, and dask-gateway: who am I, what runs, stop myself', { skip: noLab }, async () => {
  const { env } = await its().run('coder')
  const result = await python(
    `
headers = {'Authorization': f"token {env['JUPYTERHUB_API_TOKEN']}"}
url, user = env['JUPYTERHUB_API_URL'], env['JUPYTERHUB_USER']
me = requests.get(f'{url}/user', headers=headers).json()
model = requests.get(f'{url}/users/{user}', headers=headers).json()
stop = requests.delete(f'{url}/users/{user}/server', headers=headers).status_code
print(json.dumps([me['name'], me['groups'], me['admin'], model['server'], stop]))
`,
    { env: env as never },
  )
  assert.deepEqual(result, ['coder', [], false, '/user/coder/', 204])
})

test('monitoring finds JupyterHub’s names', { skip: noLab }, async () => {
  const result = await python(
    `
r = requests.get(f'{hub}metrics', headers={'Authorization': f'token {token}'})
r.raise_for_status()
import re
print(json.dumps(sorted(set(re.findall(r'^# TYPE jupyterhub_(\\w+) ', r.text, re.M)))))
`,
    { ...api(), token: 'the-token-of-the-monitor' },
  )
  for (const name of [
    'running_servers',
    'total_users',
    'active_users',
    'server_spawn_duration_seconds',
    'request_duration_seconds',
    'login_duration_seconds',
    'server_stop_seconds',
    'server_poll_duration_seconds',
    'proxy_add_duration_seconds',
    'proxy_delete_duration_seconds',
    'proxy_poll_duration_seconds',
    'check_routes_duration_seconds',
    'hub_startup_duration_seconds',
    'event_loop_interval_seconds',
  ])
    assert.ok(result.includes(name), `${name} is not in ${result}`)
})

test('a nbgitpuller link goes through sign-in and start with its query as it was', { skip: noLab }, async () => {
  const hub = its()
  const query = 'repo=https%3A%2F%2Fexample.org%2Fa%2Bb.git&branch=main&urlpath=lab%2Ftree%2Fx%20y%2Fz.ipynb%3Fautodecode'
  const link = `/hub/user-redirect/git-pull?${query}`
  const someone = visitor(hub.origin)
  const form = await someone.open(link)
  const after = await someone.submit(form.path, 'login', { username: 'puller', password: 'the shared password of all' })
  assert.match(after.path, /^\/hub\/spawn\/puller/)
  await hub.run('puller')
  assert.equal((await someone.open(after.path)).path.replace(/&redirects=\d/, ''), `/user/puller/git-pull?${query}`)
})

const notebooks = (more = '') => `
import { defineConfig } from 'swarmhub'
import { dummy, httpProxy, process } from 'swarmhub/plugins'
export default defineConfig({
  authenticators: [dummy({ password: 'a good password' })],
  access: { everyone: true, admins: ['root'] },
  spawner: process({ install: false, command: ['/usr/bin/jupyterhub-singleuser'] }),
  proxy: httpProxy({ port: $PORT, host: '127.0.0.1' }),
  hub: { port: $HUB_PORT },
  ${more}
})
`

test('nbgrader’s formgrader: an unmodified jupyterhub-singleuser as a service that the hub runs, for the course’s group', {
  skip: noLab,
}, async t => {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'course-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const hub = await startHub(
    t,
    notebooks(`
      roles: [{ name: 'graders', scopes: ['list:users'], users: ['grader', 'student'], groups: ['formgrade-course'] }],
      services: [{
        name: 'course',
        url: 'http://127.0.0.1:${port}',
        command: ['/usr/bin/jupyterhub-singleuser', '--allow-root'],
        cwd: ${JSON.stringify(folder)},
        environment: { HOME: ${JSON.stringify(folder)}, JUPYTERHUB_SINGLEUSER_APP: 'notebook.notebookapp.NotebookApp' },
        access: { groups: ['formgrade-course'] },
        token: 'the-token-of-the-course',
      }],
    `),
  )
  await hub.healthy()
  const enter = async (name: string) => {
    const someone = visitor(hub.origin)
    await someone.signIn(name, 'a good password', '/hub/home')
    return someone
  }
  const root = await enter('root')
  const grader = await enter('grader')
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ users: ['grader'] })
  const address = `/hub/api/groups/formgrade-course/users?_xsrf=${await root.xsrf()}`
  assert.equal((await root.ask(address, { method: 'POST', headers, body })).status, 200)

  await until(async () => (await ask(Number(new URL(hub.origin).port), '/services/course/api')).status === 200)
  const asked = await grader.open('/services/course/tree')
  assert.match(asked.path, /^\/hub\/api\/oauth2\/authorize/, `${asked.reply.status} ${asked.text.slice(0, 300)}`)
  const opened = await grader.submit(asked.path, 'authorize', {})
  assert.deepEqual([opened.path, opened.reply.status], ['/services/course/tree', 200])
  assert.equal((await grader.open('/services/course/api/contents')).reply.status, 200)
  const student = await enter('student')
  assert.equal((await student.open('/services/course/tree')).reply.status, 403)
})

test('the links of a notebook page to its hub lead there: logo, control panel, sign-out', { skip: noLab }, async t => {
  const hub = await startHub(t, notebooks())
  await hub.healthy()
  const { page } = await browser(t)
  await page.goto(`${hub.origin}/hub/login`)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('a good password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL('**/hub/home')
  await page.getByRole('button', { name: 'Start' }).click()
  await page.waitForURL('**/user/alice/tree**')
  const logo = page.locator('#ipython_notebook img, #ipython-main-app img, #header img').first()
  assert.match((await logo.getAttribute('src')) ?? '', /^\/hub\/logo/)
  assert.ok(await logo.evaluate(image => (image as HTMLImageElement).naturalWidth > 0), 'the logo is shown')

  await page.getByRole('link', { name: 'Control Panel' }).click()
  await page.waitForURL('**/hub/home')
  await page.getByRole('button', { name: 'Stop' }).waitFor()
  await page.goBack()

  await page
    .getByRole('button', { name: 'Logout' })
    .or(page.getByRole('link', { name: 'Logout' }))
    .first()
    .click()
  await page.waitForURL('**/hub/login**')
  await page.goto(`${hub.origin}/user/alice/tree`)
  await page.waitForURL('**/hub/login**')
})
