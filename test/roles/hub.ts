import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Hub, HubError, type StateFile, silent, type User } from 'swarmhub'
import type { ZodType } from 'zod'

/** A hub for one test of a plugin: its files in memory, nobody in it, on a local address; what a test says otherwise goes first. */
export function fakeHub(t: TestContext, given: Partial<Hub> & { people?: User[]; said?: string[] } = {}): Hub {
  const { people = [], said = [], ...rest } = given
  const folder = mkdtempSync(join(tmpdir(), 'swarmhub-plugin-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const files = new Map<string, unknown>()
  return {
    id: 'test-hub',
    url: undefined,
    link: page => `http://127.0.0.1:8000/hub/x/plugin/${page}`,
    say: text => void said.push(text),
    folder,
    log: silent,
    file: async (name, schema, initial) => fakeFile(files, name, schema, initial),
    isPublic: false,
    users: () => people,
    user: name => people.find(user => user.name === name),
    signOut: async () => {},
    endSessions: async () => [],
    keepsAuthState: false,
    authState: () => undefined,
    attempt: (_name, _address, check) => check(),
    record() {},
    servers: () => [],
    offers: () => [],
    start: async () => {
      throw new HubError('unavailable', 'A fake hub starts nothing.')
    },
    stop: async () => {},
    erase: async () => {},
    ...rest,
  }
}

/** Behaves as the hub's own files do: checked when opened and when written, nobody shares what is in it. */
function fakeFile<T>(files: Map<string, unknown>, name: string, schema: ZodType<T>, initial: T): StateFile<T> {
  if (!files.has(name)) files.set(name, schema.parse(structuredClone(initial)))
  return {
    get data() {
      return schema.parse(files.get(name))
    },
    async update(change) {
      const draft = schema.parse(structuredClone(files.get(name)))
      change(draft)
      const next = schema.parse(draft)
      files.set(name, next)
      return next
    },
    async remove() {
      files.delete(name)
    },
  }
}
