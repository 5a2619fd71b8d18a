/** By the engine's words for a mount that failed, what they mean. The first that fits. */
const meanings: [RegExp, (server: string) => string][] = [
  [/no suitable node/i, server => `There is no machine on which a folder of the file server ${server} could be prepared.`],
  [
    /no such image|manifest|registry|pull access/i,
    () => 'The image that prepares folders is not to be had. Name another: `image` of nfs().',
  ],
  [/symbolic link/i, () => 'The folder for your files is not where it should be: a link leads elsewhere.'],
  [
    /not done within|timed out|connection refused|no route to host|host is down|unreachable|no such host|temporary failure/i,
    server => `The file server ${server} does not answer.`,
  ],
  [/mount.*no such file or directory/i, server => `The file server ${server} does not have the folder that is to be mounted.`],
  [
    /mount.*(permission denied|not permitted|access denied)/i,
    server => `The file server ${server} does not let the machines of the Swarm in.`,
  ],
  [/mount.*(no such device|not supported)/i, () => 'A machine of the Swarm cannot mount NFS.'],
  [
    /permission denied|not permitted/i,
    server => `The file server ${server} does not allow to make or change the folder for your files.`,
  ],
  [/no space|quota/i, server => `The file server ${server} is full.`],
]

/** What a folder could not be made, measured or erased for; a sentence. */
export const explained = (server: string, words: string) =>
  (
    meanings.find(([pattern]) => pattern.test(words))?.[1] ??
    (server => `A folder of the file server ${server} could not be prepared.`)
  )(server)
