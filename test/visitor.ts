import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'

interface Cookie {
  name: string
  value: string
  path: string
}

/** A browser without a screen: cookies by path, redirects followed, forms sent with their `_xsrf`. */
export function visitor(origin: string) {
  const jar = new Map<string, Cookie>()

  const cookieFor = (path: string) =>
    [...jar.values()]
      .filter(cookie => path === cookie.path || path.startsWith(cookie.path.endsWith('/') ? cookie.path : `${cookie.path}/`))
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ')

  const keep = (reply: Response, path: string) => {
    for (const line of reply.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(/;\s*/)
      const of = (key: string) =>
        attributes.find(attribute => attribute.toLowerCase().startsWith(`${key}=`))?.slice(key.length + 1)
      const name = pair.slice(0, pair.indexOf('='))
      const cookie = { name, value: pair.slice(pair.indexOf('=') + 1), path: of('path') ?? path.replace(/[^/]*$/, '') }
      const gone = of('max-age') === '0' || Date.parse(of('expires') ?? '9999-01-01') < Date.now()
      if (gone) jar.delete(`${name} ${cookie.path}`)
      else jar.set(`${name} ${cookie.path}`, cookie)
    }
  }

  /** One request, as a navigation unless `init` says otherwise; the redirect is not followed. */
  async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, origin)
    const headers = new Headers({ accept: 'text/html', ...Object.fromEntries(new Headers(init.headers)) })
    const cookie = cookieFor(url.pathname)
    if (cookie) headers.set('cookie', cookie)
    const reply = await navigate(new Request(url, { ...init, headers }))
    keep(reply, url.pathname)
    return reply
  }

  /** Follow redirects to a page; `trail` has every address on the way, the last one included. */
  async function open(
    path: string,
    init: RequestInit = {},
  ): Promise<{ reply: Response; text: string; path: string; trail: string[] }> {
    let at = new URL(path, origin)
    const trail = [at.pathname + at.search]
    let reply = await ask(at.pathname + at.search, init)
    for (let hop = 0; reply.status >= 300 && reply.status < 400 && hop < 20; hop++) {
      await reply.body?.cancel()
      at = new URL(reply.headers.get('location') ?? '', at)
      assert.equal(at.origin, origin, `a redirect leaves the host: ${at}`)
      trail.push(at.pathname + at.search)
      reply = await ask(at.pathname + at.search)
    }
    return { reply, text: await reply.text(), path: at.pathname + at.search, trail }
  }

  /** Open a page and send one of its forms, with its hidden fields. `action` is a part of the form's address. */
  async function submit(path: string, action: string, fields: Record<string, string>) {
    const page = await open(path)
    const form = formsOf(page.text).find(form => (form.action ?? page.path).includes(action))
    assert.ok(form, `no form for ${action} on ${page.path} (${page.reply.status}): ${page.text.slice(0, 500)}`)
    const body = new URLSearchParams({ ...form.hidden, ...fields })
    const target = new URL(form.action ?? page.path, new URL(page.path, origin))
    return open(target.pathname + target.search, { method: 'POST', body })
  }

  return {
    origin,
    ask,
    open,
    submit,
    signIn: (username: string, password: string, next = '') =>
      submit(`/hub/login${next && `?next=${encodeURIComponent(next)}`}`, 'login', { username, password }),
    /** The `Cookie` header for an address, for a WebSocket. */
    cookieFor,
    cookie: (name: string) => [...jar.values()].find(cookie => cookie.name === name)?.value,
    /** The token that scripts and forms of the hub's pages carry. */
    async xsrf() {
      const page = await open('/hub/home')
      const value = formsOf(page.text).find(form => form.hidden._xsrf)?.hidden._xsrf
      assert.ok(value, 'a form on the home page carries _xsrf')
      return value
    },
  }
}

export type Visitor = ReturnType<typeof visitor>

/** As a browser goes to a page. Node's own fetch always says `Sec-Fetch-Mode: cors`, which is what a script says. */
async function navigate(page: Request): Promise<Response> {
  const body = Buffer.from(await page.arrayBuffer())
  const headers = { 'sec-fetch-mode': 'navigate', ...Object.fromEntries(page.headers) }
  const request = httpRequest(page.url, { method: page.method, headers, signal: AbortSignal.timeout(30_000) })
  request.end(body)
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  const found = new Headers()
  for (let i = 0; i < answer.rawHeaders.length; i += 2) found.append(answer.rawHeaders[i]!, answer.rawHeaders[i + 1]!)
  const content = await buffer(answer)
  const status = answer.statusCode!
  return new Response(status === 204 || status === 304 ? null : content, { status, headers: found })
}

const unescaped = (text: string) =>
  text.replace(/&(amp|lt|gt|quot|#39|#x27);/g, (_, name: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name] ?? "'")

/** The forms of a page: where each goes and its hidden fields. */
function formsOf(html: string) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)].map(([, attributes = '', inside = '']) => {
    const attribute = (text: string, name: string) => {
      const value = new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1]
      return value === undefined ? undefined : unescaped(value)
    }
    const inputs = [...inside.matchAll(/<input\b([^>]*)>/g)].map(([, text = '']) => text)
    const hidden = inputs.filter(text => attribute(text, 'type') === 'hidden')
    return {
      action: attribute(attributes, 'action'),
      hidden: Object.fromEntries(hidden.map(text => [attribute(text, 'name') ?? '', attribute(text, 'value') ?? ''])),
    }
  })
}
