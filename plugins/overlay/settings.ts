import { z } from 'zod'
import { dockerAddress } from '../docker/client.ts'
import { isSubnet } from './subnet.ts'

/** What `overlay()` takes. */
export const settings = z
  .strictObject({
    /** A manager of the Swarm, as for swarm(). */
    docker: dockerAddress.optional(),
    name: z
      .string()
      .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/, 'expected letters, digits, "_", "." and "-"')
      .default('swarmhub'),
    /**
     * IPv4 with its length: `10.96.0.0/16`. Left out: the first /16 from 10.96.0.0 on that no other network uses. With `per`, the range
     * that networks are cut from; left out: `10.112.0.0/12`.
     */
    subnet: z.string().refine(isSubnet, 'expected an IPv4 network such as "10.96.0.0/16"').optional(),
    /** Encrypt what goes from node to node. Costs speed. */
    encrypted: z.boolean().default(false),
    /** No way out: neither to the internet nor to the nodes and what listens on them. The hub has to be on it in a container. */
    internal: z.boolean().default(false),
    /** May containers that are no service of the Swarm join? Needed by a hub in such a container. */
    attachable: z.boolean().default(true),
    labels: z.record(z.string(), z.string()).default({}),
    /** One network for all servers, or one for each user or each group, which others cannot reach. */
    per: z.enum(['hub', 'user', 'group']).default('hub'),
    /** With `per`: the length of each network. Left out: 27 for a user, 24 for a group. */
    length: z.int().min(16).max(28).optional(),
    /** With `per`: containers beside the hub's own that have to reach servers, such as that of the front: their names. */
    connect: z.array(z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'expected the name of a container')).default([]),
  })
  .refine(({ per, attachable }) => per === 'hub' || attachable, {
    path: ['attachable'],
    message: 'with "per" the networks have to be attachable: the hub’s container joins them',
  })

export type OverlayOptions = z.input<typeof settings>
export type Settings = z.output<typeof settings>
