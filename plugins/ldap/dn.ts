const made = Symbol('dn')

/** A distinguished name that `dn` has made: nothing else is one, so no name that somebody typed can become part of its structure. */
export interface Dn {
  readonly [made]: string
}

/**
 * A distinguished name with every value in it escaped (RFC 4514), for `users.dn`: dn`uid=${name},ou=people,dc=example,dc=org`. A Dn
 * among the values goes in as it is. Throws when the text around the values makes none.
 */
export function dn(parts: TemplateStringsArray, ...values: (string | Dn)[]): Dn {
  const text = String.raw({ raw: parts.raw }, ...values.map(value => (isDn(value) ? value[made] : escapeDnValue(value))))
  if (!parseDn(text)?.length) throw new Error('this is no DN: write it like uid=…,ou=people,dc=example,dc=org')
  return Object.freeze({ [made]: text })
}

export const isDn = (value: unknown): value is Dn => typeof value === 'object' && value !== null && made in value

export const textOf = (name: Dn) => name[made]

/** A text as the value of an RDN: whatever has a meaning there becomes `\` and two hex digits for each of its bytes. */
export function escapeDnValue(value: string): string {
  return value.replace(/[\p{Cc}"+,;<=>\\]|^[ #]| $/gu, char => Buffer.from(char).toString('hex').replace(/../g, '\\$&'))
}

/** One `uid=alice` of an RDN, its value as it is meant. */
export interface RdnPart {
  type: string
  value: string
}

const part = /\s*([a-z][a-z0-9-]*|\d+(?:\.\d+)*)\s*=\s*("(?:[^"\\]|\\.)*"|(?:[^\\,+;"]|\\.)*?)\s*([,+;]|$)/isy

/** The RDNs of a DN as RFC 4514 and, with its quotes and semicolons, RFC 2253 write it, the last part of the tree first; undefined for what is none. */
export function parseDn(text: string): RdnPart[][] | undefined {
  if (text.trim() === '') return []
  const rdns: RdnPart[][] = [[]]
  for (let at = 0; ; at = part.lastIndex) {
    part.lastIndex = at
    const match = part.exec(text)
    if (!match) return undefined
    const [, type = '', value = '', end] = match
    rdns.at(-1)?.push({ type: type.toLowerCase(), value: unescaped(value) })
    if (end === '') return rdns
    if (end !== '+') rdns.push([])
  }
}

/** The same for every spelling of a DN, and for no other one: case, spaces, escapes and the order within an RDN do not count. */
export const dnKey = (text: string): string => JSON.stringify(keysOf(text))

/** Is this DN the base, or below it? */
export function isUnder(text: string, base: string): boolean {
  const [inner, outer] = [keysOf(text), keysOf(base)]
  return inner.length >= outer.length && outer.every((key, place) => key === inner[inner.length - outer.length + place])
}

const keysOf = (text: string): string[] =>
  parseDn(text)?.map(rdn => JSON.stringify(rdn.map(({ type, value }) => `${type}=${folded(value)}`).sort())) ?? [text]

const folded = (value: string) => value.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim()

function unescaped(value: string): string {
  const bare = value.startsWith('"') ? value.slice(1, -1) : value
  return bare.replace(/((?:\\[0-9a-f]{2})+)|\\(.)/gis, (_, bytes: string | undefined, char: string) =>
    bytes === undefined ? char : Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString(),
  )
}
