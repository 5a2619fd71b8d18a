import type { Settings } from './schema.ts'

/** Where the hub is for the public: its address, if the config says it, and the prefix of the whole hub, with both slashes. */
export function placeOf({ url: address, base }: Pick<Settings, 'url' | 'base'>): { url: URL | undefined; base: string } {
  const url = address === undefined ? undefined : new URL(address.replace(/\/*$/, '/'))
  return { url, base: url?.pathname ?? base ?? '/' }
}
