import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { signal } from './process.ts'

/*
 * All processes of an engine live in control groups under one name: dockerd, its containerd, the shims, the containers. The kernel keeps
 * the list, whoever forks and whoever dies first, and no pid in it can be another's. So what is stopped is exactly what was started.
 */

/** Makes the group that a daemon joins by writing its pid; gives the file to write to. */
export async function daemonGroup(name: string): Promise<string> {
  // A leaf beside the containers' groups: in version 2 a group with processes has no groups with controllers below it.
  const folder = join(await countingRoot(), name, 'daemon')
  await mkdir(folder, { recursive: true })
  return join(folder, 'cgroup.procs')
}

/** The processes in a group and below it. */
export async function groupProcesses(name: string): Promise<number[]> {
  const folders = await below(join(await countingRoot(), name))
  const lists = await Promise.all(folders.map(folder => readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '')))
  return lists.flatMap(list => list.split('\n').filter(Boolean).map(Number))
}

/** Kills all of a group and removes it. A group that is not there is gone. */
export async function endGroup(name: string, patience = 20_000): Promise<void> {
  const deadline = performance.now() + patience
  for (;;) {
    const pids = await groupProcesses(name)
    if (!pids.length) break
    if (performance.now() > deadline) throw new Error(`processes that cannot be killed: ${pids.join(' ')}`)
    for (const pid of pids) signal(pid, 'SIGKILL')
    await sleep(30)
  }
  for (const { folder } of await hierarchies()) {
    // The deepest first, and at last the one that all engines share; one that is not empty stays.
    const groups = (await below(join(folder, name))).reverse()
    for (const group of [...groups, dirname(join(folder, name))]) await rmdir(group).catch(() => {})
  }
}

/** The hierarchy that has every process in it: version 2 where there is nothing else, else the one of the process counter. */
async function countingRoot(): Promise<string> {
  const all = await hierarchies()
  const chosen = all.find(({ options }) => options.includes('pids')) ?? all.find(({ type }) => type === 'cgroup2')
  if (!chosen) throw new Error('no control groups are mounted')
  return chosen.folder
}

async function hierarchies() {
  const lines = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map(line => line.split(' '))
  return lines.flatMap(([, folder = '', type = '', options = '']) =>
    type.startsWith('cgroup') ? [{ folder, type, options: options.split(',') }] : [],
  )
}

async function below(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined)
  if (!entries) return []
  const deeper = await Promise.all(entries.filter(entry => entry.isDirectory()).map(entry => below(join(folder, entry.name))))
  return [folder, ...deeper.flat()]
}
