import type { OverrideSettings, ProfileSettings, Shape } from '../config/profile.ts'
import type { Settings } from '../config/schema.ts'
import { HubError, messageOf } from '../errors.ts'
import type { Choice, Choices, Offer, Placement, Profile, User } from '../plugin.ts'

type Offers = Pick<Settings, 'profiles' | 'overrides'>

/**
 * The profiles that this user may use, in config order, with the overrides that concern them. A choice shows only the options that are
 * for this user. What a function of the config fails to give for them is left out.
 */
export function profilesFor(offer: Offers, user: User): Profile[] {
  return offer.profiles
    .filter(profile => isFor(profile, user))
    .map(profile => {
      const { choices, ...base } = overridden(offer, profile, user)
      return {
        ...resolve(base, user, () => undefined),
        ...(choices && { choices: choices.map(choice => shown(choice, user)) }),
      }
    })
}

/** Is there anything to choose, so that the user is to be asked before a start? */
export const asks = (profiles: readonly Profile[]): boolean => profiles.length !== 1 || Boolean(profiles[0]?.choices?.length)

/**
 * What a start comes to: this profile with its overrides and with what was chosen, and the choices whole. The one check for form, link,
 * API and admin. Throws `denied` for a profile that is not for this user, `invalid` for what is on no list, `failed` when the config
 * gives nothing usable for them.
 */
export function compose(
  offer: Offers,
  user: User,
  name: string | undefined,
  given: Choices,
): { profile: Profile; choices: Record<string, string> } {
  const profile = allowed(offer, user, name)
  const { choices: asked = [], ...base } = overridden(offer, profile, user)
  const unknown = Object.keys(given).find(key => !asked.some(choice => choice.name === key))
  if (unknown !== undefined)
    throw new HubError('invalid', `The profile "${profile.name}" has no choice "${unknown.slice(0, 40)}".`)
  let shape: typeof base = base
  const choices: Record<string, string> = {}
  for (const choice of asked) {
    const { name, label, default: usual } = shown(choice, user)
    const value = Object.hasOwn(given, name) ? given[name]! : usual
    choices[name] = value
    if ('pattern' in choice) {
      if (value !== choice.default && !matches(choice.pattern, value))
        throw new HubError('invalid', `"${label}" does not take this text. It has to look like ${choice.pattern.source}.`)
      if (value !== '') shape = merge(shape, { env: { [choice.env]: value } })
      continue
    }
    const option = choice.options.find(option => option.name === value && isFor(option, user))
    if (!option) throw new HubError('invalid', `"${label}" has no option "${value.slice(0, 40)}".`)
    const { name: _, label: __, description: ___, groups: ____, ...change } = option
    shape = merge(shape, change)
  }
  const resolved = resolve(shape, user, (key, error) => {
    throw new HubError('failed', `The profile "${profile.name}" does not work for ${user.name}: ${key}: ${messageOf(error)}.`)
  })
  return { profile: resolved, choices }
}

/** Every image that may come to run by a profile, one of its options or one override, with its placement. */
export function* offersOf({ profiles, overrides }: Offers): Generator<Offer> {
  for (const profile of profiles) {
    const { choices = [], name, ...base } = profile
    const changes = overrides.filter(({ profiles }) => profiles === undefined || profiles.includes(name))
    const shapes: Shape[] = [
      base,
      ...changes.map(({ users: _, groups: __, profiles: ___, ...change }) => merge<Shape>(base, change)),
    ]
    for (const shape of shapes) {
      yield offerOf(name, shape)
      for (const choice of choices) {
        if (!('options' in choice)) continue
        for (const { name: _, label: __, description: ___, groups: ____, ...change } of choice.options)
          if (change.image !== undefined || change.placement !== undefined) yield offerOf(name, merge(shape, change))
      }
    }
  }
}

const offerOf = (profile: string, { image, placement }: Shape): Offer => ({
  profile,
  ...(image !== undefined && { image }),
  ...(placement && { placement: placement as Placement }),
})

/** Of choices made some time ago, those that could be made today. */
export function stillValid(offer: Offers, user: User, profile: string, choices: Choices): Choices {
  return Object.fromEntries(
    Object.entries(choices).filter(([key, value]) => {
      try {
        compose(offer, user, profile, { [key]: value })
        return true
      } catch {
        return false
      }
    }),
  )
}

