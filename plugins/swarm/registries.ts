import { z } from 'zod'

/** Credentials by registry, its host with the port if it has one; `docker.io` is Docker Hub. */
export const registries = z.record(
  z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9.-]*(:\d{1,5})?$/,
      'expected the host of a registry, such as "registry.example.org" or "10.0.0.5:5000"',
    ),
  z.strictObject({ username: z.string().min(1), password: z.string().min(1) }),
)

/** The registry that an image's name means: what stands before the first slash, if that can be a host. Source: distribution/reference. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  if (rest.length === 0 || !/[.:]|^localhost$/.test(first)) return 'docker.io'
  return first === 'index.docker.io' ? 'docker.io' : first
}

/** The header by which an engine signs in to the registry of an image; none for a registry without credentials. Source: Docker's API, "Authentication". */
export function signIn(known: z.output<typeof registries>, image: string): Record<string, string> {
  const registry = registryOf(image)
  const credentials = Object.hasOwn(known, registry) ? known[registry] : undefined
  if (!credentials) return {}
  const serveraddress = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry
  const told = Buffer.from(JSON.stringify({ ...credentials, serveraddress })).toString('base64')
  // Base64 for URLs, but with its padding: engines take it no other way.
  return { 'X-Registry-Auth': told.replaceAll('+', '-').replaceAll('/', '_') }
}
