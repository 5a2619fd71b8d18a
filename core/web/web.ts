import type { Hono, MiddlewareHandler } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Core } from '../core.ts'
import type { Plugin } from '../plugin.ts'
import { acceptInvitation, showInvitation } from './accept-share.tsx'
import { clientAddress } from './address.ts'
import { addUsers, showAdmin, stopServers } from './admin.tsx'
import { showApiDocs } from './api-docs.tsx'
import { showAudit } from './audit.tsx'
import { dressed } from './dressed.ts'
import type { PageContext, WebEnv } from './environment.ts'
import { errorPage, unknownPage } from './errors.tsx'
import { cardEvents, logEvents, signedInStream, startEvents } from './events.tsx'
import { addGroup, addMembers, deleteGroup, removeMember, setProperties, showGroup, showGroups } from './groups.tsx'
import { checked, form, navigated, signedIn } from './guard.ts'
import { addServer, home, root } from './home.tsx'
import { page, pluginContent } from './layout.tsx'
import { beginLogin, finishLogin, showLogin, signIn } from './login.tsx'
import { signOut } from './logout.tsx'
import { showLogs } from './logs.tsx'
import { cspReport, health, metrics } from './machine.ts'
import { pending } from './pending.tsx'
import { toHub, userRedirect } from './redirects.ts'
import { showRoles } from './roles.tsx'
import { showServices } from './services.tsx'
import { endSessions, showSessions } from './sessions.tsx'
import { makeLink, shareServer, showSharing, unshareServer } from './share.tsx'
import { leaveServer } from './shared.tsx'
import { showShares } from './shares-admin.tsx'
import { showStart, start, startAgain } from './start.tsx'
import { asset, assets, logo } from './static.ts'
import { removeServer, stop } from './stop.ts'
import { stopped } from './stopped.tsx'
import { eraseStorage, showStorage } from './storage.tsx'
import { createToken, revokeToken, showTokens } from './tokens.tsx'
import { deleteUser, renameUser, revokeOf, setAdmin, showUser, signOutOf } from './user.tsx'

/**
 * The hub's pages: everything under the base that no server's route and no API endpoint takes. Mount it at `/`, behind the
 * API, which has `createAuthorize` in it.
 */
