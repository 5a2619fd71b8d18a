/** Rights for people: what each lets one do, under the heading of what it holds for. As long as they are many, folded away. */
export function Scopes({ scopes, open = false }: { scopes: Iterable<string>; open?: boolean }) {
  const byPlace = new Map<string, string[]>()
  for (const scope of [...scopes].sort()) {
    const [name = '', filter = ''] = parted(scope)
    byPlace.set(filter, [...(byPlace.get(filter) ?? []), name])
  }
  const count = [...byPlace.values()].reduce((sum, names) => sum + names.length, 0)
  if (count === 0) return <span class="muted">None</span>
  return (
    <details class="scopes" open={open}>
      <summary>
        {count} right{count === 1 ? '' : 's'}
      </summary>
      {[...byPlace].map(([filter, names]) => (
        <>
          <p class="muted">{placeOf(filter)}</p>
          <ul>
            {names.map(name => (
              <li>
                <code>{name}</code> {scopeWords.get(name)}
              </li>
            ))}
          </ul>
        </>
      ))}
    </details>
  )
}

/** One right in a sentence, with what it holds for. */
export function sentence(scope: string): string {
  const [name = '', filter] = parted(scope)
  const words = scopeWords.get(name) ?? name
  return filter === undefined ? words : `${words} (${placeOf(filter).toLowerCase()})`
}

const parted = (scope: string): [string, string | undefined] => {
  const at = scope.indexOf('!')
  return at < 0 ? [scope, undefined] : [scope.slice(0, at), scope.slice(at + 1)]
}

function placeOf(filter: string): string {
  const at = filter.indexOf('=')
  const [kind, value] = at < 0 ? [filter, ''] : [filter.slice(0, at), filter.slice(at + 1)]
  if (kind === 'user') return value ? `For ${value} alone` : 'For oneself alone'
  if (kind === 'group') return `For the group ${value} and its members`
  if (kind === 'service') return value ? `For the service ${value}` : 'For the service itself'
  if (kind === 'server') return value ? `For the server ${value}` : 'For the server itself'
  return 'For everybody and everything'
}

/** What each scope lets its holder do; those that a config adds have no words. */
export const scopeWords: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'admin-ui': 'Open the pages of the administration',
    'admin:users': 'Add, change and delete users',
    'admin:auth_state': 'Read what the sign-in keeps about users',
    users: 'Read users, and note when they were active',
    'delete:users': 'Delete users',
    'list:users': 'List users',
    'read:users': 'Read users',
    'read:users:name': 'Read names of users',
    'read:users:groups': 'Read which groups users are in',
    'read:users:activity': 'Read when users were active',
    'users:activity': 'Note when users were active',
    'read:roles': 'Read who has which role',
    'read:roles:users': 'Read roles of users',
    'read:roles:services': 'Read roles of services',
    'read:roles:groups': 'Read roles of groups',
    'admin:servers': 'Do everything with servers',
    'admin:server_state': 'Read what the hub keeps about servers',
    servers: 'Start, stop and read servers',
    'read:servers': 'Read servers',
    'start:servers': 'Start servers',
    'delete:servers': 'Stop and delete servers',
    tokens: 'Make and revoke tokens',
    'read:tokens': 'Read which tokens there are',
    'admin:groups': 'Add, change and delete groups',
    groups: 'Read groups, and change their members',
    'list:groups': 'List groups',
    'read:groups': 'Read groups',
    'read:groups:name': 'Read names of groups',
    'delete:groups': 'Delete groups',
    'admin:services': 'Add, change and read services',
    'list:services': 'List services',
    'read:services': 'Read services',
    'read:services:name': 'Read names of services',
    shares: 'Share servers',
    'read:shares': 'Read with whom servers are shared',
    'users:shares': 'Read and give up what is shared with users',
    'read:users:shares': 'Read what is shared with users',
    'groups:shares': 'Read and give up what is shared with groups',
    'read:groups:shares': 'Read what is shared with groups',
    'access:servers': 'Use servers while they run',
    'access:services': 'Use services',
    'read:hub': 'Read how the hub is set up',
    'read:metrics': 'Read the metrics',
    proxy: 'Read and change the proxy’s routes',
    shutdown: 'Stop the hub',
    inherit: 'Everything that its owner may do',
    self: 'Everything of one’s own',
  }),
)
