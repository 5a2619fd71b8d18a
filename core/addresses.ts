import { BlockList, isIP } from 'node:net'
import { z } from 'zod'

/** Some addresses and networks. */
export interface Addresses {
  /** Is this one of them? False for what is no address. An IPv4 address is the same where the socket speaks IPv6. */
  has(address: string): boolean
}

/** Of what `subnet` has checked. */
export function createAddresses(subnets: readonly string[]): Addresses {
  const list = new BlockList()
  for (const { address, bits, family } of subnets.map(text => readSubnet(text)!)) list.addSubnet(address, bits, family)
  return {
    has(address) {
      const plain = plainAddress(address)
      return isIP(plain) > 0 && list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')
    },
  }
}

/** An option that is an address or a network. */
export const subnet = () =>
  z
    .string()
    .refine(text => readSubnet(text) !== undefined, 'expected an address or a network, such as "10.0.0.2" or "10.0.0.0/8"')

/** An IPv4 address as such, also where the socket speaks IPv6. */
export const plainAddress = (address: string) => address.replace(/^::ffff:(?=\d+\.)/i, '')

function readSubnet(text: string) {
  const [address = '', length, ...rest] = text.split('/')
  const version = isIP(address)
  const all = version === 6 ? 128 : 32
  const bits = length === undefined ? all : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN
  if (version === 0 || rest.length > 0 || !(bits <= all)) return undefined
  return { address, bits, family: version === 6 ? ('ipv6' as const) : ('ipv4' as const) }
}
