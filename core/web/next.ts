/**
 * Where a browser wants to go after this, as the query or a form named it: reduced to a path on this host that starts with
 * exactly one slash, in ASCII. undefined for everything else. `host` is the public host with its port, for absolute
 * addresses of our own.
 */
export function safeNext(wanted: string | null | undefined, host: string | undefined): string | undefined {
  // Browsers drop tabs and line breaks before they look for `//`.
  if (!wanted || wanted.length > 16_384 || /[\x00-\x1f\x7f]|\p{Cs}/u.test(wanted)) return undefined
  const spelled = wanted.replaceAll('\\', '%5C').replace(/^\/{3,}/, '//')
  const path = /^\/(?!\/)/.test(spelled) ? spelled : pathOn(host, spelled)
  return path?.replace(/[^\x21-\x7e]+/g, encodeURIComponent)
}

function pathOn(host: string | undefined, address: string): string | undefined {
  const root = `http://${host}`
  if (host === undefined || !/^(https?:)?\/\//i.test(address) || !URL.canParse(root) || !URL.canParse(address, root))
    return undefined
  const url = new URL(address, root)
  if (url.host !== new URL(root).host || url.username !== '' || url.password !== '') return undefined
  return `/${url.pathname.replace(/^\/+/, '')}${url.search}${url.hash}`
}
