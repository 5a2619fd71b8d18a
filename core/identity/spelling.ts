import type { ConfigIssue } from '../config/options.ts'
import type { Settings } from '../config/schema.ts'
import { normalizeUsername } from '../names.ts'

/** The config's say on how users are called. */
export interface Spelling {
  /** What who is called so by their authenticator is called here. */
  mapped(name: string): string
  /** May somebody be called so? */
  fits(name: string): boolean
}

export function createSpelling({ pattern, map }: Pick<Settings['signIn'], 'pattern' | 'map'>): Spelling {
  // Flags that make an expression remember where it was, or match a part, have no place here.
  const whole = pattern && new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gmy]/g, ''))
  const names = new Map(typeof map === 'object' ? Object.entries(map).map(([from, to]) => [normalizeUsername(from), to]) : [])
  return {
    mapped: name => (typeof map === 'function' ? map(name) : (names.get(name) ?? name)),
    fits: name => whole?.test(name) ?? true,
  }
}

/** Names in the config that nobody can have, each with its place. */
export function checkSpelling({
  signIn,
  access,
  roles,
  groups,
}: Pick<Settings, 'signIn' | 'access' | 'roles' | 'groups'>): ConfigIssue[] {
  const { fits } = createSpelling(signIn)
  const lists: [PropertyKey[], readonly string[]][] = [
    [['access', 'users'], access.users],
    [['access', 'admins'], access.admins],
    ...roles.map(({ users }, index): [PropertyKey[], string[]] => [['roles', index, 'users'], users]),
    ...Object.entries(groups).map(([name, { users }]): [PropertyKey[], string[]] => [['groups', name, 'users'], users]),
  ]
  return lists.flatMap(([path, names]) =>
    names.flatMap((typed, index) => {
      const name = normalizeUsername(typed)
      if (name === undefined) return path[0] === 'groups' ? [{ path: [...path, index], message: "can be nobody's name" }] : []
      return fits(name) ? [] : [{ path: [...path, index], message: 'does not fit signIn.pattern, so nobody can be called so' }]
    }),
  )
}
