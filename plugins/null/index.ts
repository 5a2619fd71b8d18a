import type { Plugin } from 'swarmhub'

/** Nobody signs in: for a hub that only programs use, by tokens. */
export const nobody = () =>
  ({
    name: 'null',
    authenticator: { kind: 'none', label: 'Nobody signs in here: this hub is used by programs.' },
  }) satisfies Plugin
