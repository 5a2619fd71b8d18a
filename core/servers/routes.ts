import type { Settings } from '../config/schema.ts'
import { call } from '../hooks.ts'
import type { Metrics } from '../metrics.ts'
import type { Log, Plugin, Route } from '../plugin.ts'

/** Milliseconds for one change of the route table. */
const deadline = 30_000

/** The routes of the hub's servers and services, through the proxy plugin. All of them reject when the proxy cannot be reached in time. */
export interface Routes {
  add(route: Route): Promise<void>
  remove(path: string): Promise<void>
  /** The hub's own routes, with when each was last used. */
  list(): Promise<(Route & { active: Date })[]>
  /** See Proxy.endSession. Does nothing where the proxy cannot. */
  endSession(id: string): Promise<void>
  /** Last activity by path, of the hub's own routes. */
  active(): Promise<Map<string, Date>>
  /**
   * Set the table right: add what is wanted and missing or leads elsewhere; remove what is the hub's and not wanted, unless
   * it is `kept`. Those of services are always wanted. Other people's routes are left alone.
   */
  repair(wanted: ReadonlyMap<string, Route>, kept: (path: string) => boolean): Promise<void>
}

/** The routes that the config names: those of its services, as they are at the time, and the extra ones. */
export function configRoutes({ extraRoutes }: Pick<Settings, 'extraRoutes'>, services: FixedRoutes): FixedRoutes {
  const extra = Object.entries(extraRoutes).map(
    ([path, url]) => [path, { path, target: new URL(url).origin, data: { jupyterhub: true, extra: path } }] as const,
  )
  return {
    get routes() {
      return new Map([...services.routes, ...extra])
    },
  }
}

interface FixedRoutes {
  readonly routes: ReadonlyMap<string, Route>
}

/** `fixed` is asked for its routes at each repair. */
export function createRoutes(
  { name, proxy }: Plugin,
  log: Log,
  metrics: Metrics,
  closing: AbortSignal,
  fixed: FixedRoutes = { routes: new Map() },
): Routes {
  const ask = <T>(hook: string, run: Parameters<typeof call<T>>[1]) =>
    call({ plugin: name, hook }, run, { log, signal: closing, deadline })
  const timed = async <T>(histogram: { startTimer(): (labels: { status: string }) => number }, run: () => Promise<T>) => {
    const end = histogram.startTimer()
    try {
      const result = await run()
      end({ status: 'success' })
      return result
    } catch (error) {
      end({ status: 'failure' })
      throw error
    }
  }
  const list = async () => {
    const end = metrics.proxyPoll.startTimer()
    const routes = await ask('proxy.list', ctx => proxy!.list(ctx))
    end()
    return routes.filter(
      route => route.data.jupyterhub === true && [route.data.user, route.data.service, route.data.extra].some(isText),
    )
  }

  const routes: Routes = {
    add: route => timed(metrics.proxyAdd, () => ask('proxy.add', ctx => proxy!.add(route, ctx))),
    list,
    remove: path => timed(metrics.proxyRemove, () => ask('proxy.remove', ctx => proxy!.remove(path, ctx))),
    async endSession(id) {
      if (proxy!.endSession) await ask('proxy.endSession', ctx => proxy!.endSession!(id, ctx))
    },
    active: async () => new Map((await list()).map(route => [route.path, route.active])),
    async repair(servers, kept) {
      const wanted = new Map([...fixed.routes, ...servers])
      const end = metrics.checkRoutes.startTimer()
      const present = new Map((await list()).map(route => [route.path, route]))
      for (const path of present.keys()) if (!wanted.has(path) && !kept(path)) await routes.remove(path)
      for (const [path, route] of wanted) {
        const there = present.get(path)
        if (there?.target !== route.target || there.data.generation !== route.data.generation) await routes.add(route)
      }
      end()
    },
  }
  return routes
}

const isText = (value: unknown) => typeof value === 'string'
