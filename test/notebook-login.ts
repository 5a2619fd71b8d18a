import assert from 'node:assert/strict'
import type { Visitor } from './visitor.ts'

/** What a notebook was given. */
export type Env = Record<string, string>

/** A visitor opens somebody's notebook: the code that the browser brings there. A first visit to another's is agreed to. */
export async function codeFor(someone: Visitor, env: Env, more: Record<string, string> = {}): Promise<URLSearchParams> {
  const address = authorizeAddress(env, more)
  let reply = await someone.ask(address)
  if (reply.status === 200) {
    const fields = [...(await reply.text()).matchAll(/name="(_xsrf|scopes)" value="([^"]*)"/g)].map(([, name, value]) => [
      name!,
      value!,
    ])
    reply = await someone.ask(address, { method: 'POST', body: new URLSearchParams(fields) })
  }
  const location = reply.headers.get('location') ?? ''
  assert.ok(location.startsWith(`${env.JUPYTERHUB_OAUTH_CALLBACK_URL}?`), `${reply.status} ${location}`)
  return new URL(location, someone.origin).searchParams
}

/** Where a notebook sends a browser that it does not know. */
export const authorizeAddress = (env: Env, more: Record<string, string> = {}) =>
  `/hub/api/oauth2/authorize?${new URLSearchParams({
    client_id: env.JUPYTERHUB_CLIENT_ID!,
    redirect_uri: env.JUPYTERHUB_OAUTH_CALLBACK_URL!,
    response_type: 'code',
    state: 's/+=&é',
    ...more,
  })}`

/** What a notebook sends for the code. */
export async function exchange(env: Env, code: string, more: Record<string, string> = {}) {
  const reply = await fetch(`${env.JUPYTERHUB_API_URL}/oauth2/token`, {
    method: 'POST',
    headers: { authorization: `token ${env.JUPYTERHUB_API_TOKEN}` },
    body: new URLSearchParams({
      client_id: env.JUPYTERHUB_CLIENT_ID!,
      client_secret: env.JUPYTERHUB_API_TOKEN!,
      redirect_uri: env.JUPYTERHUB_OAUTH_CALLBACK_URL!,
      grant_type: 'authorization_code',
      code,
      ...more,
    }),
  })
  return { status: reply.status, json: (await reply.json()) as { access_token?: string; error?: string } }
}

/** What a notebook has in the end of somebody who has come in. */
export async function tokenFor(someone: Visitor, env: Env): Promise<string> {
  const { json } = await exchange(env, (await codeFor(someone, env)).get('code')!)
  assert.ok(json.access_token)
  return json.access_token
}
