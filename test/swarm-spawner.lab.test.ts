import type { ServerSpec } from 'swarmhub'
import { swarm } from '../plugins/swarm/index.ts'
import { noLab } from './lab/lab.ts'
import { testSpawner } from './roles/spawner.ts'
import { onSwarm } from './swarm-lab.ts'

const withImage =
  (image: string, more: Partial<ServerSpec> = {}) =>
  (plain: ServerSpec): ServerSpec => ({ ...plain, image, ...more })

testSpawner(
  'swarm',
  async t => {
    const { spawner, hub, images } = await onSwarm(t)
    const bind = { type: 'bind', source: '/no/such/folder', target: '/mnt' } as const
    return {
      spawner,
      hub,
      spec: withImage(images.silent),
      failing: {
        exited: withImage(images.exits),
        'no-image': withImage('no-such-image:1'),
        'no-node': withImage(images.silent, { placement: { constraints: ['node.labels.gpu==true'] } }),
        mount: withImage(images.silent, { mounts: [bind] }),
        killed: withImage(images.base, { command: ['sh', '-c', 'kill -9 $$'] }),
        'out-of-memory': withImage(images.base, { memory: 32 * 2 ** 20, command: ['sh', '-c', 'exec tail /dev/zero'] }),
      },
      unreachable: swarm({ docker: '/no/such/docker.sock' }).spawner,
    }
  },
  { skip: noLab, concurrency: 6 },
)
