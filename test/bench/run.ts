import { benchApi } from './api.ts'
import { benchProxy } from './proxy.ts'
import { benchSpawn } from './spawn.ts'

/*
 * `npm run bench -- api`, `npm run bench -- proxy`: how fast we are beside those whose place we take, in one run on one machine.
 * `npm run bench -- spawn`: what a start takes on the lab's Swarm (SWARMHUB_LAB names one that `SWARMHUB_LAB_KEEP=1 npm test` has left).
 * Whatever else the machine does slows down both: the ratios count, not the rates. Nothing is asserted.
 */

const benches = { api: benchApi, proxy: benchProxy, spawn: benchSpawn }

const chosen = process.argv.slice(2)
const names = Object.keys(benches) as (keyof typeof benches)[]
const unknown = chosen.find(word => !names.some(name => name === word))
if (unknown !== undefined || chosen.length === 0) {
  process.stderr.write(`usage: npm run bench -- ${names.join(' | ')}\n`)
  process.exitCode = 2
} else {
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  try {
    for (const name of names) if (chosen.includes(name)) await benches[name](say)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
