import { messageOf } from '../errors.ts'
import type { Log } from '../plugin.ts'
import type { Service, Services } from './services.ts'

/** Milliseconds that a service may take to answer. */
const patience = 10_000

/** Looks at the services that run elsewhere: says which of them do not answer, and which do again. Nothing else comes of it. */
export function createProbe(services: Services, log: Log): (signal: AbortSignal) => Promise<void> {
  const silent = new Set<string>()
  return async function probe(signal) {
    const elsewhere = [...services.all()].filter(({ path, settings }) => path && !settings.command)
    await Promise.all(
      elsewhere.map(async service => {
        const why = await whyNot(service, AbortSignal.any([signal, AbortSignal.timeout(patience)]))
        if (signal.aborted) return
        const { name } = service
        service.probe = { at: new Date().toISOString(), why }
        if (why !== undefined && !silent.has(name))
          log.warn('a service does not answer', { service: name, url: service.settings.url, why })
        if (why === undefined && silent.has(name)) log.info('a service answers again', { service: name })
        if (why === undefined) silent.delete(name)
        else silent.add(name)
      }),
    )
  }
}

/** Anything below 500 is an answer: who is not signed in is sent away, and that is fine. */
async function whyNot({ path, settings: { url } }: Service, signal: AbortSignal): Promise<string | undefined> {
  try {
    const reply = await fetch(new URL(path, url), { redirect: 'manual', signal })
    await reply.body?.cancel()
    return reply.status < 500 ? undefined : `status ${reply.status}`
  } catch (error) {
    return messageOf(error instanceof Error && error.cause ? error.cause : error)
  }
}
