import { defineConfig, env } from 'swarmhub'
import { httpProxy, local, localVolume, overlay, swarm } from 'swarmhub/plugins'

// The config of deploy/stack.yml: local accounts, a volume for each user, notebooks on every node of the Swarm.
export default defineConfig({
  authenticators: [local()],
  access: { everyone: true },
  networks: [overlay({ name: 'swarmhub' })],
  mounts: [localVolume({ target: '/home/jovyan/work' })],
  spawner: swarm(),
  proxy: httpProxy({ port: 8000 }),
  profiles: [
    { name: 'notebook', label: 'Notebook', image: env('NOTEBOOK_IMAGE', 'quay.io/jupyter/base-notebook:latest'), memory: '2G' },
  ],
})
