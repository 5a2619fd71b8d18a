import { z } from 'zod'
import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { tokenLifetime } from '../identity/lifetime.ts'
import { coversAll } from '../identity/scopes.ts'
import type { Caller } from '../plugin.ts'
import { demand, demandAdmin, demandToken, missing } from '../rights.ts'
import type { TokenRecord, UserRecord } from '../store/records.ts'
import { clientAddress } from '../web/address.ts'
import { identify, unknownCaller } from './credentials.ts'
import { type ApiContext, type Endpoint, nameField, withBody } from './endpoint.ts'
import { tokenModel } from './models.ts'
import { namedUser } from './users.ts'

/** In seconds: dates cannot be much later. */
const century = 100 * 365 * 86_400

export const listTokens: Endpoint = {
  access: ['read:tokens'],
  run(core, c) {
    const user = namedUser(core, c)
    return c.json({ api_tokens: user.tokens.filter(isAlive).map(token => tokenModel(core, user, token)) })
  },
}

export const readToken: Endpoint = {
  access: ['read:tokens'],
  run(core, c) {
    const user = namedUser(core, c)
    return c.json(tokenModel(core, user, namedToken(core, c, user)))
  },
}

/** Open: who has no token yet may prove who they are with name and password in the body. */
export const addToken = withBody(
  'everybody',
  z
    .strictObject({
      note: z.string().max(1024).optional(),
      /** Seconds; 0 and null are never. */
      expires_in: z.int().nonnegative().max(century).nullish(),
      scopes: z.array(z.string().max(1024)).max(1000).optional(),
      roles: z.array(z.string().max(255)).max(100).optional(),
      auth: z.strictObject({ username: nameField, password: z.string().max(4096) }).optional(),
    })
    .optional(),
  async (core, c, body) => {
    const caller = body?.auth ? await signIn(core, c, body.auth) : await credentials(core, c)
    core.audit.by(caller)
    demand(caller, ['tokens'], { user: c.req.param('user') ?? '' })
    const user = namedUser(core, c)
    const own = caller.user?.name === user.name
    if (user.admin && !own) demandAdmin(caller)
    if (body?.scopes && body.roles) throw new HubError('invalid', 'A token has scopes or roles, not both.')
    const scopes = new Set(body?.scopes ?? (body?.roles ?? ['token']).flatMap(role => scopesOfRole(core, role)))
    const mayHave = rightsOf(core, user)
    const beyond = [...scopes].find(scope => !mayHave(scope))
    if (beyond !== undefined) {
      throw new HubError('invalid', `${user.name} does not have the scope "${beyond}", so no token can.`)
    }
    if (!own) demandToken(core, caller, user, [...scopes])
    const { secret, record } = await core.tokens.create(user.id, {
      kind: 'api',
      note: body?.note || `Requested via api${own ? '' : ` by ${caller.kind} ${caller.name}`}`,
      scopes: [...scopes],
      expires: tokenLifetime(core.settings, lifetimeIn(body?.expires_in)),
    })
    return c.json({ ...tokenModel(core, user, record), token: secret }, 201)
  },
)

/** A token that was issued to an OAuth client takes with it all others of this user for that client. */
export const removeToken: Endpoint = {
  access: ['tokens'],
  async run(core, c) {
    const user = namedUser(core, c)
    const { id, client } = namedToken(core, c, user)
    if (user.admin && user.id !== c.get('owner')?.id) demandAdmin(c.get('caller'))
    await core.tokens.revoke(user.id, token => token.id === id || (client !== null && token.client === client))
    return c.body(null, 204)
  },
}

/** Whose token is this? For services and notebooks of old: any token may ask, and learns who it is (contract 2.4). */
export const introspect: Endpoint = {
  access: 'callers',
  run(core, c) {
    if (c.get('session')) throw unknownCaller()
    const secret = c.req.param('token') ?? ''
    const service = core.services.find(secret)
    if (service) return c.json({ kind: 'service', name: service.name, admin: service.settings.admin })
    const found = core.tokens.find(secret)
    if (!found) throw missing()
    const { name, admin, id } = found.owner
    return c.json({ kind: 'user', name, admin, groups: [...core.users.groups.of(id)], user_info: null })
  },
}

/** Seconds as they are sent, in milliseconds. 0 and null are for ever, nothing is nothing. */
const lifetimeIn = (seconds: number | null | undefined) => (seconds === undefined ? undefined : seconds ? seconds * 1000 : null)

async function credentials(core: Core, c: ApiContext): Promise<Caller> {
  await identify(core, c)
  return c.get('caller')
}

/** By the first authenticator that takes passwords; it counts and slows down failures as on the sign-in page. */
async function signIn(core: Core, c: ApiContext, auth: { username: string; password: string }): Promise<Caller> {
  const method = core.logins.methods.find(({ kind }) => kind === 'password')
  if (!method) throw new HubError('denied', 'This hub has no passwords of its own. Make a token on its page for tokens.')
  const result = await core.logins.password(method.plugin.name, auth, clientAddress(c))
  if (result.ok) return core.tokens.caller(result.user)
  const codes = { wrong: 'denied', denied: 'denied', unavailable: 'unavailable', wait: 'busy' } as const
  throw new HubError(codes[result.reason], result.message, { retryAfter: result.wait })
}

function namedToken(core: Core, c: ApiContext, user: UserRecord): TokenRecord {
  const number = /^a([1-9]\d{0,14})$/.exec(c.req.param('token') ?? '')?.[1]
  const token = number === undefined ? undefined : core.tokens.get(user.id, Number(number))
  if (!token || !isAlive(token)) throw missing()
  return token
}

const isAlive = ({ expires }: TokenRecord) => expires === null || Date.parse(expires) > Date.now()

/** Nobody gets a token that can do more than its owner; `inherit` is that much. Throws `invalid` for what is no scope. */
function rightsOf(core: Core, user: UserRecord): (scope: string) => boolean {
  const groupsOf = (name: string) => core.users.groups.of(core.users.get(name)?.id ?? '')
  const held = core.tokens.userScopes(user)
  return scope => coversAll(held, core.roles.expand([scope], { owner: user.name }), groupsOf)
}

/** A role stands for its scopes at this moment. */
function scopesOfRole({ roles }: Core, role: string): readonly string[] {
  if (!roles.all.has(role))
    throw new HubError('invalid', `There is no role "${role}". There are: ${[...roles.all.keys()].join(', ')}.`)
  return roles.scopesOf(role)
}

/** How tokens were made before JupyterHub 2; 404 since (contract 4.4). */
export const noMore: Endpoint = {
  access: 'everybody',
  run() {
    throw missing()
  },
}
