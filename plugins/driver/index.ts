import { createHash } from 'node:crypto'
import { labelKeys, type Plugin, parseOptions, type User } from 'swarmhub'
import { z } from 'zod'
import { as, forUser, isVolumeName, nameOf, perUser, target } from '../mounts/options.ts'

const texts = z.record(z.string(), z.string())

const schema = z.strictObject({
  as,
  /** A volume plugin that is on every node that servers may run on. */
  driver: z.string().min(1),
  /** The path in the container. */
  target,
  /** Of the volume. Left out: one for each user. */
  name: perUser('the name of a volume').optional(),
  /** What `docker volume create --opt` takes. */
  options: z
    .custom<Record<string, string> | ((user: User) => Record<string, string>)>(
      given => typeof given === 'function' || texts.safeParse(given).success,
      'expected texts by their keys, or a function of the user that gives them',
    )
    .default({}),
  /** Make a new volume when the options change: an existing one keeps the first it had. For drivers that only lead to files kept elsewhere. */
  renew: z.boolean().default(false),
  readOnly: z.boolean().default(false),
  /** Leave a new volume empty, whatever the image has at the target. */
  empty: z.boolean().default(false),
  labels: texts.default({}),
})

export type DriverOptions = z.input<typeof schema>

const volumeName = {
  what: 'The name of a volume',
  fits: isVolumeName,
  expected: 'at most 128 letters, digits, "_", "." and "-", starting with a letter or digit',
}

/** A volume of any volume plugin of Docker's. */
export function driver(options: DriverOptions) {
  const settings = parseOptions('driver', schema, options)
  const { target, readOnly, empty, renew, name = defaultName(settings.driver) } = settings

  function optionsOf(user: User): Record<string, string> {
    const given = typeof settings.options === 'function' ? settings.options(user) : settings.options
    return parseOptions('driver.options', texts, given)
  }

  return {
    name: nameOf('driver', target, settings.as),
    mount: {
      attach({ user, draft }) {
        const own = optionsOf(user)
        const named = forUser(name, user, volumeName)
        return [
          {
            type: 'volume',
            target,
            source: renew ? `${named.slice(0, 110)}-${fingerprint([settings.driver, named, own])}` : named,
            readOnly,
            noCopy: empty,
            labels: { ...settings.labels, [labelKeys.hub]: draft.hub },
            driver: { name: settings.driver, options: own },
          },
        ]
      },
    },
  } satisfies Plugin
}

const defaultName = (driver: string) => (user: User) =>
  `swarmhub-${driver.replace(/[^a-zA-Z0-9]+/g, '-').slice(0, 40)}-${user.slug}`

const fingerprint = (of: unknown) => createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 12)
