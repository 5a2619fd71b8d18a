import { duration, type User } from 'swarmhub'
import { z } from 'zod'
import { dockerAddress } from '../docker/client.ts'
import { as, isPath, perUser, target } from '../mounts/options.ts'
import { smallImage } from '../mounts/shell.ts'

/** Whose a folder is, in the file system's numbers. */
export const owner = z.strictObject({ uid: z.int().nonnegative(), gid: z.int().nonnegative() })
export type Owner = z.output<typeof owner>

/** What `nfs()` takes. */
export const settings = z.strictObject({
  as,
  /** A manager of the Swarm, as for swarm(). */
  docker: dockerAddress.optional(),
  /** The file server's name or address, as the nodes know it. */
  server: z.string().regex(/^[A-Za-z0-9:][A-Za-z0-9.:-]*$/, 'expected the name or the address of a server'),
  version: z.union([z.literal(3), z.literal(4), z.literal(4.1), z.literal(4.2)]).default(4),
  /** The folder on the server, as the server names it: one that all share, or a function of the user. */
  path: perUser('the path of a folder'),
  /** The folder above, which is there already and below which folders are made. Left out: the one that `path` is in. */
  root: z.string().refine(isPath, 'expected the path of a folder').optional(),
  /** The path in the container. */
  target,
  readOnly: z.boolean().default(false),
  /** For mount(8), each by itself: `['hard', 'nconnect=4']`. */
  options: z.array(z.string().regex(/^[a-z0-9_]+(=[^,\s]+)?$/, 'expected one mount option, such as "timeo=600"')).default([]),
  /** Make the folder before it is mounted. Left out: when `path` is a function. */
  create: z.boolean().optional(),
  /** Whose a new folder is; as in Jupyter's images when left out. */
  owner: z
    .custom<Owner | ((user: User) => Owner)>(
      given => typeof given === 'function' || owner.safeParse(given).success,
      'expected { uid, gid }, or a function of the user that gives it',
    )
    .default({ uid: 1000, gid: 100 }),
  /** Who may do what in a new folder. */
  mode: z.int().min(0).max(0o7777).default(0o700),
  /** Program and arguments, run as root in a folder before it is first mounted. It may run again. */
  prepare: z.array(z.string()).min(1).optional(),
  /** What makes folders: an image with a shell. Where it cannot be had, the server's own is taken. */
  image: z.string().min(1).default(smallImage),
  /** Where folders are measured and erased: `node.labels.storage==true`. They are made where the server may run. */
  constraints: z.array(z.string().regex(/^\S+\s*[!=]=\s*\S/, 'expected a constraint such as "node.role==worker"')).default([]),
  /** For making one folder; shorter than `timeouts.hook`. */
  deadline: duration().prefault('25s'),
})

export type NfsOptions = z.input<typeof settings>
export type Settings = z.output<typeof settings>
