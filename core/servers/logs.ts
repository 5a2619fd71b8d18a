import { setTimeout as sleep } from 'node:timers/promises'
import { HubError } from '../errors.ts'
import type { Handle } from '../plugin.ts'
import type { LifeParts } from './life.ts'
import type { Server } from './server.ts'

/** Lines after which there is a pause, and its milliseconds: a server that never stops writing must not keep the hub busy. */
const burst = { lines: 500, pause: 250 }
/** Milliseconds within which the last lines are there, or are done without. */
const patience = 5000
/** Who may follow one server's log at once: each has a connection to the engine. */
const followers = 10
/** Characters that are shown of a line. */
const longest = 2000

/**
 * Reads a server's log: its last lines; with `follow` then new ones as they come, until the server is gone or the signal aborts. Of one that is
 * not there any more, what its failure has kept. Every line is fit to be shown: see `presentable`. Throws `busy` when too many follow it.
 */
export function createLogs(
  { spawner: { spawner }, tokens, log, closing }: LifeParts,
  /** What the server's profile hands to it. */
  envOf: (server: Server) => Readonly<Record<string, string>>,
) {
  const following = new Map<string, number>()

  return function logs(server: Server, { follow }: { follow: boolean }, signal: AbortSignal): AsyncIterable<string> {
    const { handle, generation } = server.record
    const secrets = Object.entries(envOf(server)).flatMap(([name, value]) => {
      return secretName.test(name) && value.length >= 6 ? [value] : []
    })
    const shown = (line: string) => presentable(line, secrets, tokens.isToken)
    if (!handle || generation === null || !spawner?.logs) return kept(server, shown)
    const already = following.get(generation) ?? 0
    if (follow && already >= followers)
      throw new HubError('busy', `${followers} others follow this log already. Close one of them.`, { retryAfter: 30 })
    return follow
      ? followed(server, handle, generation, shown, signal)
      : read(handle, false, shown, AbortSignal.timeout(patience), signal)
  }

  async function* followed(server: Server, handle: Handle, generation: string, shown: Show, signal: AbortSignal) {
    following.set(generation, (following.get(generation) ?? 0) + 1)
    const gone = new AbortController()
    const look = setInterval(() => server.record.generation === generation || gone.abort(), 1000)
    try {
      yield* read(handle, true, shown, gone.signal, signal)
    } finally {
      clearInterval(look)
      const left = following.get(generation)! - 1
      if (left > 0) following.set(generation, left)
      else following.delete(generation)
    }
  }

  async function* read(handle: Handle, follow: boolean, shown: Show, ...ends: AbortSignal[]): AsyncGenerator<string> {
    const signal = AbortSignal.any([closing, ...ends])
    let count = 0
    try {
      for await (const line of spawner!.logs!(handle, { log, signal, progress() {} }, { follow })) {
        yield shown(line)
        if (++count % burst.lines === 0) await sleep(burst.pause, undefined, { signal })
        if (signal.aborted) return
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}

type Show = (line: string) => string

async function* kept({ failure }: Server, shown: Show): AsyncGenerator<string> {
  yield* (failure?.cause.log ?? []).map(shown)
}

const secretName = /passw|secret|token|credential|(^|_)(api)?key$/i
const assigned =
  /((?:token|passwd|password|secret|api[_-]?key|authorization)["']?\s*[=:]\s*["']?(?:(?:token|bearer|basic)\s+)?)[^\s&"',;}]+/gi

/**
 * A line that somebody's program wrote, for a page or a terminal: without colours and control characters, of a line that was written over
 * the last state, without the secrets that are known or look like it, and cut.
 */
export function presentable(line: string, secrets: readonly string[], isToken: (word: string) => boolean): string {
  const last = line.split('\r').findLast(part => part !== '') ?? ''
  const bare = last
    // A terminal's sequences, then what is left of control and direction characters.
    .replace(/(?!\t)\p{Cc}(?:\[[0-?]*[ -/]*[@-~]|\][^\p{Cc}]*)/gu, '')
    .replace(/(?!\t)[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu, '')
  const known = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), bare)
  const text = known.replace(assigned, '$1***').replace(/[\w-]{32,}/g, word => (isToken(word) ? '***' : word))
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}
