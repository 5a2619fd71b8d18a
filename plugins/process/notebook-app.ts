import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'

/** JupyterLab, nbclassic and notebook 7 bring pages for Jupyter Server; the classic notebook before 7 is a server of its own. */
const question = `
import importlib.metadata as metadata
from importlib.util import find_spec
classic = find_spec('notebook') is not None and int(metadata.version('notebook').split('.')[0]) < 7
print('classic' if classic and not find_spec('jupyterlab') and not find_spec('nbclassic') else 'server')
`

/**
 * The app that this `jupyterhub-singleuser` has pages for, as a value of `JUPYTERHUB_SINGLEUSER_APP`; undefined where its own
 * choice is right. With Debian's packages it would choose Jupyter Server, which without JupyterLab has no page at all.
 */
export async function notebookApp(command: string): Promise<string | undefined> {
  if (basename(command) !== 'jupyterhub-singleuser') return undefined
  const interpreter = await interpreterOf(command)
  if (!interpreter) return undefined
  const { stdout } = await promisify(execFile)(interpreter[0]!, [...interpreter.slice(1), '-c', question], { timeout: 30_000 })
  // Its short name is known only from JupyterHub 4 on.
  return stdout.trim() === 'classic' ? 'notebook.notebookapp.NotebookApp' : undefined
}

/** Who runs a script, by its first line: `#!/usr/bin/python3` is `['/usr/bin/python3']`. */
async function interpreterOf(script: string): Promise<string[] | undefined> {
  const file = await open(script)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    const line = /^#!\s*(.*python.*)/.exec(buffer.toString('utf8', 0, bytesRead))?.[1]
    return line?.trim().split(/\s+/)
  } finally {
    await file.close()
  }
}
