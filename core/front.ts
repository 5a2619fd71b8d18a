import { join } from 'node:path'
import type { Address } from './cli/places.ts'
import type { LoadedConfig } from './config/load.ts'
import { placeOf } from './config/place.ts'
import type { Settings } from './config/schema.ts'
import { frontProof, peerHeader } from './front-door.ts'
import { guardsOf } from './identity/guards.ts'
import type { Close, Log, RouteApi } from './plugin.ts'
import { makeFolder } from './store/folder.ts'

/** Milliseconds that requests for the hub are held while there is none: a restart takes less. */
const patience = 20_000

export interface FrontOptions {
  /** Where the hub listens. */
  hub: Address
  /** Where its route API is to listen. */
  routeApi: RouteApi
  log: Log
}

/**
 * The other process: listens where the browsers come, serves the routes, gives the rest to the hub. Knows of the config the
 * proxy and the prefix only. Resolves when it listens, with how to end it; where something else is the proxy it does nothing.
 */
export async function openFront({ settings, dataFolder }: LoadedConfig, { hub, routeApi, log }: FrontOptions): Promise<Close> {
  const { name, proxy } = settings.proxy
  if (!proxy.serve) return () => {}
  const folder = join(dataFolder, 'front')
  await makeFolder(folder)
  const control = new AbortController()
  const close = await proxy.serve(
    {
      hub,
      hubHeaders: frontProof(routeApi),
      peerHeader,
      guarded: guardsOf(settings),
      api: routeApi,
      base: placeOf(settings).base,
      folder,
      patience,
    },
    { log: log.with({ plugin: name }), signal: control.signal, progress() {} },
  )
  return async () => {
    await close()
    control.abort()
  }
}

/** The address to open in a browser. Once the front listens it holds the port that it got. */
export function addressOf(settings: Settings): string {
  const { listens } = settings.proxy.proxy
  const { url, base } = placeOf(settings)
  if (url !== undefined) return url.href
  if (!listens) return '(where its proxy listens)'
  const host = /^(0\.0\.0\.0|::|127\.0\.0\.1|::1)$/.test(listens.host) ? 'localhost' : listens.host
  return new URL(`${listens.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${listens.port}${base}`).href
}
