import type { Core } from '../core.ts'
import type { Caller, Plugin } from '../plugin.ts'
import { mayReadAudit, mayReadRoles } from '../rights.ts'
import type { PageContext } from './environment.ts'
import { holdsForOthers } from './share.tsx'

interface Section {
  path: string
  label: string
  may(caller: Caller): boolean
}

/** The pages of the administration, and who sees a link to each. */
const sections: Section[] = [
  { path: 'admin', label: 'Users and servers', may: caller => caller.holds('list:users') },
  { path: 'admin/groups', label: 'Groups', may: caller => caller.holds('list:groups') },
  { path: 'admin/shares', label: 'Shares', may: caller => holdsForOthers(caller, 'read:shares') },
  { path: 'admin/services', label: 'Services', may: caller => caller.holds('list:services') },
  { path: 'admin/storage', label: 'Storage', may: caller => caller.holds('admin:users') },
  { path: 'admin/roles', label: 'Roles', may: mayReadRoles },
  { path: 'admin/audit', label: 'Audit trail', may: mayReadAudit },
]

/** The links between the pages of the administration; nothing for who sees only one of them. */
export function Sections({ core, c }: { core: Core; c: PageContext }) {
  const seen = [...sections, ...core.plugins.flatMap(sectionsOf)].filter(({ may }) => may(c.get('caller')))
  if (seen.length < 2) return null
  return (
    <nav class="row sections" aria-label="Administration">
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

const sectionsOf = ({ name, links = [] }: Plugin): Section[] =>
  links.flatMap(({ label, page, scope }) =>
    scope === undefined ? [] : [{ path: `x/${name}/${page}`, label, may: caller => caller.allows(scope) }],
  )
