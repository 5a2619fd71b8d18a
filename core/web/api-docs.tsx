import { routes } from '../api/api.ts'
import { type OpenApi, type Operation, openApi } from '../api/openapi.ts'
import type { Core } from '../core.ts'
import type { PageContext } from './environment.ts'
import { greet, whoIs } from './guard.ts'
import { page } from './layout.tsx'

/** `api-docs`: the REST API to read, for everybody, as is its document. */
export const showApiDocs = (core: Core) =>
  async function showApiDocs(c: PageContext): Promise<Response> {
    const visitor = await whoIs(core, c)
    if (visitor) greet(core, c, visitor)
    const document = openApi(routes, core.base)
    const all = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    )
    const tags = [...new Set(all.map(({ operation }) => operation.tags[0]))]
    return page(
      core,
      c,
      { title: 'REST API' },
      <>
        <h1>REST API</h1>
        <p>
          Paths are below <code>{document.servers[0]?.url}</code>. Send <code>Authorization: token SECRET</code> with a token from{' '}
          <a href={`${core.base}hub/token`}>your tokens</a>. For programs:{' '}
          <a href={`${core.base}hub/api/openapi.json`}>openapi.json</a>
        </p>
        {tags.map(tag => (
          <section>
            <h2>{tag}</h2>
            {all
              .filter(({ operation }) => operation.tags[0] === tag)
              .map(({ path, method, operation }) => (
                <details class="panel" id={operation.operationId}>
                  <summary>
                    <strong>{method}</strong> <code>{path}</code> <span class="muted">{operation.summary}</span>
                  </summary>
                  <Facts document={document} operation={operation} />
                </details>
              ))}
          </section>
        ))}
      </>,
    )
  }

function Facts({ document, operation }: { document: OpenApi; operation: Operation }) {
  const { parameters = [], requestBody, responses } = operation
  const body = requestBody && document.components.schemas[operation.operationId]
  return (
    <>
      <p>{who(operation)}</p>
      {parameters.length > 0 && (
        <ul>
          {parameters.map(({ name, in: place, schema, description }) => (
            <li>
              <code>{name}</code> in the {place}: <code>{JSON.stringify(schema)}</code> {description}
            </li>
          ))}
        </ul>
      )}
      {body && (
        <>
          <p>
            Body, {Object.keys(requestBody.content).join()}
            {!requestBody.required && ', may be left out'}:
          </p>
          <pre tabindex={0}>{JSON.stringify(body, null, 2)}</pre>
        </>
      )}
      <ul>
        {Object.entries(responses).map(([status, { description, content }]) => (
          <li>
            <strong>{status}</strong> {description}
            {content && Number(status) < 300 && (
              <pre tabindex={0}>{JSON.stringify(content['application/json'].schema, null, 2)}</pre>
            )}
          </li>
        ))}
      </ul>
    </>
  )
}

function who({ security }: Operation): string {
  const ways = security.flatMap(way => (way.token ? [way.token.join(' and ')] : []))
  if (ways.length === 0) return 'For everybody.'
  return ways[0] === '' ? 'For every caller.' : `Takes the scope ${ways.join(' or ')}.`
}
