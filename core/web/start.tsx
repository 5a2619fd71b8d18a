import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Core } from '../core.ts'
import { isHubError } from '../errors.ts'
import type { Choice, Profile } from '../plugin.ts'
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
    const profiles = core.servers.profiles(found.owner)
    const wish = wishOf(profiles, options)
    // A link can come from anybody: what only a function of the config checks is not taken from it.
    const asked = core.settings.optionsForm !== undefined || c.req.query('form') !== undefined
    if (asked || (Object.keys(options).length === 0 && asksFirst(core, found.owner)))
      return startPage(core, c, found, { next, wish })
    const userOptions = Object.keys(options).length > 0 ? options : undefined
    return begin(core, c, found, { ...wish, displayName: c.req.query('display_name'), userOptions }, next)
  }

/** `spawn/…`, the form sent. */
export const start = (core: Core) =>
  async function start(c: PageContext): Promise<Response> {
    const fields = c.get('fields')
    const next = safeNext(c.req.query('next') ?? fields.get('next'), publicHost(core, c))
    const found = target(core, c, ['start:servers'])
    if (found.server?.ready) return c.redirect(next ?? found.server.path, 303)
    const { profile, choices } = chosenIn(fields)
    const options = await readOptions(core, fields, found.owner)
    // Without a form there was nothing to choose: it is as the last time.
    if (profile === undefined) return begin(core, c, found, options ? { userOptions: options } : {}, next)
    return begin(core, c, found, { profile, choices, userOptions: { ...options, profile, ...choices } }, next)
  }

/** `spawn/…`, the form sent without a good `_xsrf`: asks once more, and starts nothing. */
export const startAgain = (core: Core) =>
  function startAgain(c: PageContext): Response | Promise<Response> {
    const fields = c.get('again') ?? new URLSearchParams()
    const next = safeNext(c.req.query('next') ?? fields.get('next'), publicHost(core, c))
    return startPage(core, c, target(core, c, ['start:servers']), { next, wish: chosenIn(fields) })
  }

/** The profile that a form names, and what it chooses of it. */
function chosenIn(fields: URLSearchParams): { profile?: string; choices: Record<string, string> } {
  const profile = fields.get('profile')
  if (profile === null) return { choices: {} }
  const chosen = [...fields].filter(([key]) => key.startsWith(`${profile}.`))
  return { profile, choices: Object.fromEntries(chosen.map(([key, value]) => [key.slice(profile.length + 1), value])) }
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
    return startPage(core, c, found, { next, wish: request, refusal: error.message, status: error.status })
  }
}

/** What a link asks for. JupyterHub takes every key for an option; only those marked with `opt-` are surely meant so. */
function wishOf(profiles: readonly Profile[], options: Record<string, string>): Pick<StartRequest, 'profile' | 'choices'> {
  const { profile = profiles.length === 1 ? profiles[0]!.name : undefined, ...rest } = options
  const choices = profiles.find(({ name }) => name === profile)?.choices ?? []
  const known = Object.entries(rest).filter(([key]) => choices.some(({ name }) => name === key))
  return { ...(profile !== undefined && { profile }), ...(known.length > 0 && { choices: Object.fromEntries(known) }) }
}

const pendingPage = (core: Core, { owner, name }: Pick<Target, 'owner' | 'name'>, next: string | undefined) =>
  serverPage(core, 'spawn-pending', { user: owner.name, name }, { next })

/** Everything in the query that is meant for the server; JupyterHub 6 marks it with `opt-`. */
function queryOptions(c: PageContext): Record<string, string> {
  const ours = new Set(['next', 'display_name', 'redirects', '_xsrf', 'form'])
  return Object.fromEntries(
    Object.entries(c.req.query())
      .filter(([key]) => !ours.has(key))
      .map(([key, value]) => [key.replace(/^opt-/, ''), value]),
  )
}

interface Shown {
  next: string | undefined
  /** What is selected; left out: what it was the last time. */
  wish?: Pick<StartRequest, 'profile' | 'choices'>
  refusal?: string
  status?: ContentfulStatusCode
}

async function startPage(
  core: Core,
  c: PageContext,
  { owner, name, server }: Target,
  { next, wish, refusal, status = 200 }: Shown,
) {
  const profiles = core.servers.profiles(owner)
  const room = await core.servers.room(profiles)
  const last = server?.record
  const preferred =
    [wish?.profile, last?.profile].find(name => profiles.some(profile => profile.name === name)) ?? profiles[0]?.name
  const selected = wish?.choices ?? (wish?.profile === undefined || wish.profile === last?.profile ? (last?.choices ?? {}) : {})
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
              <div class="choice">
                <label>
                  <input type="radio" name="profile" value={profile.name} required checked={profile.name === preferred} />
                  <span>
                    <strong>{profile.label}</strong>
                    {profile.description && <span>{profile.description}</span>}
                    <span class="muted">{facts(profile, room.get(profile.name))}</span>
                  </span>
                </label>
                {profile.choices && profile.choices.length > 0 && (
                  <div class="choices">
                    {profile.choices.map(choice => (
                      <ChoiceField
                        profile={profile.name}
                        choice={choice}
                        value={profile.name === preferred ? selected[choice.name] : undefined}
                      />
                    ))}
                  </div>
                )}
              </div>
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

/** A list, or a line of text. Its name begins with that of the profile: those of all profiles are in one form. */
function ChoiceField({ profile, choice, value }: { profile: string; choice: Choice; value: string | undefined }) {
  const { name, label, description, options, pattern } = choice
  const id = `${profile}.${name}`
  const current = value !== undefined && (!options || options.some(option => option.name === value)) ? value : choice.default
  const hint = description && `${id}-hint`
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {options ? (
        <select id={id} name={id} aria-describedby={hint}>
          {options.map(option => (
            <option value={option.name} selected={option.name === current}>
              {option.description ? `${option.label} – ${option.description}` : option.label}
            </option>
          ))}
        </select>
      ) : (
        <input id={id} name={id} type="text" value={current} maxlength={255} aria-describedby={hint} />
      )}
      {(description || pattern) && (
        <p class="muted" id={hint}>
          {description}
        </p>
      )}
    </div>
  )
}

/** Its size and image in one line, and how many more of it there is room for. */
function facts(profile: Profile, places: number | undefined): string {
  const cpus = profile.cpus && `${profile.cpus} CPU${profile.cpus === 1 ? '' : 's'}`
  const memory = profile.memory && `${Number((profile.memory / 2 ** 30).toFixed(2))} GiB of memory`
  const free = places && `${places > 99 ? 'more than 99' : places} free place${places === 1 ? '' : 's'}`
  const room = places === 0 ? 'no machine has room for it at the moment' : free
  return [cpus, memory, profile.image, room].filter(Boolean).join(' · ')
}
