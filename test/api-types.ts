import { type Config, defineConfig, env, type Plugin } from 'swarmhub'
import { dummy, httpProxy, localVolume, overlay, process } from 'swarmhub/plugins'

/*
 * What must not compile. Never run: `npm run check` compiles it, and fails when one of the lines compiles after all.
 * api-types.test.ts shows that each of them is refused where it says so.
 */

const roles = { authenticators: [dummy()], spawner: process(), proxy: httpProxy() }

// What is right compiles: an object, a function, an async one.
export default defineConfig({
  ...roles,
  url: 'https://hub.example.org',
  networks: [overlay()],
  mounts: [localVolume({ target: '/home/jovyan/work', size: '10G' })],
  profiles: [{ name: 'small', label: 'Small', memory: '512M', cpus: 0.5 }],
  timeouts: { start: '5m' },
  plugins: [{ name: 'greet', hooks: { 'before:spawn': ({ draft }) => void (draft.env.GREETING = 'hello') } }],
})
defineConfig(({ env }) => ({ ...roles, branding: { name: env('NAME', 'hub') } }))
defineConfig(async () => roles)

// Hooks
export const misspeltHook = {
  name: 'greet',
  hooks: {
    // @ts-expect-error: a misspelt hook
    'befor:spawn': () => {},
  },
} satisfies Plugin

export const noSuchStage = {
  name: 'greet',
  hooks: {
    // @ts-expect-error: a stage that does not exist
    'before:restart': () => {},
  },
} satisfies Plugin

export const wrongSubject = {
  name: 'greet',
  hooks: {
    // @ts-expect-error: what is stopped has no draft
    'after:stop': stop => stop.draft,
  },
} satisfies Plugin

export const fixedSubject = {
  name: 'greet',
  hooks: {
    'before:spawn': spawn => {
      // @ts-expect-error: whose server it is cannot be changed
      spawn.server.user = spawn.user
    },
  },
} satisfies Plugin

// Plugins
// @ts-expect-error: a plugin without a name
export const nameless = { setup() {} } satisfies Plugin

export const misspeltKey = {
  name: 'greet',
  // @ts-expect-error: a misspelt key of a plugin
  setpu() {},
} satisfies Plugin

export const halfSpawner = {
  name: 'half',
  // @ts-expect-error: a spawner that cannot stop what it starts
  spawner: { start: async () => ({}), poll: async () => ({ state: 'unknown', why: '' }), list: async () => [] },
} satisfies Plugin

export const wrongAnswer = {
  name: 'sloppy',
  // @ts-expect-error: a wrong password is null, not false
  authenticator: { kind: 'password', label: 'Sign in', check: async () => false },
} satisfies Plugin

// Roles
// @ts-expect-error: a mount is no spawner
defineConfig({ ...roles, spawner: localVolume({ target: '/work' }) })
// @ts-expect-error: nor is it in what a function returns
defineConfig(async () => ({ ...roles, spawner: localVolume({ target: '/work' }) }))
// @ts-expect-error: a spawner is no mount
defineConfig({ ...roles, mounts: [process()] })
// @ts-expect-error: one spawner, not several
defineConfig({ ...roles, spawner: [process()] })
// @ts-expect-error: a factory instead of its plugin
defineConfig({ ...roles, proxy: httpProxy })
// @ts-expect-error: no proxy at all
defineConfig({ authenticators: [dummy()], spawner: process() })

// Keys and values of the config
// @ts-expect-error: a misspelt key
defineConfig({ ...roles, profilse: [] })
// @ts-expect-error: a misspelt key further in
defineConfig({ ...roles, access: { user: ['ann'] } })
// @ts-expect-error: a duration without a unit
defineConfig({ ...roles, timeouts: { start: '300' } })
// @ts-expect-error: a duration that is a number
defineConfig({ ...roles, timeouts: { start: 300 } })
// @ts-expect-error: a size with a unit that does not exist
defineConfig({ ...roles, profiles: [{ name: 'small', label: 'Small', memory: '4GB' }] })
// @ts-expect-error: a secret is a text
defineConfig({ ...roles, limits: { servers: env('SERVERS') } })

// Options of factories
// @ts-expect-error: a misspelt option
localVolume({ taget: '/work' })
// @ts-expect-error: an option that is needed
localVolume({})
// @ts-expect-error: an option of another type
httpProxy({ port: '8000' })
// @ts-expect-error: a misspelt option where none is needed
overlay({ nmae: 'notebooks' })

// Types
// @ts-expect-error: the config of a hub has to have a spawner
export const config: Config = { authenticators: [dummy()], proxy: httpProxy() }
