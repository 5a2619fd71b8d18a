import { type Cause, type Context, HubError, type MountSpec } from 'swarmhub'
import type { Docker } from '../docker/client.ts'
import { createJobs, type Outcome } from '../docker/job.ts'

/** A small image with a shell, for what has to be done where files are. */
export const smallImage = 'busybox:1.37'

/** What is to be done. The script never changes: what differs is in its arguments, `$1` and on. */
export interface Task {
  name: string
  script: string
  args: readonly string[]
  mounts: readonly MountSpec[]
  constraints?: readonly string[]
  platforms?: readonly string[]
  /** Milliseconds. */
  deadline: number
}

/** Runs scripts beside files that the hub itself does not have: by jobs on the Swarm. */
export interface Shell {
  /**
   * Rejects with `failed` and a cause when it cannot run, ends otherwise than with 0, or takes too long: `explain` makes a sentence of the
   * words of the engine or the script.
   */
  run(task: Task, explain: (words: string) => string, ctx: Context): Promise<string>
  /** An image that nodes have: that of a server. Taken where the one of the options cannot be had. */
  seen(image: string | undefined): void
  sweep(signal: AbortSignal): Promise<void>
}

export function createShell(engine: Docker, image: string, owner: { hub: string; plugin: string }): Shell {
  const jobs = createJobs(engine, owner)
  let other: string | undefined
  /** It could not be had once: then it is not asked for each time. */
  let lacking = false

  async function run({ script, args, ...task }: Task, explain: (words: string) => string, ctx: Context): Promise<string> {
    const begun = performance.now()
    const left = () => Math.max(1, Math.round(task.deadline - (performance.now() - begun)))
    const attempt = (image: string) =>
      jobs.run({ ...task, image, command: ['sh', '-c', script, 'sh', ...args], deadline: left() }, ctx)
    let outcome = await attempt(lacking && other !== undefined ? other : image)
    if (!lacking && other !== undefined && lacksImage(outcome)) {
      ctx.log.info('an image cannot be had on the nodes, that of a server is taken', { image, instead: other })
      lacking = true
      outcome = await attempt(other)
    }
    if (outcome.state === 'ended' && outcome.exitCode === 0) return outcome.output
    const words = outcome.state === 'ended' ? outcome.output || `exit code ${outcome.exitCode}` : outcome.words
    const late = outcome.state === 'late' ? `not done within ${Math.round(task.deadline / 1000)} seconds` : ''
    const engine = [late, words].filter(Boolean).join(': ').slice(-500)
    const cause: Cause = { code: 'mount', message: explain(engine), hint: 'Tell your administrator.', engine }
    throw new HubError('failed', cause.message, { details: cause })
  }

  return {
    run,
    seen: image => void (other = image ?? other),
    sweep: jobs.sweep,
  }
}

const lacksImage = (outcome: Outcome) =>
  outcome.state === 'refused' && /no such image|manifest|registry|pull access denied|no such host/i.test(outcome.words)
