import type { MountSpec } from 'swarmhub'

/** Where a job has the volumes that it works on, by their place in its list. */
export const volumePlace = (index: number) => `/volumes/${index}`

/** How many volumes one job looks at. */
export const batch = 40

/** `$1` is how many. Writes for each its place and its KiB. */
export const measureVolumes = `
i=0
while [ "$i" -lt "$1" ]; do
  echo "$i $(du -sk "/volumes/$i" 2>/dev/null | cut -f1)"
  i=$((i + 1))
done
`

/** All that is in the volume; the volume itself is Docker's. */
export const emptyVolume = `
set -eu
cd ${volumePlace(0)}
rm -rf -- ..?* .[!.]* *
`

/** Its volume at its place for a job, without what the job's image has there. */
export const inJob = (volume: MountSpec, index: number): MountSpec => ({
  ...volume,
  target: volumePlace(index),
  readOnly: false,
  noCopy: true,
})
