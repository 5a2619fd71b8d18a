import { type Command, type Hub, HubError } from 'swarmhub'
import { isVolumeName } from '../mounts/options.ts'
import type { Homes } from './homes.ts'

interface Parts {
  hub(): Hub
  homes(): Homes
}

/** `swarmhub local-volume <verb>`. */
export function commandsOf({ hub, homes }: Parts) {
  const checked = (volume = ''): string => {
    if (isVolumeName(volume)) return volume
    throw new HubError('invalid', `"${volume}" is no name of a volume.`)
  }

  return {
    nodes: {
      summary: 'list the volumes and the nodes that have them',
      run: () =>
        homes()
          .all()
          .flatMap(({ volume, node }) => (node === undefined ? [] : [`${volume}  ${node}`]))
          .join('\n'),
    },
    list: {
      summary: 'list the volumes, whose they are, where, and when they were last used',
      run: () =>
        homes()
          .all()
          .map(({ volume, node, owner }) => [volume, owner?.slug ?? '-', node ?? '-', owner?.used ?? '-'].join('  '))
          .join('\n'),
    },
    place: {
      summary: '<volume> <hostname>: it is on this node; before the first start with a volume of another hub, or after a move',
      async run([volume, node = '']: string[]) {
        if (!/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(node)) throw new HubError('invalid', `"${node}" is no hostname of a node.`)
        await homes().place(checked(volume), node)
        return `${volume} is on ${node}.`
      },
    },
    forget: {
      summary: '<volume>: its files were moved, or are lost; the next start finds it a new node',
      async run([volume = '']: string[]) {
        if (homes().get(volume)?.node === undefined)
          throw new HubError('missing', `No node is remembered for the volume "${volume}".`)
        await homes().unplace(volume)
        return `The node of ${volume} is forgotten.`
      },
    },
    give: {
      summary: '<volume> <user>: it is this user’s from now on, whosever it was',
      async run([volume, name = '']: string[]) {
        const user = hub().user(name)
        if (!user) throw new HubError('missing', `There is no user "${name}".`)
        await homes().give(checked(volume), user)
        return `${volume} is ${name}’s.`
      },
    },
    erase: {
      summary: '<volume> <volume>: remove all that is in it, for good; the name twice, to be sure',
      async run([volume = '', again]: string[]) {
        if (again !== volume) throw new HubError('invalid', `Nothing was erased. Say the name twice: erase ${volume} ${volume}`)
        await hub().erase(volume)
        return `${volume} is erased.`
      },
    },
  } satisfies Record<string, Command>
}
