import { z } from 'zod'
import { openFile } from '../core/store/file.ts'

/*
 * node store-writer.js FILE TIMES: counts up in a state file, one update after the other, and prints `ok N` for what is
 * acknowledged, `failed CODE N` for what is not, with what memory holds then. With TIMES 0 it goes on until it is killed.
 */
const [path = '', times = '0'] = process.argv.slice(2)
const file = await openFile(path, z.strictObject({ n: z.int(), padding: z.string() }), { n: 0, padding: 'x'.repeat(20_000) })
const say = (line: string) => process.stdout.write(`${line}\n`)
say(`open ${file.data.n}`)
const first = file.data.n + 1
for (let n = first; times === '0' || n < first + Number(times); n++) {
  await file
    .update(draft => void (draft.n = n))
    .then(
      ({ n }) => say(`ok ${n}`),
      error => say(`failed ${error.code} ${file.data.n}`),
    )
}
