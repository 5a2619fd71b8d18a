import type { Core } from '../core.ts'
import { milliseconds } from '../duration.ts'
import { HubError, isHubError } from '../errors.ts'
import { codeId, type Grantee, type Share, type ShareCode } from '../identity/shares.ts'
import { normalizeUsername } from '../names.ts'
import type { Caller } from '../plugin.ts'
import type { Server } from '../servers/server.ts'
import { demandToGive, granteeCalled, namedGrantee } from '../sharing.ts'
import { publicHost, publicUrl, serverPage, withQuery } from './address.ts'
import { serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { Ago, Alert, Hidden, page } from './layout.tsx'
import { safeNext } from './next.ts'
import { existing } from './rights.ts'
import { scopeWords } from './scopes.tsx'

/** `share/USER[/SERVER]`: with whom a server is shared, and forms to share it with others and to take it back. */
export const showSharing = (core: Core) =>
  function showSharing(c: PageContext): Promise<Response> {
    return sharePage(core, c, existing(core, c, ['read:shares']).server)
  }

/** `share/USER[/SERVER]`, the form sent: shares it with a user or a group. */
export const shareServer = (core: Core) =>
  function shareServer(c: PageContext): Promise<Response> {
    const { owner, server } = existing(core, c, ['shares'])
    return orSay(core, c, server, async () => {
      const { scopes } = chosen(levels, c.get('fields').get('level'))
      demandToGive(c.get('caller'), server.ref, scopes)
      const { kind, name } = typed(c)
      const grantee = namedGrantee(core, c.get('caller'), kind, name)
      await core.shares.grant(owner, server.ref.name, grantee, scopes)
      return c.redirect(placeOf(core, server), 303)
    })
  }

/** `share-link/USER[/SERVER]`, the form sent: makes an invitation and shows its address, this once. */
export const makeLink = (core: Core) =>
  function makeLink(c: PageContext): Promise<Response> {
    const { owner, server } = existing(core, c, ['shares'])
    return orSay(core, c, server, async () => {
      const { scopes } = chosen(levels, c.get('fields').get('level'))
      const { name: lifetime } = chosen(expiries, c.get('fields').get('expires'))
      demandToGive(c.get('caller'), server.ref, scopes)
      const { code } = await core.shares.addCode(owner, server.ref.name, scopes, milliseconds(lifetime))
      return sharePage(core, c, server, { link: publicUrl(core, c, withQuery('accept-share', { code })).href })
    })
  }

/** `unshare/USER[/SERVER]`, the form sent: takes back what is shared with a user or a group, or one invitation. */
export const unshareServer = (core: Core) =>
  async function unshareServer(c: PageContext): Promise<Response> {
    const { owner, server } = existing(core, c, ['shares'])
    const fields = c.get('fields')
    const link = fields.get('link')
    if (link !== null) await core.shares.revokeCodes(owner, server.ref.name, code => codeId(code) === link)
    else {
      const kind = fields.get('kind') === 'group' ? 'group' : 'user'
      const grantee = granteeCalled(core.users, kind, fields.get('name') ?? '')
      if (grantee) await core.shares.revoke(owner, server.ref.name, grantee)
    }
    return c.redirect(safeNext(fields.get('next'), publicHost(core, c)) ?? placeOf(core, server), 303)
  }

/** What people choose from. Programs can share any scope that their user has. */
const levels: readonly { name: string; label: string; scopes: readonly string[] }[] = [
  { name: 'use', label: 'Use it while it runs', scopes: ['access:servers'] },
  { name: 'start', label: 'Use and start it', scopes: ['access:servers', 'read:servers', 'start:servers'] },
  { name: 'manage', label: 'Use, start, stop and delete it', scopes: ['access:servers', 'servers'] },
]

const expiries = [
  { name: '1h', label: '1 hour' },
  { name: '1d', label: '1 day' },
  { name: '7d', label: '1 week' },
  { name: '30d', label: '30 days' },
  { name: '365d', label: '1 year' },
]

/** What these scopes allow, in words where we have them. */
export const spokenScopes = (scopes: readonly string[]) =>
  levels.find(level => level.scopes.join() === scopes.join())?.label ??
  scopes.map(scope => scopeWords.get(scope) ?? scope).join('; ')

/** The page on which this server is shared. */
export const placeOf = (core: Core, { ref }: Pick<Server, 'ref'>) => serverPage(core, 'share', ref)

/** May this caller see whom a server is shared with, and would they see more than that nobody may? */
export function showsSharing(core: Core, caller: Caller, { owner, ref }: Pick<Server, 'owner' | 'ref'>): boolean {
  const may = (scope: string) => caller.allows(scope, { user: owner.name, server: ref.name })
  return may('shares') || (may('read:shares') && core.shares.of(owner, ref.name).length > 0)
}

function chosen<T extends { name: string }>(list: readonly T[], name: string | null): T {
  const found = list.find(one => one.name === name)
  if (!found) throw new HubError('invalid', 'Choose from the lists.')
  return found
}

function typed(c: PageContext): { kind: Grantee['kind']; name: string } {
  const name = (c.get('fields').get('name') ?? '').trim()
  if (c.get('fields').get('kind') === 'group') return { kind: 'group', name }
  return { kind: 'user', name: normalizeUsername(name) ?? name }
}

/** What a person can mend is said on the page itself, with what was typed. */
async function orSay(core: Core, c: PageContext, server: Server, act: () => Promise<Response>): Promise<Response> {
  try {
    return await act()
  } catch (error) {
    if (isHubError(error) && (error.code === 'invalid' || error.code === 'denied'))
      return sharePage(core, c, server, { problem: error.message, status: error.code === 'invalid' ? 400 : 403 })
    throw error
  }
}

/** Does the caller hold this scope for others than themselves? */
export const holdsForOthers = ({ name, scopes }: Caller, scope: string) =>
  [...scopes].some(one => one === scope || (one.startsWith(`${scope}!`) && one !== `${scope}!user=${name}`))

interface Said {
  link?: string
  problem?: string
  status?: 400 | 403
}

function sharePage(core: Core, c: PageContext, server: Server, { link, problem, status }: Said = {}): Promise<Response> {
  const caller = c.get('caller')
  const xsrf = core.xsrf.token(c)
  const { owner, ref } = server
  const may = caller.allows('shares', { user: owner.name, server: ref.name })
  const offered = levels.filter(({ scopes }) => scopes.every(one => caller.allows(one, { user: owner.name, server: ref.name })))
  const kinds = (['user', 'group'] as const).filter(kind => holdsForOthers(caller, `read:${kind}s:name`))
  const label = ref.name === '' && caller.user?.id === owner.id ? 'your server' : serverLabel(server, caller)
  const shares = core.shares.of(owner, ref.name)
  const codes = core.shares.codes(owner, ref.name)
  const before = problem ? c.get('fields') : c.get('again')
  const forLink = before?.has('expires') ? before : undefined
  return page(
    core,
    c,
    { title: `Share ${label}`, status },
    <>
      <h1>Share {label}</h1>
      <p class="muted">
        Who uses a server works with its files, and everything on it, as {caller.user?.id === owner.id ? 'you do' : owner.name}.
        Share it only with people whom you trust.
      </p>
      {problem && (
        <Alert>
          <p>{problem}</p>
        </Alert>
      )}
      {link && (
        <section class="panel made" aria-labelledby="made">
          <h2 id="made">Your link</h2>
          <p>Copy it now and send it. It is not shown again. Whoever opens it and signs in here can accept.</p>
          <p class="row">
            <input id="link" readonly value={link} aria-label="The link" size={48} />
            <button type="button" data-copy="link" hidden>
              Copy
            </button>
          </p>
          <p role="status" id="copied" />
        </section>
      )}
      {may && kinds.length > 0 && (
        <form class="panel row" method="post" action={placeOf(core, server)}>
          <Hidden xsrf={xsrf} />
          <label>
            With
            <select name="kind">
              {kinds.map(kind => (
                <option value={kind} selected={before?.get('kind') === kind}>
                  {kind === 'user' ? 'The user' : 'The group'}
                </option>
              ))}
            </select>
          </label>
          <label>
            Name
            <input
              name="name"
              required
              maxlength={255}
              value={before?.get('name') ?? ''}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
            />
          </label>
          <Level offered={offered} chosen={before?.get('level')} />
          <button class="primary" type="submit">
            Share
          </button>
        </form>
      )}
      {may && (
        <form class="panel row" method="post" action={serverPage(core, 'share-link', ref)}>
          <Hidden xsrf={xsrf} />
          <Level offered={offered} chosen={forLink?.get('level')} />
          <label>
            Valid for
            <select name="expires">
              {expiries.map(({ name, label }) => (
                <option value={name} selected={name === (forLink?.get('expires') ?? '1d')}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <button type="submit">Make a link</button>
        </form>
      )}
      <h2>Shared with</h2>
      {shares.length === 0 ? (
        <p class="muted">Nobody.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">With</th>
              <th scope="col">They may</th>
              <th scope="col">Since</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {shares.map(share => (
              <tr>
                <th scope="row">
                  <With core={core} share={share} />
                </th>
                <td data-label="They may">{spokenScopes(share.record.scopes)}</td>
                <td data-label="Since">
                  <Ago at={share.record.created} />
                </td>
                <td>{may && <Unshare core={core} share={share} xsrf={xsrf} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Links</h2>
      {codes.length === 0 ? (
        <p class="muted">None that can still be used.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Link</th>
              <th scope="col">Who accepts may</th>
              <th scope="col">Expires</th>
              <th scope="col">Accepted</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {codes.map(code => (
              <tr>
                <th scope="row">{`Link ${code.record.id}`}</th>
                <td data-label="Who accepts may">{spokenScopes(code.record.scopes)}</td>
                <td data-label="Expires">
                  <Ago at={code.record.expires} />
                </td>
                <td data-label="Accepted">{timesOf(code)}</td>
                <td>{may && <RevokeLink core={core} code={code} xsrf={xsrf} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>,
  )
}

function Level({ offered, chosen }: { offered: typeof levels; chosen?: string | null | undefined }) {
  return (
    <label>
      They may
      <select name="level">
        {offered.map(({ name, label }) => (
          <option value={name} selected={name === chosen}>
            {label}
          </option>
        ))}
      </select>
    </label>
  )
}

/** With whom something is shared. */
export function With({ core, share }: { core: Core; share: Share }) {
  const { grantee } = share.record
  return (
    <>
      {core.shares.nameOf(grantee)} {grantee.kind === 'group' && <span class="muted">(group)</span>}
    </>
  )
}

/** How often an invitation was accepted. */
export const timesOf = ({ record: { exchanged } }: ShareCode) =>
  exchanged === 0 ? 'Never' : exchanged === 1 ? 'Once' : `${exchanged} times`

/** Take a share back, after a question. `next`: the page to come back to, if not the server's. */
export function Unshare({ core, share, xsrf, next }: { core: Core; share: Share; xsrf: string; next?: string }) {
  const { owner, server, record } = share
  const name = core.shares.nameOf(record.grantee)
  return (
    <details class="confirm">
      <summary aria-label={`Stop sharing with ${name}`}>Revoke</summary>
      <form class="answer" method="post" action={serverPage(core, 'unshare', { user: owner.name, name: server })}>
        <p>They cannot open it any more. A page that is open may go on for some minutes.</p>
        <Hidden xsrf={xsrf} kind={record.grantee.kind} name={name} next={next} />
        <button class="danger" type="submit">
          Yes, revoke
        </button>
      </form>
    </details>
  )
}

/** Make an invitation useless, after a question. `next`: as for a share. */
export function RevokeLink({ core, code, xsrf, next }: { core: Core; code: ShareCode; xsrf: string; next?: string }) {
  const { owner, server, record } = code
  return (
    <details class="confirm">
      <summary aria-label={`Revoke link ${record.id}`}>Revoke</summary>
      <form class="answer" method="post" action={serverPage(core, 'unshare', { user: owner.name, name: server })}>
        <p>Nobody can accept it any more. Who has accepted keeps what they have.</p>
        <Hidden xsrf={xsrf} link={codeId(record)} next={next} />
        <button class="danger" type="submit">
          Yes, revoke
        </button>
      </form>
    </details>
  )
}
