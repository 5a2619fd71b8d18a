import { createHash } from 'node:crypto'

const hex = (text: string, digits: number) => createHash('sha256').update(text).digest('hex').slice(0, digits)

/**
 * A name for use where only `[a-z0-9-]` is allowed: DNS labels, services, volumes. Names that are safe already stay as they
 * are; all others become `<what is left of it>--<12 hex digits of its SHA-256>`. A plain name never holds `--`, so the two
 * forms cannot meet. At most `length` characters, starts with a letter, never ends with `-`.
 */
export function slug(name: string, length = 32): string {
  if (name.length <= length && /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) return name
  const kept = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, length - 14)
    .replace(/-+$/, '')
  return `${kept || 'x'}--${hex(name, 12)}`
}

/**
 * The name that a server's service carries: at most 60 characters of `[a-z0-9-]`. A slug never holds `---`, so the parts
 * can be told apart and no two (user, server) share one.
 */
export function serverName(userSlug: string, server: string): string {
  return server === '' ? userSlug : `${userSlug}---${slug(server, 25)}`
}

/** What everything that the hub creates on an engine is marked with. Names are raw. */
export const labelKeys = {
  hub: 'org.swarmhub.hub',
  user: 'org.swarmhub.user',
  userId: 'org.swarmhub.user-id',
  server: 'org.swarmhub.server',
  generation: 'org.swarmhub.generation',
} as const

/** The labels of one server's generation. */
export function labels(
  hub: string,
  user: { id: string; name: string },
  server: string,
  generation: string,
): Record<string, string> {
  return {
    [labelKeys.hub]: hub,
    [labelKeys.user]: user.name,
    [labelKeys.userId]: user.id,
    [labelKeys.server]: server,
    [labelKeys.generation]: generation,
  }
}

const percent = (text: string) => text.replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** A name as a path segment, as JupyterHub writes it: percent-encoded UTF-8 with `@` bare. */
export function escapeSegment(name: string): string {
  return percent(encodeURIComponent(name)).replaceAll('%40', '@')
}

/** A name as part of an OAuth client id or a cookie's name: as a segment, but `@` is encoded as well. */
export function escapeClient(name: string): string {
  return percent(encodeURIComponent(name))
}

/** The path of a server, with both slashes: `/user/alice/`, `/user/alice/lab/`. */
export function serverPath(base: string, user: string, server: string): string {
  return `${base}user/${escapeSegment(user)}/${server === '' ? '' : `${escapeSegment(server)}/`}`
}

/** The OAuth client id of a server; also the name of the cookie that the server sets. */
export function clientId(user: string, server: string): string {
  return `jupyterhub-user-${escapeClient(user)}${server === '' ? '' : `-${escapeClient(server)}`}`
}

/**
 * The one spelling of a user name: Unicode NFKC, trimmed, lower case, where a Greek sigma is the same at the end of a word.
 * Returns undefined for what can be nobody's name: empty, over 255 bytes, with a slash, a control or an invisible character.
 */
export function normalizeUsername(typed: string): string | undefined {
  if (typed.length > 1024) return undefined
  const name = typed.normalize('NFKC').trim().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC')
  if (name === '' || name === '.' || name === '..' || Buffer.byteLength(name) > 255) return undefined
  // Cc control, Cf and DI invisible, Co private, Cn unassigned, Zl and Zp line breaks, lone surrogates.
  return /[/\\]|[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\p{DI}]/u.test(name) ? undefined : name
}

/** May a server be shown under this text? One line of 1 to 255 characters that can be seen. */
export const isDisplayName = (text: string) => text.trim() !== '' && text.length <= 255 && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text)

/** May a server have this name? Anything a path segment can carry; `''` is the default server. */
export function isServerName(name: string): boolean {
  return (
    Buffer.byteLength(name) <= 255 &&
    name === name.trim() &&
    name !== '.' &&
    name !== '..' &&
    !/[/\\]|[\p{C}\p{Zl}\p{Zp}]/u.test(name)
  )
}
