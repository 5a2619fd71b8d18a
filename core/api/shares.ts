import { z } from 'zod'
import type { Core } from '../core.ts'
import { codeId, type Grantee, type Share, type ShareCode, scopesOf } from '../identity/shares.ts'
import { isServerName } from '../names.ts'
import type { ServerRef } from '../plugin.ts'
import { missing } from '../rights.ts'
import { demandToGive, granteeCalled, namedGrantee, namesOfScopes } from '../sharing.ts'
import type { UserRecord } from '../store/records.ts'
import { withQuery } from '../web/address.ts'
import type * as answers from './answers.ts'
import { type ApiContext, type Endpoint, nameField, withBody } from './endpoint.ts'
import { serverModel, stamp } from './models.ts'
import { paged } from './paging.ts'
import { namedUser } from './users.ts'

const scopes = z.array(z.string().max(1024)).max(100).nullish()

const shareBody = z
  .strictObject({ user: nameField.nullish(), group: nameField.nullish(), scopes })
  .refine(({ user, group }) => (user == null) !== (group == null), 'name either a user or a group')

// ---------------------------------------------------------------------------------------------------------------------
// What somebody shares

export const listShares: Endpoint = {
  access: ['read:shares'],
  run: (core, c) => listed(core, c, core.shares.of(namedUser(core, c))),
}

export const listServerShares: Endpoint = {
  access: ['read:shares'],
  run(core, c) {
    const { owner, ref } = namedServer(core, c)
    return listed(core, c, core.shares.of(owner, ref.name))
  },
}

/** Adds to what is shared with the same user or group already. */
export const addShare = withBody(['shares'], shareBody, async (core, c, body) => {
  const { owner, ref } = namedServer(core, c)
  const names = namesOfScopes(core, ref, body.scopes)
  demandToGive(c.get('caller'), ref, names)
  const { kind, name } = named(body)
  const grantee = namedGrantee(core, c.get('caller'), kind, name)
  return c.json(shareModel(core, c, await core.shares.grant(owner, ref.name, grantee, names)))
})

/** Takes these scopes back, or all. Who is no more has nothing, which is no error. */
export const narrowShare = withBody(['shares'], shareBody, async (core, c, body) => {
  const { owner, ref } = namedServer(core, c)
  const names = body.scopes?.length ? namesOfScopes(core, ref, body.scopes) : undefined
  const { kind, name } = named(body)
  const grantee = granteeCalled(core.users, kind, name)
  const left = grantee && (await core.shares.revoke(owner, ref.name, grantee, names))
  return c.json(left ? shareModel(core, c, left) : {})
})

export const removeShares: Endpoint = {
  access: ['shares'],
  async run(core, c) {
    const { owner, ref } = namedServer(core, c)
    await core.shares.revokeAll(owner, ref.name)
    return c.body(null, 204)
  },
}

// ---------------------------------------------------------------------------------------------------------------------
// Codes

export const listCodes: Endpoint = {
  access: ['read:shares'],
  run: (core, c) => listedCodes(core, c, core.shares.codes(namedUser(core, c))),
}

export const listServerCodes: Endpoint = {
  access: ['read:shares'],
  run(core, c) {
    const { owner, ref } = namedServer(core, c)
    return listedCodes(core, c, core.shares.codes(owner, ref.name))
  },
}

const day = 86_400
/** The answer alone has the code. */
export const addCode = withBody(
  ['shares'],
  z
    .strictObject({
      scopes,
      expires_in: z
        .int()
        .min(60)
        .max(365 * day)
        .default(day),
    })
    .optional(),
  async (core, c, body) => {
    const { owner, ref } = namedServer(core, c)
    const names = namesOfScopes(core, ref, body?.scopes)
    demandToGive(c.get('caller'), ref, names)
    const { code, added } = await core.shares.addCode(owner, ref.name, names, (body?.expires_in ?? day) * 1000)
    const accept = withQuery(`${core.base}hub/accept-share`, { code })
    const full = core.url ? `${core.url.origin}${accept}` : null
    return c.json({ ...codeModel(core, c, added), code, accept_url: accept, full_accept_url: full })
  },
)

/** The one that the query names by itself or by its id; without either all of the server's. */
export const removeCodes: Endpoint = {
  access: ['shares'],
  query: z.object({
    code: z.string().describe('The code itself.'),
    id: z.string().describe('Its id, as lists tell it: `sc_5`.'),
  }),
  async run(core, c) {
    const { owner, ref } = namedServer(core, c)
    const { code, id } = c.req.query()
    const one = code === undefined ? id : codeId(core.shares.findCode(code)?.record ?? { id: 0 })
    const count = await core.shares.revokeCodes(owner, ref.name, record => one === undefined || codeId(record) === one)
    if (one !== undefined && count === 0) throw missing()
    return c.body(null, 204)
  },
}

