import { z } from 'zod'
import { jupyterhubVersion } from '../version.ts'
import { failed } from './answers.ts'
import { type Described, descriptions, type Shaped } from './descriptions.ts'
import type { Endpoint } from './endpoint.ts'

export type Routes = Readonly<Record<string, Readonly<Record<string, Endpoint>>>>
type Json = Record<string, unknown>

export interface Operation extends Json {
  operationId: string
  summary: string
  tags: [string]
  deprecated?: true
  security: Record<string, readonly string[]>[]
  parameters?: { name: string; in: 'path' | 'query'; required: boolean; schema: object; description?: string }[]
  requestBody?: { required: boolean; content: Record<string, { schema: { $ref: string } }> }
  responses: Record<string, { description: string; content?: { 'application/json': { schema: Json } } }>
}

export interface OpenApi {
  openapi: '3.1.0'
  info: Json
  servers: { url: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json>; securitySchemes: Json }
}

/**
 * The REST API as an OpenAPI 3.1 document, made from the table of routes: rights and bodies are the ones that the requests
 * are checked with, answers the ones that the tests hold them against.
 */
export function openApi(routes: Routes, base: string): OpenApi {
  const schemas: Record<string, Json> = {}
  const paths = Object.entries(routes).map(([path, endpoints]) => {
    const operations = Object.entries(endpoints).map(([method, endpoint]) => {
      return [method.toLowerCase(), operation(path, method, endpoint, schemas)] as const
    })
    return [path.replaceAll(/:(\w+)/g, '{$1}') || '/', Object.fromEntries(operations)] as const
  })
  return {
    openapi: '3.1.0',
    info: {
      title: 'The hub’s REST API',
      version: jupyterhubVersion,
      description: 'Speaks the REST API of JupyterHub of this version. Errors are `{"status": 404, "message": "…"}`.',
    },
    servers: [{ url: `${base}hub/api` }],
    paths: Object.fromEntries(paths),
    components: {
      schemas,
      securitySchemes: {
        token: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description:
            '`token SECRET` or `bearer SECRET`, with a token of the tokens page. The names beside it are the scopes that it takes.',
        },
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: 'jupyterhub-hub-login',
          description:
            'A signed-in browser. What a script sends needs the `_xsrf` of the page, as header `X-XSRFToken` or in the query.',
        },
      },
    },
  }
}

function operation(path: string, method: string, endpoint: Endpoint, schemas: Record<string, Json>): Operation {
  const operationId = method.toLowerCase() + [...path.matchAll(/\w+\/?$|\w+/g)].map(([word]) => named(word)).join('')
  const { summary, query, form, deprecated, answers }: Described = descriptions[`${method} ${path}`] ?? {
    summary: `${method} ${path}`,
    answers: { 200: 'Done.' },
  }
  const body = endpoint.body ?? form
  if (body) schemas[operationId] = schemaOf(body, `#/components/schemas/${operationId}`)
  const parameters = [...inPath(path), ...inQuery(endpoint.query ?? query)]
  const denied = endpoint.access === 'everybody' ? {} : { 403: 'Without credentials that are valid, or without the right.' }
  const hidden = path.includes(':') ? { 404: 'There is none, or the caller may not see it.' } : {}
  const invalid =
    body || parameters.some(({ in: place }) => place === 'query') ? { 400: 'The request is not as it should be.' } : {}
  return {
    operationId,
    summary,
    tags: [path.split('/')[1] || 'hub'],
    ...(deprecated && { deprecated }),
    security: securityOf(endpoint.access),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: !body.safeParse(undefined).success,
        content: {
          [endpoint.body ? 'application/json' : 'application/x-www-form-urlencoded']: {
            schema: { $ref: `#/components/schemas/${operationId}` },
          },
        },
      },
    }),
    responses: Object.fromEntries(
      Object.entries({ ...invalid, ...denied, ...hidden, ...answers }).map(([status, answer]) => [
        status,
        responseOf(Number(status) < 400 || typeof answer !== 'string' ? answer : { says: answer, body: failed }, schemas),
      ]),
    ),
  }
}

/** `servers/` and `servers` are two paths. */
const named = (word: string) => `${word[0]!.toUpperCase()}${word.slice(1).replace('/', 'Default')}`

/** What goes in, as JSON Schema; its own definitions are found at `place`. */
export function schemaOf(schema: z.ZodType, place: string): Json {
  const { $schema, ...made } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json
  return JSON.parse(JSON.stringify(made).replaceAll('"#/$defs/', `"${place}/$defs/`))
}

function responseOf(answer: string | Shaped, schemas: Record<string, Json>): Operation['responses'][string] {
  if (typeof answer === 'string') return { description: answer }
  return { description: answer.says, content: { 'application/json': { schema: answerSchema(answer.body, schemas) } } }
}

/** What comes out. The models in it, those with an id, go to the others. */
function answerSchema(body: z.ZodType, schemas: Record<string, Json>): Json {
  const made = JSON.stringify(z.toJSONSchema(body, { unrepresentable: 'any' })).replaceAll('"#/$defs/', '"#/components/schemas/')
  const { $schema, $defs, ...schema } = JSON.parse(made) as Json & { $defs?: Record<string, Json> }
  Object.assign(schemas, $defs)
  return schema
}

function securityOf(access: Endpoint['access']): Operation['security'] {
  if (access === 'everybody') return []
  const either = (scopes: readonly string[]): Operation['security'] => [{ token: scopes }, { cookie: scopes }]
  if (access === 'callers') return either([])
  if ('all' in access) return either(access.all)
  return ('partly' in access ? access.partly : access).flatMap(scope => either([scope]))
}

const inPath = (path: string) =>
  [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path' as const,
    required: true,
    schema: { type: 'string' },
  }))

function inQuery(query: z.ZodObject | undefined) {
  const { properties = {} } = query ? (schemaOf(query, '') as { properties?: Record<string, Json> }) : {}
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query' as const,
    required: false,
    schema,
    ...(typeof description === 'string' && { description }),
  }))
}
