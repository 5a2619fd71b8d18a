import { createAddresses, duration, type Plugin, parseOptions, type RouteApi, subnet } from 'swarmhub'
import { z } from 'zod'
import { routeClient } from './client.ts'
import { serve } from './front.ts'

const schema = z.strictObject({
  /** 0: one that is free. */
  port: z.int().min(0).max(65_535).default(8000),
  host: z.string().min(1).default('0.0.0.0'),
  /** Paths of PEM files. */
  tls: z.strictObject({ key: z.string().min(1), cert: z.string().min(1) }).optional(),
  /** The proxies in front of this one: how many, or their addresses. Only their X-Forwarded headers are believed. */
  trustedProxies: z.union([z.int().nonnegative(), z.array(subnet())]).default(0),
  /** Connections from one address at a time; 0: no limit. Those of the proxies in front are not counted. */
  connections: z.int().nonnegative().default(4000),
  /** How long requests under way may take when the front is told to end. */
  grace: duration().prefault('10s'),
})

/** What `httpProxy` takes. */
export type HttpProxyOptions = z.input<typeof schema>

/** The proxy of the embedded front: HTTP and WebSocket through the package http-proxy, its routes by a CHP-compatible API. */
export const httpProxy = (options: HttpProxyOptions = {}) => {
  const { port, host, tls, trustedProxies, connections, grace } = parseOptions('httpProxy', schema, options)
  const trust = typeof trustedProxies === 'number' ? trustedProxies : createAddresses(trustedProxies)
  const proxied = typeof trustedProxies === 'number' ? trustedProxies > 0 : trustedProxies.length > 0
  const listens = { host, port, tls: tls !== undefined, proxied }
  let api: RouteApi | undefined

  return {
    name: 'http-proxy',
    proxy: {
      listens,
      async serve(front, ctx) {
        const served = await serve({ host, port, tls, trust, connections, grace }, front, ctx)
        listens.port = served.port
        return served.close
      },
      connect(to) {
        api = to
      },
      ...routeClient(() => api),
    },
  } satisfies Plugin
}
