import { lock } from '../core/store/lock.ts'

/* node store-holder.js FOLDER: takes the folder's lock and keeps it until it is killed. */
await lock(process.argv[2] ?? '')
process.stdout.write('held\n')
setInterval(() => {}, 60_000)
