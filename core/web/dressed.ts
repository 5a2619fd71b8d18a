import { Hono } from 'hono'
import type { Core } from '../core.ts'
import type { WebEnv } from './environment.ts'
import { showError } from './errors.tsx'
import { headers, refuse } from './guard.ts'

/** An app whose every answer carries the hub's headers, and whose every error becomes a page. */
export function dressed(core: Core): Hono<WebEnv> {
  const app = new Hono<WebEnv>()
  app.use(headers(core), refuse(core))
  app.onError(showError(core))
  return app
}
