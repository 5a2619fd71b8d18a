import { type Identity, type Plugin, parseOptions } from 'swarmhub'
import { type HeaderOptions, headersOf, options } from './options.ts'
import { read, readList } from './source.ts'

export type { HeaderOptions } from './options.ts'

/** People whom a reverse proxy in front of the hub has signed in: it names them in a header, and nobody else can. */
export function header(given: HeaderOptions) {
  const settings = parseOptions('header', options, given)
  const { name, label, from, user, id, groups, separator, admins, attributes, env, signOut } = settings

  return {
    name,

    authenticator: {
      kind: 'request',
      label,
      from,
      headers: headersOf(settings),
      identify(headers): Identity | null {
        const called = read(user, headers)
        const known = id && read(id, headers)
        // Who comes without the id that others have could be anybody of that name.
        if (called === undefined || (id && known === undefined)) return null
        const told = groups && readList(groups, separator, headers)
        const found = Object.entries(attributes).map(([key, source]) => [key, read(source, headers)])
        return {
          name: called,
          ...(known !== undefined && { id: known }),
          ...(told && { groups: told }),
          ...(admins && { admin: admins.some(group => told?.includes(group)) }),
          attributes: Object.fromEntries(found.filter(([, value]) => value !== undefined)),
        }
      },
      ...(signOut !== undefined && { leave: () => new URL(signOut) }),
    },

    hooks: {
      'before:spawn': ({ user, draft }) => {
        for (const [variable, attribute] of Object.entries(env)) {
          const value = user.attributes[attribute]
          if (typeof value === 'string') draft.env[variable] = value
        }
      },
    },
  } satisfies Plugin
}
