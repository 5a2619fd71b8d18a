import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import { demand } from '../rights.ts'
import type { Service } from '../services/services.ts'
import type { PageContext } from './environment.ts'
import { Ago, page } from './layout.tsx'
import { counted } from './list.tsx'
import { Scopes } from './scopes.tsx'
import { Sections } from './sections.tsx'

/** `admin/services`: the services that the visitor may list, how each is, and what it may do. */
export const showServices = (core: Core) =>
  function showServices(c: PageContext): Promise<Response> {
    const caller = c.get('caller')
    demand(caller, ['admin-ui'])
    const services = [...core.services.all()].filter(({ name }) => caller.allows('list:services', { service: name }))
    const issued = issuedTo(core)
    return page(
      core,
      c,
      { title: 'Services' },
      <>
        <h1>Services</h1>
        <Sections core={core} c={c} />
        {services.length === 0 ? (
          <p class="muted" role="status">
            No service.
          </p>
        ) : (
          <table>
            <thead>
              <tr>
                <th scope="col">Service</th>
                <th scope="col">State</th>
                <th scope="col">Where</th>
                <th scope="col">Its rights</th>
                <th scope="col">Signed in to it</th>
              </tr>
            </thead>
            <tbody>
              {services.map(service => (
                <ServiceRow core={core} caller={caller} service={service} tokens={issued.get(service.clientId)} />
              ))}
            </tbody>
          </table>
        )}
      </>,
    )
  }

/** By client: the tokens that it holds, and of how many people. */
function issuedTo({ users }: Core): Map<string, Issued> {
  const issued = new Map<string, Issued>()
  for (const { tokens } of users.all()) {
    const clients = new Map<string, number>()
    for (const { client } of tokens) if (client !== null) clients.set(client, (clients.get(client) ?? 0) + 1)
    for (const [client, count] of clients) {
      const before = issued.get(client) ?? { people: 0, tokens: 0 }
      issued.set(client, { people: before.people + 1, tokens: before.tokens + count })
    }
  }
  return issued
}

interface Issued {
  people: number
  tokens: number
}

function ServiceRow(props: { core: Core; caller: Caller; service: Service; tokens: Issued | undefined }) {
  const { core, caller, service, tokens = { people: 0, tokens: 0 } } = props
  const { name, path, settings } = service
  const may = (scope: string) => caller.allows(scope, { service: name })
  const signsIn = may('read:services') && service.redirectUri !== ''
  const opens = path !== '' && may('access:services')
  const roles = [...core.roles.ofService(name), ...(settings.admin ? ['admin'] : [])]
  return (
    <tr>
      <th scope="row">
        {opens ? <a href={path}>{name}</a> : name}
        {may('read:services') && <span class="muted block">{kindOf(service)}, from the config</span>}
      </th>
      <td data-label="State">
        <div>{may('read:services') && <Health service={service} />}</div>
      </td>
      <td data-label="Where">
        <div>
          {may('read:services') && (settings.url ?? <span class="muted">It has no pages</span>)}
          {may('read:services') && settings.command && <code class="block">{settings.command.join(' ')}</code>}
        </div>
      </td>
      <td data-label="Its rights">
        <div>
          {may('read:roles:services') && roles.length > 0 && <span class="block">Roles: {roles.join(', ')}</span>}
          {may('read:roles:services') && <Scopes scopes={core.services.caller(service).scopes} />}
        </div>
      </td>
      <td data-label="Signed in to it">
        <div>
          {signsIn && counted(tokens.people, 'user')}
          {signsIn && <span class="muted block">{counted(tokens.tokens, 'token')}</span>}
        </div>
      </td>
    </tr>
  )
}

function kindOf({ settings: { command, url } }: Service): string {
  if (command) return 'Run by the hub'
  return url === undefined ? 'A program with a token' : 'Runs elsewhere'
}

function Health({ service: { pid, started, starts, probe, settings } }: { service: Service }) {
  if (settings.command)
    return (
      <>
        {pid === 0 ? <span class="state failed">Not running</span> : <span class="state running">Running</span>}
        {pid !== 0 && started !== undefined && (
          <span class="muted block">
            Started <Ago at={started} />
          </span>
        )}
        {starts > 1 && <span class="muted block">Started again {counted(starts - 1, 'time')}</span>}
      </>
    )
  if (settings.url === undefined) return <span class="muted">Nothing to look at</span>
  if (!probe) return <span class="state unknown">Not looked at yet</span>
  return (
    <>
      {probe.why === undefined ? <span class="state running">Answers</span> : <span class="state failed">Does not answer</span>}
      <span class="muted block">
        {probe.why !== undefined && `${probe.why}. `}Last look: <Ago at={probe.at} />
      </span>
    </>
  )
}