export function createWeb(core: Core): Hono<WebEnv> {
  assets() // a script that was not built is found out now, not by the first visitor
  const app = dressed(core)
  const hub = (path: string) => `${core.base}hub/${path}`
  const visitor = signedIn(core)
  const streaming = signedInStream(core)
  const on = (shown: (c: PageContext) => Response | Promise<Response>) => form(core, shown)

  // for everyone, programs too
  app.get(hub('health'), health(core))
  app.get(hub('metrics'), metrics(core))
  app.get(hub('logo'), logo(core))
  app.get(hub('static/:file'), asset)
  app.get(hub('error/:code'), errorPage(core))
  app.post(hub('security/csp-report'), cspReport(core))

  app.get(hub('api-docs'), navigated, showApiDocs(core))

  // in and out
  app.get(hub('login'), navigated, showLogin(core))
  app.post(hub('login'), navigated, signIn(core))
  app.get(hub('login/:method'), navigated, beginLogin(core))
  app.get(hub('login/:method/callback'), navigated, finishLogin(core))
  app.get(hub('oauth_login'), navigated, beginLogin(core))
  app.get(hub('oauth_callback'), navigated, finishLogin(core))
  app.get(hub('logout'), navigated, signOut(core))

  // the visitor's servers, and others' by right
  app.get(hub(''), navigated, visitor, root(core))
  app.get(hub('home'), navigated, visitor, home(core))
  app.post(hub('home'), navigated, visitor, on(home(core)), addServer(core))
  app.get(hub('events'), streaming, cardEvents(core))
  for (const server of ['', '/:user', '/:user/:server']) {
    app.get(hub(`spawn${server}`), navigated, visitor, showStart(core))
    app.post(hub(`spawn${server}`), navigated, visitor, on(startAgain(core)), start(core))
  }
  for (const server of ['/:user', '/:user/:server']) {
    app.get(hub(`spawn-pending${server}`), navigated, visitor, pending(core))
    app.get(hub(`events${server}`), streaming, startEvents(core))
    app.get(hub(`logs${server}`), navigated, visitor, showLogs(core))
    app.get(hub(`log-events${server}`), streaming, logEvents(core))
    app.post(hub(`stop${server}`), navigated, visitor, on(home(core)), stop(core))
    app.get(hub(`share${server}`), navigated, visitor, showSharing(core))
    app.post(hub(`share${server}`), navigated, visitor, on(showSharing(core)), shareServer(core))
    app.post(hub(`share-link${server}`), navigated, visitor, on(showSharing(core)), makeLink(core))
    app.post(hub(`unshare${server}`), navigated, visitor, on(showSharing(core)), unshareServer(core))
    app.post(hub(`leave${server}`), navigated, visitor, on(home(core)), leaveServer(core))
  }
  app.post(hub('delete/:user/:server'), navigated, visitor, on(home(core)), removeServer(core))

  // what others share
  app.get(hub('accept-share'), navigated, visitor, showInvitation(core))
  app.post(hub('accept-share'), navigated, visitor, on(showInvitation(core)), acceptInvitation(core))

  // a server that is not there
  app.all(hub('user/*'), stopped(core))
  app.get(hub('user-redirect/*'), navigated, visitor, userRedirect(core))

  // tokens
  app.get(hub('token'), navigated, visitor, showTokens(core))
  app.post(hub('token'), navigated, visitor, on(showTokens(core)), createToken(core))
  app.post(hub('token/revoke'), navigated, visitor, on(showTokens(core)), revokeToken(core))

  // the browsers that one is signed in with
  app.get(hub('sessions'), navigated, visitor, showSessions(core))
  app.post(hub('sessions/end'), navigated, visitor, on(showSessions(core)), endSessions(core))

  // administration
  app.get(hub('admin'), navigated, visitor, showAdmin(core))
  app.get(hub('admin/audit'), navigated, visitor, showAudit(core))
  app.get(hub('admin/shares'), navigated, visitor, showShares(core))
  app.post(hub('admin/users'), navigated, visitor, on(showAdmin(core)), addUsers(core))
  app.post(hub('admin/stop'), navigated, visitor, on(showAdmin(core)), stopServers(core))
  app.get(hub('admin/services'), navigated, visitor, showServices(core))
  app.get(hub('admin/roles'), navigated, visitor, showRoles(core))
  app.get(hub('admin/users/:user'), navigated, visitor, showUser(core))
  app.post(hub('admin/users/:user/rename'), navigated, visitor, on(showUser(core)), renameUser(core))
  app.post(hub('admin/users/:user/revoke'), navigated, visitor, on(showUser(core)), revokeOf(core))
  app.post(hub('admin/users/:user/sign-out'), navigated, visitor, on(showUser(core)), signOutOf(core))
  app.post(hub('admin/users/:user/admin'), navigated, visitor, on(showUser(core)), setAdmin(core))
  app.post(hub('admin/users/:user/delete'), navigated, visitor, on(showUser(core)), deleteUser(core))

  app.get(hub('admin/groups'), navigated, visitor, showGroups(core))
  app.post(hub('admin/groups'), navigated, visitor, on(showGroups(core)), addGroup(core))
  app.get(hub('admin/groups/:group'), navigated, visitor, showGroup(core))
  app.post(hub('admin/groups/:group/add'), navigated, visitor, on(showGroup(core)), addMembers(core))
  app.post(hub('admin/groups/:group/remove'), navigated, visitor, on(showGroup(core)), removeMember(core))
  app.post(hub('admin/groups/:group/properties'), navigated, visitor, on(showGroup(core)), setProperties(core))
  app.post(hub('admin/groups/:group/delete'), navigated, visitor, on(showGroup(core)), deleteGroup(core))

  app.get(hub('admin/storage'), navigated, visitor, showStorage(core))
  app.post(hub('admin/storage/erase'), navigated, visitor, on(showStorage(core)), eraseStorage(core))

  // plugins' own pages
  for (const plugin of core.plugins) {
    const place = hub(`x/${plugin.name}`)
    if (plugin.remote) app.use(`${place}/*`, named(core, plugin)).route(place, plugin.remote)
    if (plugin.welcome || plugin.web) app.use(`${place}/*`, checked(core), framed(core, plugin))
    if (plugin.welcome) app.route(place, plugin.welcome)
    if (plugin.web) app.use(`${place}/*`, visitor).route(place, plugin.web)
  }

  // everything else
  app.get(`${core.base}hub`, toHub(core))
  app.all(hub('*'), unknownPage(core))
  app.all('*', toHub(core))
  return app
}

/** From here on log lines are the plugin's. */
const named = (core: Core, plugin: Plugin): MiddlewareHandler<WebEnv> =>
  async function named(c, next) {
    c.set('log', core.log.with({ plugin: plugin.name }))
    await next()
  }

/** What a plugin's page finds in its context beside the visitor. */
const framed = (core: Core, plugin: Plugin): MiddlewareHandler<WebEnv> =>
  async function framed(c, next) {
    c.set('log', core.log.with({ plugin: plugin.name }))
    c.set('address', clientAddress(c))
    c.set('xsrf', core.xsrf.token(c))
    c.set('page', (title, content, status = 200) =>
      page(core, c, { title, status: status as ContentfulStatusCode }, pluginContent(title, content)),
    )
    await next()
  }
