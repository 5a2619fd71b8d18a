import type { Core } from '../core.ts'
import { HubError } from '../errors.ts'
import { isServerName } from '../names.ts'
import { demand } from '../rights.ts'
import { namedServersOf } from '../servers/limits.ts'
import type { UserRecord } from '../store/records.ts'
import { publicHost, serverPage, withQuery } from './address.ts'
import { ServerCard } from './card.tsx'
import type { PageContext } from './environment.ts'
import { landing } from './landing.ts'
import { Alert, Hidden, page } from './layout.tsx'
import { safeNext } from './next.ts'
import { asksFirst } from './options-form.ts'
import { SharedWithMe } from './shared.tsx'
import { begin } from './start.tsx'

/** `hub/`: to `next`, else to where the config says. */
export const root = (core: Core) =>
  async function root(c: PageContext): Promise<Response> {
    const next = safeNext(c.req.query('next'), publicHost(core, c))
    return c.redirect(next ?? (await landing(core, c, c.get('visitor') as UserRecord)))
  }

/** `home`: the visitor's servers. */
export const home = (core: Core) =>
  function home(c: PageContext): Response | Promise<Response> {
    const visitor = c.get('visitor') as UserRecord
    const xsrf = core.xsrf.token(c)
    const servers = core.servers.of(visitor)
    const left = namedServersOf(core.settings, core.users.view(visitor)) - servers.filter(({ ref }) => ref.name !== '').length
    const services = core.services.shownTo(c.get('caller'))
    const moving = servers.some(({ pending }) => pending !== null)
    return page(
      core,
      c,
      { title: 'Servers', refresh: moving && !c.get('again') ? 5 : undefined, announce: 'home' },
      <>
        <h1>Your servers</h1>
        {!core.servers.engine.ok && (
          <Alert>
            <p>The machines that run the servers do not answer the hub now. Nothing can be started; what runs goes on running.</p>
          </Alert>
        )}
        <p class="hidden" role="status" id="said" />
        <div class="cards" id="cards" data-events={withQuery(`${core.base}hub/events`, { _xsrf: xsrf })}>
          {servers.map(server => (
            <ServerCard core={core} caller={c.get('caller')} server={server} xsrf={xsrf} />
          ))}
        </div>
        {left > 0 && (
          <form class="row" method="post" action={`${core.base}hub/home`}>
            <Hidden xsrf={xsrf} />
            <label>
              Name of another server
              <input
                name="server"
                required
                maxlength={60}
                placeholder="such as course-1"
                autocomplete="off"
                value={c.get('again')?.get('server') ?? undefined}
              />
            </label>
            <button type="submit">Create</button>
          </form>
        )}
        <SharedWithMe core={core} caller={c.get('caller')} visitor={visitor} xsrf={xsrf} />
        {services.length > 0 && (
          <section class="panel">
            <h2>Services</h2>
            <ul>
              {services.map(({ name, path }) => (
                <li>
                  <a href={path}>{name}</a>
                </li>
              ))}
            </ul>
          </section>
        )}
      </>,
    )
  }

/** `home`, the form for another server sent: starts it, or asks which profile. */
export const addServer = (core: Core) =>
  async function addServer(c: PageContext): Promise<Response> {
    const owner = c.get('visitor') as UserRecord
    const name = (c.get('fields').get('server') ?? '').trim()
    if (name === '' || !isServerName(name))
      throw new HubError('invalid', 'This name cannot be used. Take letters, digits and “-”.')
    demand(c.get('caller'), ['start:servers'], { user: owner.name, server: name })
    if (asksFirst(core, owner)) return c.redirect(serverPage(core, 'spawn', { user: owner.name, name }), 303)
    return begin(core, c, { owner, name }, {})
  }
