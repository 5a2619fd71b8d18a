/** Do two networks share an address? Only IPv4 is compared: others never clash. */
export function clash(a: string, b: string): boolean {
  const one = parse(a)
  const two = parse(b)
  if (!one || !two) return false
  const size = 2 ** (32 - Math.min(one.length, two.length))
  return Math.floor(one.address / size) === Math.floor(two.address / size)
}

/** Is this an IPv4 network with a length that servers fit in, and nothing set behind it? */
export function isSubnet(text: string): boolean {
  const subnet = parse(text)
  return subnet !== undefined && subnet.length >= 8 && subnet.length <= 28 && subnet.address % 2 ** (32 - subnet.length) === 0
}

function parse(text: string): { address: number; length: number } | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text)
  if (!match) return undefined
  const [a, b, c, d, length] = match.slice(1).map(Number) as [number, number, number, number, number]
  if (Math.max(a, b, c, d) > 255 || length > 32) return undefined
  return { address: ((a * 256 + b) * 256 + c) * 256 + d, length }
}
