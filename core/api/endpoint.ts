import type { Context } from 'hono'
import { z } from 'zod'
import { checkShape, dotted } from '../config/options.ts'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import type { ApiEnv, Awaitable } from '../plugin.ts'
import type { Service } from '../services/services.ts'
import type { SessionRecord, TokenRecord, UserRecord } from '../store/records.ts'

/** What travels with a request: who asks, and by what. One of `token`, `session` and `service` is set where a caller is; `owner` with the first two. */
export interface RequestEnv {
  Variables: ApiEnv['Variables'] & {
    owner: UserRecord | undefined
    token: TokenRecord | undefined
    session: SessionRecord | undefined
    service: Service | undefined
  }
}

export type ApiContext = Context<RequestEnv>

/** One method of one path. */
export interface Endpoint {
  /**
   * Who may call it: everybody, also without credentials; every caller; a caller who holds any of these scopes for the group,
   * or the user and server, that the path names, or for everything when it names none. `partly`: one for anything is enough,
   * and `run` leaves out what the caller may not see. `all`: each of these scopes, for everything.
   */
  access: 'everybody' | 'callers' | readonly string[] | { partly: readonly string[] } | { all: readonly string[] }
  /** What the query may hold; undefined: nothing. */
  query?: z.ZodObject
  /** Undefined: a body is not read. */
  body?: z.ZodType
  run(core: Core, c: ApiContext): Awaitable<Response>
}

/** An endpoint that reads a JSON body. An empty one, and `null`, is `undefined`; let the schema say whether that will do. */
export function withBody<S extends z.ZodType>(
  access: Endpoint['access'],
  body: S,
  run: (core: Core, c: ApiContext, body: z.output<S>) => Awaitable<Response>,
): Endpoint {
  return { access, body, run: async (core, c) => run(core, c, check(body, await readJson(c))) }
}

/** A name in a body. What it may be is the store's to say; this only bounds it. */
export const nameField = z.string().min(1).max(1024)

/** The value as the schema wants it. Throws `invalid` with what is wrong, and where. */
function check<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const checked = shapeOf(schema, value)
  if ('data' in checked) return checked.data
  const [{ path, message }] = checked.issues
  throw new HubError('invalid', `The body of the request: ${path.length > 0 ? `${dotted(path)}: ` : ''}${message}.`)
}

function shapeOf<S extends z.ZodType>(schema: S, value: unknown): ReturnType<typeof checkShape<S>> {
  try {
    return checkShape(schema, value)
  } catch (cause) {
    // The check goes as deep as the value does, and the stack is only so deep.
    if (cause instanceof RangeError) throw new HubError('invalid', 'The body of the request is nested too deeply.', { cause })
    throw cause
  }
}

async function readJson(c: ApiContext): Promise<unknown> {
  const bytes = await c.req.arrayBuffer()
  if (bytes.byteLength === 0) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return JSON.parse(text) ?? undefined
  } catch (cause) {
    throw new HubError('invalid', 'The body of the request is not JSON in UTF-8.', { cause })
  }
}
