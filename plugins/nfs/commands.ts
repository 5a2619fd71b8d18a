import { type Command, HubError } from 'swarmhub'
import type { Folder } from './folders.ts'

/** `swarmhub nfs-… <verb>`. */
export function commandsOf(parts: {
  known(): [string, Folder][]
  erase(id: string): Promise<void>
  forget(id: string): Promise<void>
}) {
  const found = (path: string): string => {
    const [id] = parts.known().find(([, folder]) => folder.path === path) ?? []
    if (id === undefined) throw new HubError('missing', `The folder "${path}" is not known. \`list\` shows those that are.`)
    return id
  }

  return {
    list: {
      summary: 'list the folders, whose they are and when they were last used',
      run: () =>
        parts
          .known()
          .map(([, { path, users, used }]) => `${path}  ${users.map(({ owner }) => owner).join(',')}  ${used ?? ''}`.trimEnd())
          .join('\n'),
    },
    forget: {
      summary: '<path>: look for it on the server again at the next start, and make it when it is gone',
      async run([path = '']: string[]) {
        await parts.forget(found(path))
        return `${path} will be looked for.`
      },
    },
    erase: {
      summary: '<path> <path>: remove a folder with all that is in it, for good; the path twice, to be sure',
      async run([path = '', again]: string[]) {
        const id = found(path)
        if (again !== path) throw new HubError('invalid', `Nothing was erased. Say the path twice: erase ${path} ${path}`)
        await parts.erase(id)
        return `${path} is erased.`
      },
    },
  } satisfies Record<string, Command>
}
