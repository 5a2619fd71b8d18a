import { createHash, createHmac } from 'node:crypto'
import { type Context, type Hub, HubError, type Identity, type Plugin, parseOptions, type User } from 'swarmhub'
import { z } from 'zod'
import { createGitHub, TokenGone } from './client.ts'
import { type GitHubOptions, type GitHubSettings, options } from './options.ts'

export type { GitHubOptions } from './options.ts'

/** What is kept of a sign-in as auth state; hooks find it by `hub.authState(user.name)`. */
const state = z.object({ token: z.string() })

/** Tokens that are remembered; anybody in the world may have an account. */
const most = 100_000

/** People with an account at GitHub or at a GitHub Enterprise server, and where they are members there. */
export function github(given: GitHubOptions) {
  const settings = parseOptions('github', options, given)
  const { name, label, url, clientSecret, organizations, membership } = settings
  const github = createGitHub(settings)
  let hub: Hub | undefined
  /**
   * By GitHub's id, the token of who has signed in since the start, to ask again with. Auth state has it too, where it is kept:
   * then it is known after a restart.
   */
  const tokens = new Map<string, string>()
  const tokenOf = (user: User) =>
    tokens.get(String(user.attributes.githubId)) ?? state.safeParse(hub?.authState(user.name)).data?.token

  /** PKCE's secret for one sign-in. Made from what only the hub has, so nothing need be kept of a sign-in that is away. */
  const verifierOf = (state: string) => createHmac('sha256', clientSecret).update(`pkce ${state}`).digest('base64url')

  async function identityOf(token: string, ctx: Context): Promise<Identity | null> {
    const [person, mail, member] = await Promise.all([
      github.user(token, ctx),
      settings.email ? github.email(token, ctx) : undefined,
      membership ? github.memberships(token, ctx) : undefined,
    ])
    if (organizations && !organizations.some(place => member?.has(place))) return null
    const called = { login: person.login, id: person.id, email: mail }[settings.username]
    if (called === undefined)
      throw new HubError('denied', 'GitHub has no verified e-mail address of yours. Verify one there, and sign in again.')
    return {
      name: called,
      id: person.id,
      ...(member && { groups: groupsOf(member, settings) }),
      ...(settings.admins && { admin: settings.admins.some(place => member?.has(place)) }),
      attributes: {
        login: person.login,
        githubId: person.id,
        ...(person.name && { fullName: person.name }),
        ...(settings.mail && mail !== undefined && { mail }),
      },
    }
  }

  return {
    name,

    authenticator: {
      kind: 'redirect',
      label,
      begin({ callback, state }) {
        const challenge = createHash('sha256').update(verifierOf(state)).digest('base64url')
        return github.authorizeUrl({ callback, state, challenge })
      },
      async finish({ callback, query }, ctx) {
        const code = query.get('code') ?? ''
        if (query.has('error') || code === '') return null
        const token = await github.token({ code, callback, verifier: verifierOf(query.get('state') ?? '') }, ctx)
        const identity = await identityOf(token, ctx)
        if (!identity)
          throw new HubError(
            'denied',
            `Only members of ${organizations!.join(', ')} may sign in here. If you are one, see that GitHub shows it to this hub.`,
          )
        tokens.delete(identity.id!)
        tokens.set(identity.id!, token)
        if (tokens.size > most) tokens.delete(tokens.keys().next().value!)
        return { ...identity, authState: { token } }
      },
      async refresh(user, ctx) {
        const id = String(user.attributes.githubId)
        const token = tokenOf(user)
        if (token === undefined)
          throw new HubError(
            'unavailable',
            'Nobody can ask GitHub about who has not signed in since the hub started, without authState.keys in the config.',
          )
        try {
          const identity = await identityOf(token, ctx)
          return identity?.id === id ? identity : null
        } catch (error) {
          if (!(error instanceof TokenGone)) throw error
          tokens.delete(id)
          return null
        }
      },
    },

    setup(given) {
      hub = given
      if (!organizations)
        hub.log.warn('everybody with an account there passes GitHub: the rules in access alone decide, or say organizations', {
          url,
        })
    },
  } satisfies Plugin
}

/** Only of the organizations that the config names: anybody can make another one, and call it as they like. */
function groupsOf(member: ReadonlySet<string>, { groups, organizations = [] }: GitHubSettings): string[] {
  if (groups) return Object.entries(groups).flatMap(([place, group]) => (member.has(place) ? [group] : []))
  const ours = new Set(organizations.map(place => place.split(':', 1)[0]!))
  return [...member].filter(place => ours.has(place.split(':', 1)[0]!))
}
