import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Core } from '../core.ts'
import { missing } from '../rights.ts'
import type { PageContext } from './environment.ts'
import mark from './logo.svg'
import css from './style.css'

const day = 86_400
const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

/** The hub's own files, by the name under which `hub/static/` serves them. The name holds the content's hash: it never changes. */
export const assets = () => {
  files ??= { style: file('style.css', css), script: file('browser.js', readFileSync(built('core/web/browser.js'), 'utf8')) }
  return files
}
let files: { style: Asset; script: Asset } | undefined

interface Asset {
  name: string
  text: string
  type: string
}

/** `hub/static/NAME` */
export function asset(c: PageContext): Response {
  const found = Object.values(assets()).find(({ name }) => name === c.req.param('file'))
  if (!found) throw missing()
  c.header('Cache-Control', `public, max-age=${365 * day}, immutable`)
  return c.body(found.text, 200, { 'Content-Type': found.type })
}

/** `hub/logo`: the config's own, else ours. Throws at start when the config's cannot be read. */
export function logo(core: Core): (c: PageContext) => Response {
  const path = core.settings.branding.logo
  const image = path === undefined ? new TextEncoder().encode(mark) : new Uint8Array(readFileSync(path))
  const type = types[extname(path ?? 'logo.svg').toLowerCase()] ?? 'application/octet-stream'
  return c =>
    c.body(image, 200, {
      'Content-Type': type,
      'Cache-Control': `public, max-age=${day}`,
      // An SVG opened as a page must not run what is in it.
      'Content-Security-Policy': `default-src 'none'; style-src 'unsafe-inline'; sandbox`,
    })
}

function file(base: string, text: string): Asset {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
  const extension = extname(base)
  return { name: `${base.slice(0, -extension.length)}-${hash}${extension}`, text, type: types[extension] ?? 'text/plain' }
}

/** A file that the bundler made, wherever its root is: this module ends up in it or in a folder below. */
function built(path: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, path))) return join(folder, path)
    if (folder === dirname(folder)) throw new Error(`${path} is not built: run "npm run build".`)
  }
}
