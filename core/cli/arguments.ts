import { parseArgs } from 'node:util'
import { HubError, messageOf } from '../errors.ts'

/** What the command line asks for. */
export interface Asked {
  /** One of ours, or the name of a plugin. */
  verb: string
  /** For a plugin: its verb, and what follows that as it was typed. */
  rest: string[]
  /** The config file; left out: found from the working directory. */
  config?: string
  /** Where the other process is, and where the route API listens; see `help`. */
  hub?: string
  front?: string
  api?: string
  /** Started by a front, which talks to it over its channel. */
  supervised: boolean
}

export const help = `swarmhub: a multi-user Jupyter hub

  swarmhub start              run front and hub: the front is the parent and outlives the hub
  swarmhub restart            replace the running hub by a new one with the present config, if that is good;
                              front, notebooks and their connections stay (so do the front's port and certificate)
  swarmhub check              say what the config means, or what is wrong with it; starts nothing
  swarmhub <plugin> <verb> …  carry out a plugin's command inside the running hub; \`swarmhub check\` lists them
  swarmhub front              run the front only      swarmhub hub   run the hub only
  swarmhub version            print the version       swarmhub help  print this

  --config FILE               the config; else hub.config.ts here or in a folder above

Front and hub apart. On one machine, with one data folder, they find each other by sockets in it. Else say where:

  swarmhub front --hub http://hub:8081 --api 0.0.0.0:8001
  swarmhub hub --front http://front:8001

  --hub URL       SWARMHUB_HUB          front: where the hub listens
  --api ADDRESS   SWARMHUB_ROUTE_API    front: where its route API is to listen; an address, or the path of a unix socket
  --front URL     SWARMHUB_FRONT        hub: where the front's route API listens
                  SWARMHUB_ROUTE_TOKEN  both: the secret that opens the route API, the same for both;
                                        or SWARMHUB_ROUTE_TOKEN_FILE, the file that holds it

SIGTERM and Ctrl-C finish what is under way and end with 0; a second one ends at once with 1. Notebooks go on either way.
`

const options = {
  config: { type: 'string', short: 'c' },
  hub: { type: 'string' },
  front: { type: 'string' },
  api: { type: 'string' },
  supervised: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const

/** Which options make sense with which of our verbs. */
const allowed = {
  start: ['config'],
  restart: ['config'],
  check: ['config'],
  front: ['config', 'hub', 'api'],
  hub: ['config', 'front', 'supervised'],
  version: [],
  help: [],
} as const satisfies Record<string, readonly (keyof typeof options)[]>

/** Read the command line. Throws `invalid` with what is wrong with it. */
export function readArguments(args: string[]): Asked {
  const { tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true })
  const [first, second] = tokens.filter(token => token.kind === 'positional')
  const ours = first === undefined || Object.hasOwn(allowed, first.value)
  // What follows a plugin's verb is the plugin's to read, options too.
  const end = ours || second === undefined ? args.length : second.index + 1
  const { values, positionals } = parse(args.slice(0, end))
  const [verb = values.version ? 'version' : 'help', ...rest] = positionals
  if (values.help) return { verb: 'help', rest: [], supervised: false }

  if (ours && rest.length > 0) throw usage(`"${verb}" takes no "${rest[0]}"`)
  const fitting: readonly string[] = Object.hasOwn(allowed, verb) ? allowed[verb as keyof typeof allowed] : ['config']
  const stray = Object.keys(values).find(name => name !== 'version' && !fitting.includes(name))
  if (stray) throw usage(`"${verb}" takes no --${stray}`)
  const { config, hub, front, api, supervised = false } = values
  return { verb, rest: [...rest, ...args.slice(end)], config, hub, front, api, supervised }
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw usage(messageOf(error).replace(/\. To specify.*/s, ''))
  }
}

const usage = (message: string) => new HubError('invalid', `${message}. See "swarmhub help".`)
