import { randomUUID } from 'node:crypto'
import type { RedirectAuthenticator } from 'swarmhub'
import { testAuthenticator } from './roles/authenticator.ts'

/** The smallest provider there is: approves at once, a code is good once. */
testAuthenticator('a redirect authenticator', 'redirect', () => {
  const codes = new Set<string>()
  const authenticator: RedirectAuthenticator = {
    kind: 'redirect',
    label: 'Sign in elsewhere',
    begin({ callback, state }) {
      const url = new URL('https://provider.example.org/authorize')
      url.searchParams.set('redirect_uri', String(callback))
      url.searchParams.set('state', state)
      return url
    },
    async finish({ query }, { signal }) {
      signal.throwIfAborted()
      if (query.has('error')) return null
      return codes.delete(query.get('code') ?? '') ? { name: 'Alice', id: '17' } : null
    },
  }
  const approve = async (url: URL) => {
    const code = randomUUID()
    codes.add(code)
    const back = new URL(url.searchParams.get('redirect_uri')!)
    back.searchParams.set('code', code)
    back.searchParams.set('state', url.searchParams.get('state')!)
    return back
  }
  return { authenticator, approve, name: 'alice' }
})
