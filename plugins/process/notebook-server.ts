import { spawn } from 'node:child_process'
import { access, constants, rm, stat, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { HubError, type Log, messageOf } from 'swarmhub'

/** What is asked for, in an environment that has it. */
const name = 'jupyterhub-singleuser'
const fromPip = ['jupyterhub', 'jupyterlab']
const fromDebian = ['jupyterhub', 'jupyter-notebook', 'python3-notebook', 'python3-ipykernel', 'python3-jupyter-server']

/** Milliseconds for a look at what is there, and for getting it. */
const look = 60_000
const get = 1_800_000

/** Milliseconds between two lines of progress: pip and apt write hundreds. */
const every = 500

const hint =
  'On this machine run "pip install jupyterhub jupyterlab", or on Debian "apt-get install jupyterhub jupyter-notebook python3-ipykernel".'

export interface NotebookServer {
  /** The absolute path of its command. */
  command: string
  /** Where it is from: `PATH`, `pip`, `Debian`. */
  from: string
}

export interface Search {
  /** The notebook server, searched or fetched if it has not been found yet. Who asks meanwhile waits for the same search. */
  find(tell?: (line: string) => void): Promise<NotebookServer>
  /** Why the last search was in vain; undefined while there is none or it found something. */
  readonly failure: unknown
  /** Gives up what is being fetched; what Debian's packages are at goes on to its end. */
  close(): void
}

/**
 * Finds a notebook server on this machine, or gets one: `jupyterhub-singleuser` on the PATH; else a virtual environment in
 * `folder` by pip; else Debian's packages, where this process may install them. With `install: false` it only looks.
 */
export function searchNotebookServer({ folder, install, log }: { folder: string; install: boolean; log: Log }): Search {
  const listeners = new Set<(line: string) => void>()
  const closing = new AbortController()
  let search: Promise<NotebookServer> | undefined
  let failure: unknown

  const tell = (line: string) => {
    for (const listener of listeners) listener(line)
  }
  const say = (line: string) => {
    log.info(line)
    tell(line)
  }
  let last = 0
  const chatter = (line: string) => {
    log.debug('installing', { line })
    if (performance.now() - last < every) return
    last = performance.now()
    tell(line.slice(0, 200))
  }
  const run = (command: string, args: string[], options: { deadline: number; lasting?: boolean; env?: NodeJS.ProcessEnv }) =>
    execute(command, args, { ...options, signal: options.lasting ? undefined : closing.signal, onLine: chatter })

  const environment = join(folder, 'venv')
  const inEnvironment = join(environment, 'bin', name)

  const ways: { from: string; try: () => Promise<string | undefined> }[] = [
    { from: 'PATH', try: () => onPath(name, process.env.PATH) },
    {
      from: 'pip',
      async try() {
        const complete = join(environment, 'complete')
        if (await exists(complete)) return inEnvironment
        if (!install) return undefined
        say('there is no notebook server here yet: getting JupyterLab with pip (a few minutes)')
        const clear = () => rm(environment, { recursive: true, force: true })
        await clear()
        try {
          await run('python3', ['-m', 'venv', environment], { deadline: 5 * look })
          // Where there is no package index this is over within seconds.
          const patience = ['--timeout', '15', '--retries', '1', '--progress-bar', 'off', '--disable-pip-version-check']
          await run(join(environment, 'bin', 'python3'), ['-m', 'pip', 'install', ...patience, ...fromPip], { deadline: get })
        } catch (error) {
          await clear()
          throw error
        }
        await writeFile(complete, '')
        return inEnvironment
      },
    },
    {
      from: 'Debian',
      async try() {
        if (!install || process.getuid?.() !== 0 || !(await onPath('apt-get', process.env.PATH))) return undefined
        say("getting the notebook server from Debian's packages (a few minutes)")
        const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
        const patience = ['-o', 'DPkg::Lock::Timeout=600', '-o', 'Acquire::Retries=2']
        // The package brings JupyterHub itself along, as a service that would take our port.
        if (await exists('/run/systemd/system')) await run('systemctl', ['mask', 'jupyterhub.service'], { deadline: look })
        // A package manager that is killed half-way leaves a broken machine behind.
        const options = { deadline: get, lasting: true, env }
        await run('apt-get', [...patience, 'update'], options)
        await run('apt-get', [...patience, 'install', '-y', '--no-install-recommends', ...fromDebian], options)
        return join('/usr/bin', name)
      },
    },
  ]

  async function go(): Promise<NotebookServer> {
    const failures: string[] = []
    for (const way of ways) {
      closing.signal.throwIfAborted()
      try {
        const command = await way.try()
        if (command === undefined) continue
        const lines = await run(command, ['--version'], { deadline: look })
        const version = lines.find(line => /^\d+\.\d+/.test(line))
        log.info('found a notebook server', { command, from: way.from, version })
        tell(`Found ${name} ${version ?? ''}`.trim())
        return { command, from: way.from }
      } catch (error) {
        closing.signal.throwIfAborted()
        failures.push(`${way.from}: ${messageOf(error)}`)
        log.warn('this way to a notebook server failed', { from: way.from, error: messageOf(error) })
        tell(`That failed (${way.from}).`)
      }
    }
    const message = `There is no notebook server (${name}) on this machine${install ? ' and none could be installed' : ''}.`
    log.error('no notebook server', { hint })
    throw new HubError('failed', message, {
      details: { code: 'missing', message, hint, ...(failures.length > 0 && { engine: failures.join('\n') }) },
    })
  }

  return {
    async find(listener) {
      if (listener) listeners.add(listener)
      search ??= go()
      try {
        const found = await search
        failure = undefined
        return found
      } catch (error) {
        // The next start searches again: somebody may have installed one.
        search = undefined
        failure = error
        throw error
      } finally {
        if (listener) listeners.delete(listener)
      }
    },
    get failure() {
      return failure
    },
    close: () => closing.abort(new HubError('cancelled', 'The hub is closing.')),
  }
}

/** The absolute path of a command, as a shell would find it. */
export async function onPath(command: string, path = '/usr/local/bin:/usr/bin:/bin'): Promise<string | undefined> {
  const places = command.includes('/') ? [command] : path.split(delimiter).map(folder => join(folder, command))
  for (const place of places) if (await isCommand(place)) return place
  return undefined
}

const isCommand = (file: string) =>
  Promise.all([access(file, constants.X_OK), stat(file)]).then(
    ([, { mode }]) => (mode & constants.S_IFMT) === constants.S_IFREG,
    () => false,
  )

const exists = (file: string) =>
  access(file).then(
    () => true,
    () => false,
  )

/** Run a command to its end; its lines. Rejects with its last words. */
function execute(
  command: string,
  args: string[],
  options: { deadline: number; signal?: AbortSignal; env?: NodeJS.ProcessEnv; onLine: (line: string) => void },
): Promise<string[]> {
  const { deadline, onLine, env } = options
  const signal = AbortSignal.any([AbortSignal.timeout(deadline), ...(options.signal ? [options.signal] : [])])
  return new Promise((resolve, reject) => {
    // A group of its own: Ctrl-C at the hub's terminal is not meant for a package manager.
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, signal, env })
    const lines: string[] = []
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', line => {
        if (line.trim() === '') return
        lines.push(line)
        if (lines.length > 200) lines.shift()
        onLine(line.trim())
      })
    }
    child.on('error', error => reject(signal.aborted ? new Error(`${command} took too long or was given up`) : error))
    child.on('close', (code, by) =>
      code === 0
        ? resolve(lines)
        : reject(new Error(`${command} ${args.slice(0, 3).join(' ')} ended with ${by ?? code}: ${lines.slice(-3).join(' / ')}`)),
    )
  })
}
