import type { Store } from '../store/store.ts'

/** Take the scopes that name what is no more out of all tokens: they must not fall to whatever has the name next. */
export async function forgetScopes(
  { byId, update }: Pick<Store, 'byId' | 'update'>,
  names: (scope: string) => boolean,
): Promise<void> {
  for (const { id, tokens } of byId.values()) {
    if (!tokens.some(token => token.scopes.some(names))) continue
    await update(id, draft => {
      for (const token of draft.tokens) token.scopes = token.scopes.filter(scope => !names(scope))
    })
  }
}
