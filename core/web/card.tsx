import type { Core } from '../core.ts'
import type { Caller } from '../plugin.ts'
import type { Server } from '../servers/server.ts'
import { serverPage } from './address.ts'
import { Ago, Hidden } from './layout.tsx'
import { asksFirst } from './options-form.ts'
import { placeOf, showsSharing } from './share.tsx'

/** One server: how it is, and what can be done with it now by forms and links. */
export function ServerCard({ core, caller, server, xsrf }: { core: Core; caller: Caller; server: Server; xsrf: string }) {
  const { ref, record, failure } = server
  const profile = core.servers.profiles(server.owner).find(({ name }) => name === record.profile)
  const stopped = server.state === 'stopped'
  return (
    <article class="card" data-server={ref.name} aria-labelledby={`server-${ref.name}`}>
      <header>
        <h2 id={`server-${ref.name}`}>{serverLabel(server, caller)}</h2>
        <State server={server} />
      </header>
      <dl>
        {record.profile && (
          <div>
            <dt>Profile</dt>
            <dd>{profile?.label ?? record.profile}</dd>
          </div>
        )}
        {!stopped && server.node && (
          <div>
            <dt>Node</dt>
            <dd>{server.node}</dd>
          </div>
        )}
        {!stopped && record.started && (
          <div>
            <dt>Started</dt>
            <dd>
              <Ago at={record.started} />
            </dd>
          </div>
        )}
        <div>
          <dt>Last activity</dt>
          <dd>
            <Ago at={core.users.lastActivity(server.owner.id, ref.name)} />
          </dd>
        </div>
      </dl>
      {!stopped && server.notice && <p class="notice">{server.notice}</p>}
      {!stopped && caller.allows('access:servers', { user: ref.user, server: ref.name }) && (
        <p>
          <a href={serverPage(core, 'logs', target(server))} aria-label={`Log of ${serverLabel(server, caller)}`}>
            Log
          </a>
        </p>
      )}
      {stopped && failure && (
        <p class="muted">
          {failure.cause.message} <a href={serverPage(core, 'spawn-pending', target(server))}>Details</a>
        </p>
      )}
      <Actions core={core} caller={caller} server={server} xsrf={xsrf} />
    </article>
  )
}

/** What can be done with a server now, as far as the caller may. `next`: the page to come back to, if not home. */
export function Actions(props: { core: Core; caller: Caller; server: Server; xsrf: string; next?: string }) {
  const { core, caller, server, xsrf, next } = props
  const at = target(server)
  const may = (scope: string) => caller.allows(scope, { user: at.user, server: at.name })
  const label = serverLabel(server, caller)
  const start = serverPage(core, 'spawn', at)
  const several = asksFirst(core, server.owner)
  const { state } = server
  return (
    <div class="actions">
      {state === 'stopped' &&
        may('start:servers') &&
        (several ? (
          <a class="button primary" href={start} aria-label={`Start ${label}`}>
            Start
          </a>
        ) : (
          <form method="post" action={start}>
            <Hidden xsrf={xsrf} />
            <button class="primary" type="submit" aria-label={`Start ${label}`}>
              Start
            </button>
          </form>
        ))}
      {state === 'starting' && (
        <a class="button primary" href={serverPage(core, 'spawn-pending', at)} aria-label={`Show how far ${label} is`}>
          Show progress
        </a>
      )}
      {(state === 'running' || state === 'unknown') && may('access:servers') && (
        <a class="button primary" href={server.path} aria-label={`Open ${label}`}>
          Open
        </a>
      )}
      {(state === 'starting' || state === 'running' || state === 'unknown') && may('delete:servers') && (
        <form method="post" action={serverPage(core, 'stop', at)}>
          <Hidden xsrf={xsrf} next={next} />
          <button type="submit" aria-label={`${state === 'starting' ? 'Cancel the start of' : 'Stop'} ${label}`}>
            {state === 'starting' ? 'Cancel' : 'Stop'}
          </button>
        </form>
      )}
      {showsSharing(core, caller, server) && (
        <a class="button" href={placeOf(core, server)} aria-label={`Share ${label}`}>
          Share
        </a>
      )}
      {state === 'stopped' && at.name !== '' && may('delete:servers') && (
        <details class="confirm">
          <summary aria-label={`Delete ${label}`}>Delete</summary>
          <form class="answer" method="post" action={serverPage(core, 'delete', at)}>
            <p>
              Delete <strong>{label}</strong>? Its settings are lost, stored files stay.
            </p>
            <Hidden xsrf={xsrf} next={next} />
            <button class="danger" type="submit">
              Yes, delete
            </button>
          </form>
        </details>
      )}
    </div>
  )
}

export function State({ server }: { server: Server }) {
  const [kind, word] = stateOf(server)
  return <span class={`state ${kind}`}>{word}</span>
}

/** "My server" or "alice’s server" for the default one, else the name that it was given. */
export function serverLabel(server: Server, caller: Caller): string {
  const { ref, record, owner } = server
  if (ref.name !== '') return record.displayName ?? ref.name
  return caller.user?.name === owner.name ? 'My server' : `${owner.name}’s server`
}

/** The class that colours it, and the word for people. */
export function stateOf(server: Server): [string, string] {
  if (server.pending === 'check') return ['unknown', 'Checking']
  if (server.state === 'stopped' && server.failure) return ['failed', 'Failed']
  const word = { stopped: 'Stopped', starting: 'Starting', running: 'Running', stopping: 'Stopping', unknown: 'Unknown' }
  return [server.state, word[server.state]]
}

const target = (server: Server) => ({ user: server.owner.name, name: server.ref.name })
