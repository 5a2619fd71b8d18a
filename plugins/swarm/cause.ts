import type { Cause } from 'swarmhub'
import { type Keeping, whereNext } from './storage.ts'

/** What is known of a server that failed, beside the engine's words. */
interface Failed {
  image: string
  /** Its limit, bytes. */
  memory: number | undefined
  /** Undefined when its process never ran. */
  exitCode: number | undefined
}

const admin = 'Tell your administrator.'

/** By the engine's words, what they mean. The first that fits. */
const meanings: [RegExp, (failed: Failed) => Cause][] = [
  [
    /unauthorized|authentication required|no basic auth|pull access denied|denied: requested access/i,
    ({ image }) => ({
      code: 'registry-auth',
      message: `The registry does not give out the image ${image} without a password.`,
      hint: admin,
    }),
  ],
  [
    /no such image|manifest (for .* )?(not found|unknown)|repository .* not found|reference does not exist/i,
    ({ image }) => ({
      code: 'no-image',
      message: `The image ${image} was not found.`,
      hint: `${admin} Is its name right, and can the nodes reach its registry?`,
    }),
  ],
  [
    /\bmount\b|volume|bind source path/i,
    () => ({ code: 'mount', message: 'A folder of this server could not be mounted.', hint: `${admin} Is the storage up?` }),
  ],
  [
    /network|endpoint|available IP|address already in use|port is already allocated/i,
    () => ({
      code: 'network',
      message: 'The server could not be connected to its network.',
      hint: `Try again. If it happens again: ${admin}`,
    }),
  ],
  [
    /executable file not found|exec format error|OCI runtime|permission denied|starting container failed/i,
    ({ image }) => ({
      code: 'engine',
      message: `The container could not be started from the image ${image}.`,
      hint: `${admin} Has the image the command that is to run in it?`,
    }),
  ],
]

/** Why a task failed or was rejected. */
export function causeOfFailure(words: string, failed: Failed): Cause {
  const engine = words ? { engine: words.slice(0, 500) } : {}
  const { exitCode } = failed
  if (exitCode !== undefined && /non-zero exit/.test(words)) return { ...causeOfExit(exitCode, failed), ...engine, exitCode }
  const meaning = meanings.find(([pattern]) => pattern.test(words))?.[1](failed)
  return { ...(meaning ?? { code: 'engine', message: 'The container engine could not run the server.', hint: admin }), ...engine }
}

function causeOfExit(exitCode: number, { memory, image }: Failed): Cause {
  if (exitCode === 137 && memory) {
    const limit = memory >= 2 ** 30 ? `${+(memory / 2 ** 30).toFixed(1)} GiB` : `${Math.round(memory / 2 ** 20)} MiB`
    return {
      code: 'out-of-memory',
      message: `The server was ended by force, most likely because it used more than the ${limit} of memory that it may have.`,
      hint: 'Start it again, and work on less data at a time; or take a larger profile.',
    }
  }
  if (exitCode === 126 || exitCode === 127) {
    return { code: 'exited', message: `The image ${image} does not have the command that is to run in it.`, hint: admin }
  }
  if (exitCode > 128) {
    return {
      code: 'killed',
      message: `The server was ended from outside, by signal ${exitCode - 128}.`,
      hint: `Start it again. If it happens again: ${admin}`,
    }
  }
  return {
    code: 'exited',
    message: `The server ended by itself, with exit code ${exitCode}.`,
    hint: `The last lines of its log may tell why. ${admin}`,
  }
}

/** Why no node fits. The scheduler gives a reason for each group of nodes, separated by `;`. */
export function causeOfWaiting(words: string, constraints: readonly string[]): Cause {
  const reasons = [
    [/constraints not satisfied/, `it may run only where ${constraints.join(' and ') || 'the constraints hold'}`],
    [/insufficient resources/, 'there is not enough CPU or memory free'],
    [/missing plugin/, 'a volume or network plugin is not installed'],
    [/unsupported platform/, 'its image is for another kind of processor'],
    [/port already in use/, 'its port is taken'],
    [/not available/, 'nodes are down or closed for new servers'],
  ] as const
  const known = reasons.flatMap(([pattern, reason]) => (pattern.test(words) ? [reason] : []))
  return {
    code: 'no-node',
    message: `No machine of the Swarm can run this server${known.length > 0 ? `: ${known.join('; ')}` : ''}.`,
    hint: /insufficient/.test(words) ? `Try again later, or take a smaller profile. ${admin}` : admin,
    engine: words.slice(0, 500),
  }
}

/** Its node is gone, and it with it. */
export function lost(node: string | undefined, words: string | undefined, keeping: Keeping): Cause {
  return {
    code: 'node-lost',
    message: `The machine on which the server ran${node === undefined ? '' : `, ${node},`} does not answer any more.`,
    hint: `What was not saved is lost. ${whereNext[keeping]}`,
    ...(words && { engine: words.slice(0, 500) }),
  }
}

/** It was there, and is not any more. */
export const missing: Cause = {
  code: 'missing',
  message: 'The server is not on the Swarm any more.',
  hint: 'Start it again.',
}
