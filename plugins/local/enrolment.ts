import { html, raw } from 'hono/html'
import type { Hub } from 'swarmhub'
import { renderSVG } from 'uqr'
import { draft, type FactorDraft, uriOf } from './second-factor.ts'

/** What somebody sees who sets up a second factor: the QR code for the app, the secret as text, the recovery codes. */
export function enrolment({ secret, recovery }: FactorDraft, account: string, { url, id }: Hub) {
  const uri = uriOf(secret, account, url?.host ?? `swarmhub ${id.slice(0, 6)}`)
  const qr = renderSVG(uri, { border: 4 }).replace(
    '<svg ',
    '<svg role="img" aria-label="QR code for the app" width="240" height="240" ',
  )
  return html`<p>
      Read this with an app for one-time codes (Aegis, FreeOTP, a password manager), then type the code that it shows. From then on each
      sign-in asks for one.
    </p>
    <p>${raw(qr)}</p>
    <p>If the app cannot read it, type this secret there: <code>${secret.match(/.{4}/g)!.join(' ')}</code></p>
    <p>Recovery codes, for when you do not have the device. Each works once; this is the only time that you see them. Write them down.</p>
    <ul>
      ${recovery.map(code => html`<li><code>${code}</code></li>`)}
    </ul>`
}

/** A draft that comes back with the form; undefined for what is none. */
export function readDraft(text: string): FactorDraft | undefined {
  try {
    return draft.parse(JSON.parse(text))
  } catch {
    // Whatever it was, it was not made by this page: there is nothing to set up.
    return undefined
  }
}
