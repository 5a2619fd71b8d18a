import type { Shape } from './profile.ts'
import type { Settings } from './schema.ts'

type Shaping = Pick<Settings, 'profiles' | 'overrides'>

/** All networks that some server may join: those of every server, and those of a profile, an option, an override. */
export const networksIn = (settings: Shaping & Pick<Settings, 'networks'>) => [
  ...new Set([settings, ...shapes(settings)].flatMap(({ networks = [] }) => networks)),
]

/** All mounts that some server may have. */
export const mountsIn = (settings: Shaping & Pick<Settings, 'mounts'>) => [
  ...new Set([settings, ...shapes(settings)].flatMap(({ mounts = [] }) => mounts)),
]

/** Everything in a config that says what a server is made of: profiles, the options of their choices, overrides. */
function shapes({ profiles, overrides }: Shaping): Shape[] {
  const options = profiles.flatMap(({ choices = [] }) => choices.flatMap(choice => ('options' in choice ? choice.options : [])))
  return [...profiles, ...options, ...overrides]
}
