#!/usr/bin/env node
import pack from '../package.json' with { type: 'json' }
import { type Asked, help, readArguments } from './cli/arguments.ts'
import { supervisedHub } from './cli/supervised-hub.ts'
import { check, command, front, hub, restart, start } from './cli/verbs.ts'
import { isHubError } from './errors.ts'

/** What it says on standard output, or the exit code of a process that ran until it was told to end. */
async function carryOut(asked: Asked): Promise<string | number> {
  switch (asked.verb) {
    case 'start':
      return start(asked, import.meta.filename)
    case 'front':
      return front(asked)
    case 'hub':
      return asked.supervised ? supervisedHub(asked) : hub(asked)
    case 'restart':
      return restart(asked)
    case 'check':
      return check(asked)
    case 'version':
      return `${pack.version}\n`
    case 'help':
      return help
    default:
      return command(asked)
  }
}

async function main(args: string[]): Promise<number> {
  try {
    const result = await carryOut(readArguments(args))
    if (typeof result === 'number') return result
    process.stdout.write(result)
    return 0
  } catch (error) {
    // What is meant for people is one text; everything else is a bug, and its stack helps to find it.
    process.stderr.write(`${isHubError(error) ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
    return 1
  }
}

process.exit(await main(process.argv.slice(2)))
