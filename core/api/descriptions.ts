import { z } from 'zod'
import { auditEntry } from '../audit.ts'
import * as answers from './answers.ts'

/** What a route of the API does, in words: for people. What it takes is checked elsewhere, and told from there. */
export interface Described {
  summary: string
  /** Of parameters that the endpoint reads by itself. */
  query?: z.ZodObject
  /** Of old: it does nothing any more. */
  deprecated?: true
  /** A body that is a form. */
  form?: z.ZodType
  /** By status: what it means, and the shape of its body where that is JSON. */
  answers: Record<number, string | Shaped>
}

export interface Shaped {
  says: string
  body: z.ZodType
}

const shaped = (says: string, body: z.ZodType): Shaped => ({ says, body })

const paging = {
  offset: z.int().min(0).describe('How many to leave out.'),
  limit: z.int().min(1).max(200).describe('How many at most.'),
}
const inPages = '; with `Accept: application/jupyterhub-pagination+json` a page with `items` and `_pagination`.'
const stopped = { include_stopped_servers: z.boolean().describe('Servers that do not run, too.') }

const server = (which: string): Record<'GET' | 'POST' | 'DELETE', Described> => ({
  GET: { summary: `Read ${which}`, answers: { 200: shaped('The server.', answers.server) } },
  POST: {
    summary: `Start ${which}`,
    answers: { 201: 'It is ready.', 202: 'It still starts.', 429: 'Too many start or run; try again after `Retry-After`.' },
  },
  DELETE: { summary: `Stop ${which}`, answers: { 202: 'It is still being stopped.', 204: 'It is stopped.' } },
})
const inAPage = ': a page with `items` and `_pagination`, whatever the client accepts.'
const pageOfShares = shaped(`Shares${inAPage}`, answers.pageOf(z.array(answers.share)))
const pageOfCodes = shaped(`Invitations${inAPage}`, answers.pageOf(z.array(answers.shareCode)))
const withPath = (path: string, methods: Record<string, Described>) =>
  Object.fromEntries(Object.entries(methods).map(([method, described]) => [`${method} ${path}`, described]))
const progress: Described = {
  summary: 'Follow a start, as server-sent events',
  answers: { 200: 'Events with `progress` and `message`; the last one has `ready` or `failed`.' },
}
const log: Described = {
  summary: 'The last lines of a server’s log, and with `follow` those that come until it is gone. Not part of JupyterHub’s API',
  answers: {
    200: 'Plain text. Of a server that failed the last lines before; nothing of one that is stopped.',
    429: 'Too many follow it.',
  },
}
const shares = (which: string): Record<'GET' | 'POST' | 'PATCH' | 'DELETE', Described> => ({
  GET: { summary: `With whom ${which} is shared`, query: z.object(paging), answers: { 200: pageOfShares } },
  POST: {
    summary: `Share ${which} with a user or a group. The caller must hold every scope, and may read the name`,
    answers: { 200: shaped('All that is shared with them.', answers.share) },
  },
  PATCH: {
    summary: `Take back scopes of ${which} from a user or a group; all, if none is named`,
    answers: { 200: shaped('What is still shared with them, or `{}`.', z.union([answers.share, z.strictObject({})])) },
  },
  DELETE: { summary: `Take back everything that is shared of ${which}`, answers: { 204: 'Nothing is shared.' } },
})
const codes = (which: string): Record<'GET' | 'POST' | 'DELETE', Described> => ({
  GET: {
    summary: `Invitations to ${which} that are still good, without their codes`,
    query: z.object(paging),
    answers: { 200: pageOfCodes },
  },
  POST: {
    summary: `Make an invitation to ${which}: whoever opens its address may accept the share`,
    answers: { 200: shaped('The invitation, with its code in `code` and `accept_url`: this once.', answers.newShareCode) },
  },
  DELETE: { summary: `Revoke one invitation to ${which}, or all`, answers: { 204: 'They are good for nothing any more.' } },
})
const shared = (who: string, which: string): Record<'GET' | 'DELETE', Described> => ({
  GET: { summary: `Is ${which} shared with ${who}?`, answers: { 200: shaped('The share.', answers.share) } },
  DELETE: { summary: `End the share of ${which} with ${who}`, answers: { 204: 'It is not shared with them any more.' } },
})
/** In the words of RFC 6749. */
const grant = z.strictObject({ access_token: z.string(), expires_in: z.int(), token_type: z.string(), scope: z.string() })
const refusal = z.strictObject({ error: z.string(), error_description: z.string().optional() })
const the = server('a user’s default server')
const other = server('a named server')

