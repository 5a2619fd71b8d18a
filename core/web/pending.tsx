import { setTimeout as pause } from 'node:timers/promises'
import type { Core } from '../core.ts'
import type { Server, StartEvent } from '../servers/server.ts'
import { publicHost, serverPage, withQuery } from './address.ts'
import { serverLabel } from './card.tsx'
import type { PageContext } from './environment.ts'
import { CauseBox, Hidden, page } from './layout.tsx'
import { logScopes } from './logs.tsx'
import { safeNext } from './next.ts'
import { asksFirst } from './options-form.ts'
import { existing } from './rights.ts'

/** `spawn-pending/USER[/SERVER]`: how far a start or stop is, or why it failed. Never starts anything. */
export const pending = (core: Core) =>
  async function pending(c: PageContext): Promise<Response> {
    const { server } = existing(core, c, ['start:servers', 'read:servers'])
    const next = safeNext(c.req.query('next'), publicHost(core, c)) ?? server.path
    if (server.ready) return c.redirect(next)
    if (server.pending === 'stop') return stopping(core, c, server)
    if (server.pending !== null) return starting(core, c, server, next)
    return notRunning(core, c, server, next)
  }

/** What a person waits for, in order. */
const steps: readonly (readonly [StartEvent['step'], string])[] = [
  ['requested', 'Requested'],
  ['preparing', 'Preparing'],
  ['queued', 'Waiting for a place'],
  ['placed', 'Placed on a node'],
  ['pulling', 'Getting the image'],
  ['starting', 'Starting'],
  ['answering', 'Waiting for its first answer'],
  ['ready', 'Ready'],
]

/** Not every spawner takes these: shown once they are told. The others are hidden when a start goes past them without a word. */
const unsure: readonly StartEvent['step'][] = ['queued', 'placed', 'pulling']

async function starting(core: Core, c: PageContext, server: Server, next: string) {
  const label = serverLabel(server, c.get('caller'))
  const at = { user: server.owner.name, name: server.ref.name }
  const xsrf = core.xsrf.token(c)
  const events = await soFar(server)
  const last = events.at(-1)
  const reached = steps.findIndex(([step]) => step === last?.step)
  const seen = new Set(events.map(({ step }) => step))
  const seconds = server.startedAt === undefined ? 0 : Math.floor((performance.now() - server.startedAt) / 1000)
  const feed = { _xsrf: xsrf, after: last && eventId(server, last) }
  const may = c.get('caller').allows('delete:servers', { user: at.user, server: at.name })
  return page(
    core,
    c,
    { title: `${label} is starting`, refresh: 3 },
    <section class="narrow panel" id="progress" data-events={serverPage(core, 'events', at, feed)} data-next={next}>
      <h1>{label} is starting</h1>
      <p class="lead" role="status" data-message>
        {last?.message ?? 'The hub looks for your server.'}
      </p>
      <progress max={100} value={last?.progress ?? 0} aria-label="How far it is" data-progress />
      <p class="muted">
        <span data-seconds={seconds}>{`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`}</span> so far
      </p>
      <ol class="steps">
        {steps.map(([step, label], index) => (
          <li
            data-step={step}
            class={index < reached ? 'done' : index === reached ? 'now' : undefined}
            aria-current={index === reached ? 'step' : undefined}
            hidden={!seen.has(step) && (index < reached || unsure.includes(step))}
          >
            {label}{' '}
            <span class="muted" data-at>
              {begins(events, step)}
            </span>
          </li>
        ))}
      </ol>
      <details>
        <summary>Everything that happened</summary>
        <ol class="log" data-log>
          {events.map(({ at, message }) => (
            <li>
              <span class="muted">{(at / 1000).toFixed(1)} s</span> {message}
            </li>
          ))}
        </ol>
      </details>
      {mayRead(c, server) && (
        <p>
          <a href={serverPage(core, 'logs', at)}>What its programs write</a>
        </p>
      )}
      {may && (
        <form class="actions" method="post" action={serverPage(core, 'stop', at)}>
          <Hidden xsrf={xsrf} />
          <button type="submit">Cancel</button>
        </form>
      )}
    </section>,
  )
}

/** When a step has begun, in the seconds of the start. */
function begins(events: readonly StartEvent[], step: StartEvent['step']): string {
  const at = events.find(event => event.step === step)?.at
  return at === undefined ? '' : `${(at / 1000).toFixed(1)} s`
}

function stopping(core: Core, c: PageContext, server: Server) {
  const label = serverLabel(server, c.get('caller'))
  const at = { user: server.owner.name, name: server.ref.name }
  return page(
    core,
    c,
    { title: `${label} is stopping`, refresh: 3 },
    <section class="narrow panel" id="progress" data-events={serverPage(core, 'events', at, { _xsrf: core.xsrf.token(c) })}>
      <h1>{label} is stopping</h1>
      <p class="lead" role="status">
        This takes a few seconds. You can leave this page.
      </p>
      <progress aria-label="Stopping" />
      <p>
        <a class="button" href={`${core.base}hub/home`}>
          My servers
        </a>
      </p>
    </section>,
  )
}

async function notRunning(core: Core, c: PageContext, server: Server, next: string) {
  const label = serverLabel(server, c.get('caller'))
  const at = { user: server.owner.name, name: server.ref.name }
  const { failure } = server
  const may = c.get('caller').allows('start:servers', { user: at.user, server: at.name })
  const events = failure ? await soFar(server) : []
  const title = events.at(-1)?.step === 'failed' ? 'could not start' : 'is not running'
  return page(
    core,
    c,
    { title: `${label} ${title}`, status: failure ? 500 : 200 },
    <section class="narrow panel">
      <h1>
        {label} {title}
      </h1>
      {failure && <CauseBox cause={failure.cause} />}
      {events.length > 0 && (
        <details>
          <summary>Everything that happened</summary>
          <ol class="log">
            {events.map(({ at, message }) => (
              <li>
                <span class="muted">{(at / 1000).toFixed(1)} s</span> {message}
              </li>
            ))}
          </ol>
        </details>
      )}
      <div class="actions">
        {may && (
          <form method="post" action={serverPage(core, 'spawn', at)}>
            <Hidden xsrf={core.xsrf.token(c)} next={next} />
            <button class="primary" type="submit">
              {failure ? 'Try again' : 'Start'}
            </button>
          </form>
        )}
        {may && asksFirst(core, server.owner) && (
          <a class="button" href={withQuery(serverPage(core, 'spawn', at), { next })}>
            Choose what to start
          </a>
        )}
        {failure?.cause.log && mayRead(c, server) && (
          <a class="button" href={serverPage(core, 'logs', at)}>
            Its log
          </a>
        )}
        <a class="button" href={`${core.base}hub/home`}>
          My servers
        </a>
      </div>
    </section>,
  )
}

const mayRead = (c: PageContext, { ref }: Server) =>
  logScopes.every(scope => c.get('caller').allows(scope, { user: ref.user, server: ref.name }))

/** What a browser sends back as Last-Event-ID: an id counts within one start only. */
export function eventId(server: Server, event: StartEvent): string {
  return `${server.record.generation ?? ''}.${event.id}`
}

/** The lines of the start that are there now, without waiting for the next. */
async function soFar(server: Server): Promise<StartEvent[]> {
  const enough = new AbortController()
  const events: StartEvent[] = []
  const reading = server.events(0, enough.signal)[Symbol.asyncIterator]()
  for (;;) {
    const step = await Promise.race([reading.next(), pause(20)])
    if (!step || step.done) break
    events.push(step.value)
  }
  enough.abort()
  return events
}
