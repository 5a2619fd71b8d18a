import { z } from 'zod'
import type { Plugin } from '../plugin.ts'
import { article, kind } from './wording.ts'

type With<Role extends keyof Plugin> = Plugin & Required<Pick<Plugin, Role>>

export const isPlugin = (value: unknown): value is Plugin =>
  typeof value === 'object' && value !== null && typeof (value as Plugin).name === 'string'

/** Any plugin. */
export const plugin = () =>
  z.custom<Plugin>(isPlugin, { error: issue => `expected a plugin, such as idleCuller()${instead(issue.input)}` })

/** A plugin that fills this role. */
export const filling = <Role extends keyof Plugin>(role: Role) =>
  z.custom<With<Role>>(value => isPlugin(value) && value[role] !== undefined, {
    error: issue =>
      `${issue.input === undefined ? 'is missing, ' : ''}expected a plugin that is ${article(role)}${instead(issue.input)}`,
  })

function instead(value: unknown): string {
  if (value === undefined) return ''
  if (isPlugin(value)) return `, "${value.name}" is none`
  if (typeof value === 'function') return ', this is a function: call it'
  return `, this is ${typeof value === 'object' && value !== null ? 'an object without a name' : kind(value)}`
}
