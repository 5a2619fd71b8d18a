import { parseOptions } from 'swarmhub'
import { z } from 'zod'
import type { OidcOptions } from './options.ts'

/*
 * Options for providers that many use: `oidc(google({ domains: ['example.org'], clientId, clientSecret }))`. Whatever else is given
 * goes before what stands here, but for what keeps strangers out.
 */

type Given = Omit<OidcOptions, 'issuer'>

/** Keycloak, a realm of it. Groups are told by a mapper "Group Membership" named `groups`, without the full path. */
export function keycloak(given: Given & { url: string; realm: string }): OidcOptions {
  const { url, realm, ...more } = parseOptions('keycloak', z.looseObject({ url: address, realm: z.string().min(1) }), given)
  const issuer = `${url}/realms/${encodeURIComponent(realm)}`
  return filled(more as Given, {}, { name: 'keycloak', label: 'Sign in with Keycloak', issuer, claims: { groups: 'groups' } })
}

/**
 * Google. `domains`: of which Workspace organisations, by the claim `hd`, never by the address; `'any'` is everybody who has an account
 * at Google. The name here is the address.
 */
export function google(given: Given & { domains: readonly string[] | 'any' }): OidcOptions {
  const { domains, ...more } = parseOptions(
    'google',
    z.looseObject({ domains: someOrAny('domains, such as "example.org"') }),
    given,
  )
  const [only, ...others] = domains === 'any' ? [] : domains
  return filled(more as Given, domains === 'any' ? {} : { hd: domains }, {
    name: 'google',
    label: 'Sign in with Google',
    issuer: 'https://accounts.google.com',
    userinfo: false,
    claims: { name: 'email' },
    parameters: { access_type: 'offline', ...(only !== undefined && { hd: others.length > 0 ? '*' : only }) },
  })
}

/** Microsoft Entra, one tenant of it by its id. Addresses are not asked for: Entra does not vouch for them. */
export function entra(given: Given & { tenant: string }): OidcOptions {
  const guid = z.guid('expected the id of the tenant: others would let in people of other tenants').toLowerCase()
  const { tenant, ...more } = parseOptions('entra', z.looseObject({ tenant: guid }), given)
  return filled(
    more as Given,
    { tid: tenant },
    {
      name: 'entra',
      label: 'Sign in with Microsoft',
      issuer: `https://login.microsoftonline.com/${tenant}/v2.0`,
      userinfo: false,
      scopes: ['openid', 'profile', 'offline_access'],
      claims: { attributes: { fullName: 'name', objectId: 'oid' } },
    },
  )
}

/** GitLab, gitlab.com or one's own. Groups are the full paths of all that somebody is a member of. */
export function gitlab(given: Given & { url?: string }): OidcOptions {
  const { url, ...more } = parseOptions('gitlab', z.looseObject({ url: address.default('https://gitlab.com') }), given)
  return filled(more as Given, {}, { name: 'gitlab', label: 'Sign in with GitLab', issuer: url, claims: { groups: 'groups' } })
}

/** Globus. `identityProviders`: the ids of those whose people may sign in, whatever their addresses look like; or `'any'`. */
export function globus(given: Given & { identityProviders: readonly string[] | 'any' }): OidcOptions {
  const schema = z.looseObject({ identityProviders: someOrAny('ids of identity providers') })
  const { identityProviders, ...more } = parseOptions('globus', schema, given)
  return filled(more as Given, identityProviders === 'any' ? {} : { identity_provider: identityProviders }, {
    name: 'globus',
    label: 'Sign in with Globus',
    issuer: 'https://auth.globus.org',
    parameters: { access_type: 'offline' },
  })
}

/** CILogon. `identityProviders`: the entity ids of those whose people may sign in, whatever their addresses look like; or `'any'`. */
export function cilogon(given: Given & { identityProviders: readonly string[] | 'any' }): OidcOptions {
  const schema = z.looseObject({ identityProviders: someOrAny('entity ids, such as "https://idp.example.org/shibboleth"') })
  const { identityProviders, ...more } = parseOptions('cilogon', schema, given)
  const [only, ...others] = identityProviders === 'any' ? [] : identityProviders
  return filled(more as Given, identityProviders === 'any' ? {} : { idp: identityProviders }, {
    name: 'cilogon',
    label: 'Sign in with CILogon',
    issuer: 'https://cilogon.org',
    scopes: ['openid', 'email', 'profile', 'org.cilogon.userinfo'],
    claims: { name: 'eppn' },
    parameters: only === undefined ? {} : { selected_idp: [only, ...others].join(',') },
  })
}

const address = z.url({ protocol: /^https?$/ }).transform(text => text.replace(/\/+$/, ''))

const someOrAny = (what: string) =>
  z.union([z.literal('any'), z.array(z.string().min(1)).min(1)], { error: `expected a list of ${what}, or 'any'` })

function filled(
  given: Given,
  strict: NonNullable<OidcOptions['require']>,
  preset: OidcOptions | Omit<OidcOptions, 'clientId'>,
): OidcOptions {
  return {
    ...preset,
    ...given,
    claims: { ...preset.claims, ...given.claims },
    parameters: { ...preset.parameters, ...given.parameters },
    require: { ...given.require, ...strict },
  }
}