function allowed({ profiles }: Offers, user: User, name: string | undefined): ProfileSettings {
  const mine = profiles.filter(profile => isFor(profile, user))
  const found = name === undefined ? mine[0] : mine.find(profile => profile.name === name)
  if (found) return found
  if (mine.length === 0) throw new HubError('denied', 'There is no profile that you may use. Ask your administrator.')
  if (profiles.some(profile => profile.name === name)) throw new HubError('denied', `The profile "${name}" is not for you.`)
  const names = mine.map(({ name }) => name).join(', ')
  throw new HubError('invalid', `There is no profile "${name?.slice(0, 40)}". Yours: ${names}.`)
}

const isFor = ({ groups }: { groups?: readonly string[] | undefined }, user: User) =>
  groups === undefined || groups.some(group => user.groups.includes(group))

function overridden({ overrides }: Offers, profile: ProfileSettings, user: User): ProfileSettings {
  const concerns = ({ users, groups, profiles }: OverrideSettings) =>
    (profiles === undefined || profiles.includes(profile.name)) &&
    ((users === undefined && groups === undefined) || users?.includes(user.name) || groups?.some(g => user.groups.includes(g)))
  return overrides.filter(concerns).reduce<ProfileSettings>((shape, { users: _, groups: __, profiles: ___, ...change }) => {
    return merge(shape, change)
  }, profile)
}

function shown(choice: NonNullable<ProfileSettings['choices']>[number], user: User): Choice {
  const { name, label, description } = choice
  const about = { name, label, ...(description !== undefined && { description }) }
  if ('pattern' in choice) return { ...about, default: choice.default, pattern: choice.pattern }
  const options = choice.options
    .filter(option => isFor(option, user))
    .map(({ name, label, description }) => ({ name, label, ...(description !== undefined && { description }) }))
  const usual = options.find(({ name }) => name === choice.default) ?? options[0]
  return { ...about, default: usual?.name ?? '', options }
}

const matches = (pattern: RegExp, text: string) =>
  text.length <= 255 &&
  !/\p{C}/u.test(text) &&
  new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, '')).test(text)

/** What is single is replaced; variables and amounts are put over those there are; everything else comes on top. */
function merge<T extends Shape>(base: T, change: Shape): T {
  const over = <K extends 'env' | 'resources' | 'ulimits'>(key: K) =>
    base[key] && change[key] ? { [key]: { ...base[key], ...change[key] } } : {}
  const onTop = <K extends 'mounts' | 'networks' | 'configs' | 'secrets' | 'supplementaryGroups'>(key: K) =>
    base[key] && change[key] ? { [key]: [...base[key], ...change[key]] } : {}
  const { constraints = [], spread = [] } = base.placement ?? {}
  return {
    ...base,
    ...change,
    ...over('env'),
    ...over('resources'),
    ...over('ulimits'),
    ...onTop('mounts'),
    ...onTop('networks'),
    ...onTop('configs'),
    ...onTop('secrets'),
    ...onTop('supplementaryGroups'),
    ...(change.placement && {
      placement: {
        ...base.placement,
        ...change.placement,
        constraints: [...constraints, ...(change.placement.constraints ?? [])],
        spread: [...spread, ...(change.placement.spread ?? [])],
      },
    }),
  }
}

type Resolved<T> = T extends (user: User) => infer Value ? Value : T

/** Every function of the user as what it gives for this one. */
function resolve<T extends Omit<ProfileSettings, 'choices'>>(
  shape: T,
  user: User,
  failed: (key: string, error: unknown) => undefined,
): Omit<Profile, 'choices'> {
  const value = <V>(key: string, given: V): Resolved<V> | undefined => {
    if (typeof given !== 'function') return given as Resolved<V>
    try {
      return given(user)
    } catch (error) {
      return failed(key, error)
    }
  }
  const present = <V extends object>(values: V) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
      [K in keyof V]: Exclude<V[K], undefined>
    }
  const { env, cpus, cpuGuarantee, memory, memoryGuarantee, runAs, workdir, defaultUrl, rootDir, ...same } = shape
  return present({
    ...same,
    env: env && present(Object.fromEntries(Object.entries(env).map(([key, given]) => [key, value(`env.${key}`, given)]))),
    cpus: value('cpus', cpus),
    cpuGuarantee: value('cpuGuarantee', cpuGuarantee),
    memory: value('memory', memory),
    memoryGuarantee: value('memoryGuarantee', memoryGuarantee),
    runAs: value('runAs', runAs),
    workdir: value('workdir', workdir),
    defaultUrl: value('defaultUrl', defaultUrl),
    rootDir: value('rootDir', rootDir),
  })
}
