import type { Service } from './services.ts'
import type { SystemUser } from './system-user.ts'

/** What a service may know of the hub's own environment: how programs are found and what language they speak. No secrets. */
const kept = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'PYTHONPATH', 'CONDA_ROOT', 'CONDA_DEFAULT_ENV', 'VIRTUAL_ENV']

/**
 * What JupyterHub hands to a service that it runs (contract 10). `hub` is `http://host:port` as the service reaches it, `url`
 * the public address, if the config says it. The service's own variables win over all but the token.
 */
export function serviceEnvironment(
  { name, path, clientId, redirectUri, secret, settings }: Service,
  { base, hub, url, as }: { base: string; hub: string; url: URL | undefined; as?: SystemUser | undefined },
  present: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const access = JSON.stringify(['access:services', `access:services!service=${name}`])
  return {
    ...Object.fromEntries(
      kept.flatMap(key => {
        const value = present[key]
        return value === undefined ? [] : [[key, value]]
      }),
    ),
    ...(as && { HOME: as.home, USER: as.name, LOGNAME: as.name }),
    JUPYTERHUB_SERVICE_NAME: name,
    JUPYTERHUB_API_URL: `${hub}${base}hub/api`,
    JUPYTERHUB_BASE_URL: base,
    // Stays empty without subdomains, as for servers.
    JUPYTERHUB_HOST: '',
    JUPYTERHUB_CLIENT_ID: clientId,
    JUPYTERHUB_OAUTH_CALLBACK_URL: redirectUri,
    JUPYTERHUB_OAUTH_SCOPES: access,
    JUPYTERHUB_OAUTH_ACCESS_SCOPES: access,
    JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES: JSON.stringify(settings.oauth?.allowedScopes ?? []),
    JUPYTERHUB_USER: as?.name ?? '',
    JUPYTERHUB_SERVER_NAME: '',
    JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED: '0',
    JUPYTERHUB_PUBLIC_URL: url && path ? new URL(path, url).href : '',
    JUPYTERHUB_PUBLIC_HUB_URL: url ? new URL(`${base}hub/`, url).href : '',
    ...(settings.url !== undefined && { JUPYTERHUB_SERVICE_URL: settings.url, JUPYTERHUB_SERVICE_PREFIX: path }),
    ...settings.environment,
    JUPYTERHUB_API_TOKEN: secret ?? '',
  }
}
