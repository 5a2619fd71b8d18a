import type { Core } from '../core.ts'
import { milliseconds, spoken } from '../duration.ts'
import { HubError } from '../errors.ts'
import type { Use } from '../identity/activity.ts'
import { tokenLifetime } from '../identity/lifetime.ts'
import { demand } from '../rights.ts'
import type { TokenRecord, UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'
import { Ago, Hidden, page } from './layout.tsx'
import { Scopes, scopeWords, sentence } from './scopes.tsx'
import { Used } from './sessions.tsx'

/** `token`: what acts in the visitor's name: tokens made here or by the API, and applications signed in to. */
export const showTokens = (core: Core) =>
  function showTokens(c: PageContext): Response | Promise<Response> {
    demand(c.get('caller'), ['read:tokens'], { user: c.get('visitor')?.name ?? '' })
    return tokensPage(core, c)
  }

/** `token`, the form sent: makes a token and shows it, this once. */
export const createToken = (core: Core) =>
  async function createToken(c: PageContext): Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    demand(c.get('caller'), ['tokens'], { user: visitor.name })
    const fields = c.get('fields')
    const preset = presets.find(({ name }) => name === fields.get('scopes'))
    const expiry = expiries.find(([value]) => value === fields.get('expires'))
    const note = (fields.get('note') ?? '').trim()
    const picked = fields.getAll('scope')
    const known = offered(core, visitor)
    if (!preset || !expiry || note.length > 200 || !picked.every(scope => known.includes(scope)))
      throw new HubError('invalid', 'Choose from the lists, and write a shorter note.')
    const scopes = picked.length > 0 ? picked : [...preset.scopes]
    const { secret, record } = await core.tokens.create(visitor.id, {
      kind: 'api',
      note: note || 'Made on the tokens page',
      scopes,
      expires: tokenLifetime(core.settings, expiry[0] === '' ? null : milliseconds(expiry[0])),
    })
    core.log.info('token made', { user: visitor.name, scopes, expires: expiry[1] })
    return tokensPage(core, c, { secret, record })
  }

/** `token/revoke`, the form sent: one token, or all that an application has. */
export const revokeToken = (core: Core) =>
  async function revokeToken(c: PageContext): Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    demand(c.get('caller'), ['tokens'], { user: visitor.name })
    await revokeChosen(core, visitor, c.get('fields'))
    return c.redirect(`${core.base}hub/token`, 303)
  }

/** Revoke the token that the form names, or all that the application has which it names. Never a server's own. */
export async function revokeChosen(core: Core, owner: UserRecord, fields: URLSearchParams): Promise<void> {
  const client = fields.get('client')
  const id = Number(fields.get('id'))
  await core.tokens.revoke(owner.id, token =>
    client === null ? token.kind === 'api' && token.id === id : ofClient(token, client),
  )
}

const ofClient = (token: TokenRecord, client: string) => token.kind === 'oauth' && token.client === client

const presets = [
  { name: 'servers', label: 'Start and stop my servers', scopes: ['servers!user'] },
  { name: 'access', label: 'Use my servers while they run', scopes: ['access:servers!user'] },
  { name: 'read', label: 'Read who I am and my groups', scopes: ['read:users!user'] },
  { name: 'all', label: 'Everything that I may do', scopes: ['inherit'] },
] as const

const expiries = [
  ['1h', '1 hour'],
  ['1d', '1 day'],
  ['7d', '1 week'],
  ['30d', '30 days'],
  ['90d', '90 days'],
  ['365d', '1 year'],
  ['', 'Never'],
] as const

/** What the visitor may give a token of their own, scope by scope: what they hold for themselves alone is said so that it stays so. */
function offered(core: Core, visitor: UserRecord): string[] {
  const own = `!user=${visitor.name}`
  const held = [...core.tokens.userScopes(visitor)].sort()
  const mine = held.flatMap(scope => (scope.endsWith(own) ? [`${scope.slice(0, -own.length)}!user`] : []))
  return [...mine, ...held.filter(scope => !scope.endsWith(own))]
}

