import assert from 'node:assert/strict'
import { routes } from '../core/api/api.ts'
import { descriptions } from '../core/api/descriptions.ts'

/** Every route with each of its methods, as `GET /users/:user`. */
export const operations = Object.entries(routes).flatMap(([path, methods]) =>
  Object.keys(methods).map(method => `${method} ${path}`),
)

const patterns = Object.keys(routes).map(path => ({ path, pattern: new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`) }))

/** A JSON answer has the shape that the document promises; an error has that of all errors. `asked` is below `hub/api`. */
export function checkAnswer(method: string, asked: string, status: number, json: unknown): void {
  const [bare = ''] = asked.split('?')
  const path = patterns.find(({ pattern }) => pattern.test(bare))?.path
  const answer = descriptions[`${method} ${path}`]?.answers[status]
  if (typeof answer !== 'object') return
  const { error } = answer.body.safeParse(json)
  assert.ok(!error, `${method} ${asked} answers otherwise than documented: ${error?.message} ${JSON.stringify(json)}`)
}
