import type { Context } from 'hono'
import { html } from 'hono/html'
import { isHubError } from 'swarmhub'

// The forms have no action: they are sent to the address that showed them, code included.

/** The fields of ours that a form has, each a text; what was not sent is empty. */
export async function fieldsOf(c: Context) {
  const body = await c.req.parseBody()
  const text = (name: string) => (typeof body[name] === 'string' ? body[name] : '')
  return {
    username: text('username'),
    current: text('current'),
    password: text('password'),
    repeated: text('repeated'),
    code: text('code'),
    draft: text('draft'),
    do: text('do'),
    id: text('id'),
    uses: text('uses'),
    days: text('days'),
  }
}

export const codeOf = (c: Context) => c.req.query('code') ?? ''

/** What was typed is refused with a sentence: `again` shows the form once more with it. Everything else goes on as it is. */
export async function orAgain(
  c: Context,
  again: (problem: string, status: number) => Response | Promise<Response>,
  work: () => Promise<Response>,
): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    if (!isHubError(error) || !['invalid', 'conflict', 'busy', 'denied'].includes(error.code)) throw error
    if (error.retryAfter !== undefined) c.header('Retry-After', String(error.retryAfter))
    return again(error.message, error.status)
  }
}

export const problemOf = (problem: string | undefined) => problem && html`<p role="alert">${problem}</p>`

export const hidden = (fields: Record<string, string>) =>
  Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)

export const nameField = (username: string) =>
  html`<p>
    <label>
      User name
      <input name="username" value="${username}" maxlength="255" autocomplete="username" autocapitalize="none" required />
    </label>
  </p>`

export const newPasswordFields = (shortest: number) =>
  html`<p>
      <label>
        New password <small>(at least ${shortest} characters)</small>
        <input type="password" name="password" autocomplete="new-password" minlength="${shortest}" required />
      </label>
    </p>
    <p>
      <label>
        Repeat the new password
        <input type="password" name="repeated" autocomplete="new-password" minlength="${shortest}" required />
      </label>
    </p>`

export const currentPasswordField = html`<p>
  <label>Current password <input type="password" name="current" autocomplete="current-password" required /></label>
</p>`

export const codeField = (label: string) =>
  html`<p><label>${label} <input name="code" maxlength="40" autocomplete="one-time-code" autocapitalize="none" required /></label></p>`
