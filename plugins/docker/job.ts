import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, isHubError, type MountSpec, messageOf } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from './client.ts'
import { logLines } from './lines.ts'
import { mount } from './mount.ts'

/** Something to be done on a node of the Swarm, once, by a container that ends. Nothing secret: whoever may ask Docker reads it. */
export interface Job {
  /** For people who look at the Swarm: `make-folder`. */
  name: string
  image: string
  /** Program and arguments, in place of what the image runs. */
  command: readonly string[]
  mounts: readonly MountSpec[]
  /** Where it may run, in the Swarm's words. */
  constraints?: readonly string[]
  platforms?: readonly string[]
  /** Milliseconds, from the request to the end of its process. */
  deadline: number
}

export type Outcome =
  /** Its process ended. `output` is what it wrote, at most the last 64 KiB. */
  | { state: 'ended'; exitCode: number; output: string }
  /** It never ran; in the engine's words. */
  | { state: 'refused'; words: string }
  /** It had not ended at the deadline; what it was doing then. */
  | { state: 'late'; words: string }

/** Runs jobs of one plugin of one hub, as services of one task each. */
export interface Jobs {
  /**
   * Run it and tell how it ended. Rejects when the engine cannot be asked, or with the signal's reason. Whatever comes of it, its service is
   * removed. It is root, with no rights but those over files.
   */
  run(job: Job, ctx: Pick<Context, 'signal' | 'log'>): Promise<Outcome>
  /** Remove what a hub that was killed has left. To be called when nothing runs yet. */
  sweep(signal: AbortSignal): Promise<void>
}

/** By this, and not by the labels of servers, jobs are found: they are none. */
const label = 'org.swarmhub.job'

/** Bytes of output that are kept. */
const longest = 65_536

export function createJobs(engine: Docker, owner: { hub: string; plugin: string }): Jobs {
  const mine = `${owner.hub}/${owner.plugin}`

  async function run(job: Job, ctx: Pick<Context, 'signal' | 'log'>): Promise<Outcome> {
    const late = AbortSignal.timeout(job.deadline)
    const name = `job-${job.name}-${crypto.randomUUID().slice(0, 13)}`
    const body = serviceOf(name, job, mine)
    try {
      await engine.ask({ method: 'POST', path: '/services/create', body }, created, ctx.signal)
      return await outcome(name, late, ctx)
    } finally {
      // Also when nobody waits for it any more, or nobody knows whether it was made.
      await remove(name, AbortSignal.timeout(10_000)).catch(error =>
        ctx.log.warn('a job is left on the Swarm until the hub starts again', { job: job.name, error: messageOf(error) }),
      )
    }
  }

  async function outcome(id: string, late: AbortSignal, { signal }: Pick<Context, 'signal'>): Promise<Outcome> {
    let words = ''
    while (!late.aborted) {
      const [task] = await engine.ask({ path: '/tasks', query: { filters: { service: [id] } } }, z.array(taskShape), signal)
      const { State, Err, Message, ContainerStatus } = task?.Status ?? {}
      words = Err || Message || words
      if (State === 'complete') return { state: 'ended', exitCode: 0, output: await output(id, signal) }
      if (State === 'failed' && ContainerStatus?.ExitCode !== undefined && /non-zero exit/.test(Err ?? ''))
        return { state: 'ended', exitCode: ContainerStatus.ExitCode, output: await output(id, signal) }
      if (State !== undefined && ['failed', 'rejected', 'shutdown', 'orphaned'].includes(State))
        return { state: 'refused', words: words.slice(0, 500) }
      await sleep(150, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
    return { state: 'late', words: words.slice(0, 500) }
  }

  /** What it wrote. A node that does not tell within five seconds leaves it at what has come. */
  async function output(id: string, signal: AbortSignal): Promise<string> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(5000)])
    let text = ''
    try {
      for await (const line of logLines(
        await engine.open({ path: `/services/${id}/logs`, query: { stdout: true, stderr: true } }, limited),
      ))
        text = `${text}${line}\n`.slice(-longest)
    } catch (error) {
      signal.throwIfAborted()
      if (!limited.aborted) throw error
    }
    return text.trimEnd()
  }

  const remove = (id: string, signal: AbortSignal) =>
    engine.ask({ method: 'DELETE', path: `/services/${id}` }, z.unknown(), signal).catch(error => {
      if (!isHubError(error) || error.code !== 'missing') throw error
    })

  return {
    run,
    async sweep(signal) {
      const query = { filters: { label: [`${label}=${mine}`] } }
      for (const { ID } of await engine.ask({ path: '/services', query }, z.array(created), signal)) await remove(ID, signal)
    },
  }
}

function serviceOf(name: string, job: Job, owner: string): object {
  const { image, command, mounts, constraints = [], platforms = [] } = job
  return {
    Name: name,
    Labels: { [label]: owner },
    Mode: { Replicated: { Replicas: 1 } },
    TaskTemplate: {
      ContainerSpec: {
        Image: image,
        Command: command,
        Labels: { [label]: owner },
        User: '0:0',
        Dir: '/',
        Mounts: mounts.map(mount),
        CapabilityDrop: ['ALL'],
        CapabilityAdd: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'],
        HealthCheck: { Test: ['NONE'] },
        StopGracePeriod: 1e9,
      },
      Resources: { Limits: { MemoryBytes: 256 * 2 ** 20, Pids: 64 } },
      RestartPolicy: { Condition: 'none' },
      Placement: {
        Constraints: constraints,
        Platforms: platforms.map(platform => ({ OS: platform.split('/')[0], Architecture: platform.split('/')[1] })),
      },
      // Whatever the nodes log to otherwise, what it writes is to be read here.
      LogDriver: { Name: 'json-file', Options: { 'max-size': '1m' } },
    },
    EndpointSpec: { Mode: 'dnsrr' },
  }
}

const created = z.object({ ID: z.string().min(1) })

const taskShape = z.object({
  Status: z.object({
    State: z.string(),
    Message: z.string().optional(),
    Err: z.string().optional(),
    ContainerStatus: z.object({ ExitCode: z.number().optional() }).nullish(),
  }),
})
