import { randomBytes } from 'node:crypto'
import { type Audit, unrecorded } from '../audit.ts'
import { HubError } from '../errors.ts'
import { normalizeUsername, slug } from '../names.ts'
import type { User } from '../plugin.ts'
import { identityKey } from '../store/lookups.ts'
import { emptyServer, type ServerRecord, type UserRecord, version } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { createActivity, type Means, type Use } from './activity.ts'
import { createForgetting, type Forgetting } from './forget.ts'
import { createGroups, type Groups } from './groups.ts'
import { forgetGrantee } from './shares.ts'

/** Everybody the hub knows. Records are frozen: change them through `update`. Names are exact, see names.ts. */
export interface Users {
  get(name: string): UserRecord | undefined
  byId(id: string): UserRecord | undefined
  bySlug(slug: string): UserRecord | undefined
  /** Whose account an authenticator has bound to this id of its own. */
  byIdentity(authenticator: string, id: string): UserRecord | undefined
  /** In order of creation. */
  all(): Iterable<UserRecord>
  readonly count: number
  /**
   * Throws `conflict` when the name is taken, `invalid` when it can be nobody's name. Durable when it resolves. Somebody who was
   * deleted keeps their slug, and so their storage: who gets the name next has another, unless `inherit` says that they are the same.
   */
  create(
    name: string,
    init?: { admin?: boolean; identity?: UserRecord['identity']; attributes?: Record<string, unknown>; inherit?: boolean },
  ): Promise<UserRecord>
  /** See StateFile.update. Names and slugs cannot be changed this way. */
  update(id: string, change: (draft: UserRecord) => void): Promise<UserRecord>
  /**
   * Keeps id and slug, and so tokens, groups and storage. Scopes that named the old name are taken from all tokens: they
   * must not fall to whoever gets the name next. Throws `conflict`, `invalid`, `missing`.
   */
  rename(id: string, name: string): Promise<UserRecord>
  /** With tokens, sessions, group memberships, what was shared with them, and all scopes that named them. Stop the servers first. */
  remove(id: string): Promise<void>
  /** Change one server's record, making it when there is none yet. */
  updateServer(id: string, server: string, change: (draft: ServerRecord) => void): Promise<UserRecord>
  removeServer(id: string, server: string): Promise<UserRecord>
  /**
   * Scopes that named the old name are taken from all tokens, as in `rename`. Throws `conflict` when there is such a server already,
   * and `invalid` for one that is not stopped.
   */
  renameServer(id: string, server: string, name: string): Promise<UserRecord>
  /**
   * Something was done by this user, or in this server, at that time. Kept in memory, written with the next batch and at
   * close; only ever moves forward, and never into the future. `told`: not seen by the hub but told by a program, which is taken
   * as it is, however soon after the last time.
   */
  active(id: string, at: Date, server?: string, told?: boolean): void
  /** One of their tokens or sessions was used, from this address. As `active`. */
  used(id: string, by: Means, at: Date, from: string | null): void
  /** When and from where it was last used, also what is not written yet. */
  lastUse(id: string, by: Means): Use
  /** As last told, also what is not written yet. ISO, null for never. */
  lastActivity(id: string, server?: string): string | null
  /** What plugins see: with the names of the groups. */
  view(record: UserRecord): User
  groups: Groups
  /** Hear of scopes that nothing may have any more, since whom they name is gone. */
  onForget: Forgetting['listen']
  /** Write what is pending. */
  flush(): Promise<void>
}

