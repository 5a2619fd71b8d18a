import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Builder, deliver, withBuilder } from './builder.ts'
import { run } from './command.ts'
import { type AptConfiguration, aptConfiguration } from './debian.ts'
import { docker, dockerEnv } from './docker.ts'
import type { Lab } from './lab.ts'
import { type Site, site, timed } from './site.ts'

/** What Dockerfiles have in `FROM`: built here, since nothing can be pulled. */
export const BASE_IMAGE = 'debian:bookworm-slim'
/** The name that the project's own Dockerfile has in `FROM`. */
export const NODE_IMAGE = 'node:24-bookworm-slim'
/** Debian's real jupyterhub-singleuser 3.0.0 with jupyter_server 1.23. */
export const NOTEBOOK_IMAGE = 'swarmhub-lab/notebook:bookworm'
/** Says why and exits with 1, at once. */
export const EXITS_IMAGE = 'swarmhub-lab/exits:1'
/** Runs for ever, and never listens. */
export const SILENT_IMAGE = 'swarmhub-lab/silent:1'

const nodeVersion = '24.21.0'

/** One image: its recipe is what its key is made of, so that a changed recipe is built anew. */
interface Recipe {
  tag: string
  key: string
  build(builder: Builder, folder: string): Promise<void>
}

type Known = Record<string, { key: string; id: string }>

/** Builds what is not in the cache yet. Gives the image's id by its tag. */
export async function ensureImages(here: Site): Promise<Record<string, string>> {
  const file = join(here.cache, 'images.json')
  const known: Known = JSON.parse(await readFile(file, 'utf8').catch(() => '{}'))
  const wanted = await recipes()
  if (wanted.some(({ tag, key }) => known[tag]?.key !== key)) {
    await withBuilder(here, async builder => {
      const make = async ({ tag, key, build }: Recipe) => {
        if (known[tag]?.key === key) return
        await timed(`image ${tag} built`, () => inFolder(here, folder => build(builder, folder)))
        known[tag] = { key, id: await docker(builder, 'image', 'inspect', '-f', '{{.Id}}', tag) }
        await writeFile(file, JSON.stringify(known, null, 2))
      }
      const [base, ...onBase] = wanted as [Recipe, ...Recipe[]]
      await make(base)
      // All of them, also when one fails: the engine is not stopped under a build.
      const made = await Promise.allSettled(onBase.map(make))
      for (const one of made) if (one.status === 'rejected') throw one.reason
      await docker(builder, 'image', 'prune', '-f')
    })
  }
  return Object.fromEntries(wanted.map(({ tag }) => [tag, known[tag]!.id]))
}

/** Makes sure that every node has exactly these images. */
export async function provide(here: Site, images: Record<string, string>, nodes: { socket: string }[]): Promise<void> {
  const lists = await Promise.all(
    nodes.map(node => docker(node, 'images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')),
  )
  const lacking = Object.entries(images).flatMap(([tag, id]) => (lists.every(list => list.includes(`${tag} ${id}`)) ? [] : [tag]))
  if (lacking.length)
    await timed(`${lacking.join(', ')} loaded`, () => withBuilder(here, builder => deliver(builder, lacking, nodes)))
  await Promise.all(nodes.map(node => docker(node, 'image', 'prune', '-f')))
}

/** What a test wants built. */
export interface Build {
  tag: string
  /** The folder that is sent to the engine; its .dockerignore counts. */
  context: string
  /** `Dockerfile` in the context when left out. */
  dockerfile?: string
  args?: Record<string, string>
}

/** Builds a Dockerfile on the machine's own network and loads the image into every node. Gives its id. */
export async function buildImage(lab: Pick<Lab, 'nodes'>, build: Build): Promise<string> {
  return withBuilder(await site(), async builder => {
    await dockerBuild(builder, build)
    await deliver(builder, [build.tag], lab.nodes)
    await docker(builder, 'image', 'prune', '-f')
    return docker(builder, 'image', 'inspect', '-f', '{{.Id}}', build.tag)
  })
}

async function dockerBuild(builder: Builder, { tag, context, dockerfile, args = {} }: Build): Promise<void> {
  const proxies = Object.entries(process.env).filter(([name]) => /^(https?|no)_proxy$/i.test(name))
  const given = [...proxies, ...Object.entries(args)].flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
  const file = dockerfile ? ['-f', dockerfile] : []
  const command = ['-H', `unix://${builder.socket}`, 'build', '--network', 'host', '-t', tag, ...file, ...given, context]
  await run('docker', command, { env: dockerEnv(), timeout: 1_200_000 })
}

async function recipes(): Promise<Recipe[]> {
  const [apt, npm] = await Promise.all([aptConfiguration(), npmConfiguration()])
  const base: Recipe = {
    tag: BASE_IMAGE,
    key: hash('debootstrap minbase bookworm 2', apt.sources, apt.acquire),
    build: (builder, folder) => debootstrap(builder, folder, apt),
  }
  const onBase = (tag: string, files: Record<string, string>, prepare = async (_folder: string) => {}): Recipe => ({
    tag,
    key: hash(base.key, JSON.stringify(files)),
    async build(builder, folder) {
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o755 })
      await prepare(folder)
      await dockerBuild(builder, { tag, context: folder })
    },
  })
  return [
    base,
    onBase(NOTEBOOK_IMAGE, { Dockerfile: notebook, 'start-notebook.sh': startNotebook }),
    onBase(NODE_IMAGE, { Dockerfile: node, npmrc: npm.npmrc, 'docker-entrypoint.sh': nodeEntrypoint }, fetchNode),
    onBase(EXITS_IMAGE, { Dockerfile: exits }),
    onBase(SILENT_IMAGE, { Dockerfile: silent }),
  ]
}

