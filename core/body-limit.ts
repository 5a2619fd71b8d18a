import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'

/**
 * Before what reads a body: at most so many bytes; `tooLarge` throws. A length that was announced is the length, so only the
 * body of who announces none is counted while it comes.
 */
export function limitBody(maxSize: number, tooLarge: () => never): MiddlewareHandler {
  const counted = bodyLimit({ maxSize, onError: tooLarge })
  return function limitBody(c, next) {
    // Neither has a body that anything could read.
    if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
    const length = c.req.header('content-length')
    if (length === undefined || c.req.header('transfer-encoding') !== undefined) return counted(c, next)
    return Number(length) <= maxSize ? next() : tooLarge()
  }
}
