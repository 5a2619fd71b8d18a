import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from '../config/env.ts'
import { HubError } from '../errors.ts'
import type { RouteApi } from '../plugin.ts'
import { makeFolder } from '../store/folder.ts'

export type Address = RouteApi['at']

/** Where the processes of one hub meet. */
export interface Places {
  folder: string
  /** Listens to `swarmhub restart` and to plugins' commands. */
  control: string
  /** The hub, for the front. */
  hub: string
  /** The front's route API. */
  routes: string
  /** The file with the secret of the route API. */
  token: string
}

/** Bytes that the path of a unix socket may have. */
const longest = 107

/** The places of the hub with this data folder: in it, or where their paths would be too long for sockets, in the system's folder for temporary files. */
export function placesOf(dataFolder: string): Places {
  const inData = join(dataFolder, 'run')
  const short = join(tmpdir(), `swarmhub-${createHash('sha256').update(dataFolder).digest('hex').slice(0, 16)}`)
  const folder = Buffer.byteLength(join(inData, 'control.sock')) <= longest ? inData : short
  const place = (name: string) => join(folder, name)
  return {
    folder,
    control: place('control.sock'),
    hub: place('hub.sock'),
    routes: place('routes.sock'),
    token: place('route-token'),
  }
}

/** Make the folder of these places, for nobody but this user. Throws `config` when somebody else has made it. */
export async function openPlaces(dataFolder: string): Promise<Places> {
  await makeFolder(dataFolder)
  const places = placesOf(dataFolder)
  await mkdir(places.folder, { recursive: true, mode: 0o700 })
  const { mode, uid } = await lstat(places.folder).then(found => (found.isDirectory() ? found : { mode: 0o777, uid: -1 }))
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0)
    throw new HubError('config', `${places.folder} is not a folder of this user alone. Remove it, or start as its owner.`)
  return places
}

/** The secret of the route API for a front and its own hub: a new one. */
export async function newToken({ token }: Places): Promise<string> {
  await rm(token, { force: true })
  return sharedToken({ token })
}

/** The secret of the route API for a front and a hub that are started apart: whoever comes first makes it. */
export async function sharedToken({ token }: Pick<Places, 'token'>): Promise<string> {
  const made = randomBytes(32).toString('base64url')
  try {
    await writeFile(token, made, { mode: 0o600, flag: 'wx' })
    return made
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return readFile(token, 'utf8')
  }
}

/** Where the route API is and what opens it, for a front and a hub that are started apart. `said` is what the flag or the environment says. */
export async function routeApi(said: string | undefined, places: Places): Promise<RouteApi> {
  const at: Address = said === undefined ? { socket: places.routes } : readAddress(said)
  const given = env('SWARMHUB_ROUTE_TOKEN', '')
  if (given !== '') return { at, token: given }
  if ('socket' in at) return { at, token: await sharedToken(places) }
  throw new HubError(
    'config',
    'SWARMHUB_ROUTE_TOKEN is not set. Front and hub need the same secret: set it, or SWARMHUB_ROUTE_TOKEN_FILE to the path of a file that holds it.',
  )
}

/** `http://hub:8081`, `hub:8081`, or the path of a unix socket. Throws `invalid` for anything else. */
export function readAddress(text: string): Address {
  if (text.startsWith('/')) return { socket: text }
  const [, host, port] = /^(?:http:\/\/)?(\[[\da-f:.]+\]|[\w.-]+):(\d{1,5})\/?$/i.exec(text) ?? []
  if (host !== undefined && Number(port) <= 65_535) return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
  throw new HubError(
    'invalid',
    `"${text}" is no address. Expected one such as "http://hub:8081", "0.0.0.0:8001" or "/run/hub.sock".`,
  )
}