const notebook = `FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends jupyterhub jupyter-notebook python3-notebook python3-ipykernel \\
    python3-jupyter-server tini && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home --shell /bin/bash jovyan && install -d -o jovyan -g jovyan /home/jovyan/work
COPY start-notebook.sh /usr/local/bin/
USER jovyan
WORKDIR /home/jovyan
EXPOSE 8888
ENTRYPOINT ["tini", "-g", "--"]
CMD ["start-notebook.sh"]
`

const startNotebook = `#!/bin/sh
# As in docker-stacks: under a hub the hub's program, else the plain one.
if [ -n "$JUPYTERHUB_API_TOKEN" ]; then exec jupyterhub-singleuser --ip=0.0.0.0 "$@"; fi
exec jupyter notebook --ip=0.0.0.0 --port=8888 --no-browser "$@"
`

const node = `FROM ${BASE_IMAGE}
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
COPY npmrc /usr/local/etc/npmrc
COPY docker-entrypoint.sh /usr/local/bin/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \\
    && node --version && npm --version
ENV NODE_VERSION=${nodeVersion}
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["node"]
`

const nodeEntrypoint = `#!/bin/sh
set -e
# As in the official image: what is no command is for node.
if [ "\${1#-}" != "\${1}" ] || [ -z "$(command -v "\${1}")" ] || { [ -f "\${1}" ] && ! [ -x "\${1}" ]; }; then set -- node "$@"; fi
exec "$@"
`

const exits = `FROM ${BASE_IMAGE}
CMD ["sh", "-c", "echo 'the licence server cannot be reached' >&2; exit 1"]
`

const silent = `FROM ${BASE_IMAGE}
STOPSIGNAL SIGKILL
CMD ["sleep", "infinity"]
`

/** A Debian root file system that reaches packages as this machine does, under the name that Dockerfiles have in `FROM`. */
async function debootstrap(builder: Builder, folder: string, apt: AptConfiguration): Promise<void> {
  const root = join(folder, 'root')
  const env = { ...process.env, ...(apt.httpProxy ? { http_proxy: apt.httpProxy } : {}) }
  await run('debootstrap', ['--variant=minbase', '--include=ca-certificates', 'bookworm', root, apt.mirror], { env })
  await writeFile(join(root, 'etc/apt/sources.list'), apt.sources)
  await writeFile(join(root, 'etc/apt/apt.conf.d/99lab'), apt.acquire)
  // As in the official image: what is installed in a layer need not survive a power cut.
  await writeFile(join(root, 'etc/dpkg/dpkg.cfg.d/lab'), 'force-unsafe-io\n')
  await run('sh', [
    '-c',
    'cp -R /usr/local/share/ca-certificates/. "$1" 2>/dev/null || true',
    'sh',
    join(root, 'usr/local/share/ca-certificates'),
  ])
  await run('chroot', [root, 'update-ca-certificates'])
  await run('rm', ['-rf', join(root, 'var/cache/apt/archives'), join(root, 'var/lib/apt/lists')])
  const importing = 'set -o pipefail; tar -C "$1" -c . | docker -H "unix://$2" import -c \'CMD ["bash"]\' - "$3"'
  await run('bash', ['-c', importing, 'bash', root, builder.socket, BASE_IMAGE], { env: dockerEnv() })
}

/** The official binary as the npm registry has it, and this machine's npm. */
async function fetchNode(folder: string): Promise<void> {
  const name = `node-linux-${process.arch}@${nodeVersion}`
  const tarball = (await run('npm', ['pack', '--silent', name], { cwd: folder })).trim()
  await run('tar', ['-C', folder, '--strip-components=2', '-xzf', join(folder, tarball), 'package/bin/node'])
  await rm(join(folder, tarball))
  await cp(join((await run('npm', ['root', '-g'])).trim(), 'npm'), join(folder, 'npm'), { recursive: true })
}

/** How this machine reaches the npm registry, as a file for an image. */
async function npmConfiguration(): Promise<{ npmrc: string }> {
  const config: Record<string, unknown> = JSON.parse(await run('npm', ['config', 'list', '--json', '--long']))
  const chosen = ['registry', 'proxy', 'https-proxy', 'replace-registry-host', 'strict-ssl']
  const lines = chosen.filter(name => config[name]).map(name => `${name}=${config[name]}`)
  // Debian's bundle has this machine's own authorities too: see `debootstrap`.
  return { npmrc: [...lines, 'cafile=/etc/ssl/certs/ca-certificates.crt', ''].join('\n') }
}

async function inFolder<T>(here: Site, work: (folder: string) => Promise<T>): Promise<T> {
  await mkdir(join(here.cache, 'tmp'), { recursive: true })
  const folder = await mkdtemp(join(here.cache, 'tmp/build-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function hash(...parts: string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}
