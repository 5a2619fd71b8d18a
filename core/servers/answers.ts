import { request } from 'node:http'

/**
 * Does the server answer HTTP? Anything below 500 counts: `GET <target><path>api`, redirects not followed, as JupyterHub
 * asks. Resolves false for no connection, a 5xx, and after `deadline` milliseconds. Never rejects.
 */
export function answers(target: string, path: string, deadline: number, signal: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request(
      `${target}${path}api`,
      { agent: false, signal: AbortSignal.any([signal, AbortSignal.timeout(deadline)]) },
      reply => {
        reply.resume()
        resolve((reply.statusCode ?? 500) < 500)
      },
    )
    asked.on('error', () => resolve(false))
    asked.end()
  })
}
