/** A value in memory with its durable copy in one file. What is read has always been on disk before. */
export interface StateFile<T> {
  /** The value as last made durable. Never change it in place. */
  readonly data: T
  /**
   * Change the value. `change` gets a copy; it may be called again when another change fails. Resolves with the new value
   * after fsync, rename and fsync of the folder; changes made at the same time share one write. When `change` throws, only
   * this call rejects; when the write fails, all of its changes are rolled back and reject with `unavailable`.
   */
  update(change: (draft: T) => void): Promise<T>
  /** Remove the file. Later updates reject. */
  remove(): Promise<void>
}
