import { type FileSpec, type Handle, type HealthCheck, labelKeys, type MountSpec, type ServerSpec, slug } from 'swarmhub'
import { z } from 'zod'
import { mount } from '../docker/mount.ts'
import type { Run } from './image.ts'
import type { Settings } from './settings.ts'

/** What is read of a service. */
export const service = z.object({
  ID: z.string(),
  Spec: z.object({
    Name: z.string(),
    Labels: z.record(z.string(), z.string()).nullish(),
    TaskTemplate: z.object({ Networks: z.array(z.object({ Target: z.string() })).nullish() }),
    EndpointSpec: z.object({ Ports: z.array(z.object({ TargetPort: z.number() })).nullish() }).nullish(),
  }),
})

export type Service = z.output<typeof service>

/** Which port the server listens on, for a service that publishes none. */
const portLabel = 'org.swarmhub.port'

/** The name of a server's service: a DNS label. */
export function serviceName(prefix: string, spec: Pick<ServerSpec, 'name'>): string {
  const name = prefix + spec.name
  return name.length <= 63 ? name : slug(name, 63)
}

/** The name of the secret of one generation. */
export const secretName = (prefix: string, generation: string) => slug(`${prefix}${generation}`, 63)

/** What the core keeps of a service; the same whether it was just made or is found by its labels. */
export function handleOf({ ID, Spec }: Service): Handle {
  const published = Spec.EndpointSpec?.Ports?.[0]?.TargetPort
  return {
    service: ID,
    name: Spec.Name,
    generation: Spec.Labels?.[labelKeys.generation] ?? '',
    network: published === undefined ? (Spec.TaskTemplate.Networks?.[0]?.Target ?? null) : null,
    port: published ?? Number(Spec.Labels?.[portLabel]),
  }
}

/** What a handle holds, checked: it has been in a file. */
export const handleShape = z.object({
  service: z.string().min(1),
  name: z.string(),
  generation: z.string().min(1),
  network: z.string().nullable(),
  port: z.number(),
})

/** What has been found out for this service before it is made. */
export interface Found {
  /** Pinned to a digest where that is possible. */
  image: string
  /** What runs in it. */
  run: Run
  /** Ids of networks; the one that is shared with the hub first. */
  networks: string[]
  /** Publish it on its node, since the hub is on none of its networks. */
  publish: boolean
  /** The configs and secrets that the profile names, with their ids. */
  configs: (FileSpec & { id: string })[]
  secretFiles: (FileSpec & { id: string })[]
  /** That of this one server: its id and name, when there is one. */
  secret: { id: string; name: string } | undefined
}

/** The file in the container that holds its secret variables, as shell commands. */
export const secretFile = '/run/secrets/swarmhub'

/** The service of a server, as the engine takes it. */
export function serviceSpec(spec: ServerSpec, settings: Settings, found: Found): object {
  const { image, run, networks, publish, configs, secretFiles, secret } = found
  const env = { ...spec.env, ...(settings.secrets === 'env' && spec.secrets) }
  const { constraints = [], spread = [], platforms = [] } = spec.placement ?? {}
  const log = spec.log ?? settings.log
  return {
    Name: serviceName(settings.prefix, spec),
    Labels: { ...spec.labels, [portLabel]: String(spec.port) },
    Mode: { Replicated: { Replicas: 1 } },
    TaskTemplate: {
      ContainerSpec: {
        Image: image,
        Command: run.Command,
        Args: run.Args,
        Labels: spec.labels,
        Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
        Mounts: [...spec.mounts, ...(spec.shm === undefined ? [] : [sharedMemory(spec.shm)])].map(mount),
        User: spec.runAs,
        Groups: spec.supplementaryGroups,
        Dir: spec.workdir,
        Init: settings.init ?? run.init,
        StopGracePeriod: nanoseconds(spec.stopGrace ?? settings.stopGrace),
        HealthCheck: healthCheck(spec.healthCheck),
        CapabilityDrop: ['ALL'],
        CapabilityAdd: settings.capabilities,
        Ulimits: Object.entries({ ...settings.ulimits, ...spec.ulimits }).map(([Name, value]) =>
          typeof value === 'number' ? { Name, Soft: value, Hard: value } : { Name, Soft: value.soft, Hard: value.hard },
        ),
        Configs: configs.map(config => ({ ConfigID: config.id, ConfigName: config.name, File: file(config) })),
        Secrets: [
          ...secretFiles.map(secret => ({ SecretID: secret.id, SecretName: secret.name, File: file(secret) })),
          // Whoever the image runs as has to read it; it is a file in the memory of this one container.
          ...(secret
            ? [{ SecretID: secret.id, SecretName: secret.name, File: { Name: secretFile, UID: '0', GID: '0', Mode: 0o444 } }]
            : []),
        ],
      },
      Resources: {
        Limits: { NanoCPUs: nano(spec.cpus), MemoryBytes: spec.memory, Pids: spec.pids ?? settings.pids },
        Reservations: {
          NanoCPUs: nano(spec.cpuGuarantee),
          MemoryBytes: spec.memoryGuarantee,
          GenericResources: Object.entries(spec.resources ?? {}).map(([Kind, Value]) => ({
            DiscreteResourceSpec: { Kind, Value },
          })),
        },
      },
      // What its user has shut down is never started again, and what fails no more often than the profile says: the hub decides.
      RestartPolicy: spec.restart
        ? {
            Condition: 'on-failure',
            MaxAttempts: spec.restart.attempts,
            Delay: nanoseconds(spec.restart.delay),
            Window: nanoseconds(spec.restart.window),
          }
        : { Condition: 'none' },
      Placement: {
        Constraints: [...settings.constraints, ...constraints],
        Preferences: spread.map(SpreadDescriptor => ({ Spread: { SpreadDescriptor } })),
        Platforms: platforms.map(platform => ({ OS: platform.split('/')[0], Architecture: platform.split('/')[1] })),
      },
      Networks: networks.map(Target => ({ Target })),
      ...(log && { LogDriver: { Name: log.driver, Options: log.options } }),
    },
    EndpointSpec: {
      // No virtual address: it drops idle WebSockets after 15 minutes, and costs a second address for each server.
      Mode: 'dnsrr',
      Ports: publish ? [{ Protocol: 'tcp', TargetPort: spec.port, PublishMode: 'host' }] : [],
    },
  }
}

const sharedMemory = (size: number): MountSpec => ({ type: 'tmpfs', target: '/dev/shm', size })

/** Stock images are probed so often and so early that Swarm would end what starts slowly: their own check is off unless it is asked for. */
function healthCheck(check: HealthCheck | undefined): object | undefined {
  if (check === 'image') return undefined
  if (!check) return { Test: ['NONE'] }
  return {
    Test: ['CMD', ...check.command],
    Interval: nanoseconds(check.every),
    Timeout: nanoseconds(check.deadline),
    Retries: check.retries,
    StartPeriod: nanoseconds(check.startPeriod),
  }
}

const file = ({ name, target = name, uid, gid, mode }: FileSpec) => ({
  Name: target,
  UID: String(uid),
  GID: String(gid),
  Mode: mode,
})

const nanoseconds = (ms: number) => ms * 1e6

const nano = (cpus: number | undefined) => (cpus === undefined ? undefined : Math.round(cpus * 1e9))

/** A shell script that sets the secret variables. */
export function secretScript(secrets: Record<string, string>): string {
  return Object.entries(secrets)
    .map(([key, value]) => `export ${key}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('')
}
