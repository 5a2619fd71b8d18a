import { z } from 'zod'

/** What a route of the API does, in words: for people. What it takes is checked elsewhere, and told from there. */
export interface Described {
  summary: string
  /** Of parameters that the endpoint reads by itself. */
  query?: z.ZodObject
  /** A body that is a form. */
  form?: z.ZodType
  answers: Record<number, string>
}

const paging = {
  offset: z.int().min(0).describe('How many to leave out.'),
  limit: z.int().min(1).max(200).describe('How many at most.'),
}
const stopped = { include_stopped_servers: z.boolean().describe('Servers that do not run, too.') }

const server = (which: string): Record<'GET' | 'POST' | 'DELETE', Described> => ({
  GET: { summary: `Read ${which}`, answers: { 200: 'The server.' } },
  POST: {
    summary: `Start ${which}`,
    answers: { 201: 'It is ready.', 202: 'It still starts.', 429: 'Too many start or run; try again after `Retry-After`.' },
  },
  DELETE: { summary: `Stop ${which}`, answers: { 202: 'It is still being stopped.', 204: 'It is stopped.' } },
})
const progress: Described = {
  summary: 'Follow a start, as server-sent events',
  answers: { 200: 'Events with `progress` and `message`; the last one has `ready` or `failed`.' },
}
const the = server('a user’s default server')
const other = server('a named server')

/** By method and path, as in the table of routes. */
export const descriptions: Readonly<Record<string, Described>> = {
  'GET ': { summary: 'The version of JupyterHub that this hub speaks as', answers: { 200: '`version`' } },
  'GET /info': { summary: 'What the hub is made of', answers: { 200: 'Version, spawner and authenticator.' } },
  'GET /health': { summary: 'Does the hub answer?', answers: { 200: 'It does.' } },
  'HEAD /health': { summary: 'Does the hub answer?', answers: { 200: 'It does.' } },
  'GET /metrics': { summary: 'Measurements, for Prometheus', answers: { 200: 'Text in the format of Prometheus.' } },
  'GET /openapi.json': { summary: 'This document', answers: { 200: 'OpenAPI 3.1.' } },
  'GET /audit': {
    summary: 'The audit trail, the newest first. Not part of JupyterHub’s API',
    answers: { 200: '`items`, and the path of the `next` page or null.' },
  },

  'GET /user': { summary: 'Who asks, and with which scopes', answers: { 200: 'The caller.' } },
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
      200:
        'A list; with `Accept: application/jupyterhub-pagination+json` a page with `items` and `_pagination`; ' +
        'with `application/x-ndjson`, which JupyterHub does not know, all of them, one a line.',
    },
  },
  'POST /users': { summary: 'Add users', answers: { 201: 'Those that were added.', 409: 'All of them exist.' } },
  'GET /users/:user': { summary: 'Read a user', query: z.object(stopped), answers: { 200: 'What the caller may see.' } },
  'POST /users/:user': { summary: 'Add a user', answers: { 201: 'The user.', 409: 'The name is taken.' } },
  'PATCH /users/:user': { summary: 'Rename a user, or change whether they are an admin', answers: { 200: 'The user.' } },
  'DELETE /users/:user': { summary: 'Delete a user; servers are stopped first', answers: { 204: 'The user is no more.' } },
  'POST /users/:user/activity': { summary: 'Tell when a user and servers were last active', answers: { 200: 'Noted.' } },

  'GET /users/:user/tokens': { summary: 'The tokens of a user', answers: { 200: '`api_tokens`' } },
  'POST /users/:user/tokens': {
    summary: 'Make a token; who has none may prove who they are in the body',
    answers: { 201: 'The token, with its secret in `token`: this once.', 429: 'Too many failed sign-ins.' },
  },
  'GET /users/:user/tokens/:token': { summary: 'Read a token', answers: { 200: 'The token, without its secret.' } },
  'DELETE /users/:user/tokens/:token': { summary: 'Revoke a token', answers: { 204: 'It is good for nothing any more.' } },

  'GET /users/:user/server': the.GET,
  'POST /users/:user/server': the.POST,
  'DELETE /users/:user/server': the.DELETE,
  'GET /users/:user/server/progress': progress,
  'GET /users/:user/servers/': the.GET,
  'POST /users/:user/servers/': the.POST,
  'DELETE /users/:user/servers/': the.DELETE,
  'GET /users/:user/servers/:server': other.GET,
  'POST /users/:user/servers/:server': other.POST,
  'DELETE /users/:user/servers/:server': { ...other.DELETE, summary: 'Stop a named server, and with `remove` forget it' },
  'PUT /users/:user/servers/:server': {
    summary: 'Make a named server without starting it',
    answers: { 201: 'The server.', 409: 'It is there.' },
  },
  'PATCH /users/:user/servers/:server': { summary: 'Change a server that is stopped', answers: { 200: 'The server.' } },
  'GET /users/:user/servers/:server/progress': progress,

  'GET /groups': { summary: 'List groups', query: z.object(paging), answers: { 200: 'The groups that the caller may see.' } },
  'POST /groups': { summary: 'Create groups', answers: { 201: 'The groups.', 409: 'There is one already.' } },
  'GET /groups/:group': { summary: 'Read a group', answers: { 200: 'The group.' } },
  'POST /groups/:group': { summary: 'Create a group', answers: { 201: 'The group.', 409: 'There is one already.' } },
  'DELETE /groups/:group': { summary: 'Delete a group', answers: { 204: 'It is gone.' } },
  'POST /groups/:group/users': { summary: 'Add members', answers: { 200: 'The group.' } },
  'DELETE /groups/:group/users': { summary: 'Remove members', answers: { 200: 'The group.' } },
  'PUT /groups/:group/properties': { summary: 'Replace the properties of a group', answers: { 200: 'The group.' } },

  'GET /services': { summary: 'List services', answers: { 200: 'By name, the services that the caller may see.' } },
  'GET /services/:service': { summary: 'Read a service', answers: { 200: 'The service.' } },

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
      200: '`access_token`, `expires_in`, `token_type` and `scope`.',
      400: 'An error of RFC 6749.',
      401: 'No such client.',
    },
  },
  'GET /authorizations/token/:token': {
    summary: 'Whose token is this? For old notebooks and services',
    answers: { 200: 'Its owner.' },
  },
}
