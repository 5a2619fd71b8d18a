import type { Cause } from 'swarmhub'
import { z } from 'zod'

/**
 * Where the files of a server are: `pinned` on its node alone, `shared` by all nodes, `moving` when the hub starts it on another node by
 * itself, for it can and may.
 */
export type Keeping = 'pinned' | 'shared' | 'moving'

/** What is read of a task's mounts. */
export const taskMount = z.object({
  Type: z.string(),
  Source: z.string().optional(),
  VolumeOptions: z
    .object({
      DriverConfig: z.object({ Name: z.string().optional(), Options: z.record(z.string(), z.string()).nullish() }).nullish(),
    })
    .nullish(),
})

type Mount = z.output<typeof taskMount>

/**
 * Would a server find its files on another node? Not when it may run on one node only, nor with a volume of the `local` driver that is no
 * network file system, nor with a folder of the node outside `shared`, which the config names.
 */
export function isPinned(mounts: readonly Mount[], constraints: readonly string[], shared: readonly string[]): boolean {
  return (
    constraints.some(constraint => /^node\.(id|hostname)\s*==/.test(constraint)) || mounts.some(mount => isOnNode(mount, shared))
  )
}

function isOnNode({ Type, Source = '', VolumeOptions }: Mount, shared: readonly string[]): boolean {
  if (Type === 'bind') return !shared.some(folder => `${Source}/`.startsWith(`${folder}/`))
  if (Type !== 'volume') return false
  const { Name = 'local', Options } = VolumeOptions?.DriverConfig ?? {}
  return (Name === '' || Name === 'local') && !/^(nfs|cifs|smb|ceph|glusterfs|9p|lustre|fuse\.)/.test(Options?.type ?? '')
}

/** What its user can do once it has ended with its node. */
export const whereNext: Record<Keeping, string> = {
  pinned: 'Its files are on that machine alone: start it again when the machine is back.',
  shared: 'Its files are not on that machine: start it again, and it runs on another one.',
  moving: 'The hub starts it again on another machine.',
}

/** The Swarm has ended it, since its node is being emptied. */
export function drained(node: string, words: string | undefined, keeping: Keeping): Cause {
  return {
    code: 'node-drained',
    message: `The server was ended because its machine, ${node}, is being emptied for maintenance.`,
    hint: whereNext[keeping],
    ...(words && { engine: words.slice(0, 500) }),
  }
}

/** What its user should know while its node is closed for new servers; `at` is when the hub moves it. */
export function noticeOf(node: string, keeping: Keeping, at: Date): string {
  const closing = `The machine ${node} is being taken out of service. Save your work`
  if (keeping === 'pinned')
    return `${closing} and stop this server: its files are on that machine alone, and it can be started again when the machine is back.`
  if (keeping === 'shared') return `${closing}, stop this server and start it again: then it runs on another machine.`
  const from = at.toISOString().slice(11, 16)
  return `${closing}: from ${from} UTC on, as soon as another machine has room, this server is stopped and started there.`
}
