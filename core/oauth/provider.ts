import type { UserRecord } from '../store/records.ts'

/** An OAuth client: every running server is one. Its secret is its server token. */
export interface OAuthClient {
  id: string
  /** Compared as a string; path-only for servers. */
  redirectUri: string
  description: string
  /** What it may ask for beyond identity. */
  allowedScopes: readonly string[]
  /** The access scope that every one of its tokens carries: `access:servers!server=alice/`. */
  accessScope: string
  /** Set for servers. */
  owner?: UserRecord
  server?: string
}

/** An error of RFC 6749, told to the client by redirect or as JSON. */
export interface OAuthError {
  error: string
  error_description: string
}

export type AuthorizeResult =
  /** Never redirected: shown as a page with this status. */
  | { kind: 'refuse'; status: 400 | 403 | 500; message: string }
  /** Told to the client. */
  | { kind: 'redirect'; location: string }
  /** The visitor has to agree first. */
  | { kind: 'confirm'; client: OAuthClient; scopes: string[] }

/** The OAuth2 provider that notebooks log in through (contract 2). */
export interface OAuthProvider {
  client(id: string): OAuthClient | undefined
  /**
   * Handle an authorization request. `query` as it came (duplicates included). `agreed`: the scopes of the confirmation
   * form, undefined when it was not shown. `sessionId` is the browser's `jupyterhub-session-id`.
   */
  authorize(user: UserRecord, query: URLSearchParams, sessionId: string, agreed?: string[]): Promise<AuthorizeResult>
  /** Handle a token request: form fields in, status and JSON body out. */
  token(form: URLSearchParams): Promise<{ status: 200 | 400 | 401; body: object }>
}
