import { existsSync } from 'node:fs'
import { access, readFile, rm, writeFile } from 'node:fs/promises'
import { run } from './command.ts'
import { locked } from './lock.ts'
import { say, site, timed } from './site.ts'

/** What the lab is made of. */
export const labPackages = [
  ...['docker.io', 'iproute2', 'iptables', 'dnsmasq-base', 'debootstrap', 'util-linux', 'ca-certificates'],
  ...['jupyterhub', 'jupyter-notebook', 'python3-notebook', 'python3-ipykernel', 'python3-jupyter-server', 'tini', 'chromium'],
]

/** Why no lab can be made here, in plain words; undefined when it can. */
export async function shortcoming(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'a Swarm of several nodes on one machine needs Linux network namespaces'
  if (process.getuid?.() !== 0) return 'not root: network namespaces, dockerd and apt-get need it'
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  if (!/^(ID|ID_LIKE)=.*debian/m.test(release))
    return 'not a Debian: its packages (docker.io, jupyterhub, chromium) are the real parts'
  if (!existsSync('/usr/bin/apt-get')) return 'apt-get is missing'
  if (!existsSync('/usr/bin/flock')) return 'flock (util-linux) is missing'
  return undefined
}

/** Installs the Debian packages that are missing. */
export async function installed(...names: string[]): Promise<void> {
  if (!(await missing(names)).length) return
  const here = await site()
  await locked(`${here.cache}/apt.lock`, async () => {
    const wanted = await missing(names)
    if (!wanted.length) return
    say(`installing ${wanted.join(' ')}`)
    await timed('packages installed', () => withoutServices(() => install(wanted)))
  })
}

async function install(names: string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const patient = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3']
  await run('apt-get', [...patient, 'update'], { env })
  await run('apt-get', [...patient, 'install', '-y', '--no-install-recommends', ...names], { env, timeout: 1_200_000 })
}

/** A package that is a daemon starts it when it is installed: not here. */
async function withoutServices(work: () => Promise<void>): Promise<void> {
  const policy = '/usr/sbin/policy-rc.d'
  const ours = await access(policy).then(
    () => false,
    () => true,
  )
  if (ours) await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await work()
  } finally {
    if (ours) await rm(policy, { force: true })
  }
}

async function missing(names: string[]): Promise<string[]> {
  const format = `-f=\${Package} \${db:Status-Status}\n`
  // dpkg-query fails when it does not know one of the names, and still lists the others.
  const list = await run('sh', ['-c', 'dpkg-query -W "$@" 2>/dev/null || true', 'sh', format, ...names])
  return names.filter(name => !list.split('\n').includes(`${name} installed`))
}

/** How this machine reaches Debian, in a form that can be put into an image. */
export interface AptConfiguration {
  /** The archive that `debootstrap` takes. */
  mirror: string
  /** /etc/apt/sources.list */
  sources: string
  /** Proxies, time-outs and what else is set under `Acquire`. */
  acquire: string
  httpProxy?: string
}

/** Reads what apt has worked out of all its files: this is the same whatever form they have. */
export async function aptConfiguration(): Promise<AptConfiguration> {
  const format = '$(CREATED_BY)|$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)'
  const read = async () =>
    (await run('apt-get', ['indextargets', '--format', format]))
      .split('\n')
      .map(line => line.split('|'))
      .filter(([by, origin, , release]) => by === 'Packages' && origin === 'Debian' && /bookworm/.test(release ?? ''))
  let targets = await read()
  if (!targets.length) {
    // The origin is known only after the lists have been fetched.
    await run('apt-get', ['update'])
    targets = await read()
  }
  const mirror = targets.find(([, , , release]) => release === 'bookworm')?.[2]
  if (!mirror) throw new Error("this machine's apt knows no Debian bookworm archive")
  const sources = targets.map(([, , uri, release, component]) => `deb ${uri} ${release} ${component}\n`)
  const settings = (await run('apt-config', ['dump'])).split('\n').filter(line => line.startsWith('Acquire::'))
  const acquire = settings.filter(line => !/^Acquire::(IndexTargets|Changelogs|CompressionTypes|cdrom)/.test(line))
  const httpProxy = acquire.map(line => /^Acquire::http::Proxy "(.+)";/.exec(line)?.[1]).find(Boolean)
  return { mirror, sources: [...new Set(sources)].join(''), acquire: `${acquire.join('\n')}\n`, httpProxy }
}