/** `resolution`: see createActivity. `isName` is the config's say on names beyond what can be a name at all. */
export function createUsers({
  store,
  audit = unrecorded,
  resolution = 0,
  isName = () => true,
}: {
  store: Store
  audit?: Audit
  resolution?: number
  isName?: (name: string) => boolean
}): Users {
  const activity = createActivity(store, resolution)
  const forgetting = createForgetting(store)
  const groups = createGroups(store, forgetting, audit)
  /** Names and slugs of users that are being written down. */
  const taken = new Set<string>()
  let last = 0
  for (const { number } of store.byId.values()) last = Math.max(last, number)

  const checkName = (name: string) => {
    if (name !== name.trim() || normalizeUsername(name) === undefined || !isName(name))
      throw new HubError('invalid', `${JSON.stringify(name.slice(0, 64))} cannot be the name of a user.`)
    if (store.byName.has(name) || taken.has(`name ${name}`)) throw new HubError('conflict', `There is a user ${name} already.`)
  }

  /** A user that was renamed or deleted keeps the slug of the old name: the next one of that name gets another. */
  const freeSlug = (name: string) => {
    const kept = new Set(store.hub.data.deleted.map(({ slug }) => slug))
    const isFree = (candidate: string) => !store.bySlug.has(candidate) && !kept.has(candidate) && !taken.has(`slug ${candidate}`)
    let candidate = slug(name)
    for (let n = 2; !isFree(candidate); n++) candidate = slug(`${name} ${n}`)
    return candidate
  }

  /** Nobody else may take these while something is written. */
  async function taking<T>(claims: string[], work: () => Promise<T>): Promise<T> {
    for (const claim of claims) taken.add(claim)
    try {
      return await work()
    } finally {
      for (const claim of claims) taken.delete(claim)
    }
  }

  /** Whoever is called so next must not get what was meant for this user. */
  const forgetName = (name: string) =>
    forgetting.scopes(scope => scope.endsWith(`!user=${name}`) || scope.includes(`!server=${name}/`))

  const update: Users['update'] = async (id, change) => {
    const before = store.byId.get(id)?.admin
    const updated = await store.update(id, draft => {
      const { name, slug, number } = draft
      const result = change(draft)
      if (draft.id !== id || draft.name !== name || draft.slug !== slug || draft.number !== number)
        throw new Error(`id, name, slug and number of ${name} cannot be changed by an update`)
      return result
    })
    const { name, admin, adminBy } = updated
    if (admin !== before)
      audit.record({ action: 'user.admin', target: { user: name }, details: { admin, ...(adminBy && { by: adminBy }) } })
    return updated
  }

  return {
    get: name => store.byName.get(name),
    byId: id => store.byId.get(id),
    bySlug: slug => store.bySlug.get(slug),
    byIdentity: (authenticator, id) => store.byIdentity.get(identityKey(authenticator, id)),
    all: () => store.byId.values(),
    get count() {
      return store.byId.size
    },
    async create(name, { admin = false, identity = null, attributes = {}, inherit = false } = {}) {
      checkName(name)
      const isLeft = (one: { name: string; slug: string }) => one.name === name && !store.bySlug.has(one.slug)
      const before = inherit ? store.hub.data.deleted.findLast(isLeft) : undefined
      const slug = before?.slug ?? freeSlug(name)
      const added = await taking([`name ${name}`, `slug ${slug}`], () =>
        store.add({
          version,
          id: randomBytes(8).toString('hex'),
          number: ++last,
          name,
          slug,
          admin,
          created: new Date().toISOString(),
          lastActivity: null,
          identity,
          attributes,
          tokens: [],
          sessions: [],
          servers: [],
        }),
      )
      if (before) await store.hub.update(draft => void (draft.deleted = draft.deleted.filter(one => one.slug !== before.slug)))
      audit.record({
        action: 'user.create',
        target: { user: name },
        details: { admin, authenticator: identity?.authenticator ?? null, ...(before && { inherits: before.slug }) },
      })
      return added
    },
    update,
    async rename(id, name) {
      const user = store.byId.get(id)
      if (!user) throw new HubError('missing', 'There is no such user.')
      if (user.name === name) return user
      checkName(name)
      const renamed = await taking([`name ${name}`], async () => {
        await forgetName(user.name)
        return store.update(id, draft => void (draft.name = name))
      })
      audit.record({ action: 'user.rename', target: { user: user.name }, details: { to: name } })
      return renamed
    },
    async remove(id) {
      const user = store.byId.get(id)
      if (!user) return
      await forgetName(user.name)
      await groups.set(id, [])
      await forgetGrantee(store, { kind: 'user', id })
      const { name, slug } = user
      await store.hub.update(draft => {
        if (!draft.deleted.some(one => one.slug === slug)) draft.deleted.push({ name, slug })
      })
      await store.remove(id)
      audit.record({ action: 'user.delete', target: { user: user.name } })
    },
    updateServer: (id, server, change) =>
      update(id, draft => {
        const found = draft.servers.find(({ name }) => name === server)
        const record = found ?? emptyServer(server)
        if (!found) draft.servers.push(record)
        const result = change(record)
        if (record.name !== server) throw new Error('the name of a server cannot be changed by an update')
        return result
      }),
    removeServer: (id, server) => update(id, draft => void (draft.servers = draft.servers.filter(({ name }) => name !== server))),
    async renameServer(id, server, name) {
      const renamed = (draft: UserRecord): ServerRecord => {
        const record = draft.servers.find(one => one.name === server)
        if (!record) throw new HubError('missing', `There is no server named "${server}".`)
        if (record.intent !== 'stopped' || record.generation !== null)
          throw new HubError('invalid', 'The server is running. Stop it before you change its name.')
        if (draft.servers.some(one => one.name === name))
          throw new HubError('conflict', `There is a server named "${name}" already.`)
        return record
      }
      const owner = store.byId.get(id)
      if (!owner) throw new HubError('missing', 'There is no such user.')
      renamed(owner)
      await forgetting.scopes(scope => scope.endsWith(`!server=${owner.name}/${server}`))
      return update(id, draft => void (renamed(draft).name = name))
    },
    active: (id, at, server, told) => activity.note(id, at, inServer(server), null, told),
    used: (id, by, at, from) => activity.note(id, at, by, from),
    lastUse: activity.last,
    lastActivity: (id, server) => activity.last(id, inServer(server)).at,
    view: record => ({
      id: record.id,
      name: record.name,
      slug: record.slug,
      admin: record.admin,
      groups: groups.of(record.id),
      attributes: record.attributes,
    }),
    groups,
    onForget: forgetting.listen,
    flush: activity.flush,
  }
}

const inServer = (server: string | undefined) => (server === undefined ? undefined : { server })
