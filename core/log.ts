import pino from 'pino'
import type { Log } from './plugin.ts'

const secret =
  /(authorizations\/token\/|["']?(?:token|code|state|_xsrf|password|secret|authorization|cookie)["']?\s*[=:]\s*["']?(?:(?:token|bearer)\s+)?)[^\s&"',;}]+/gi

/** Control characters made visible and long texts cut: what strangers send must not forge or flood log lines. */
function clean(text: string): string {
  const cut = text.length > 2000 ? `${text.slice(0, 2000)}…` : text
  return cut
    .replace(secret, '$1***')
    .replace(/(?![\t\n])[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

const hidden = /password|secret|token|cookie|authorization|auth_?state|^env$/i

function fields(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return clean(value)
  if (value instanceof Error)
    return {
      type: value.name,
      message: clean(value.message),
      stack: value.stack && clean(value.stack),
      cause: fields(value.cause, depth + 1),
    }
  if (value instanceof Date || value === null || typeof value !== 'object') return value
  if (depth > 4) return '…'
  if (Array.isArray(value)) return value.slice(0, 50).map(item => fields(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hidden.test(key) ? '***' : fields(item, depth + 1)]))
}

const letters = { debug: 'D', info: 'I', warn: 'W', error: 'E' } as const

/**
 * The hub's log: one event one line, the message a constant, the data fields. `text` is for a terminal, `json` for a
 * collector. Secrets are masked by key and by pattern.
 */
export function createLog(
  options: { level?: 'debug' | 'info' | 'warn' | 'error'; format?: 'text' | 'json'; write?: (line: string) => void } = {},
): Log {
  const {
    level = 'info',
    format = process.stdout.isTTY ? 'text' : 'json',
    write = line => void process.stdout.write(line),
  } = options
  const sink = pino(
    { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: label => ({ level: label }) } },
    { write: format === 'json' ? write : line => write(asText(line)) },
  )
  const bind = (logger: pino.Logger): Log => ({
    debug: (message, data) => logger.debug(fields(data ?? {}) as object, message),
    info: (message, data) => logger.info(fields(data ?? {}) as object, message),
    warn: (message, data) => logger.warn(fields(data ?? {}) as object, message),
    error: (message, data) => logger.error(fields(data ?? {}) as object, message),
    with: more => bind(logger.child(fields(more) as object)),
  })
  return bind(sink)
}

function asText(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as { level: keyof typeof letters; time: string; msg: string } & Record<
    string,
    unknown
  >
  const data = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' && /^[^\s="]+$/.test(value) ? value : JSON.stringify(value)}`,
  )
  return `${letters[level]} ${time.slice(11, 23)} ${msg}${data.length > 0 ? `  ${data.join(' ')}` : ''}\n`
}

/** A log that keeps nothing. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => silent }
