import { defineConfig, env } from 'swarmhub'
import { httpProxy, local, localVolume, overlay, process, swarm } from 'swarmhub/plugins'

// What `npm start` runs: on the Swarm where a manager of one answers (`docker swarm init` is enough), else on this machine alone.
const onSwarm = await swarm.answers()

export default defineConfig({
  // Accounts of the hub's own. The first start prints a one-time link that makes you the admin.
  authenticators: [local()],
  access: { everyone: true },

  networks: onSwarm ? [overlay()] : [],
  mounts: onSwarm ? [localVolume({ target: '/home/jovyan/work' })] : [],
  spawner: onSwarm ? swarm({ image: env('NOTEBOOK_IMAGE', 'quay.io/jupyter/base-notebook:latest') }) : process(),
  proxy: httpProxy({ port: 8000 }),

  plugins: [
    // A plugin is a plain object; this one says what was chosen.
    {
      name: 'choice',
      setup: ({ log }) =>
        log.info(
          onSwarm ? 'a Swarm answers: notebooks are its services' : 'no Swarm answers: notebooks are processes of this machine',
        ),
    },
  ],
})
