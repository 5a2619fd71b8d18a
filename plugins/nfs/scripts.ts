import { posix } from 'node:path'
import { HubError } from 'swarmhub'
import { rootPlace } from './volume.ts'

/*
 * What jobs run. Each script is the same for everybody; paths are arguments, relative to the root. POSIX, as busybox has it.
 */

/** The path of a folder as seen from the root; `''` for the root itself. */
export function under(root: string, path: string): string {
  const below = posix.relative(root, path)
  if (!/^\.\.(\/|$)/.test(below)) return below
  const message = `The folder ${path} is not below ${root}, the root of what is mounted.`
  throw new HubError('failed', message, { details: { code: 'mount', message } })
}

/** Down to the folder that `$1` is in, by no symbolic link: those below the root may be users'. */
const descend = (missing: string) => `
set -efu
path=$1
shift
cd ${rootPlace}
name=\${path##*/}
parent=\${path%"$name"}
IFS=/
for part in $parent; do
  if [ -L "$part" ]; then echo "$part is a symbolic link" >&2; exit 1; fi
  [ -d "$part" ] || ${missing}
  cd -- "./$part"
done
unset IFS
if [ -n "$name" ] && [ -L "$name" ]; then echo "$name is a symbolic link" >&2; exit 1; fi
`

/**
 * Path, owner, mode, and a program with its arguments. A folder that is there stays as it is; a new one has its place only when it is
 * complete, so that a job may be killed at any moment.
 */
export const makeFolder = `${descend('mkdir -- "./$part"')}
owner=$1 mode=$2
shift 2
if [ -n "$name" ] && [ ! -d "$name" ]; then
  new=.swarmhub-new-$name
  [ ! -d "./$new" ] || rmdir -- "./$new"
  mkdir -m 700 -- "./$new"
  chown -- "$owner" "./$new"
  chmod -- "$mode" "./$new"
  mv -- "./$new" "./$name"
fi
[ -z "$name" ] || cd -- "./$name"
[ $# -eq 0 ] || exec "$@"
`

/** Path. */
export const eraseFolder = `${descend('exit 0')}
[ -n "$name" ] || exit 1
rm -rf -- "./$name"
`

/** Paths. Writes for each its place among them and its KiB. */
export const measureFolders = `
cd ${rootPlace}
i=0
for path; do
  echo "$i $(du -sk -- "./$path" 2>/dev/null | cut -f1)"
  i=$((i + 1))
done
`
