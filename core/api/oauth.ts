import type { Endpoint } from './endpoint.ts'

/** A server changes the code that a browser brought it for a token. The form itself says who asks (contract 2.3). */
export const exchangeCode: Endpoint = {
  access: 'everybody',
  async run(core, c) {
    const { status, body } = await core.oauth.token(new URLSearchParams(await c.req.text()))
    return c.json(body, status, { 'Cache-Control': 'no-store', Pragma: 'no-cache' })
  },
}
