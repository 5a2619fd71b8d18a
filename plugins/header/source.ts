import { z } from 'zod'

/** Headers that say other things than who somebody is. */
const others =
  /^(host|cookie|connection|content-.*|transfer-encoding|upgrade|te|trailer|origin|referer|forwarded|accept.*|x-forwarded-(for|host|port|proto)|x-real-ip|x-scheme|x-swarmhub-.*|sec-.*)$/

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9-]+$/, 'expected the name of a header, such as "Remote-User"; one with "_" is never believed')
  .refine(name => !others.test(name.toLowerCase()), 'says something else than who somebody is: choose another header')

/** Where a value stands: all of a header, or a part of it. */
export const source = z.union([
  headerName.transform((header): Source => ({ header })),
  z.strictObject({
    header: headerName,
    /** The header is JSON: the value is at this key, or at these, one in the other: `realm.name`. */
    json: z.string().min(1).optional(),
    /** The whole value has to be like this; what its one group takes is what counts. */
    pattern: z
      .instanceof(RegExp, { error: 'expected a regular expression' })
      .refine(pattern => groupsIn(pattern) === 1, 'must have exactly one group in parentheses: what it takes is the value')
      .optional(),
  }),
])

export interface Source {
  header: string
  json?: string | undefined
  pattern?: RegExp | undefined
}

type Headers = ReadonlyMap<string, string>

/** The text at this place; undefined when there is none, or nothing in it. */
export function read(source: Source, headers: Headers): string | undefined {
  const value = found(source, headers)
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || text.length > longest) return undefined
  const part = source.pattern ? whole(source.pattern).exec(text)?.[1] : text
  // What Apache writes where a variable is not set.
  return part === undefined || part.trim() === '' || part === '(null)' ? undefined : part
}

/** The list at this place: of JSON, or between separators. Nothing there is an empty list. */
export function readList(source: Source, separator: string, headers: Headers): string[] {
  const value = found(source, headers)
  if (Array.isArray(value)) return value.filter(one => typeof one === 'string')
  const parts = read(source, headers)?.split(separator) ?? []
  return parts.map(part => part.trim()).filter(part => part !== '')
}

/** Characters; a pattern must not be given more to think about. */
const longest = 8192

function found({ header, json }: Source, headers: Headers): unknown {
  const bytes = headers.get(header.toLowerCase())
  const text = bytes === undefined ? undefined : decoded(bytes)
  if (text === undefined || json === undefined) return text
  try {
    return json.split('.').reduce<unknown>((value, key) => {
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
      return isObject && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined
    }, JSON.parse(text))
  } catch {
    return undefined // no JSON: whoever wrote it did not name anybody
  }
}

/** Bytes as UTF-8; undefined for what is none, which could be read as any name. */
function decoded(bytes: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return undefined
  }
}

const whole = ({ source, flags }: RegExp) => new RegExp(`^(?:${source})$`, flags.replace(/[gmy]/g, ''))

const groupsIn = ({ source, flags }: RegExp) => new RegExp(`${source}|`, flags).exec('')!.length - 1
