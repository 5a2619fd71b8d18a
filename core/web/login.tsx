import { HTTPException } from 'hono/http-exception'
import type { Core } from '../core.ts'
import type { Asked, LoginResult } from '../identity/logins.ts'
import type { Plugin } from '../plugin.ts'
import { clientAddress, publicHost, publicUrl, withQuery } from './address.ts'
import type { PageContext } from './environment.ts'
import { readForm, whoIs } from './guard.ts'
import { landing } from './landing.ts'
import { Alert, Hidden, page } from './layout.tsx'
import { safeNext } from './next.ts'

type Failure = Pick<Extract<LoginResult, { ok: false }>, 'reason' | 'message' | 'wait'>

/**
 * `login`: the form, or on to `next` for who is signed in. Where there is but one way: in, for whom the request names; to the
 * provider, if the config says so.
 */
export const showLogin = (core: Core) =>
  async function showLogin(c: PageContext): Promise<Response> {
    const next = wanted(core, c, c.req.query('next'))
    const visitor = await whoIs(core, c)
    if (visitor) return c.redirect(next ?? (await landing(core, c, visitor)))
    const only = core.logins.methods.length === 1 ? core.logins.methods[0] : undefined
    if (only?.kind === 'request' || (core.settings.signIn.auto && only?.kind === 'redirect'))
      return c.redirect(withQuery(`${core.base}hub/login/${only.plugin.name}`, { next }))
    return loginPage(core, c, { next })
  }

/** `login`, the form sent. A failure shows it again with what was typed, without the password. */
export const signIn = (core: Core) =>
  async function signIn(c: PageContext): Promise<Response> {
    const fields = await readForm(16, c)
    const next = wanted(core, c, c.req.query('next') ?? fields.get('next'))
    const methods = core.logins.methods.filter(({ kind }) => kind === 'password')
    const method = (methods.find(({ plugin }) => plugin.name === fields.get('method')) ?? methods[0])?.plugin.name
    if (method === undefined) throw new HTTPException(404, { message: 'Nobody signs in with a password here.' })
    const credentials = { username: fields.get('username') ?? '', password: fields.get('password') ?? '' }
    const typed = { next, username: credentials.username, method }

    if (!core.xsrf.valid(c, fields.get('_xsrf') ?? undefined)) {
      const message = 'The form was too old, or cookies are switched off for this site. Please sign in once more.'
      return loginPage(core, c, { ...typed, failure: { reason: 'denied', message } })
    }
    const held = fields.get('held')
    const answered = { held: held ?? '', answer: fields.get('answer') ?? '' }
    const result = await timed(core, () =>
      held === null
        ? core.logins.signIn(c, method, credentials, clientAddress(c))
        : core.logins.answer(c, method, answered, clientAddress(c)),
    )
    if (result.ok) return welcome(core, c, result, method, next)
    return result.reason === 'asked'
      ? questionPage(core, c, result, method, next)
      : loginPage(core, c, { ...typed, failure: result })
  }

/** `login/METHOD`: off to the provider, or in, where the request itself says who it is. */
export const beginLogin = (core: Core) =>
  async function beginLogin(c: PageContext): Promise<Response> {
    const named = c.req.param('method')
    if (core.logins.methods.some(({ plugin, kind }) => kind === 'request' && plugin.name === named)) {
      const next = wanted(core, c, c.req.query('next'))
      const result = await timed(core, () => core.logins.identify(c, named!, clientAddress(c)))
      return result.ok ? welcome(core, c, result, named!, next) : loginPage(core, c, { next, failure: result })
    }
    const { method, callback } = redirecting(core, c)
    const next = wanted(core, c, c.req.query('next')) ?? ''
    return c.redirect((await core.logins.begin(c, method, callback, next)).href)
  }

/** `login/METHOD/callback`: the provider sent the browser back. */
export const finishLogin = (core: Core) =>
  async function finishLogin(c: PageContext): Promise<Response> {
    const { method, callback } = redirecting(core, c)
    const result = await timed(core, () => core.logins.finish(c, method, callback, clientAddress(c)))
    const next = wanted(core, c, result.next)
    return result.ok ? welcome(core, c, result, method, next) : loginPage(core, c, { next, failure: result })
  }

async function welcome(core: Core, c: PageContext, result: LoginResult & { ok: true }, method: string, next: string | undefined) {
  await core.sessions.open(c, result.user.id, method, result.session)
  return c.redirect(next ?? (await landing(core, c, result.user)))
}

async function timed<R extends LoginResult | Asked>(core: Core, ask: () => Promise<R>): Promise<R> {
  const done = core.metrics.login.startTimer()
  try {
    const result = await ask()
    done({ status: result.ok ? 'success' : 'failure' })
    return result
  } catch (error) {
    done({ status: 'failure' })
    throw error
  }
}

