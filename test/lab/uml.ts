import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withBuilder } from './builder.ts'
import { daemon, run } from './command.ts'
import { installed } from './debian.ts'
import { docker } from './docker.ts'
import { BASE_IMAGE, buildImage } from './images.ts'
import { locked } from './lock.ts'
import { signal, startOf } from './process.ts'
import { freeSubnet, type Site, site, timed } from './site.ts'

/** A machine with a kernel of its own, which knows NFS: a Docker engine that is a Swarm of one node, and an NFS server. */
export interface Machine {
  /**
   * Of the machine. Its engine listens there on port 2375, and has the image `busybox:1.37`. Its NFS server exports `/srv/export` with the
   * folders `homes` and `squashed`; in the latter nobody is root.
   */
  address: string
  /** Of this end: no file server is here. */
  host: string
  /** Power off; resolves when it is. */
  stop(): Promise<void>
}

const modules = '/usr/lib/uml/modules'

/** Why there can be no such machine here, else false. Under CI nothing is skipped: `startMachine` throws the reason instead. */
export async function noMachine(): Promise<string | false> {
  if (process.env.CI) return false
  return installed('user-mode-linux').then(
    () => false,
    error => `user-mode-linux cannot be installed: ${String(error).split('\n')[0]}`,
  )
}

/** Boots one, in some seconds once its files are in the cache. It ends with this process, however that ends. */
export async function startMachine(): Promise<Machine> {
  await installed('user-mode-linux', 'iproute2', 'util-linux')
  const here = await site()
  const root = await locked(join(here.cache, 'uml.lock'), () => ensureRoot(here))
  await sweep(here)
  const folder = await mkdtemp(join(here.run, `uml-${process.pid}-`))
  const tap = `uml${randomBytes(4).toString('hex')}`
  await writeFile(join(folder, 'tap'), tap)
  const subnet = freeSubnet({ ...here, bridge: '' })
  const [host, address] = [`${subnet}.1`, `${subnet}.2`]
  await run('ip', ['tuntap', 'add', tap, 'mode', 'tap'])
  await run('ip', ['addr', 'add', `${host}/30`, 'dev', tap])
  await run('ip', ['link', 'set', tap, 'up'])
  await run('truncate', ['-s', '4G', join(folder, 'disk')])
  const pid = await daemon(
    join(folder, 'console'),
    'setpriv',
    [
      // Each call of its processes goes from one of its threads to another: beside other tests it would wait for its turn all the time.
      ...['--pdeathsig', 'TERM', 'nice', '-n', '-15', 'linux.uml', 'mem=1500M'],
      ...['root=/dev/root', 'rootfstype=hostfs', `rootflags=${root}`, 'ro', `ubd0=${join(folder, 'disk')}`],
      ...['init=/lab-init', 'con=null', 'con0=null,fd:2', `vec0:transport=tap,ifname=${tap},depth=128,gro=1`],
      ...[`LAB_ADDRESS=${address}`, `LAB_HOST=${host}`],
    ],
    { ...process.env, TMPDIR: folder },
  )
  const born = await startOf(pid)
  const alive = async () => born !== undefined && (await startOf(pid)) === born
  const stop = async () => {
    if (await alive()) signal(pid, 'SIGTERM')
    for (let tries = 0; (await alive()) && tries < 100; tries++) await sleep(50)
    if (await alive()) signal(pid, 'SIGKILL')
    await forget(folder)
  }
  try {
    await timed('a machine with NFS is up', () => until(() => isManager(`http://${address}:2375/info`), alive))
    return { address, host, stop }
  } catch (error) {
    const said = await readFile(join(folder, 'console'), 'utf8').catch(() => '')
    await stop()
    throw new Error(`${error instanceof Error ? error.message : error}:\n${said.split('\n').slice(-40).join('\n')}`)
  }
}

/** What machines of processes that were killed have left. */
async function sweep(here: Site): Promise<void> {
  for (const name of await readdir(here.run)) {
    const pid = /^uml-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !(await startOf(Number(pid)))) await forget(join(here.run, name))
  }
}

async function forget(folder: string): Promise<void> {
  const tap = await readFile(join(folder, 'tap'), 'utf8').catch(() => undefined)
  if (tap && existsSync(`/sys/class/net/${tap}`)) await run('ip', ['link', 'del', tap])
  await rm(folder, { recursive: true, force: true })
}

async function until(is: () => Promise<boolean>, alive: () => Promise<boolean>): Promise<void> {
  for (const limit = performance.now() + 120_000; performance.now() < limit; await sleep(100)) {
    if (await is()) return
    if (!(await alive())) throw new Error('the machine has ended')
  }
  throw new Error('the machine was not up within two minutes')
}

/** Its Swarm is made last. */
async function isManager(info: string): Promise<boolean> {
  try {
    const reply = await fetch(info, { signal: AbortSignal.timeout(2000) })
    const { Swarm } = (await reply.json()) as { Swarm?: { ControlAvailable?: boolean } }
    return Swarm?.ControlAvailable === true
  } catch {
    return false
  }
}

