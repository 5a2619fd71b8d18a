import { type Cause, type Context, HubError, isHubError, messageOf } from 'swarmhub'
import { z } from 'zod'
import type { Docker } from '../docker/client.ts'
import { jsonLines } from '../docker/lines.ts'
import { causeOfNoImage } from './cause.ts'
import { registryOf, signIn } from './registries.ts'
import { secretFile } from './service.ts'
import type { Settings } from './settings.ts'

/** What is read of an image. */
const imageShape = z.object({
  RepoDigests: z.array(z.string()).nullish(),
  Size: z.number().optional(),
  Config: z.object({ Cmd: z.array(z.string()).nullish(), Entrypoint: z.array(z.string()).nullish() }).nullish(),
})
type Image = z.output<typeof imageShape>

/** What a service is told to run. */
export interface Run {
  /** Stands in for the ENTRYPOINT. */
  Command?: readonly string[]
  /** Stand in for the CMD. */
  Args?: readonly string[]
  /** Does it need an init? Not when the image brings one. */
  init: boolean
}

/** How long a tag is taken for the digest that it was found to have, milliseconds. */
const fresh = 300_000
/** How long an image is taken for what it was seen to be, milliseconds: one start asks twice. */
const justSeen = 1000

/** What notebook images are started by, first the scripts of Jupyter's own images. */
const usual = ['start-notebook.py', 'start-notebook.sh', 'start-singleuser.py', 'start-singleuser.sh', 'jupyterhub-singleuser']

