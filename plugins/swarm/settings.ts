import { duration } from 'swarmhub'
import { z } from 'zod'
import { dockerAddress } from '../docker/client.ts'
import { registries } from './registries.ts'

/** What `swarm()` takes. */
export const settings = z.strictObject({
  /** A manager of the Swarm: the path of its socket, or `{ host, port, tls }`. Left out: DOCKER_HOST, else /var/run/docker.sock. */
  docker: dockerAddress.optional(),
  /** For profiles that name no image. */
  image: z.string().min(1).optional(),
  /** Credentials for registries, by their host: `{ 'registry.example.org': { username: 'hub', password: env('REGISTRY_PASSWORD') } }`. */
  registries: registries.default({}),
  /** How servers are reached: over a network that the hub is on too, or by a port on their node. `auto`: the first where that can be. */
  network: z.enum(['auto', 'overlay', 'host-port']).default('auto'),
  /** What the names of services and secrets begin with. Two hubs on one Swarm need two. */
  prefix: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,29}$/, 'expected at most 30 characters of a-z, 0-9 and "-", starting with a letter')
    .default('nb-'),
  /** How tokens get into a server: as a secret of the Swarm, which needs a shell in the image; or as environment, for all to read who may ask Docker. */
  secrets: z.enum(['file', 'env']).default('file'),
  /** What is left of root's abilities in a container. An image that starts as root needs these to become its user, by `sudo` or otherwise. */
  capabilities: z
    .array(z.string())
    .default(['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID']),
  /** Processes and threads of one server. */
  pids: z.int().positive().default(4096),
  /** By name, such as `nofile`. */
  ulimits: z.record(z.string(), z.int().nonnegative()).default({}),
  /** Put Docker's init before the server, to bury what it leaves behind. Left out: for images that bring none. */
  init: z.boolean().optional(),
  /** For all servers, beside those of their profile: `node.role==worker`. */
  constraints: z.array(z.string().regex(/^\S+\s*[!=]=\s*\S/, 'expected a constraint such as "node.role==worker"')).default([]),
  /** Where containers log to. `swarmhub` reads logs back only from drivers that Docker can read. */
  log: z.strictObject({ driver: z.string(), options: z.record(z.string(), z.string()).default({}) }).optional(),
  /** From the polite end to the forced one. */
  stopGrace: duration().prefault('10s'),
  /** How long a start waits when no node fits. */
  noNodeGrace: duration().prefault('5s'),
  /** How long the Swarm has to call a node down until its servers are lost, also while it calls their tasks running. */
  nodeGrace: duration().prefault('15s'),
  /**
   * What becomes of servers whose node is lost, emptied or about to be, when their files are not on it alone: the hub starts them on another
   * node (`restart`), or leaves it to their users, whom it tells (`offer`).
   */
  onNodeLost: z.enum(['offer', 'restart']).default('offer'),
  /** With `restart`: how long users are warned before a server is moved off a node that was paused. */
  moveAfter: duration().prefault('15m'),
  /** Folders that are the same on all nodes, for `bind` mounts: such servers can move. */
  sharedFolders: z.array(z.string().regex(/^\/[^\0]*[^/\0]$/, 'expected the path of a folder, such as "/srv/homes"')).default([]),
  /** Get the images of all profiles onto all nodes that may run them, at start and then this often; `true`: every six hours. */
  warm: z.union([z.boolean(), duration()]).default(false),
  /** Between two looks at what runs: the engine tells no events of other nodes. */
  refresh: duration().prefault('5s'),
})

export type SwarmOptions = z.input<typeof settings>
export type Settings = z.output<typeof settings>
