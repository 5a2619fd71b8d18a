import { type Command, type Hub, HubError, labelKeys, type Spawner } from 'swarmhub'

/**
 * `swarmhub swarm orphans [--remove]`: everything on the Swarm that carries this hub's label, and whether a record of the hub stands for it. What is
 * in nobody's record is removed with `--remove`; the hub itself does that after the grace `timeouts.orphan`. Nothing else is looked at.
 */
export function orphans(hub: () => Hub, spawner: Spawner): Command {
  return {
    summary: '[--remove] list what is in nobody’s record, or remove it now',
    async run(args, ctx) {
      const [unknown] = args.filter(arg => arg !== '--remove')
      if (unknown !== undefined) throw new HubError('invalid', `orphans takes --remove and nothing else, not "${unknown}".`)
      // First what is there: whatever is begun meanwhile has its record before it has a service.
      const listed = await spawner.list(ctx)
      const known = new Set([...hub().servers()].map(({ generation }) => generation))
      const stray = listed.filter(({ labels }) => !known.has(labels[labelKeys.generation]))
      const remove = args.includes('--remove')
      const lines: string[] = []
      for (const { handle, labels, status } of stray) {
        if (remove) await spawner.stop(handle, ctx)
        const [user, server] = [labels[labelKeys.user], labels[labelKeys.server]]
        const whose = `of ${user}${server ? `, server ${server}` : ''}`
        lines.push(
          `${remove ? 'removed' : 'orphan '}  ${handle.name}  ${whose}  (${status.state}, generation ${handle.generation})`,
        )
      }
      const kept = listed.length - stray.length
      const rest = `${kept} ${kept === 1 ? 'server is' : 'servers are'} in the hub’s records and stay${kept === 1 ? 's' : ''}.`
      if (lines.length === 0) return `Nothing to remove. ${rest}`
      return [...lines, remove ? rest : `${rest} \`swarmhub swarm orphans --remove\` removes the others now.`].join('\n')
    },
  }
}