/** Finds out about images, through the engine. */
export function images(docker: Docker, registries: Settings['registries']) {
  const digests = new Map<string, { at: number; pinned: string }>()
  const inspected = new Map<string, { at: number; image: Image }>()
  const sizes = new Map<string, number>()

  async function inspect(name: string, signal: AbortSignal): Promise<Image | undefined> {
    const seen = inspected.get(name)
    if (seen && performance.now() - seen.at < justSeen) return seen.image
    try {
      const image = await docker.ask({ path: `/images/${name}/json` }, imageShape, signal)
      inspected.set(name, { at: performance.now(), image })
      return image
    } catch (error) {
      if (isHubError(error) && error.code === 'missing') return undefined
      throw error
    }
  }

  /** The digest that its registry has for this name, or for this digest. */
  async function lookUp(name: string, signal: AbortSignal): Promise<string> {
    const request = { path: `/distribution/${name}/json`, headers: signIn(registries, name), deadline: 5000 }
    return (await docker.ask(request, distribution, signal)).Descriptor.digest
  }

  /** Gets it onto the hub's own engine. */
  async function pull(name: string, ctx: Context): Promise<void> {
    const layers = new Map<string, { current: number; total: number }>()
    const query = { fromImage: name, ...(!/@|:[^/]*$/.test(name) && { tag: 'latest' }) }
    const request = {
      method: 'POST',
      path: '/images/create',
      query,
      headers: signIn(registries, name),
      deadline: 60_000,
    } as const
    for await (const line of jsonLines(await docker.open(request, ctx.signal))) {
      const { error, id = '', progressDetail } = pullLine.catch({}).parse(line)
      if (error) throw new HubError('unavailable', `The image ${name} could not be pulled: ${error}`)
      if (progressDetail?.current === undefined || !progressDetail.total) continue
      layers.set(id, { current: progressDetail.current, total: progressDetail.total })
      const sum = (key: 'current' | 'total') => [...layers.values()].reduce((all, layer) => all + layer[key], 0)
      const percent = Math.floor((100 * sum('current')) / sum('total'))
      ctx.progress(`Getting the image ${name} to know its command: ${percent - (percent % 5)} %`, percent)
    }
  }

  async function pulled(name: string, ctx: Context): Promise<Image | undefined> {
    try {
      await pull(name, ctx)
      return await inspect(name, ctx.signal)
    } catch (error) {
      ctx.signal.throwIfAborted()
      ctx.log.warn('the command of an image is not known: one of the usual ones is taken', {
        image: name,
        error: messageOf(error),
      })
      return undefined
    }
  }

  return {
    /** How large it is, unpacked, in bytes; undefined when this engine does not have it. */
    async size(name: string, signal: AbortSignal): Promise<number | undefined> {
      const known = sizes.get(name)
      if (known !== undefined) return known
      const { Size } = (await inspect(name, signal)) ?? {}
      if (Size !== undefined) sizes.set(name, Size)
      return Size
    },

    /**
     * The image by its digest, so that every node runs the same one and none asks the registry for what it has. As it is when it was built
     * here, or when no registry can be asked.
     */
    async pinned(name: string, { signal, log }: Context): Promise<string> {
      if (/@sha256:|^sha256:/.test(name)) return name
      const known = digests.get(name)
      if (known && performance.now() - known.at < fresh) return known.pinned
      const local = await inspect(name, signal)
      // Built or loaded here. A registry may have another one under this name.
      if (local && !local.RepoDigests?.length) return name
      const digest = await lookUp(name, signal).catch(error => {
        signal.throwIfAborted()
        log.warn('the registry does not tell the digest of an image: it is taken by its name', {
          image: name,
          error: messageOf(error),
        })
        return undefined
      })
      const pinned = digest === undefined ? name : `${name}@${digest}`
      digests.set(name, { at: performance.now(), pinned })
      return pinned
    },

    /** Why a node has not found it: nodes do not tell, so its registry is asked again. */
    async whyNot(name: string, cause: Cause, signal: AbortSignal): Promise<Cause> {
      try {
        await lookUp(name, signal)
        return { ...cause, hint: 'Its registry has it, so the machine cannot reach that registry. Tell your administrator.' }
      } catch (error) {
        signal.throwIfAborted()
        const registry = registryOf(name)
        return causeOfNoImage({ image: name, registry, known: Object.hasOwn(registries, registry) }, cause, messageOf(error))
      }
    },

    /**
     * What runs in the container: the image's own ENTRYPOINT, and in it the profile's command, else the image's CMD. With a secret, a shell
     * reads that first and becomes the command; only then the CMD has to be known. An image that the hub's engine neither has nor can
     * pull is started by the first of the usual scripts that it has.
     */
    async run(name: string, { command, secret }: { command?: readonly string[]; secret: boolean }, ctx: Context): Promise<Run> {
      const here = await inspect(name, ctx.signal)
      const image = here ?? (secret && !command ? await pulled(name, ctx) : undefined)
      const { Cmd, Entrypoint } = image?.Config ?? {}
      const init = !/(^|\/)(tini|dumb-init|docker-init)$/.test(Entrypoint?.[0] ?? '')
      if (!secret) return { init, ...(command && { Args: command }) }
      if (command) return { init, Args: wrapped('exec "$@"', command) }
      if (!image) return { init, Args: wrapped(firstOf(usual)) }
      if (Cmd?.length) return { init, Args: wrapped('exec "$@"', Cmd) }
      // All is in the ENTRYPOINT: arguments would get into its way, so the shell goes before it.
      if (Entrypoint?.length) return { init, Command: wrapped('exec "$@"', Entrypoint) }
      throw new HubError('failed', `The image ${name} has no command. Say what is to run in it: \`command\` in the profile.`)
    },
  }
}

/** A shell that sets the secret variables, and goes on with the script. */
const wrapped = (script: string, args: readonly string[] = []) => ['sh', '-c', `. ${secretFile} && ${script}`, 'sh', ...args]

const firstOf = (commands: readonly string[]) =>
  `{ for start in ${commands.join(' ')}; do command -v "$start" >/dev/null && exec "$start"; done; ` +
  `echo "none of ${commands.join(', ')} is in this image" >&2; exit 127; }`

const distribution = z.object({ Descriptor: z.object({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) }) })

const pullLine = z.object({
  id: z.string().optional(),
  error: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).optional(),
})
