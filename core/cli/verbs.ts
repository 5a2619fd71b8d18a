import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { plan } from '../config/plan.ts'
import { HubError } from '../errors.ts'
import { addressOf, openFront } from '../front.ts'
import { createHub } from '../hub.ts'
import { createLog } from '../log.ts'
import type { Close, Log } from '../plugin.ts'
import type { Asked } from './arguments.ts'
import { giveOrder, type Order, serveControl } from './control.ts'
import { untilTold } from './ending.ts'
import { forkHub } from './hub-child.ts'
import { newToken, openPlaces, placesOf, readAddress, routeApi } from './places.ts'
import { lockWait } from './supervised-hub.ts'
import { type Supervisor, superviseHub } from './supervisor.ts'

/** Milliseconds beyond the hub's grace: for what a front has under way, and until a hub that does not end is killed. */
const frontGrace = 15_000
const killAfter = 2000

/** Load the config and log what is allowed but looks like a slip. */
async function load(asked: Asked, lenientSecrets: boolean): Promise<LoadedConfig & { log: Log }> {
  const loaded = await loadConfig({ file: asked.config, lenientSecrets })
  return { ...loaded, log: createLog(loaded.settings.log) }
}

/** `swarmhub start`: the front, and the hub as its child. Resolves with the exit code. `main` is this program. */
export async function start(asked: Asked, main: string): Promise<number> {
  const { log, ...loaded } = await load(asked, true)
  const { settings, dataFolder, file } = loaded
  const { grace } = settings.timeouts
  const places = await openPlaces(dataFolder)
  const opened: Close[] = []
  let hub: Supervisor | undefined
  let good = true
  // First of all: of two that are started at once only one comes further.
  opened.push(await serveControl(places.control, order => carryOut(order), log))
  const ending = untilTold({ log, grace: grace + frontGrace, last: () => hub?.kill(), lenient: true })
  const up = async () => {
    const routeApi = { at: { socket: places.routes }, token: await newToken(places) }
    hub = superviseHub({
      fork: () => forkHub(main, file),
      meet: { socket: places.hub, routeApi },
      end: () => ending.tell('it was asked for over the API'),
      grace: grace + killAfter,
      leaves: settings.servers.stopOnExit,
      log,
    })
    await hub.prepare()
    opened.push(await openFront(loaded, { hub: { socket: places.hub }, routeApi, log }))
    await hub.start()
    log.info(`swarmhub is at ${addressOf(settings)}`)
    await ending.told
  }
  try {
    // It may be told to end before it is up.
    await Promise.race([up(), ending.told])
  } finally {
    good = (await hub?.close()) ?? true
    for (const close of opened.reverse()) await close()
  }
  return good ? 0 : 1

  async function carryOut(order: Order): Promise<string> {
    if (!hub) throw new HubError('busy', 'The hub is just being started. Try again in a moment.')
    if (order.do === 'command') return hub.command(order.plugin, order.verb, order.args)
    await hub.restart()
    return 'The new hub has taken over.\n'
  }
}

/** `swarmhub front`. */
export async function front(asked: Asked): Promise<number> {
  const { log, ...loaded } = await load(asked, true)
  const { settings, dataFolder } = loaded
  if (!settings.proxy.proxy.serve)
    throw new HubError('config', `There is no front to run: the proxy of this config (${settings.proxy.name}) runs by itself.`)
  const places = await openPlaces(dataFolder)
  const hub = asked.hub ?? process.env.SWARMHUB_HUB
  const ending = untilTold({ log, grace: frontGrace, lenient: true })
  const close = await openFront(loaded, {
    hub: hub === undefined ? { socket: places.hub } : readAddress(hub),
    routeApi: await routeApi(asked.api ?? process.env.SWARMHUB_ROUTE_API, places),
    log,
  })
  log.info(`the front is at ${addressOf(settings)}`)
  await ending.told
  await close()
  return 0
}

/** `swarmhub hub`. */
export async function hub(asked: Asked): Promise<number> {
  const { log, ...loaded } = await load(asked, false)
  const { grace } = loaded.settings.timeouts
  for (const warning of loaded.warnings) log.warn(warning)
  const places = await openPlaces(loaded.dataFolder)
  const ending = untilTold({ log, grace })
  const hub = createHub(loaded, {
    log,
    socket: places.hub,
    routeApi: await routeApi(asked.front ?? process.env.SWARMHUB_FRONT, places),
    end: () => ending.tell('it was asked for over the API'),
  })
  let close: Close = () => {}
  try {
    await hub.start({ wait: grace + lockWait, signal: ending.signal })
    close = await serveControl(
      places.control,
      async order => {
        if (order.do === 'command') return hub.command(order.plugin, order.verb, order.args)
        throw new HubError('invalid', 'This hub runs apart from its front: end it, and let what started it start it again.')
      },
      log,
    )
    await ending.told
    await hub.leave()
  } catch (error) {
    if (!ending.signal.aborted) throw error
  } finally {
    await close()
    await hub.close()
  }
  return 0
}

/** `swarmhub restart`. */
export async function restart(asked: Asked): Promise<string> {
  const { dataFolder } = await loadConfig({ file: asked.config, lenientSecrets: true })
  return giveOrder(placesOf(dataFolder).control, { do: 'restart' })
}

/** `swarmhub check`. */
export async function check(asked: Asked): Promise<string> {
  return plan(await loadConfig({ file: asked.config }))
}

/** `swarmhub <plugin> <verb> …`, carried out inside the running hub. */
export async function command({ verb: name, rest: [verb, ...args], config }: Asked): Promise<string> {
  const { plugins, dataFolder } = await loadConfig({ file: config, lenientSecrets: true })
  const plugin = plugins.find(plugin => plugin.name === name)
  if (!plugin)
    throw new HubError('invalid', `There is no verb and no plugin "${name}". See "swarmhub help" and "swarmhub check".`)
  if (verb === undefined) {
    const verbs = Object.entries(plugin.commands ?? {}).map(([verb, { summary }]) => `  swarmhub ${name} ${verb}  ${summary}`)
    if (verbs.length === 0) throw new HubError('invalid', `The plugin ${name} has no commands.`)
    return `${verbs.join('\n')}\n`
  }
  const text = await giveOrder(placesOf(dataFolder).control, { do: 'command', plugin: name, verb, args })
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
