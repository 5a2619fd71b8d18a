import { raw } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { Core } from '../core.ts'
import type { User } from '../plugin.ts'
import { asks } from '../servers/profiles.ts'
import type { UserRecord } from '../store/records.ts'

/** Is there something to choose before this user's server can be started? */
export const asksFirst = (core: Core, owner: UserRecord) =>
  core.settings.optionsForm !== undefined || asks(core.servers.profiles(owner))

/** The config's own HTML for the start page; undefined where there is none. It is put in as it is. */
export async function ownForm({ settings, users }: Core, owner: UserRecord): Promise<HtmlEscapedString | undefined> {
  const html = settings.optionsForm?.html
  return html === undefined ? undefined : raw(typeof html === 'string' ? html : await html(users.view(owner)))
}

/** What the fields of the form that was sent mean as options; undefined where the config has no form of its own. */
export async function readOptions(
  { settings, users }: Core,
  fields: URLSearchParams,
  owner: UserRecord,
): Promise<Record<string, unknown> | undefined> {
  if (!settings.optionsForm) return undefined
  const { read = asTheyAre } = settings.optionsForm
  const isChoice = (name: string) => settings.profiles.some(profile => name.startsWith(`${profile.name}.`))
  const names = new Set([...fields.keys()].filter(name => !ours.has(name) && !isChoice(name)))
  return read(Object.fromEntries([...names].map(name => [name, fields.getAll(name)])), users.view(owner))
}

const ours = new Set(['_xsrf', 'next', 'profile'])

const asTheyAre = (fields: Readonly<Record<string, readonly string[]>>, _: User): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([name, values]) => [name, values.length === 1 ? values[0] : values]))
