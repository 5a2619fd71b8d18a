import { size, type User } from 'swarmhub'
import { z } from 'zod'
import { dockerAddress } from '../docker/client.ts'
import { as, target } from '../mounts/options.ts'
import { smallImage } from '../mounts/shell.ts'

const texts = z.record(z.string(), z.string())

/** What `localVolume()` takes. */
export const settings = z.strictObject({
  as,
  /** A manager of the Swarm, as for swarm(). */
  docker: dockerAddress.optional(),
  /** The path in the container. */
  target,
  /** What the volumes' names begin with; the user's slug follows. Two of these need two. */
  prefix: z
    .string()
    .regex(/^[a-z][a-z0-9_.-]{0,30}$/, 'expected at most 31 characters of a-z, 0-9, "_", "." and "-", starting with a letter')
    .default('swarmhub-'),
  /** The volume's name instead, by the user. Asked once for each user. */
  name: z
    .custom<(user: User) => string>(given => typeof given === 'function', 'expected a function of the user that gives a name')
    .optional(),
  /** `always`: until an administrator erases it. `user`: until the user is deleted. `server`: while the server runs. */
  keep: z.enum(['always', 'user', 'server']).default('always'),
  labels: texts.default({}),
  /** The most it may hold. Docker refuses this where the node's disk has no quotas. */
  size: size().optional(),
  readOnly: z.boolean().default(false),
  /** Leave a new volume empty, whatever the image has at the target. */
  empty: z.boolean().default(false),
  driver: z.string().default('local'),
  /** What `docker volume create --opt` takes. */
  options: texts.default({}),
  /** Every node sees the same files: the driver's storage is shared. Then a server may run anywhere. */
  shared: z.boolean().default(false),
  /** What measures and erases volumes: an image with a shell. Where it cannot be had, a server's own is taken. */
  image: z.string().min(1).default(smallImage),
})

export type LocalVolumeOptions = z.input<typeof settings>
