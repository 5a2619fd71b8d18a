import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { createHub, type HubProcess } from '../hub.ts'
import { createLog } from '../log.ts'
import type { Log } from '../plugin.ts'
import type { Asked } from './arguments.ts'
import { answered, type Reply } from './control.ts'
import { type Ending, untilTold } from './ending.ts'
import type { Leave, Request } from './hub-child.ts'

/** Milliseconds beyond its grace that a hub before this one may need to let go of the data folder. */
export const lockWait = 5000

/**
 * The hub as a front's child: does what the front asks over the channel between them, and ends when it is told to or when
 * there is no front any more. Resolves with the exit code.
 */
export async function supervisedHub({ config }: Asked): Promise<number> {
  // Where these lines went may be gone together with the front; the hub still ends in good order.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const { loaded, hub, ending, log } = await new Promise<Prepared>(resolve => {
    answer(createLog(), async request => {
      if (request.do !== 'check') throw new Error('asked before its config was checked')
      const prepared = await prepare(request, config)
      resolve(prepared)
      return JSON.stringify(prepared.loaded.bundle)
    })
  })
  process.once('disconnect', () => ending.tell('the front is gone'))
  answer(log, async request => {
    if (request.do === 'command') return hub.command(request.plugin, request.verb, request.args)
    if (request.do === 'leave') {
      await hub.leave()
      return ''
    }
    await hub.start({ wait: loaded.settings.timeouts.grace + lockWait, signal: ending.signal })
    return ''
  })
  await ending.told
  await hub.close()
  return 0
}

interface Prepared {
  loaded: LoadedConfig
  hub: HubProcess
  ending: Ending
  log: Log
}

async function prepare({ socket, routeApi, config }: Request & { do: 'check' }, file: string | undefined): Promise<Prepared> {
  const loaded = await loadConfig(config === undefined ? { file } : { bundle: JSON.parse(config) })
  const log = createLog(loaded.settings.log)
  for (const warning of loaded.warnings) log.warn(warning)
  return {
    loaded,
    hub: createHub(loaded, { log, socket, routeApi, end: leave => tell({ leave }) }),
    ending: untilTold({ log }),
    log,
  }
}

/** From now on the front's requests are carried out by this. */
function answer(log: Log, carryOut: (request: Request) => Promise<string>): void {
  process.removeAllListeners('message')
  process.on('message', ({ id, ...request }: Request & { id: number }) => {
    void answered(() => carryOut(request as Request), log).then(reply => {
      tell({ id, ...reply })
    })
  })
}

/** Nobody may be there any more to hear it. */
function tell(message: (Reply & { id: number }) | Leave): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
