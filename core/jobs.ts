import { call } from './hooks.ts'
import type { Metrics } from './metrics.ts'
import type { Close, Job, Log } from './plugin.ts'

/** One job with whose it is. */
export interface NamedJob {
  plugin: string
  name: string
  job: Job
}

/**
 * Run jobs until closed: one run of each at a time, the next one `every` after the end of the last. A run that fails or
 * takes longer than its deadline (default: ten minutes) is logged and counted; the next still comes. Closing aborts what runs.
 */
export function runJobs(jobs: readonly NamedJob[], log: Log, metrics: Pick<Metrics, 'jobRuns'>): Close {
  const control = new AbortController()
  const timers = new Map<NamedJob, NodeJS.Timeout>()

  const run = async (named: NamedJob) => {
    const { plugin, name, job } = named
    try {
      await call({ plugin, hook: `job ${name}` }, ctx => job.run(ctx), {
        log,
        signal: control.signal,
        deadline: job.deadline ?? 600_000,
      })
      metrics.jobRuns.inc({ plugin, job: name, status: 'success' })
    } catch (error) {
      if (control.signal.aborted) return
      metrics.jobRuns.inc({ plugin, job: name, status: 'failure' })
      log.error('a job failed', { plugin, job: name, error })
    }
    if (!control.signal.aborted) timers.set(named, setTimeout(run, job.every, named).unref())
  }

  for (const named of jobs) timers.set(named, setTimeout(run, named.job.atStart ? 0 : named.job.every, named).unref())

  return () => {
    control.abort(new Error('The hub is closing.'))
    for (const timer of timers.values()) clearTimeout(timer)
  }
}