/** The machine's files, in the cache under a key of all that they are made of. They are only read when it runs. */
async function ensureRoot(here: Site): Promise<string> {
  const known: Record<string, { key: string }> = JSON.parse(await readFile(join(here.cache, 'images.json'), 'utf8'))
  const kernels = (await readdir(modules)).sort()
  const parts = JSON.stringify([known[BASE_IMAGE]?.key, dockerfile, init, kernels])
  const root = join(here.cache, `uml-${createHash('sha256').update(parts).digest('hex').slice(0, 12)}`)
  if (existsSync(root)) return root
  await timed('files of a machine with NFS made', () => makeRoot(here, root, kernels))
  for (const old of await readdir(here.cache))
    if (/^uml-[0-9a-f]{12}/.test(old) && join(here.cache, old) !== root) await rm(join(here.cache, old), { recursive: true })
  return root
}

async function makeRoot(here: Site, root: string, kernels: readonly string[]): Promise<void> {
  await mkdir(join(here.cache, 'tmp'), { recursive: true })
  const folder = await mkdtemp(join(here.cache, 'tmp/uml-'))
  try {
    await writeFile(join(folder, 'Dockerfile'), dockerfile)
    await writeFile(join(folder, 'lab-init'), init, { mode: 0o755 })
    const tag = 'swarmhub-lab/uml:1'
    await buildImage({ nodes: [] }, { tag, context: folder })
    const making = join(folder, 'root')
    await mkdir(making)
    await withBuilder(here, async builder => {
      const container = await docker(builder, 'create', tag)
      const unpack = 'set -o pipefail; docker -H "unix://$1" export "$2" | tar -C "$3" -x'
      await run('bash', ['-c', unpack, 'bash', builder.socket, container, making])
      await docker(builder, 'rm', container)
      await docker(builder, 'rmi', tag)
    })
    await mkdir(join(making, 'lib/modules'), { recursive: true })
    for (const kernel of kernels) {
      await run('cp', ['-a', join(modules, kernel), join(making, 'lib/modules', kernel)])
      await run('chroot', [making, 'depmod', kernel])
    }
    await rename(making, root)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const dockerfile = `FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends docker.io nfs-kernel-server nfs-common rpcbind iproute2 iptables \\
    kmod e2fsprogs busybox-static procps && update-alternatives --set iptables /usr/sbin/iptables-legacy \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /usr/share/doc /usr/share/man
RUN mkdir -p /srv/export /disk /etc/docker /tmp/image/bin \\
    && for name in $(busybox --list); do ln -s busybox /tmp/image/bin/$name; done && rm -f /tmp/image/bin/busybox \\
    && cp /bin/busybox /tmp/image/bin/ && tar -C /tmp/image -cf /busybox.tar . && rm -r /tmp/image
COPY lab-init /lab-init
`

const init = `#!/bin/sh
set -x
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts && mount -t devpts pts /dev/pts
for folder in /run /tmp /var/lib/nfs /var/log /etc/docker /root; do mount -t tmpfs tmp $folder; done
modprobe -a overlay bridge br_netfilter veth vxlan nfs nfsv3 nfsv4 nfsd iptable_nat iptable_filter xt_conntrack xt_MASQUERADE xt_addrtype
mke2fs -q -t ext4 /dev/ubda && mount /dev/ubda /disk && mkdir -p /disk/docker /disk/export /run/rpcbind /run/sendsigs.omit.d
hostname machine
ip link set lo up
ip addr add $LAB_ADDRESS/30 dev vec0
ip link set vec0 up
ip route add default via $LAB_HOST
echo 1 > /proc/sys/net/ipv4/ip_forward

mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs
touch /var/lib/nfs/etab /var/lib/nfs/rmtab /var/lib/nfs/state /var/lib/nfs/xtab
mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
mount -t nfsd nfsd /proc/fs/nfsd
mount --bind /disk/export /srv/export
rpcbind -w
rpc.nfsd -G 10 -L 10 4
rpc.mountd
mkdir -p /srv/export/homes /srv/export/squashed /disk/squashed
# What is to have rights of its own has to be a mount of its own.
mount --bind /disk/squashed /srv/export/squashed
exportfs -o rw,no_root_squash,no_subtree_check,insecure,fsid=0 "*:/srv/export"
exportfs -o rw,root_squash,no_subtree_check,insecure,fsid=1 "*:/srv/export/squashed"

dockerd --data-root /disk/docker --storage-driver overlay2 -H unix:///run/docker.sock -H tcp://$LAB_ADDRESS:2375 > /run/dockerd.log 2>&1 &
for i in $(seq 300); do docker version > /dev/null 2>&1 && break; sleep 0.2; done
docker import -c 'CMD ["sh"]' /busybox.tar busybox:1.37
# What waits for the machine looks for this.
docker swarm init --advertise-addr $LAB_ADDRESS || tail -20 /run/dockerd.log
set +x
wait
`
