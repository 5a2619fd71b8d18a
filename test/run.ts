import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { killCommands } from './lab/command.ts'
import { shortcoming } from './lab/debian.ts'
import { artefacts } from './lab/lab.ts'
import { say } from './lab/site.ts'
import { closeLab, openLab } from './lab/upkeep.ts'

/*
 * npm test [part of a file's name …]   runs the tests; those in *.lab.test.ts on a real Swarm of two nodes, which is made first
 * npm test -- --lab                    only makes the lab, and leaves it running
 * npm test -- --stop                   stops a lab that was left running
 *
 * SWARMHUB_LAB_KEEP=1 leaves the lab running: the next runs have it at once.
 */

const folder = dirname(process.argv[1]!)
const words = process.argv.slice(2)
/** All of it, preparation included. */
const minutes = 60
const keep = Boolean(process.env.SWARMHUB_LAB_KEEP) || words.includes('--lab')

/** Every *.test.js that has one of the words in its path; all of them when there are no words. */
async function chosenFiles(): Promise<string[]> {
  const all = (await readdir(folder, { recursive: true })).filter(name => name.endsWith('.test.js')).sort()
  return all.filter(name => !words.length || words.some(word => name.includes(word))).map(name => join(folder, name))
}

/** Runs one `node --test` over the files; its report is the last that is written to standard output. */
function runTests(files: string[], env: NodeJS.ProcessEnv, interrupted: AbortSignal): Promise<number> {
  const concurrency = Math.max(2, availableParallelism())
  const options = ['--enable-source-maps', '--test', `--test-concurrency=${concurrency}`, '--test-timeout=900000']
  const report = ['--test-reporter=spec', '--test-reporter-destination=stdout']
  const record = ['--test-reporter=junit', `--test-reporter-destination=${join(artefacts, 'junit.xml')}`]
  const paths = files.map(file => relative(process.cwd(), file))
  // Should this process be killed, the kernel tells the tests to end.
  const leash = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'TERM'] : []
  const [command, ...args] = [...leash, process.execPath, ...options, ...report, ...record, ...paths] as [string, ...string[]]
  // A process group of their own: a test file that does not end is ended with the rest.
  const tests = spawn(command, args, { stdio: 'inherit', env, detached: true })
  const end = (signal: NodeJS.Signals) => tests.exitCode ?? tests.signalCode ?? process.kill(-tests.pid!, signal)
  interrupted.addEventListener('abort', () => {
    end('SIGTERM')
    setTimeout(end, 5000, 'SIGKILL').unref()
  })
  return new Promise((resolve, reject) => {
    tests.on('error', reject)
    tests.on('exit', code => resolve(code ?? 1))
  })
}

async function main(): Promise<number> {
  if (words.includes('--stop')) return closeLab({ stop: true }).then(() => 0)
  const files = words.includes('--lab') ? [] : await chosenFiles()
  if (!files.length && !words.includes('--lab')) throw new Error(`no test file has one of these in its name: ${words.join(' ')}`)
  await mkdir(artefacts, { recursive: true })

  const interrupt = new AbortController()
  const limit = setTimeout(() => interrupt.abort(new Error(`not done after ${minutes} minutes`)), minutes * 60_000).unref()
  let hunt: NodeJS.Timeout | undefined
  interrupt.signal.addEventListener('abort', () => {
    // Whatever the preparation is at fails, until it has given up.
    hunt = setInterval(killCommands, 100)
  })
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupt.abort(new Error(`ended by ${name}`)))
  }

  const { SWARMHUB_LAB: _, ...env } = process.env
  const wanted = !files.length || files.some(file => file.endsWith('.lab.test.js'))
  const why = wanted ? await shortcoming() : undefined
  let failed = false
  if (why) {
    say(`there is no lab: ${why}`)
    env.SWARMHUB_NO_LAB = why
    failed = Boolean(env.CI)
  }
  const opened = wanted && !why
  try {
    if (opened) env.SWARMHUB_LAB = await openLab({ keep })
    interrupt.signal.throwIfAborted()
    if (opened && keep) say(`SWARMHUB_LAB=${env.SWARMHUB_LAB}`)
    const code = files.length ? await runTests(files, env, interrupt.signal) : 0
    return interrupt.signal.aborted ? 130 : code || (failed ? 1 : 0)
  } finally {
    clearInterval(hunt)
    clearTimeout(limit)
    if (opened) await closeLab({ logs: join(artefacts, 'nodes') })
  }
}

process.exitCode = await main().catch(error => {
  say(error instanceof Error ? error.message : String(error))
  return 1
})
