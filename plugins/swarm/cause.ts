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

const locked = /unauthorized|authentication required|no basic auth|incorrect username or password|access.*denied|denied:/i
const unknown =
  /no such image|manifest (for .* )?(not found|unknown)|repository .* not found|name unknown|reference does not exist/i

/** By the engine's words, what they mean. The first that fits. */
const meanings: [RegExp, (failed: Failed) => Cause][] = [
  [
    locked,
    ({ image }) => ({
      code: 'registry-auth',
      message: `The registry does not give out the image ${image} without a password.`,
      hint: admin,
    }),
  ],
  [
    unknown,
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

/** Why nodes do not get an image, by what its registry tells the hub of it; `known`: there are credentials for it. */
export function causeOfNoImage(
  { image, registry, known }: { image: string; registry: string; known: boolean },
  cause: Cause,
  words: string,
): Cause {
  const engine = `${cause.engine ?? ''}\n${words}`.trim().slice(0, 500)
  if (locked.test(words)) {
    return {
      code: 'registry-auth',
      message: known
        ? `The registry ${registry} does not accept the name and password that the hub has for it, or not for the image ${image}.`
        : `The registry ${registry} does not give out the image ${image} without a password, or has no such image.`,
      hint: `${admin} \`registries\` in the options of swarm() says with which password.`,
      engine,
    }
  }
  if (unknown.test(words)) {
    return { ...cause, message: `The registry ${registry} has no image ${image}.`, hint: `${admin} Is its name right?`, engine }
  }
  return {
    ...cause,
    message: `The machine does not have the image ${image}, and its registry ${registry} cannot be asked for it.`,
    hint: `${admin} Is the name of the image right, and does its registry run?`,
    engine,
  }
}

function causeOfExit(exitCode: number, { memory, image }: Failed): Cause {
  if (exitCode === 137 && memory) {
    return {
      code: 'out-of-memory',
      message: `The server was ended by force, most likely because it used more than the ${bytes(memory)} of memory that it may have.`,
      hint: smaller,
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

const smaller = 'Start it again, and work on less data at a time; or take a larger profile.'

/** With what the engine of its node knows of the end of a container. Nodes other than the hub's own cannot be asked. */
export function causeOfForce(cause: Cause, outOfMemory: boolean, memory: number | undefined): Cause {
  if (!outOfMemory) {
    return {
      ...cause,
      code: 'killed',
      message: 'The server was ended from outside by force, and not for want of memory.',
      hint: `Start it again. If it happens again: ${admin}`,
    }
  }
  const message = memory
    ? `The server was ended because it used more than the ${bytes(memory)} of memory that it may have.`
    : 'The server was ended because its machine ran out of memory.'
  return { ...cause, code: 'out-of-memory', message, hint: smaller }
}

/** A network has no address left. The engine says so in its own log only: the server waits for ever. */
export function causeOfNoAddress(name: string, subnets: readonly string[], taken: number): Cause {
  return {
    code: 'network',
    message: `The network ${name} (${subnets.join(', ')}) has no address left for this server: all ${taken} are taken.`,
    hint: `Try again when somebody has stopped a server. ${admin} A network with a larger \`subnet\` has room for more.`,
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

/** "1.5 GiB": an amount of memory for a person. */
export function bytes(amount: number): string {
  return amount >= 2 ** 30 ? `${+(amount / 2 ** 30).toFixed(1)} GiB` : `${Math.round(amount / 2 ** 20)} MiB`
}
