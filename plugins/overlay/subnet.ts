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

/** How many addresses there are in it. */
export const sizeOf = (subnet: string) => 2 ** (32 - (parse(subnet)?.length ?? 32))

/** The first network of this length in the range that shares no address with the used ones; undefined when there is none. */
export function firstFree(range: string, length: number, used: readonly string[]): string | undefined {
  const within = parse(range)
  if (!within || length < within.length) return undefined
  const size = 2 ** (32 - length)
  const end = within.address + sizeOf(range)
  const taken = used.flatMap(text => {
    const subnet = parse(text)
    if (!subnet) return []
    const whole = 2 ** (32 - subnet.length)
    const start = Math.floor(subnet.address / whole) * whole
    return [{ start, end: start + whole }]
  })
  for (let at = within.address; at + size <= end; ) {
    const inTheWay = taken.find(other => other.start < at + size && at < other.end)
    if (!inTheWay) return `${[24, 16, 8, 0].map(bits => Math.floor(at / 2 ** bits) % 256).join('.')}/${length}`
    at = Math.ceil(inTheWay.end / size) * size
  }
  return undefined
}

function parse(text: string): { address: number; length: number } | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text)
  if (!match) return undefined
  const [a, b, c, d, length] = match.slice(1).map(Number) as [number, number, number, number, number]
  if (Math.max(a, b, c, d) > 255 || length > 32) return undefined
  return { address: ((a * 256 + b) * 256 + c) * 256 + d, length }
}
