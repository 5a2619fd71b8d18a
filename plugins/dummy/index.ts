import { createHash, timingSafeEqual } from 'node:crypto'
import { HubError, normalizeUsername, type Plugin, parseOptions } from 'swarmhub'
import { z } from 'zod'

const options = z.strictObject({
  /** Shared by all. Left out: any password will do. */
  password: z.string().min(1).optional(),
  /** Run on an address that others can reach. The environment has to say so too: SWARMHUB_ALLOW_DUMMY=1. */
  allowPublic: z.boolean().default(false),
  /** On the button of the form. */
  label: z.string().min(1).default('Sign in'),
})
export type DummyOptions = z.input<typeof options>

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Everybody is who they say they are. For trying out and for tests. */
export function dummy(given: DummyOptions = {}) {
  const { password: shared, allowPublic, label } = parseOptions('dummy', options, given)

  return {
    name: 'dummy',

    authenticator: {
      kind: 'password',
      label,
      async check({ username, password }, ctx) {
        ctx.signal.throwIfAborted()
        const name = normalizeUsername(username)
        const right = shared === undefined || timingSafeEqual(digest(password), digest(shared))
        return right && name !== undefined ? { name } : null
      },
    },

    setup(hub) {
      const allowed = { option: allowPublic, environment: process.env.SWARMHUB_ALLOW_DUMMY === '1' }
      if (hub.isPublic && !(allowed.option && allowed.environment)) {
        throw new HubError(
          'config',
          `dummy lets ${shared === undefined ? 'anybody' : 'everybody with the shared password'} sign in under any name, and other machines can reach this hub. ` +
            'Use another authenticator, such as local(), or listen on 127.0.0.1. If you really want it: ' +
            `set allowPublic: true ${allowed.option ? '(is set) ' : ''}and SWARMHUB_ALLOW_DUMMY=1 in the environment${allowed.environment ? ' (is set)' : ''}.`,
        )
      }
      hub.log.warn('everybody is who they say they are: dummy is for trying out', { password: shared !== undefined })
    },
  } satisfies Plugin
}
