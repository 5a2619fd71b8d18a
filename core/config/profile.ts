import { z } from 'zod'
import { duration, size } from '../duration.ts'
import type { User } from '../plugin.ts'
import { filling } from './filling.ts'
import { wording } from './wording.ts'

/** A value, or a function that gives each user theirs. What it gives is checked as the value would be; it throws a plain Error when that is wrong. */
const perUser = <S extends z.ZodType>(schema: S) =>
  z.custom<z.input<S> | ((user: User) => z.input<S>)>().transform((given, ctx): z.output<S> | ((user: User) => z.output<S>) => {
    if (typeof given === 'function') {
      return (user: User) => {
        const result = schema.safeParse((given as (user: User) => unknown)(user), { error: wording })
        if (result.success) return result.data
        throw new Error(result.error.issues[0]?.message ?? 'not a value that fits')
      }
    }
    const result = schema.safeParse(given, { error: wording })
    if (result.success) return result.data
    for (const { path, message } of result.error.issues) ctx.addIssue({ code: 'custom', path: [...path], message })
    return z.NEVER
  })

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable')

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected at most 32 characters of a-z, 0-9 and "-", starting with a letter')

const path = z.string().startsWith('/')

const limit = z.int().nonnegative()

/** A config or a secret of the Swarm as a file in the container. */
const file = z.strictObject({
  /** Its name on the Swarm. */
  name: z.string().min(1),
  /** The path of the file; a secret's may be left out: `/run/secrets/<name>`. */
  target: path.optional(),
  uid: z.int().nonnegative().default(0),
  gid: z.int().nonnegative().default(0),
  /** As `0o440`. */
  mode: z.int().min(0).max(0o777).default(0o444),
})

const constraint = z.string().regex(/^\S+\s*[!=]=\s*\S/, 'expected a constraint such as "node.labels.gpu==true"')

/** What a profile gives to a server, and what a choice or an override may change of that. */
const shape = {
  image: z.string().min(1),
  /** Replaces the image's CMD, never its ENTRYPOINT. */
  command: z.array(z.string()).min(1),
  env: z.record(variable, perUser(z.string())),
  /** What it may use at most; a fraction is fine. */
  cpus: perUser(z.number().positive()),
  /** What is kept free for it on its node. */
  cpuGuarantee: perUser(z.number().positive()),
  memory: perUser(size()),
  memoryGuarantee: perUser(size()),
  /** Generic resources by their kind, as the nodes advertise them: `{ gpu: 1 }`. */
  resources: z.record(z.string().min(1), z.int().positive()),
  /** The size of /dev/shm. */
  shm: size(),
  /** Processes and threads. */
  pids: z.int().positive(),
  /** By name, such as `nofile`: one number, or both. */
  ulimits: z.record(z.string().min(1), z.union([limit, z.strictObject({ soft: limit, hard: limit })])),
  /** Beside those of the whole hub. */
  mounts: z.array(filling('mount')),
  networks: z.array(filling('network')),
  placement: z.strictObject({
    /** All must hold. */
    constraints: z.array(constraint).optional(),
    /** Spread over the values of these, the first first: `node.labels.rack`. */
    spread: z.array(z.string().min(1)).optional(),
    /** `linux/amd64`. */
    platforms: z.array(z.string().regex(/^[a-z]+\/[a-z0-9]+$/, 'expected a platform such as "linux/amd64"')).optional(),
  }),
  /** Where its container logs to. */
  log: z.strictObject({ driver: z.string().min(1), options: z.record(z.string(), z.string()).default({}) }),
  configs: z.array(file.required({ target: true })),
  secrets: z.array(file),
  /** Whom the container runs as: `1000:100`. */
  runAs: perUser(
    z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/, 'expected a user such as "1000:100"'),
  ),
  /** Numbers or names of further groups in the container. */
  supplementaryGroups: z.array(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, 'expected the name or number of a group')),
  workdir: perUser(path),
  /** From the polite end to the forced one. */
  stopGrace: duration(),
  /** Left out: the image's own is turned off, for it ends what starts slowly. `image`: it is left on. */
  healthCheck: z.union([
    z.literal('image'),
    z.strictObject({
      /** Run in the container; 0 is well. */
      command: z.array(z.string()).min(1),
      every: duration().prefault('30s'),
      deadline: duration().prefault('10s'),
      retries: z.int().positive().default(3),
      /** In which a failure does not count. */
      startPeriod: duration().prefault('5m'),
    }),
  ]),
  /** How often the engine starts again what has failed, before the server is over. Left out: never. */
  restart: z.strictObject({
    attempts: z.int().min(1).max(10),
    delay: duration().prefault('5s'),
    /** Within which the attempts are counted. */
    window: duration().prefault('5m'),
  }),
  /** The page a server opens with, such as `/lab`. */
  defaultUrl: perUser(path),
  /** The folder a server starts in. */
  rootDir: perUser(z.string().min(1)),
}

const changes = z.strictObject(shape).partial().shape

const option = z.strictObject({
  name,
  label: z.string().min(1),
  description: z.string().optional(),
  /** Who may choose it; left out: everybody. */
  groups: z.array(z.string()).optional(),
  ...changes,
})

const choiceName = name.refine(
  name => name !== 'profile',
  'a choice cannot be named "profile": clients send the profile under this name',
)

/** One of a list; each entry changes something of the server. */
const list = z.strictObject({
  name: choiceName,
  label: z.string().min(1),
  description: z.string().optional(),
  options: z.array(option).min(1),
  /** The name of an option; left out: the first. */
  default: z.string().optional(),
})

/** A text that the whole pattern matches; it becomes the value of an environment variable and nothing else. */
const text = z.strictObject({
  name: choiceName,
  label: z.string().min(1),
  description: z.string().optional(),
  pattern: z.instanceof(RegExp, { error: 'expected a regular expression such as /[a-z0-9-]{1,40}/' }),
  env: variable,
  default: z.string().default(''),
})

/** One entry of `profiles`. */
export const profile = z.strictObject({
  name,
  /** What people read. */
  label: z.string().min(1),
  description: z.string().optional(),
  /** Who may use it; left out: everybody. */
  groups: z.array(z.string()).optional(),
  /** What users choose within it, each from its own list. */
  choices: z.array(z.union([list, text])).optional(),
  ...changes,
})

/** One entry of `overrides`: for these users and members of these groups, in these profiles; what is left out means all. */
export const override = z.strictObject({
  users: z.array(z.string()).optional(),
  groups: z.array(z.string()).optional(),
  profiles: z.array(z.string()).optional(),
  ...changes,
})

export type ProfileSettings = z.output<typeof profile>
export type OverrideSettings = z.output<typeof override>
/** What a profile, an option and an override have in common. */
export type Shape = Omit<OverrideSettings, 'users' | 'groups' | 'profiles'>
