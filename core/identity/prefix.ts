import { ConfigError, type ConfigIssue } from '../config/options.ts'
import type { Settings } from '../config/schema.ts'
import type { Authenticator, Plugin } from '../plugin.ts'

/**
 * The same authenticator, with this in front of all names that it tells: `prefixed('gh-', github({ … }))`. Whoever is called
 * `alice` there is `gh-alice` here, for the rules in `access` too; a name that begins so is nobody else's.
 */
export function prefixed<P extends Plugin & { authenticator: Authenticator }>(prefix: string, plugin: P): P {
  const message = 'expected a prefix such as "gh-": a-z and 0-9, and "-", "_" or "." at its end'
  if (!isPrefix(prefix)) throw new ConfigError('prefixed', [{ path: [], message }])
  return { ...plugin, authenticator: { ...plugin.authenticator, prefix } }
}

/** Is it spelled as names are, so that no name behind it can make it another one? */
export const isPrefix = (text: string) => /^[a-z0-9][a-z0-9._-]{0,30}[._-]$/.test(text)

type Given = Pick<Settings, 'authenticators'>

const givesNames = ({ authenticator }: Given['authenticators'][number]) => authenticator.kind !== 'none'

const prefixOf = ({ authenticator: { prefix = '' } }: Given['authenticators'][number]) => prefix

/** Whose names are like this: of the authenticators whose prefix it begins with, the one with the longest. */
export function ownerOf(name: string, { authenticators }: Given): Given['authenticators'] {
  const prefixes = authenticators.map(prefixOf).filter(prefix => name.startsWith(prefix))
  const longest = Math.max(...prefixes.map(({ length }) => length))
  return authenticators.filter(plugin => name.startsWith(prefixOf(plugin)) && prefixOf(plugin).length === longest)
}

/** Two that could give one name to two people. */
export function checkPrefixes({ authenticators, signIn }: Pick<Settings, 'authenticators' | 'signIn'>): ConfigIssue[] {
  if (signIn.sameNames) return []
  return authenticators.flatMap((plugin, index) => {
    const first = authenticators.findIndex(other => givesNames(other) && prefixOf(other) === prefixOf(plugin))
    if (!givesNames(plugin) || first === index || authenticators[first]!.name === plugin.name) return []
    const message =
      `"${plugin.name}" and "${authenticators[first]!.name}" could both know an "alice", who need not be one person: ` +
      `write prefixed("${plugin.name}-", …) around one of them, or signIn: { sameNames: true } if whoever comes first may have the name`
    return [{ path: ['authenticators', index], message }]
  })
}
