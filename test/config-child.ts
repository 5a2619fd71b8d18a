import { loadConfig } from '../core/config/load.ts'
import { messageOf } from '../core/errors.ts'

/** A process that loads the config of its working folder, for tests of what one process cannot see of itself. */
loadConfig({ limit: Number(process.argv[2]) || undefined }).then(
  ({ plugins }) => process.stdout.write(`${plugins.map(plugin => plugin.name).join(' ')}\n`),
  error => {
    process.stderr.write(`${messageOf(error)}\n`)
    process.exitCode = 1
  },
)
