import { readFileSync } from 'node:fs'
import { HubError } from '../errors.ts'

/** A user of this machine, by `/etc/passwd`. */
export interface SystemUser {
  name: string
  uid: number
  gid: number
  home: string
}

/** Throws `config` for one that there is not. */
export function systemUser(wanted: string | number): SystemUser {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const fields = lines
    .map(line => line.split(':'))
    .find(([name, , uid]) => (typeof wanted === 'number' ? uid === String(wanted) : name === wanted))
  const [name, , uid, gid, , home] = fields ?? []
  if (name === undefined || !uid || !gid)
    throw new HubError('config', `There is no user ${wanted} on this machine, as which a service is to run.`)
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/' }
}
