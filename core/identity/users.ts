import type { User } from '../plugin.ts'
import type { GroupRecord, ServerRecord, UserRecord } from '../store/records.ts'

/** Everybody the hub knows. Records are deeply read-only: change them through `update`. Names are exact, see names.ts. */
export interface Users {
  get(name: string): UserRecord | undefined
  byId(id: string): UserRecord | undefined
  bySlug(slug: string): UserRecord | undefined
  /** In order of creation. */
  all(): Iterable<UserRecord>
  readonly count: number
  /** Throws `conflict` when the name is taken, `invalid` when it can be nobody's name. Durable when it resolves. */
  create(
    name: string,
    init?: { admin?: boolean; identity?: UserRecord['identity']; attributes?: Record<string, unknown> },
  ): Promise<UserRecord>
  /** See StateFile.update. Names and slugs cannot be changed this way. */
  update(id: string, change: (draft: UserRecord) => void): Promise<UserRecord>
  /** Keeps id and slug, and so tokens, groups and storage. Throws `conflict`, `invalid`. */
  rename(id: string, name: string): Promise<UserRecord>
  /** With tokens, sessions and group memberships. Stop the servers first. */
  remove(id: string): Promise<void>
  /** Change one server's record, making it when there is none yet. */
  updateServer(id: string, server: string, change: (draft: ServerRecord) => void): Promise<UserRecord>
  removeServer(id: string, server: string): Promise<UserRecord>
  /**
   * Something was done by this user, or in this server, at that time. Kept in memory, written with the next batch and at
   * close; only ever moves forward, and never into the future.
   */
  active(id: string, at: Date, server?: string): void
  /** As last told, also what is not written yet. ISO, null for never. */
  lastActivity(id: string, server?: string): string | null
  /** What plugins see: with the names of the groups. */
  view(record: UserRecord): User
  groups: Groups
  /** Write what is pending. */
  flush(): Promise<void>
}

export interface Groups {
  get(name: string): GroupRecord | undefined
  all(): Iterable<GroupRecord>
  /** Names of the groups that this user is in. */
  of(userId: string): readonly string[]
  /** Make the user a member of exactly these groups; missing ones are created. */
  set(userId: string, groups: readonly string[]): Promise<void>
}
