import type { Core } from '../core.ts'
import type { PageContext } from './environment.ts'

/** The pages of the administration, and who sees a link to each. */
const sections: { path: string; label: string; scope: string }[] = [
  { path: 'admin', label: 'Users and servers', scope: 'list:users' },
  { path: 'admin/groups', label: 'Groups', scope: 'list:groups' },
]

/** The links between the pages of the administration; nothing for who sees only one of them. */
export function Sections({ core, c }: { core: Core; c: PageContext }) {
  const seen = sections.filter(({ scope }) => c.get('caller').holds(scope))
  if (seen.length < 2) return null
  return (
    <nav class="row" aria-label="Administration">
      {seen.map(({ path, label }) => (
        <a
          href={`${core.base}hub/${path}`}
          aria-current={c.req.path.replace(/\/$/, '') === `${core.base}hub/${path}` ? 'page' : undefined}
        >
          {label}
        </a>
      ))}
    </nav>
  )
}
