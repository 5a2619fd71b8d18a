import type { Core } from '../core.ts'
import { milliseconds, spoken } from '../duration.ts'
import { HubError } from '../errors.ts'
import { tokenLifetime } from '../identity/lifetime.ts'
import { demand } from '../rights.ts'
import type { TokenRecord, UserRecord } from '../store/records.ts'
import type { PageContext } from './environment.ts'
import { Ago, Hidden, page } from './layout.tsx'

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
    if (!preset || !expiry || note.length > 200) throw new HubError('invalid', 'Choose from the lists, and write a shorter note.')
    const { secret } = await core.tokens.create(visitor.id, {
      kind: 'api',
      note: note || 'Made on the tokens page',
      scopes: [...preset.scopes],
      expires: tokenLifetime(core.settings, expiry[0] === '' ? null : milliseconds(expiry[0])),
    })
    core.log.info('token made', { user: visitor.name, scopes: preset.scopes, expires: expiry[1] })
    return tokensPage(core, c, secret)
  }

/** `token/revoke`, the form sent: one token, or all that an application has. */
export const revokeToken = (core: Core) =>
  async function revokeToken(c: PageContext): Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    demand(c.get('caller'), ['tokens'], { user: visitor.name })
    const fields = c.get('fields')
    const client = fields.get('client')
    const id = Number(fields.get('id'))
    await core.tokens.revoke(visitor.id, token =>
      client === null ? token.kind === 'api' && token.id === id : ofClient(token, client),
    )
    return c.redirect(`${core.base}hub/token`, 303)
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

function tokensPage(core: Core, c: PageContext, secret?: string) {
  const visitor = core.users.byId((c.get('visitor') as UserRecord).id)
  const xsrf = core.xsrf.token(c)
  const action = `${core.base}hub/token`
  const { longest, lifetime } = core.settings.tokens
  const fits = ([value]: (typeof expiries)[number]) => longest === undefined || (value !== '' && milliseconds(value) <= longest)
  const offered = [...expiries.filter(fits), ...(longest === undefined ? [] : [['', `The longest: ${spoken(longest)}`] as const])]
  const usual = offered.find(([value]) => value !== '' && milliseconds(value) === lifetime)?.[0]
  const chosen = usual ?? offered.find(([value]) => value === '30d')?.[0] ?? ''
  const now = Date.now()
  const valid = (visitor?.tokens ?? []).filter(({ expires }) => expires === null || Date.parse(expires) > now)
  const own = valid.filter(({ kind }) => kind === 'api')
  const clients = new Map<string, TokenRecord[]>()
  for (const token of valid)
    if (token.kind === 'oauth' && token.client !== null) clients.set(token.client, [...(clients.get(token.client) ?? []), token])
  return page(
    core,
    c,
    { title: 'Tokens' },
    <>
      <h1>Tokens</h1>
      <p>
        What programs can do with them: <a href={`${core.base}hub/api-docs`}>the REST API</a>
      </p>
      <p>A token lets a program act in your name. Who has it can do what it allows, so give it to nobody else.</p>
      {secret && (
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
        </section>
      )}
      <form class="panel row" method="post" action={action}>
        <Hidden xsrf={xsrf} />
        <label>
          What it is for
          <input name="note" maxlength={200} placeholder="such as a nightly backup" autocomplete="off" />
        </label>
        <label>
          It may
          <select name="scopes">
            {presets.map(({ name, label }) => (
              <option value={name}>{label}</option>
            ))}
          </select>
        </label>
        <label>
          Valid for
          <select name="expires">
            {offered.map(([value, label]) => (
              <option value={value} selected={value === chosen}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button class="primary" type="submit">
          Create token
        </button>
      </form>
      <h2>Your tokens</h2>
      {own.length === 0 ? (
        <p class="muted">No tokens yet.</p>
      ) : (
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
            {own.map(token => (
              <tr>
                <th scope="row">{token.note}</th>
                <td data-label="It may">{allowed(token)}</td>
                <td data-label="Last used">
                  <Ago at={token.lastActivity} />
                </td>
                <td data-label="Created">
                  <Ago at={token.created} />
                </td>
                <td data-label="Expires">
                  <Ago at={token.expires} />
                </td>
                <td>
                  <Revoke action={action} xsrf={xsrf} id={String(token.id)} what={token.note} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Applications</h2>
      {clients.size === 0 ? (
        <p class="muted">No application acts in your name.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Application</th>
              <th scope="col">Last used</th>
              <th scope="col">Since</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {[...clients].map(([client, tokens]) => (
              <tr>
                <th scope="row">{core.oauth.client(client)?.description ?? client}</th>
                <td data-label="Last used">
                  <Ago at={latest(tokens)} />
                </td>
                <td data-label="Since">
                  <Ago at={tokens[0]?.created ?? null} />
                </td>
                <td>
                  <Revoke action={action} xsrf={xsrf} client={client} what={core.oauth.client(client)?.description ?? client} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>,
  )
}

function Revoke({ action, what, ...fields }: { action: string; what: string; xsrf: string; id?: string; client?: string }) {
  return (
    <details class="confirm">
      <summary aria-label={`Revoke ${what}`}>Revoke</summary>
      <form class="answer" method="post" action={`${action}/revoke`}>
        <p>What uses it stops working at once.</p>
        <Hidden {...fields} />
        <button class="danger" type="submit">
          Yes, revoke
        </button>
      </form>
    </details>
  )
}

const allowed = ({ scopes }: TokenRecord) =>
  presets.find(preset => preset.scopes.join() === scopes.join())?.label ?? (scopes.join(', ') || 'Read who I am')

const latest = (tokens: readonly TokenRecord[]) =>
  tokens
    .map(({ lastActivity }) => lastActivity)
    .filter(at => at !== null)
    .sort()
    .at(-1) ?? null