/** By method and path, as in the table of routes. */
export const descriptions: Readonly<Record<string, Described>> = {
  'GET ': {
    summary: 'The version of JupyterHub that this hub speaks as',
    answers: { 200: shaped('`version`', z.strictObject({ version: z.string() })) },
  },
  'GET /info': {
    summary: 'What the hub is made of',
    answers: { 200: shaped('Version, spawner and authenticator.', answers.info) },
  },
  'GET /health': { summary: 'Does the hub answer?', answers: { 200: 'It does.' } },
  'HEAD /health': { summary: 'Does the hub answer?', answers: { 200: 'It does.' } },
  'GET /metrics': { summary: 'Measurements, for Prometheus', answers: { 200: 'Text in the format of Prometheus.' } },
  'GET /openapi.json': { summary: 'This document', answers: { 200: 'OpenAPI 3.1.' } },
  'GET /audit': {
    summary: 'The audit trail, the newest first. Not part of JupyterHub’s API',
    answers: {
      200: shaped(
        '`items`, and the path of the `next` page or null.',
        z.strictObject({ items: z.array(auditEntry), next: z.string().nullable() }),
      ),
    },
  },

  'GET /user': { summary: 'Who asks, and with which scopes', answers: { 200: shaped('The caller.', answers.self) } },
  'GET /users': {
    summary: 'All users that the caller may see',
    query: z.object({
      ...paging,
      ...stopped,
      name_filter: z.string().describe('Only names with this in them.'),
      state: z.enum(['active', 'inactive', 'ready']).describe('Only users with such servers.'),
      sort: z.enum(['id', 'name', 'last_activity', '-id', '-name', '-last_activity']),
    }),
    answers: {
      200: shaped(
        `A list${inPages} With \`application/x-ndjson\`, which JupyterHub does not know, all of them, one a line.`,
        answers.listOf(z.array(answers.user)),
      ),
    },
  },
  'POST /users': {
    summary: 'Add users',
    answers: { 201: shaped('Those that were added.', z.array(answers.user)), 409: 'All of them exist.' },
  },
  'GET /users/:user': {
    summary: 'Read a user',
    query: z.object(stopped),
    answers: { 200: shaped('What the caller may see.', answers.user) },
  },
  'POST /users/:user': { summary: 'Add a user', answers: { 201: shaped('The user.', answers.user), 409: 'The name is taken.' } },
  'PATCH /users/:user': {
    summary: 'Rename a user, change whether they are an admin and which groups they are in',
    answers: { 200: shaped('The user.', answers.user) },
  },
  'DELETE /users/:user': { summary: 'Delete a user; servers are stopped first', answers: { 204: 'The user is no more.' } },
  'POST /users/:user/activity': { summary: 'Tell when a user and servers were last active', answers: { 200: 'Noted.' } },

  'POST /users/:user/admin-access': { summary: 'Does nothing, as in JupyterHub', answers: { 200: 'Done.' } },

  'GET /users/:user/tokens': {
    summary: 'The tokens of a user',
    answers: { 200: shaped('`api_tokens`', z.strictObject({ api_tokens: z.array(answers.token) })) },
  },
  'POST /users/:user/tokens': {
    summary: 'Make a token; who has none may prove who they are in the body',
    answers: {
      201: shaped('The token, with its secret in `token`: this once.', answers.newToken),
      429: 'Too many failed sign-ins.',
    },
  },
  'GET /users/:user/tokens/:token': {
    summary: 'Read a token',
    answers: { 200: shaped('The token, without its secret.', answers.token) },
  },
  'DELETE /users/:user/tokens/:token': { summary: 'Revoke a token', answers: { 204: 'It is good for nothing any more.' } },

  'GET /users/:user/server': the.GET,
  'POST /users/:user/server': the.POST,
  'DELETE /users/:user/server': the.DELETE,
  'GET /users/:user/server/progress': progress,
  'GET /users/:user/server/logs': log,
  'GET /users/:user/servers/': the.GET,
  'POST /users/:user/servers/': the.POST,
  'DELETE /users/:user/servers/': the.DELETE,
  'PUT /users/:user/servers/': { summary: 'A default server is always there', answers: { 201: 'Never.', 409: 'It is there.' } },
  'GET /users/:user/servers/:server': other.GET,
  'POST /users/:user/servers/:server': other.POST,
  'DELETE /users/:user/servers/:server': { ...other.DELETE, summary: 'Stop a named server, and with `remove` forget it' },
  'PUT /users/:user/servers/:server': {
    summary: 'Make a named server without starting it',
    answers: { 201: shaped('The server.', answers.server), 409: 'It is there.' },
  },
  'PATCH /users/:user/servers/:server': {
    summary: 'Change a server that is stopped, also its name',
    answers: { 200: shaped('The server.', answers.server), 409: 'The name is taken.' },
  },
  'GET /users/:user/servers/:server/progress': progress,
  'GET /users/:user/servers/:server/logs': log,

  'GET /groups': {
    summary: 'List groups',
    query: z.object(paging),
    answers: { 200: shaped(`The groups that the caller may see${inPages}`, answers.listOf(z.array(answers.group))) },
  },
  'POST /groups': {
    summary: 'Create groups',
    answers: { 201: shaped('The groups.', z.array(answers.group)), 409: 'There is one already.' },
  },
  'GET /groups/:group': { summary: 'Read a group', answers: { 200: shaped('The group.', answers.group) } },
  'POST /groups/:group': {
    summary: 'Create a group',
    answers: { 201: shaped('The group.', answers.group), 409: 'There is one already.' },
  },
  'DELETE /groups/:group': { summary: 'Delete a group', answers: { 204: 'It is gone.' } },
  'POST /groups/:group/users': { summary: 'Add members', answers: { 200: shaped('The group.', answers.group) } },
  'DELETE /groups/:group/users': { summary: 'Remove members', answers: { 200: shaped('The group.', answers.group) } },
  'PUT /groups/:group/properties': {
    summary: 'Replace the properties of a group',
    answers: { 200: shaped('The group.', answers.group) },
  },

  'GET /services': {
    summary: 'List services',
    answers: { 200: shaped('By name, the services that the caller may see.', z.record(z.string(), answers.service)) },
  },
  'GET /services/:service': { summary: 'Read a service', answers: { 200: shaped('The service.', answers.service) } },
  'POST /services/:service': {
    summary: 'Make a service that runs elsewhere',
    answers: { 201: shaped('The service.', answers.service), 409: 'Its name, its client id or its token is taken.' },
  },
  'DELETE /services/:service': {
    summary: 'Delete a service that was made over the API, and what was given to it',
    answers: { 200: 'It is gone.', 405: 'It is in the config: take it out there.' },
  },

  'GET /proxy': {
    summary: 'The routes of the hub’s servers and services',
    query: z.object(paging),
    answers: { 200: shaped(`By path${inPages}`, answers.listOf(z.record(z.string(), answers.route))) },
  },
  'POST /proxy': { summary: 'Set the table of routes right now', answers: { 200: 'It is.' } },
  'PATCH /proxy': {
    summary: 'JupyterHub is told here where its proxy is. This hub learns it at its start',
    answers: { 400: 'Nothing was changed.' },
  },
  'POST /shutdown': {
    summary: 'End the hub: `servers` after all servers are stopped, `proxy` (unless false) with the front that is its parent',
    answers: {
      202: shaped(
        'It ends. Servers that were not to be stopped go on, for the next hub.',
        z.strictObject({ message: z.string() }),
      ),
    },
  },

  'GET /shares/:user': { summary: 'All that a user shares', query: z.object(paging), answers: { 200: pageOfShares } },
  ...withPath('/shares/:user/', shares('a user’s default server')),
  ...withPath('/shares/:user/:server', shares('a named server')),
  'GET /share-codes/:user': {
    summary: 'Invitations of a user that are still good',
    query: z.object(paging),
    answers: { 200: pageOfCodes },
  },
  ...withPath('/share-codes/:user/', codes('a user’s default server')),
  ...withPath('/share-codes/:user/:server', codes('a named server')),
  'GET /users/:user/shared': {
    summary: 'What is shared with a user, also through groups',
    query: z.object(paging),
    answers: { 200: pageOfShares },
  },
  ...withPath('/users/:user/shared/:owner/', shared('a user', 'the owner’s default server')),
  ...withPath('/users/:user/shared/:owner/:server', shared('a user', 'a named server of the owner')),
  'GET /groups/:group/shared': {
    summary: 'What is shared with a group',
    query: z.object(paging),
    answers: { 200: pageOfShares },
  },
  ...withPath('/groups/:group/shared/:owner/', shared('a group', 'the owner’s default server')),
  ...withPath('/groups/:group/shared/:owner/:server', shared('a group', 'a named server of the owner')),

  'POST /oauth2/token': {
    summary: 'Change an authorization code for an access token',
    form: z.object({
      grant_type: z.literal('authorization_code'),
      client_id: z.string(),
      client_secret: z.string(),
      code: z.string(),
      redirect_uri: z.string().optional(),
      code_verifier: z.string().optional(),
    }),
    answers: {
      200: shaped('A token.', grant),
      400: shaped('An error of RFC 6749.', refusal),
      401: shaped('No such client.', refusal),
    },
  },
  'GET /authorizations/token/:token': {
    summary: 'Whose token is this? For old notebooks and services',
    answers: { 200: shaped('Its owner.', answers.bearer) },
  },
  'POST /authorizations/token/:token': {
    summary: 'How tokens were made before JupyterHub 2',
    deprecated: true,
    answers: { 404: 'Always.' },
  },
}