// ---------------------------------------------------------------------------------------------------------------------
// What is shared with somebody

/** Of a user: through groups, too. */
export const listShared: Endpoint = {
  access: ['read:users:shares'],
  run: (core, c) => listed(core, c, core.shares.with({ kind: 'user', id: namedUser(core, c).id })),
}

export const readShared = reading('read:users:shares', 'user')
/** Leave it. What comes through a group stays. */
export const leaveShared = leaving('users:shares', 'user')

export const listGroupShared: Endpoint = {
  access: ['read:groups:shares'],
  run: (core, c) => listed(core, c, core.shares.with(granteeInPath(core, c, 'group'))),
}

export const readGroupShared = reading('read:groups:shares', 'group')
export const leaveGroupShared = leaving('groups:shares', 'group')

function reading(scope: string, kind: Grantee['kind']): Endpoint {
  return { access: [scope], run: (core, c) => c.json(shareModel(core, c, shareInPath(core, c, granteeInPath(core, c, kind)))) }
}

function leaving(scope: string, kind: Grantee['kind']): Endpoint {
  return {
    access: [scope],
    async run(core, c) {
      const grantee = granteeInPath(core, c, kind)
      const { owner, server } = shareInPath(core, c, grantee)
      await core.shares.revoke(owner, server, grantee)
      return c.body(null, 204)
    },
  }
}

function granteeInPath(core: Core, c: ApiContext, kind: Grantee['kind']): Grantee {
  const grantee = granteeCalled(core.users, kind, c.req.param(kind) ?? '')
  if (!grantee) throw missing()
  return grantee
}

/** Directly with this user or group. */
function shareInPath(core: Core, c: ApiContext, grantee: Grantee): Share {
  const owner = core.users.get(c.req.param('owner') ?? '')
  const share = owner && core.shares.get(owner, c.req.param('server') ?? '', grantee)
  if (!share) throw missing()
  return share
}

// ---------------------------------------------------------------------------------------------------------------------

/** The server that the path names; it has to exist. */
function namedServer(core: Core, c: ApiContext): { owner: UserRecord; ref: ServerRef } {
  const owner = namedUser(core, c)
  const name = c.req.param('server') ?? ''
  if (!isServerName(name) || !core.servers.get(owner, name)) throw missing()
  return { owner, ref: { user: owner.name, name } }
}

function named({ user, group }: z.output<typeof shareBody>): { kind: Grantee['kind']; name: string } {
  return user == null ? { kind: 'group', name: group ?? '' } : { kind: 'user', name: user }
}

const listed = (core: Core, c: ApiContext, shares: readonly Share[]) =>
  paged(core, c, shares, share => shareModel(core, c, share), true)

const listedCodes = (core: Core, c: ApiContext, codes: readonly ShareCode[]) =>
  paged(core, c, codes, code => codeModel(core, c, code), true)

function shareModel(core: Core, c: ApiContext, share: Share): z.output<typeof answers.share> {
  const { kind, id } = share.record.grantee
  const name = core.shares.nameOf({ kind, id }) ?? ''
  return {
    server: sharedServer(core, c, share),
    scopes: scopesOf(share),
    user: kind === 'user' ? { name } : null,
    group: kind === 'group' ? { name } : null,
    kind,
    created_at: stamp(share.record.created),
  }
}

/** Without the code: nobody knows it any more. */
function codeModel(core: Core, c: ApiContext, code: ShareCode): z.output<typeof answers.shareCode> {
  const { record } = code
  return {
    server: sharedServer(core, c, code),
    scopes: scopesOf(code),
    id: codeId(record),
    created_at: stamp(record.created),
    expires_at: stamp(record.expires),
    exchange_count: record.exchanged,
    last_exchanged_at: stamp(record.lastExchanged),
  }
}

/** As much of a server as who has a share of it needs. */
function sharedServer(
  core: Core,
  c: ApiContext,
  { owner, server }: Pick<Share, 'owner' | 'server'>,
): z.output<typeof answers.share>['server'] {
  const found = core.servers.get(owner, server)
  if (!found) throw missing()
  const { name, url, full_url, ready } = serverModel(core, c.get('caller'), found)
  return { user: { name: owner.name }, name, url, full_url, ready }
}
