import { z } from 'zod'
import { isScope } from '../identity/scopes.ts'
import type { ConfigIssue } from './options.ts'

/** One entry of `services`. */
export const service = z.strictObject({
  /** Stands in its path, `services/<name>/`. */
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected at most 64 characters of A-Z, a-z, 0-9, ".", "_" and "-"'),
  /** Where it listens, as the proxy and the hub reach it: `http://127.0.0.1:9000`. People reach it at `services/<name>/`. */
  url: z
    .url({ protocol: /^http$/ })
    .refine(
      url => new URL(url).href === `${new URL(url).origin}/`,
      'expected only host and port, such as "http://127.0.0.1:9000"',
    )
    .optional(),
  /** The hub runs it: the program and its arguments. Left out: it runs elsewhere. */
  command: z.array(z.string().min(1)).min(1).optional(),
  /** More variables for `command`. They win over the hub's own, but for the token. */
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable'), z.string())
    .default({}),
  /** The folder that `command` runs in; relative to the config file, which is also the default. */
  cwd: z.string().min(1).optional(),
  /** The system user that `command` runs as, by name or number: the hub has to be root. Left out: the hub's own. */
  user: z.union([z.string().min(1), z.int().nonnegative()]).optional(),
  /** Its API token, and the secret of its OAuth client. Left out: a `command` gets a new one at each start of the hub. */
  token: z.string().min(16).regex(/^\S+$/, 'expected a token without white space').optional(),
  /** All rights of an administrator. */
  admin: z.boolean().default(false),
  /** What it may do with its token, in JupyterHub's scopes. */
  scopes: z
    .array(z.string().refine(isServiceScope, 'expected a scope of the API that does not refer to a user, such as "list:users"'))
    .default([]),
  /** Who may use it. No rule: administrators alone. */
  access: z
    .strictObject({
      /** Everybody who is signed in. */
      everyone: z.boolean().default(false),
      users: z.array(z.string()).default([]),
      groups: z.array(z.string()).default([]),
    })
    .prefault({}),
  oauth: z
    .strictObject({
      clientId: z
        .string()
        .regex(
          /^service-[A-Za-z0-9._-]{1,100}$/,
          'expected "service-" and at most 100 characters of A-Z, a-z, 0-9, ".", "_" and "-"',
        )
        .optional(),
      /** For an application elsewhere: the whole address, `https://app.example.org/oauth_callback`. */
      redirectUri: z
        .string()
        .refine(
          isRedirect,
          'expected a whole address such as "https://app.example.org/callback", or a path such as "/services/x/oauth_callback"',
        )
        .optional(),
      /** What it may ask for in its users' names, beyond who they are. */
      allowedScopes: z.array(z.string().refine(isScope, 'expected a scope of the API, such as "read:servers!user"')).default([]),
      /** Do not ask people whether it may know who they are. */
      noConfirm: z.boolean().default(false),
    })
    .optional(),
  /** Whatever its clients want to know of it; told by the API. */
  info: z.record(z.string(), z.json()).default({}),
  /** Show its link on the home page of those who may use it. */
  display: z.boolean().default(true),
})

export type ServiceSettings = z.output<typeof service>

/** What does not fit together within a service or between two of them. */
export function checkServices(services: readonly ServiceSettings[]): ConfigIssue[] {
  return services.flatMap((service, index) => {
    const { name, url, command, token, oauth, access } = service
    const issue = (message: string, ...path: string[]): ConfigIssue => ({ path: ['services', index, ...path], message })
    const earlier = services.slice(0, index)
    const twin = (same: (other: ServiceSettings) => boolean) => earlier.findIndex(same)
    const named = twin(other => other.name === name)
    const tokened = token === undefined ? -1 : twin(other => other.token === token)
    const client = twin(other => clientIdOf(other) === clientIdOf(service))
    return [
      ...(named >= 0 ? [issue(`there is another service named "${name}" at services[${named}]`, 'name')] : []),
      ...(named < 0 && client >= 0
        ? [
            issue(
              `has the OAuth client id "${clientIdOf(service)}", and so has services[${client}]`,
              ...(oauth?.clientId ? ['oauth', 'clientId'] : ['name']),
            ),
          ]
        : []),
      ...(tokened >= 0 ? [issue(`is the token of services[${tokened}] too: each needs its own`, 'token')] : []),
      ...(!url && !command && !token ? [issue('does nothing: it needs a url, a command or a token')] : []),
      ...(oauth && !command && !token ? [issue('needs a token beside it: that is the secret of its OAuth client', 'oauth')] : []),
      ...(oauth && !url && !oauth.redirectUri
        ? [issue('is missing: a service without a url has to say where people return to', 'oauth', 'redirectUri')]
        : []),
      ...(['environment', 'cwd', 'user'] as const)
        .filter(
          key => !command && (key === 'environment' ? Object.keys(service.environment).length > 0 : service[key] !== undefined),
        )
        .map(key => issue('is only for a service with a command: the hub does not start this one', key)),
      ...(['users', 'groups'] as const)
        .filter(key => access.everyone && access[key].length > 0)
        .map(key => issue('contradicts access.everyone: leave out one of them', 'access', key)),
    ]
  })
}

export const clientIdOf = ({ name, oauth }: Pick<ServiceSettings, 'name' | 'oauth'>) => oauth?.clientId ?? `service-${name}`

/** Nothing that stands for a user, or for another's rights: a service is none and has no other. */
function isServiceScope(scope: string): boolean {
  return isScope(scope) && !['self', 'inherit', '(no_scope)'].includes(scope) && !/!(user|server)$/.test(scope)
}

function isRedirect(address: string): boolean {
  if (address.startsWith('/')) return !address.startsWith('//') && !/[\\#\s]/.test(address)
  if (!URL.canParse(address)) return false
  const { protocol, hash, username, password } = new URL(address)
  return /^https?:$/.test(protocol) && hash === '' && username === '' && password === ''
}
