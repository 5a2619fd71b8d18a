import type { Context } from 'hono'
import type { HubEnv } from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'

/** What travels with a request for a page. */
export interface WebEnv {
  Variables: HubEnv['Variables'] & {
    /** Of this page's own scripts and styles. */
    nonce: string
    /** Names the request on the page and in the log. */
    requestId: string
    /** Who is signed in; set by `signedIn`, and on open pages when there is somebody. */
    visitor: UserRecord | undefined
    /** The fields of the form that was sent; its `_xsrf` has been checked. */
    fields: URLSearchParams
    /** The fields of a form without a good `_xsrf`, to show it once more with what was typed; nothing else is done with them. */
    again: URLSearchParams | undefined
  }
}

export type PageContext = Context<WebEnv>
