import type { Close, Log } from '../plugin.ts'
import { keepRunning } from './child.ts'
import { serviceEnvironment } from './environment.ts'
import type { Services } from './services.ts'
import { systemUser } from './system-user.ts'

/** Run the services that have a command, until closed. `hub.address`: `http://host:port`, as programs on this machine reach the hub. */
export function runServices(services: Services, hub: { base: string; address: string; url: URL | undefined }, log: Log): Close {
  const closes = [...services.all()].flatMap(service => {
    const { name, settings } = service
    if (!settings.command) return []
    const as = settings.user === undefined ? undefined : systemUser(settings.user)
    const env = serviceEnvironment(service, { base: hub.base, hub: hub.address, url: hub.url, as })
    const running = (pid: number) => {
      service.pid = pid
      if (pid === 0) return
      service.started = new Date().toISOString()
      service.starts++
    }
    return [
      keepRunning({
        command: settings.command,
        cwd: settings.cwd,
        env,
        as: as && { uid: as.uid, gid: as.gid },
        log: log.with({ service: name }),
        running,
      }),
    ]
  })
  return async () => {
    await Promise.all(closes.map(close => close()))
  }
}
