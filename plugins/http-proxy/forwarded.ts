import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Addresses, plainAddress } from 'swarmhub'

/** Whose word about the client is taken: this many proxies in front of us, or those at these addresses. */
export type Trust = number | Addresses

/**
 * Say who the client is, in the headers that the hub and the notebooks believe. Whatever stands there already is
 * replaced; it is only listened to as far as it comes from a trusted proxy. Each header has one value. `isOther` tells headers
 * that say something else, and stay as they are.
 */
export function rewriteForwarded(req: IncomingMessage, trust: Trust, isOther: (name: string) => boolean = () => false): void {
  const { headers, socket } = req
  const said = (name: string) =>
    [headers[name] ?? []]
      .flat()
      .flatMap(value => value.split(','))
      .map(value => value.trim())
  // a socket that was reset has no address any more
  const chain = [...said('x-forwarded-for'), plainAddress(socket.remoteAddress ?? 'unknown')]
  const hops = believed(chain, trust)
  const from = (name: string, valid: RegExp) => {
    const values = said(name)
    const value = hops > 0 ? values[Math.max(0, values.length - hops)] : undefined
    return value !== undefined && valid.test(value) ? value : undefined
  }
  const client = chain[chain.length - 1 - hops]!
  const proto = from('x-forwarded-proto', /^https?$/) ?? ((socket as TLSSocket).encrypted ? 'https' : 'http')
  const host = from('x-forwarded-host', /^[\w.:[\]-]+$/) ?? headers.host ?? ''
  const port = from('x-forwarded-port', /^\d{1,5}$/) ?? /:(\d+)$/.exec(host)?.[1] ?? (proto === 'https' ? '443' : '80')

  for (const name of Object.keys(headers))
    if (/^(x[-_]forwarded[-_].*|forwarded|x[-_]real[-_]ip|x[-_]scheme)$/.test(name) && !isOther(name)) delete headers[name]
  Object.assign(headers, {
    'x-forwarded-for': client,
    'x-forwarded-proto': proto,
    'x-forwarded-host': host,
    'x-forwarded-port': port,
    'x-real-ip': client,
  })
}

/** How many of the addresses at the end of the chain are trusted proxies; what is beyond something that is no address is not. */
function believed(chain: string[], trust: Trust): number {
  let hops = 0
  while (hops < chain.length - 1) {
    const address = chain[chain.length - 1 - hops]!
    const trusted = typeof trust === 'number' ? hops < trust : trust.has(address)
    if (!trusted || isIP(chain[chain.length - 2 - hops]!) === 0) break
    hops++
  }
  return hops
}

/** Is this one of the proxies in front of us? With a number it is whoever connects. */
export const isTrusted = (address: string, trust: Trust) => (typeof trust === 'number' ? trust > 0 : trust.has(address))
