import type { Store } from '../store/store.ts'

/** Takes the scopes that name what is no more away: they must not fall to whatever has the name next. */
export interface Forgetting {
  /** Out of all tokens, and out of what listens; durable when it resolves. */
  scopes(names: (scope: string) => boolean): Promise<void>
  /** For what else has scopes. Called and waited for before the tokens are changed, each time. */
  listen(listener: (names: (scope: string) => boolean) => unknown): void
}

export function createForgetting({ byId, update }: Pick<Store, 'byId' | 'update'>): Forgetting {
  const listeners: Parameters<Forgetting['listen']>[0][] = []
  return {
    listen: listener => void listeners.push(listener),
    async scopes(names) {
      for (const listener of listeners) await listener(names)
      for (const { id, tokens } of byId.values()) {
        if (!tokens.some(token => token.scopes.some(names))) continue
        await update(id, draft => {
          for (const token of draft.tokens) token.scopes = token.scopes.filter(scope => !names(scope))
        })
      }
    },
  }
}