function tokensPage(core: Core, c: PageContext, made?: { secret: string; record: TokenRecord }) {
  const visitor = core.users.byId((c.get('visitor') as UserRecord).id) as UserRecord
  const xsrf = core.xsrf.token(c)
  const action = `${core.base}hub/token`
  const before = c.get('again')
  const { longest, lifetime } = core.settings.tokens
  const fits = ([value]: (typeof expiries)[number]) => longest === undefined || (value !== '' && milliseconds(value) <= longest)
  const spans = [...expiries.filter(fits), ...(longest === undefined ? [] : [['', `The longest: ${spoken(longest)}`] as const])]
  const usual = spans.find(([value]) => value !== '' && milliseconds(value) === lifetime)?.[0]
  const chosen = before?.get('expires') ?? usual ?? spans.find(([value]) => value === '30d')?.[0] ?? ''
  return page(
    core,
    c,
    { title: 'Tokens' },
    <>
      <h1>Tokens</h1>
      <p>
        A token lets a program act in your name. Who has it can do what it allows, so give it to nobody else. What programs can do
        with one: <a href={`${core.base}hub/api-docs`}>the REST API</a>.
      </p>
      {made && <Made secret={made.secret} record={made.record} />}
      <form class="panel" method="post" action={action}>
        <Hidden xsrf={xsrf} />
        <div class="row">
          <label>
            What it is for
            <input
              name="note"
              maxlength={200}
              placeholder="such as a nightly backup"
              autocomplete="off"
              value={before?.get('note') ?? undefined}
            />
          </label>
          <label>
            It may
            <select name="scopes">
              {presets.map(({ name, label }) => (
                <option value={name} selected={name === before?.get('scopes')}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <label>
            Valid for
            <select name="expires" aria-describedby="expiry-note">
              {spans.map(([value, label]) => (
                <option value={value} selected={value === chosen}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <button class="primary" type="submit">
            Create token
          </button>
        </div>
        <p class="muted" id="expiry-note">
          Take the shortest time that does. One without an end is good for whoever finds it, until you revoke it.
        </p>
        <details open={before?.has('scope')}>
          <summary>Choose its rights one by one</summary>
          <fieldset class="picks">
            <legend class="hidden">Its rights, in place of “It may”</legend>
            {offered(core, visitor).map(scope => (
              <label class="check">
                <input type="checkbox" name="scope" value={scope} checked={before?.has('scope', scope)} />
                <span>
                  {scopeWords.get(scope.replace(/!.*$/s, '')) ?? ''} <code>{scope}</code>
                </span>
              </label>
            ))}
          </fieldset>
        </details>
      </form>
      <h2>Your tokens</h2>
      <TokenTable core={core} owner={visitor} action={`${action}/revoke`} xsrf={xsrf} />
      <h2>Applications</h2>
      <ApplicationTable core={core} owner={visitor} action={`${action}/revoke`} xsrf={xsrf} />
    </>,
  )
}

function Made({ secret, record: { expires } }: { secret: string; record: TokenRecord }) {
  return (
    <section class="panel made" aria-labelledby="made">
      <h2 id="made">Your new token</h2>
      <p>Copy it now. It is not shown again.</p>
      <p class="row">
        <input id="secret" readonly value={secret} aria-label="The new token" size={48} />
        <button type="button" data-copy="secret" hidden>
          Copy
        </button>
      </p>
      <p role="status" id="copied" />
      <p class="muted">
        {expires === null
          ? 'It never expires: revoke it here when nothing needs it any more.'
          : `It works until ${new Date(expires).toUTCString()}.`}
      </p>
    </section>
  )
}

interface Listed {
  core: Core
  owner: UserRecord
  /** Where the form that revokes goes. */
  action: string
  xsrf: string
  /** They can be looked at only. */
  fixed?: boolean
}

/** The tokens that somebody made, or that were made for them. Never a secret: there is none to show. */
export function TokenTable({ core, owner, action, xsrf, fixed = false }: Listed) {
  const tokens = owner.tokens.filter(token => token.kind === 'api' && isAlive(token))
  if (tokens.length === 0) return <p class="muted">No tokens.</p>
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">For</th>
          <th scope="col">It may</th>
          <th scope="col">Last used</th>
          <th scope="col">Created</th>
          <th scope="col">Expires</th>
          <td />
        </tr>
      </thead>
      <tbody>
        {tokens.map(token => (
          <tr>
            <th scope="row">{token.note || `Token a${token.id}`}</th>
            <td data-label="It may">{allowed(token)}</td>
            <td data-label="Last used">
              <Used use={core.users.lastUse(owner.id, { token: token.id })} />
            </td>
            <td data-label="Created">
              <Ago at={token.created} />
            </td>
            <td data-label="Expires">
              <Expiry of={token} />
            </td>
            <td>{!fixed && <Revoke action={action} xsrf={xsrf} id={String(token.id)} what={token.note || `a${token.id}`} />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** What acts in somebody's name after they allowed it: services and notebooks, each with all of its tokens. */
export function ApplicationTable({ core, owner, action, xsrf, fixed = false }: Listed) {
  const clients = new Map<string, TokenRecord[]>()
  for (const token of owner.tokens)
    if (token.kind === 'oauth' && token.client !== null && isAlive(token))
      clients.set(token.client, [...(clients.get(token.client) ?? []), token])
  if (clients.size === 0) return <p class="muted">No application acts in this name.</p>
  const label = (client: string) => core.oauth.client(client)?.description ?? client
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Application</th>
          <th scope="col">It may</th>
          <th scope="col">Last used</th>
          <th scope="col">Since</th>
          <td />
        </tr>
      </thead>
      <tbody>
        {[...clients].map(([client, tokens]) => (
          <tr>
            <th scope="row">{label(client)}</th>
            <td data-label="It may">
              <Sentences scopes={new Set(tokens.flatMap(({ scopes }) => scopes))} />
            </td>
            <td data-label="Last used">
              <Used use={latest(tokens.map(({ id }) => core.users.lastUse(owner.id, { token: id })))} />
            </td>
            <td data-label="Since">
              <Ago at={tokens[0]?.created ?? null} />
            </td>
            <td>{!fixed && <Revoke action={action} xsrf={xsrf} client={client} what={label(client)} />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Revoke({ action, what, ...fields }: { action: string; what: string; xsrf: string; id?: string; client?: string }) {
  return (
    <details class="confirm">
      <summary aria-label={`Revoke ${what}`}>Revoke</summary>
      <form class="answer" method="post" action={action}>
        <p>What uses it stops working at once.</p>
        <Hidden {...fields} />
        <button class="danger" type="submit">
          Yes, revoke
        </button>
      </form>
    </details>
  )
}

/** Milliseconds before its end that a token is pointed out. */
const soon = 7 * 86_400_000

function Expiry({ of: { expires, created } }: { of: TokenRecord }) {
  if (expires === null) return <>Never</>
  const end = Date.parse(expires)
  // One that was made for an hour is not about to surprise anybody.
  const warns = end - Date.now() < soon && end - Date.parse(created) > soon
  return (
    <div>
      <Ago at={expires} /> {warns && <span class="badge">soon</span>}
    </div>
  )
}

const isAlive = ({ expires }: TokenRecord) => expires === null || Date.parse(expires) > Date.now()

function allowed({ scopes }: TokenRecord) {
  const preset = presets.find(preset => preset.scopes.join() === scopes.join())
  if (preset) return preset.label
  if (scopes.length === 0) return 'Read who one is'
  return scopes.length > 3 ? <Scopes scopes={scopes} /> : <Sentences scopes={scopes} />
}

const latest = (uses: readonly Use[]): Use =>
  uses.reduce((one, other) => ((other.at ?? '') > (one.at ?? '') ? other : one), { at: null, from: null })

const Sentences = ({ scopes }: { scopes: Iterable<string> }) => (
  <ul class="plain">
    {[...scopes].map(scope => (
      <li>{sentence(scope)}</li>
    ))}
  </ul>
)
