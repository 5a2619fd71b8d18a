import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { isDisplayName, isServerName } from '../names.ts'
import type { Cause, StopReason } from '../plugin.ts'
import { missing } from '../rights.ts'
import type { Server, StartRequest } from '../servers/server.ts'
import { emptyServer, type UserRecord } from '../store/records.ts'
import { type ApiContext, type Endpoint, withBody } from './endpoint.ts'
import { isActive, serverModel } from './models.ts'
import { namedUser } from './users.ts'

const userOptions = z.record(z.string().max(255), z.json())
const displayName = z.string().refine(isDisplayName, 'expected one line of at most 255 printable characters')

/** Since JupyterHub 6 the options are one field of the body; before, they were the body. */
const startBody = z.union([
  z
    .strictObject({ user_options: userOptions.nullish(), display_name: displayName.optional() })
    .refine(body => Object.keys(body).length > 0),
  userOptions.transform(user_options => ({ user_options, display_name: undefined })),
])

export const readServer: Endpoint = {
  access: ['read:servers'],
  run: (core, c) => c.json(serverModel(core, c.get('caller'), namedServer(core, c))),
}

/** 201: it is ready. 202: it still starts. */
export const startServer = withBody(['start:servers'], startBody.optional(), async (core, c, body) => {
  const user = namedUser(core, c)
  const name = serverName(c)
  if (core.servers.get(user, name)?.pending === 'spawn') return c.body(null, 202)
  const request = { ...optionsOf(core, user, body?.user_options ?? undefined), displayName: body?.display_name }
  const server = await core.servers.start(user, name, request, c.get('caller'))
  await within(core.settings.timeouts.slow, server.settled())
  if (server.ready) return c.body(null, 201)
  if (isActive(server)) return c.body(null, 202)
  throw failureOf(server)
})

/** 204: it is stopped, or was not running. 202: it is still being stopped. */
export const stopServer = withBody(
  ['delete:servers'],
  z.object({ remove: z.boolean().optional() }).optional(),
  async (core, c, body) => {
    const server = namedServer(core, c)
    const { name } = server.ref
    if (body?.remove && name === '') throw new HubError('invalid', 'The default server can be stopped, but not removed.')
    const caller = c.get('caller')
    const stopping = body?.remove
      ? core.servers.remove(server.owner, name, caller)
      : core.servers.stop(server.owner, name, reasonOf(c, server.owner), caller)
    const { slow, slowStop = slow } = core.settings.timeouts
    const done = await within(slowStop, stopping)
    if (!done)
      stopping.catch(error => core.log.warn('a server could not be stopped', { user: server.owner.name, server: name, error }))
    return c.body(null, done ? 204 : 202)
  },
)

const recordBody = z.strictObject({ user_options: userOptions.nullish(), display_name: displayName.optional() })

/** Make a named server without starting it. */
export const addServer = withBody(['start:servers'], recordBody.optional(), async (core, c, body) => {
  const user = namedUser(core, c)
  const name = serverName(c)
  if (core.servers.get(user, name)) throw new HubError('conflict', `${user.name} has this server already.`)
  return c.json(serverModel(core, c.get('caller'), await describe(core, user, name, body ?? {})), 201)
})

const changeBody = recordBody
  .extend({ name: z.string().min(1).max(255).optional() })
  .refine(body => Object.keys(body).length > 0, 'expected a change: name, display_name or user_options')

/** What it is called and starts with; only while it is stopped. */
export const changeServer = withBody(['start:servers'], changeBody, async (core, c, { name, ...body }) => {
  const server = namedServer(core, c)
  const { owner, ref } = server
  if (isActive(server)) throw new HubError('invalid', 'The server is running. Stop it before you change it.')
  // First what may be refused for its content; a name is refused for what there is.
  const described = await describe(core, owner, ref.name, body)
  const changed = name === undefined || name === ref.name ? described : await core.servers.rename(owner, ref.name, name)
  return c.json(serverModel(core, c.get('caller'), changed))
})

async function describe(core: Core, user: UserRecord, name: string, body: z.output<typeof recordBody>): Promise<Server> {
  const record = core.servers.get(user, name)?.record ?? emptyServer(name)
  const chosen = body.user_options && core.servers.choose(user, record, optionsOf(core, user, body.user_options))
  return core.servers.describe(user, name, draft => {
    if (body.user_options && chosen) Object.assign(draft, { userOptions: body.user_options, ...chosen })
    if (body.display_name !== undefined) draft.displayName = body.display_name
  })
}

/** The server that the path names; it has to exist. */
export function namedServer(core: Core, c: ApiContext): Server {
  const server = core.servers.get(namedUser(core, c), serverName(c))
  if (!server) throw missing()
  return server
}

function serverName(c: ApiContext): string {
  const name = c.req.param('server') ?? ''
  if (!isServerName(name)) throw new HubError('invalid', 'This cannot be the name of a server.')
  return name
}

/**
 * What to start: users choose from closed lists only, so the options name a profile and choices of it, and `servers`
 * refuses what is not on its lists. Without options those of the last start are taken again.
 */
function optionsOf(core: Core, user: UserRecord, options: z.output<typeof userOptions> | undefined): StartRequest {
  if (!options) return {}
  const { profile = core.servers.profiles(user)[0]?.name, ...rest } = options
  if (profile !== undefined && typeof profile !== 'string') {
    throw new HubError('invalid', 'The option "profile" has to be the name of a profile.')
  }
  const asked = core.servers.profiles(user).find(({ name }) => name === profile)?.choices ?? []
  // Of what is no choice of the profile the config's own function sees to it what comes of it.
  const isChoice = (key: string) => !core.settings.optionsForm || asked.some(({ name }) => name === key)
  const chosen = Object.entries(rest).filter(([key]) => isChoice(key))
  const choices = chosen.map(([key, value]): [string, string] => {
    if (typeof value !== 'string') throw new HubError('invalid', `The option "${key}" has to be one of a list, a string.`)
    return [key, value]
  })
  return { profile, choices: Object.fromEntries(choices), userOptions: options }
}

function reasonOf(c: ApiContext, owner: UserRecord): StopReason {
  if (!c.get('session')) return 'api'
  return c.get('owner')?.id === owner.id ? 'user' : 'admin'
}

/** Why the start has ended without a server, as an answer to who asked for it. */
function failureOf(server: Server): HubError {
  const cause: Cause = server.failure?.cause ?? { code: 'cancelled', message: 'The start was cancelled.' }
  const codes = { cancelled: 'cancelled', refused: 'denied', 'time-out': 'timeout', 'no-answer': 'timeout' } as const
  const code = Object.hasOwn(codes, cause.code) ? codes[cause.code as keyof typeof codes] : 'failed'
  return new HubError(code, [cause.message, cause.hint].filter(Boolean).join(' '), { details: cause })
}

/** Is it done within so many milliseconds? It goes on if not. Rejects with it. */
async function within(ms: number, work: Promise<void>): Promise<boolean> {
  const over = new AbortController()
  const timeUp = pause(ms, false, { signal: over.signal }).catch(() => false)
  try {
    return await Promise.race([work.then(() => true), timeUp])
  } finally {
    over.abort()
  }
}
