import type { Settings } from '../config/schema.ts'
import { clientId, escapeSegment, serverPath } from '../names.ts'
import type { Profile } from '../plugin.ts'

/** What the environment of a server depends on. */
export interface EnvironmentOf {
  base: string
  /** The public address of the whole hub, if the config says it. */
  url: URL | undefined
  /** `http://host:port`, as servers reach the hub. */
  hub: string
  user: { name: string }
  server: string
  port: number
  profile: Profile
  /** The server's token. */
  token: string
  /** What the config says of all servers. */
  servers?: Pick<Settings['servers'], 'debug' | 'userConfig' | 'oauthScopes'>
}

const usual = { debug: false, userConfig: true, oauthScopes: [] }

/**
 * What JupyterHub hands to a spawned server, for jupyterhub-singleuser 1.5 to 6.0: every name of the protocol, old and new
 * ones. The profile's own variables come last and may override any but the secrets. Source: JupyterHub, `Spawner.get_env`.
 */
export function environment({ base, url, hub, user, server, port, profile, token, servers = usual }: EnvironmentOf): {
  env: Record<string, string>
  secrets: Record<string, string>
} {
  const path = serverPath(base, user.name, server)
  const access = JSON.stringify([`access:servers!server=${user.name}/${server}`, `access:servers!user=${user.name}`])
  const api = `${hub}${base}hub/api`
  const amounts = {
    MEM_LIMIT: profile.memory,
    MEM_GUARANTEE: profile.memoryGuarantee,
    CPU_LIMIT: profile.cpus,
    CPU_GUARANTEE: profile.cpuGuarantee,
  }
  return {
    env: {
      JUPYTERHUB_CLIENT_ID: clientId(user.name, server),
      // Stays empty without subdomains: a canonical host here breaks everybody who comes by another name.
      JUPYTERHUB_HOST: '',
      JUPYTERHUB_OAUTH_CALLBACK_URL: `${path}oauth_callback`,
      JUPYTERHUB_USER: user.name,
      JUPYTERHUB_SERVER_NAME: server,
      JUPYTERHUB_API_URL: api,
      JUPYTERHUB_ACTIVITY_URL: `${api}/users/${escapeSegment(user.name)}/activity`,
      JUPYTERHUB_BASE_URL: base,
      JUPYTERHUB_SERVICE_PREFIX: path,
      JUPYTERHUB_SERVICE_URL: `http://0.0.0.0:${port}${path}`,
      JUPYTERHUB_OAUTH_SCOPES: access,
      JUPYTERHUB_OAUTH_ACCESS_SCOPES: access,
      JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES: JSON.stringify(servers.oauthScopes),
      JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED: '0',
      JUPYTERHUB_PUBLIC_URL: url ? new URL(path, url).href : '',
      JUPYTERHUB_PUBLIC_HUB_URL: url ? new URL(`${base}hub/`, url).href : '',
      ...(servers.debug && { JUPYTERHUB_DEBUG: '1' }),
      ...(!servers.userConfig && { JUPYTERHUB_DISABLE_USER_CONFIG: '1' }),
      ...(profile.rootDir !== undefined && { JUPYTERHUB_ROOT_DIR: profile.rootDir }),
      ...(profile.defaultUrl !== undefined && { JUPYTERHUB_DEFAULT_URL: profile.defaultUrl }),
      ...(profile.image !== undefined && { JUPYTER_IMAGE_SPEC: profile.image, JUPYTER_IMAGE: profile.image }),
      ...Object.fromEntries(
        Object.entries(amounts).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])),
      ),
      ...profile.env,
    },
    secrets: { JUPYTERHUB_API_TOKEN: token, JPY_API_TOKEN: token },
  }
}
