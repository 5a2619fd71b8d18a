/** A named set of scopes. */
export interface Role {
  description: string
  scopes: readonly string[]
}

/** The roles there always are (contract 5.3). Those that a config adds will join them here. */
export const roles: ReadonlyMap<string, Role> = new Map(
  Object.entries({
    user: { description: 'Every user: their own servers and tokens', scopes: ['self'] },
    admin: {
      description: 'Everything',
      scopes: [
        'admin-ui',
        'admin:users',
        'admin:servers',
        'admin:services',
        'tokens',
        'admin:groups',
        'list:services',
        'read:services',
        'read:hub',
        'proxy',
        'shutdown',
        'access:services',
        'access:servers',
        'read:roles',
        'read:metrics',
        'shares',
      ],
    },
    server: { description: 'The token of a server', scopes: ['users:activity!user', 'access:servers!server'] },
    token: { description: 'A token, if nothing else is asked for: all that its owner may do', scopes: ['inherit'] },
  }),
)

/** The names of the roles that this user has. */
export const rolesOf = ({ admin }: { admin: boolean }): string[] => (admin ? ['admin', 'user'] : ['user'])

/** The scopes of a role as they are written down; none for a role that there is not. */
export const scopesOf = (role: string): readonly string[] => roles.get(role)?.scopes ?? []
