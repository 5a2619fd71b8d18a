import type { Child } from 'hono/jsx'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Core } from '../core.ts'
import { spoken } from '../duration.ts'
import type { Cause } from '../plugin.ts'
import type { PageContext } from './environment.ts'
import { assets } from './static.ts'

interface Frame {
  title: string
  status?: ContentfulStatusCode
  /** Seconds until browsers without JavaScript load the page again. */
  refresh?: number
  /** Without the bar: the page is about nothing but coming in. */
  bare?: boolean
  /** Seconds until browsers without JavaScript go on to this page. */
  goOn?: { seconds: number; to: string }
  /** Which of the config's announcements it has; left out: the one for all pages. */
  announce?: 'login' | 'home' | 'start' | 'logout'
}

/** A whole page: head, the bar with the visitor's links, and the body. */
export async function page(core: Core, c: PageContext, frame: Frame, body: Child): Promise<Response> {
  const { name, announcements } = core.settings.branding
  const announcement = (frame.announce && announcements[frame.announce]) ?? announcements.all
  const hub = `${core.base}hub`
  const visitor = c.get('visitor')
  const { style, script } = assets()
  const links = [
    ['home', 'Servers'],
    ['token', 'Tokens'],
    ...(visitor && c.get('caller').allows('admin-ui') ? [['admin', 'Admin']] : []),
    ...core.plugins.flatMap(({ name, links = [] }) =>
      links.flatMap(({ label, page, scope }) => (scope === undefined ? [[`x/${name}/${page}`, label]] : [])),
    ),
  ]
  const html = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{`${frame.title} · ${name}`}</title>
        <link rel="icon" href={`${hub}/logo`} />
        <link rel="stylesheet" href={`${hub}/static/${style.name}`} />
        <script type="module" nonce={c.get('nonce')} src={`${hub}/static/${script.name}`} />
        {frame.goOn && (
          <noscript>
            <meta http-equiv="refresh" content={`${frame.goOn.seconds}; url=${frame.goOn.to}`} />
          </noscript>
        )}
        {frame.refresh && (
          <noscript>
            <meta http-equiv="refresh" content={String(frame.refresh)} />
          </noscript>
        )}
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        {!frame.bare && (
          <header class="bar">
            <a class="brand" href={`${hub}/home`}>
              <img src={`${hub}/logo`} alt="" width="28" height="28" />
              <span>{name}</span>
            </a>
            {visitor && (
              <nav aria-label="Pages">
                {links.map(([path, label]) => (
                  <a href={`${hub}/${path}`} aria-current={c.req.path === `${hub}/${path}` ? 'page' : undefined}>
                    {label}
                  </a>
                ))}
              </nav>
            )}
            {visitor && (
              <div class="visitor">
                <a href={`${hub}/sessions`} title={`You are signed in as ${visitor.name}`}>
                  <span>{visitor.name}</span>
                </a>
                <a href={`${hub}/logout`}>Sign out</a>
              </div>
            )}
          </header>
        )}
        <main id="main" tabindex={-1}>
          {announcement && <p class="notice announcement">{announcement}</p>}
          {c.get('again') && (
            <Alert>
              <p>
                This page was open for too long, or you have signed in again meanwhile. Nothing has been done yet: look at what
                you typed, and send it once more.
              </p>
            </Alert>
          )}
          {body}
        </main>
      </body>
    </html>
  )
  // A plugin's content may be a promise, and then the whole is one.
  const text: string = await html.toString()
  return c.html(`<!doctype html>${text}`, frame.status)
}

/** A plugin's content under its heading. */
export function pluginContent(title: string, content: Child) {
  return (
    <section class="narrow panel plugin">
      <h1>{title}</h1>
      {content}
    </section>
  )
}

/** The fields that every form of ours carries. */
export function Hidden({ xsrf, ...fields }: { xsrf: string; [name: string]: string | undefined }) {
  return (
    <>
      <input type="hidden" name="_xsrf" value={xsrf} />
      {Object.entries(fields).map(([name, value]) => value !== undefined && <input type="hidden" name={name} value={value} />)}
    </>
  )
}

/** Something went wrong, next to what it is about. Read out at once. */
export function Alert({ children }: { children?: Child }) {
  return (
    <div class="alert" role="alert">
      {children}
    </div>
  )
}

/** Why a server is not there: what happened, what to do, the engine's own words, its last log lines. */
export function CauseBox({ cause }: { cause: Cause }) {
  return (
    <Alert>
      <p>
        <strong>{cause.message}</strong>
      </p>
      {cause.hint && <p>{cause.hint}</p>}
      {cause.exitCode !== undefined && !cause.message.includes(`code ${cause.exitCode}`) && <p>Exit code: {cause.exitCode}</p>}
      {cause.engine && (
        <details open={!cause.log?.length}>
          <summary>What the engine said</summary>
          <pre>{cause.engine}</pre>
        </details>
      )}
      {cause.log && cause.log.length > 0 && (
        <details open>
          <summary>Last lines of the server’s log</summary>
          <pre tabindex={0}>{cause.log.join('\n')}</pre>
        </details>
      )}
    </Alert>
  )
}

/** "3 minutes ago", exact when pointed at; "Never" without a time. */
export function Ago({ at }: { at: Date | string | null }) {
  if (at === null) return <>Never</>
  const when = new Date(at)
  const ms = Date.now() - when.getTime()
  return (
    <time datetime={when.toISOString()} title={when.toUTCString()}>
      {ms < 60_000 && ms > -60_000 ? 'Just now' : ms < 0 ? `In ${spoken(-ms)}` : `${spoken(ms)} ago`}
    </time>
  )
}
