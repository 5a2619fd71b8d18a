import { HubError } from 'swarmhub'

/** Bytes of an answer; a page of a hundred teams takes about a tenth. */
const most = 2_000_000

/**
 * Asks as `fetch` does and takes what an API says: JSON of a bounded length, from where it was asked for. A redirect is
 * not followed: what is sent holds secrets. Throws `unavailable` for anything else.
 */
export async function boundedFetch(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, { ...init, redirect: 'manual' })
  const { status, headers } = answer
  const isJson = /^application\/([\w.-]+\+)?json\b/i.test(headers.get('content-type') ?? '')
  if ((status >= 300 && status < 400) || (status < 300 && !isJson)) {
    await answer.body?.cancel()
    throw new HubError(
      'unavailable',
      status < 300 ? 'GitHub answered with a page in place of data.' : 'GitHub sent us elsewhere.',
    )
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer.body ?? []) {
    length += chunk.length
    if (length > most) throw new HubError('unavailable', 'GitHub answered with more than anybody can read.')
    chunks.push(chunk)
  }
  return new Response(status === 204 ? null : Buffer.concat(chunks), { status, headers })
}
