import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../running-hub.ts'
import { installed } from './debian.ts'

/** Debian's nginx on 127.0.0.1, with these directives in its one server. Resolves with its address. */
export async function nginx(t: { after(close: () => Promise<void>): void }, directives: string): Promise<string> {
  await installed('nginx-light')
  const folder = await mkdtemp(join(tmpdir(), 'swarmhub-nginx-'))
  const port = await freePort()
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, port, directives))
  // Should the tests be killed, the kernel ends it with them.
  const command = ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')]
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...command], {
    stdio: 'ignore',
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
  t.after(async () => {
    await ended(child)
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  const deadline = performance.now() + 10_000
  while (performance.now() < deadline && child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return `http://127.0.0.1:${port}`
    } catch {
      await sleep(20) // not yet
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`nginx does not listen: ${await readFile(join(folder, 'error.log'), 'utf8')}`)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
}

const configuration = (folder: string, port: number, directives: string) => `
daemon off;
master_process off;
pid ${folder}/pid;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen 127.0.0.1:${port};
    ${directives}
  }
}
`
