import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Core } from '../core.ts'
import { isHubError } from '../errors.ts'
import type { Profile } from '../plugin.ts'
import type { StartRequest } from '../servers/server.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost, serverPage } from './address.ts'
import type { PageContext } from './environment.ts'
import { Alert, Hidden, page } from './layout.tsx'
import { safeNext } from './next.ts'
import { asksFirst, ownForm, readOptions } from './options-form.ts'
import { type Target, target } from './rights.ts'

/**
 * `spawn[/USER[/SERVER]]`: on to the server when it is ready, to its progress when something goes on. Asks for a profile
 * where there are several and the query names none; else starts (contract 7).
 */
export const showStart = (core: Core) =>
  async function showStart(c: PageContext): Promise<Response> {
    const found = target(core, c, ['start:servers'])
    const next = safeNext(c.req.query('next'), publicHost(core, c))
    if (found.server?.ready) return c.redirect(next ?? found.server.path)
    if (found.server && found.server.pending !== null) return c.redirect(pendingPage(core, found, next))
    const options = queryOptions(c)
    if (Object.keys(options).length === 0 && asksFirst(core, found.owner)) return startPage(core, c, found, { next })
    const userOptions = Object.keys(options).length > 0 ? options : undefined
    return begin(core, c, found, { profile: options.profile, displayName: c.req.query('display_name'), userOptions }, next)
  }

/** `spawn/…`, the form sent. */
export const start = (core: Core) =>
  async function start(c: PageContext): Promise<Response> {
    const fields = c.get('fields')
    const next = safeNext(c.req.query('next') ?? fields.get('next'), publicHost(core, c))
    const found = target(core, c, ['start:servers'])
    if (found.server?.ready) return c.redirect(next ?? found.server.path, 303)
    const profile = fields.get('profile') ?? undefined
    const options = await readOptions(core, fields, found.owner)
    return begin(core, c, found, { profile, ...(options && { userOptions: { ...options, ...(profile && { profile }) } }) }, next)
  }

/** Start, then on to the progress page. What refuses the start is said on the start page, with what was chosen. */
export async function begin(
  core: Core,
  c: PageContext,
  wanted: Pick<Target, 'owner' | 'name'>,
  request: StartRequest,
  next?: string,
): Promise<Response> {
  try {
    await core.servers.start(wanted.owner, wanted.name, request, c.get('caller'))
    return c.redirect(pendingPage(core, wanted, next), c.req.method === 'POST' ? 303 : 302)
  } catch (error) {
    if (!isHubError(error)) throw error
    if (error.retryAfter !== undefined) c.header('Retry-After', String(Math.ceil(error.retryAfter)))
    const found = { ...wanted, server: core.servers.get(wanted.owner, wanted.name) }
    return startPage(core, c, found, { next, chosen: request.profile, refusal: error.message, status: error.status })
  }
}

const pendingPage = (core: Core, { owner, name }: Pick<Target, 'owner' | 'name'>, next: string | undefined) =>
  serverPage(core, 'spawn-pending', { user: owner.name, name }, { next })

/** Everything in the query that is meant for the server; JupyterHub 6 marks it with `opt-`. */
function queryOptions(c: PageContext): Record<string, string> {
  const ours = new Set(['next', 'display_name', 'redirects', '_xsrf'])
  return Object.fromEntries(
    Object.entries(c.req.query())
      .filter(([key]) => !ours.has(key))
      .map(([key, value]) => [key.replace(/^opt-/, ''), value]),
  )
}

interface Shown {
  next: string | undefined
  chosen?: string | undefined
  refusal?: string
  status?: ContentfulStatusCode
}

async function startPage(
  core: Core,
  c: PageContext,
  { owner, name, server }: Target,
  { next, chosen, refusal, status = 200 }: Shown,
) {
  const profiles = core.servers.profiles(owner)
  const preferred =
    [chosen, server?.record.profile].find(wish => profiles.some(profile => profile.name === wish)) ?? profiles[0]?.name
  const visitor = c.get('visitor') as UserRecord
  const own = owner.id === visitor.id
  const label = server?.record.displayName ?? (name || (own ? 'your server' : `${owner.name}’s server`))
  const form = await ownForm(core, owner)
  return page(
    core,
    c,
    { title: `Start ${label}`, status, announce: 'start' },
    <section class="narrow panel">
      <h1>Start {label}</h1>
      {!own && (
        <p class="notice">
          This server belongs to <strong>{owner.name}</strong> and works with their files.
        </p>
      )}
      {refusal && (
        <Alert>
          <p>{refusal}</p>
        </Alert>
      )}
      {profiles.length === 0 ? (
        <p>There is nothing here that you may start. Ask your administrator to let you use a profile.</p>
      ) : (
        <form method="post" action={serverPage(core, 'spawn', { user: owner.name, name })}>
          <Hidden xsrf={core.xsrf.token(c)} next={next} />
          <fieldset>
            <legend>Choose a profile</legend>
            {profiles.map(profile => (
              <label class="choice">
                <input type="radio" name="profile" value={profile.name} required checked={profile.name === preferred} />
                <span>
                  <strong>{profile.label}</strong>
                  {profile.description && <span>{profile.description}</span>}
                  <span class="muted">{facts(profile)}</span>
                </span>
              </label>
            ))}
          </fieldset>
          {form && <fieldset class="own">{form}</fieldset>}
          <div class="actions">
            <button class="primary" type="submit">
              Start
            </button>
            <a class="button" href={`${core.base}hub/home`}>
              Cancel
            </a>
          </div>
        </form>
      )}
    </section>,
  )
}

/** Its size and image in one line. */
function facts(profile: Profile): string {
  const cpus = profile.cpus && `${profile.cpus} CPU${profile.cpus === 1 ? '' : 's'}`
  const memory = profile.memory && `${Number((profile.memory / 2 ** 30).toFixed(2))} GiB of memory`
  return [cpus, memory, profile.image].filter(Boolean).join(' · ')
}