/** The redirecting method that the path names; `oauth_login` and `oauth_callback` stand for the first, as in JupyterHub. */
function redirecting(core: Core, c: PageContext): { method: string; callback: URL } {
  const methods = core.logins.methods.filter(({ kind }) => kind === 'redirect').map(({ plugin }) => plugin.name)
  const named = c.req.param('method')
  const method = named === undefined ? methods[0] : methods.find(name => name === named)
  if (!method) throw new HTTPException(404, { message: 'There is no such way to sign in.' })
  return { method, callback: publicUrl(core, c, named === undefined ? 'oauth_callback' : `login/${method}/callback`) }
}

const wanted = (core: Core, c: PageContext, next: string | null | undefined) => safeNext(next, publicHost(core, c))

/** Where somebody goes who has no account yet. */
function More({ core, plugin: { name, authenticator } }: { core: Core; plugin: Plugin }) {
  const link = authenticator?.kind === 'password' && authenticator.link
  return (
    link && (
      <p>
        <a href={`${core.base}hub/x/${name}/${link.page}`}>{link.label}</a>
      </p>
    )
  )
}

const statusOf = { wrong: 403, denied: 403, unavailable: 503, wait: 429 } as const

/** One thing more, of who has given name and password. */
function questionPage(core: Core, c: PageContext, { challenge, held }: Asked, method: string, next: string | undefined) {
  const { question, content, problem, autocomplete = 'off' } = challenge
  const login = `${core.base}hub/login`
  return page(
    core,
    c,
    { title: 'Sign in', status: problem === undefined ? 200 : 403, bare: true },
    <section class="narrow panel login plugin">
      <h1>Sign in to {core.settings.branding.name}</h1>
      {problem !== undefined && (
        <Alert>
          <p>{problem}</p>
        </Alert>
      )}
      {content}
      <form method="post" action={withQuery(login, { next })}>
        <Hidden xsrf={core.xsrf.token(c)} method={method} held={held} />
        <label>
          {question}
          <input
            name="answer"
            required
            maxlength={1024}
            autocomplete={autocomplete}
            autocapitalize="none"
            spellcheck={false}
            autofocus
          />
        </label>
        <button type="submit">Continue</button>
      </form>
      <p>
        <a href={withQuery(login, { next })}>Start again</a>
      </p>
    </section>,
  )
}

interface Typed {
  next?: string | undefined
  username?: string
  method?: string
  failure?: Failure
}

function loginPage(core: Core, c: PageContext, { next, username = '', method, failure }: Typed) {
  const xsrf = core.xsrf.token(c)
  const login = `${core.base}hub/login`
  const { methods } = core.logins
  const passwords = methods.filter(({ kind }) => kind === 'password')
  if (failure?.wait) c.header('Retry-After', String(Math.ceil(failure.wait)))
  return page(
    core,
    c,
    { title: 'Sign in', status: failure ? statusOf[failure.reason] : 200, bare: true, announce: 'login' },
    <section class="narrow panel login">
      <img class="mark" src={`${core.base}hub/logo`} alt="" width="56" height="56" />
      <h1>Sign in to {core.settings.branding.name}</h1>
      <p class="notice" id="insecure" hidden>
        This page came over an unencrypted connection. Others may read what you type: ask your administrator for the https
        address.
      </p>
      {failure && (
        <Alert>
          <p>{failure.message}</p>
          {failure.wait && (
            <p>
              You can try again in <span data-countdown={Math.ceil(failure.wait)}>{Math.ceil(failure.wait)}</span> s.
            </p>
          )}
        </Alert>
      )}
      {methods.map(({ plugin, kind, label }, index) => {
        if (kind === 'none') return <p>{label}</p>
        const isForm = kind === 'password'
        const before = methods[index - 1]?.kind
        const again = plugin.name === (method ?? passwords[0]?.plugin.name)
        const alike = passwords.filter(other => other.label === label).length > 1
        return (
          <>
            {before !== undefined && before !== 'none' && (isForm || before === 'password') && <p class="or">or</p>}
            {isForm ? (
              <>
                <form method="post" action={withQuery(login, { next })}>
                  <Hidden xsrf={xsrf} method={plugin.name} />
                  <label>
                    User name
                    <input
                      name="username"
                      required
                      maxlength={255}
                      autocomplete="username"
                      autocapitalize="none"
                      spellcheck={false}
                      autofocus={again && username === ''}
                      value={again ? username.slice(0, 255) : ''}
                    />
                  </label>
                  <label>
                    Password
                    <input
                      name="password"
                      type="password"
                      required
                      autocomplete="current-password"
                      autofocus={again && username !== ''}
                    />
                  </label>
                  <button type="submit">{alike ? `${label} (${plugin.name})` : label}</button>
                </form>
                <More core={core} plugin={plugin} />
              </>
            ) : (
              <a class="button" href={withQuery(`${login}/${plugin.name}`, { next })}>
                {label}
              </a>
            )}
          </>
        )
      })}
      {core.settings.branding.terms && (
        <p class="muted">
          By signing in you agree to the <a href={core.settings.branding.terms}>terms of use</a>.
        </p>
      )}
    </section>,
  )
}
